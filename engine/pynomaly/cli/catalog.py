"""`pynomaly catalog`: what a database keeps, for how long, and its settings."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from pynomaly.calls import macro_call
from pynomaly.cli import output, table
from pynomaly.cli.listing import ALL_ROWS, listed
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Written, needed, opened
from pynomaly.quoting import literal
from pynomaly.result import Removal

catalog = App(name="catalog", help="Remove what is old from a database, and change its settings.")


@catalog.command
def vacuum(
    *,
    keep: Annotated[
        str | None,
        Parameter(help="How long results are kept, as '30 days'; by default as the setting keep_results says."),
    ] = None,
    yes: Annotated[bool, Parameter(help="Remove what is listed without being asked.")] = False,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """List what a database could do without, then remove it: `pynomaly catalog vacuum --keep '90 days' --db FILE`.

    That are the results and models of old saved runs, and files that nothing needs. A run stays where a row of it was
    labelled or its model is in use.
    """
    settings = needed(common, "a catalogue")
    target = output.target(written, settings, ALL_ROWS)
    with opened(settings, read_only=not yes and not sys.stdin.isatty()) as engine:
        shown = output.write(engine.sql(f"from {macro_call('vacuum_catalog', ('keep',), (), {'keep': keep})}"), target)
        if shown is not None and shown.rows:
            table.show_all(shown)
        n_listed = len(engine.vacuum_catalog(keep))
        if not n_listed:
            common.voice.say("there is nothing to remove")
        elif yes or _agreed():
            common.voice.say(_told(engine.vacuum_catalog(keep, remove=True)))
        else:
            common.voice.say("nothing was removed; --yes removes what is listed")
    return 0


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    print("Remove these? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201 - a question, not data
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _told(removed: list[Removal]) -> str:
    mib = sum(item.bytes or 0 for item in removed) / 2**20
    return f"removed {len(removed):,} objects, about {mib:,.1f} MiB"


@catalog.command
def settings(*, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """List the settings of a database: `pynomaly catalog settings --db team.duckdb`."""
    rows = "from settings() order by name"
    return listed(rows, needed(common, "a setting"), written, common, f"select name, value, description {rows}")


@catalog.command(name="set")
def set_(
    name: Annotated[str, Parameter(help="The name of the setting.")],
    value: Annotated[str, Parameter(help="Its value from now on; null is none.")],
    /,
    *,
    common: Common = COMMON,
) -> int:
    """Change a setting: `pynomaly catalog set keep_results '90 days' --db team.duckdb`."""
    with opened(needed(common, "a setting")) as engine:
        engine.change_setting(name, None if value.lower() == "null" else value)
        found = engine.execute(f"select value from settings() where name = {literal(name)}").fetchall()[0][0]
    common.voice.say(f"{name}: {found}")
    return 0
