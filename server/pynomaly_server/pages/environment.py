"""The templates with what they may call: everything is escaped, and what is not given is an error."""

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import pynomaly
from pynomaly_server.pages import filters, pictures, wording
from pynomaly_server.places import web_folder
from pynomaly_server.static_files import asset

_FILTERS = {
    "ago": filters.ago,
    "brief": filters.brief,
    "column_class": filters.column_class,
    "moment": filters.moment,
    "number": filters.number,
    "pretty": filters.pretty,
    "percent": filters.percent,
    "query_of": filters.query_of,
    "score": filters.score,
    "seconds": filters.seconds,
    "shown_as": filters.shown_as,
    "size": filters.size,
    "slug": filters.slug,
    "text": filters.text,
    "way_out": wording.way_out,
    "what": wording.what,
    "with_query": filters.with_query,
}


@cache
def environment() -> Environment:
    """The environment that every page is rendered in."""
    made = Environment(
        loader=FileSystemLoader(web_folder() / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= _FILTERS
    made.globals |= {"asset": asset, "pictures": pictures, "version": pynomaly.__version__}
    return made
