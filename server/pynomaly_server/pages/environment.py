"""The templates with what they may call: everything is escaped, and what is not given is an error."""

from contextvars import ContextVar
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import pynomaly
from pynomaly_server import formats
from pynomaly_server.identity import Identity
from pynomaly_server.pages import dataset_words, filters, pictures, wording
from pynomaly_server.permissions import Permission
from pynomaly_server.places import web_folder
from pynomaly_server.static_files import asset

SEEING: ContextVar[Identity | None] = ContextVar("seeing", default=None)  # who a page is for
_FILTERS = {
    "ago": filters.ago,
    "brief": filters.brief,
    "column_class": filters.column_class,
    "counted": dataset_words.counted,
    "moment": filters.moment,
    "number": filters.number,
    "origin": dataset_words.origin,
    "plain": filters.plain,
    "pretty": filters.pretty,
    "percent": filters.percent,
    "query_of": filters.query_of,
    "ruled": dataset_words.ruled,
    "score": filters.score,
    "seconds": filters.seconds,
    "sentence": wording.sentence,
    "shown_as": filters.shown_as,
    "size": filters.size,
    "formula": filters.formula,
    "label": wording.label,
    "unread": wording.unread,
    "slug": filters.slug,
    "text": filters.text,
    "told": filters.told,
    "way_out": wording.way_out,
    "labelled": wording.labelled,
    "encoded": wording.encoded,
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
    made.globals |= {
        "asset": asset,
        "export_formats": formats.LABELS,
        "may": may,
        "pictures": pictures,
        "version": pynomaly.__version__,
    }
    return made


def may(permission: str) -> bool:
    """Whether who sees a page may do something; for macros, which have no context."""
    identity = SEEING.get()
    return identity is not None and identity.may(Permission(permission))
