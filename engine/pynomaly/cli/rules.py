"""`pynomaly rules`: propose rules for a source, keep them under a name, and list what is kept."""

from typing import Annotated

from cyclopts import App, Parameter

from pynomaly.cli import output, table
from pynomaly.cli.console import interruptible
from pynomaly.cli.listing import ALL_ROWS, listed
from pynomaly.cli.scoring import landed_one, read_as
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Written, needed, opened, resolve
from pynomaly.cli.validate import rules_of, suggestion
from pynomaly.errors import UnknownRules, did_you_mean
from pynomaly.quoting import literal

KEPT = """
select name, max(version) as version, count(*) filter (where version = newest) as rules, max(created_at) as created_at,
    arg_max(created_by, version) as created_by
from (select *, max(version) over (partition by name) as newest from query(_catalog('rules', null)))
group by name
order by name
"""

rules = App(name="rules", help="Propose rules for a source, and keep rules under a name.")


@rules.command
def suggest(
    source: Annotated[str, Parameter(help="A file, `-`, or with --db a table or view.")],
    /,
    *,
    keep: Annotated[str | None, Parameter(help="Keep the rules under this name, such as that of the source.")] = None,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Propose rules that SOURCE keeps: `pynomaly rules suggest payments.csv --json > rules.json`."""
    settings = needed(common, "a set of rules") if keep is not None else resolve(common)
    target = output.target(written, settings, ALL_ROWS)
    with landed_one(source) as file, opened(settings, read_only=keep is None) as engine:
        name = read_as(file, settings)
        if keep is not None:
            version = interruptible(engine, lambda: engine.set_rules(keep, engine.suggest_rules(name)))
            common.voice.say(f"{keep} version {version}")
            return 0
        shown = interruptible(engine, lambda: output.write(engine.sql(suggestion(name)), target))
    if shown is not None:
        table.show_all(shown)
    return 0


@rules.command(name="set")
def set_rules(
    name: Annotated[str, Parameter(help="What the rules are called, such as their source.")],
    given: Annotated[str, Parameter(help="A JSON file, or JSON.")],
    /,
    *,
    common: Common = COMMON,
) -> int:
    """Keep rules as the next version under a name: `pynomaly rules set payments rules.json --db team.duckdb`."""
    with opened(needed(common, "a set of rules")) as engine:
        common.voice.say(f"{name} version {engine.set_rules(name, rules_of(given))}")
    return 0


@rules.command
def ls(*, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """List the sets of rules: `pynomaly rules ls --db team.duckdb`."""
    nothing = "no rules are kept yet: `pynomaly rules suggest SOURCE --keep NAME --db FILE`"
    return listed(KEPT, needed(common, "a set of rules"), written, common, nothing=nothing)


@rules.command
def show(
    name: Annotated[str, Parameter(help="The name of the set.")],
    version: Annotated[int | None, Parameter(help="Its version; the newest where none is named.")] = None,
    /,
    *,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Tell the rules of a set: `pynomaly rules show payments --db team.duckdb`."""
    settings = needed(common, "a set of rules")
    target = output.target(written, settings, ALL_ROWS)
    meant = f"from query(_catalog('rules', null)) where name = {literal(name)}"
    meant += f" and version = {version}" if version is not None else ""
    with opened(settings, read_only=True) as engine:
        if not engine.execute(f"select 1 {meant} limit 1").fetchall():
            known = [
                row[0] for row in engine.execute("select distinct name from query(_catalog('rules', null))").fetchall()
            ]
            what = f"`{name}`" + (f" version {version}" if version is not None else "")
            raise UnknownRules(f"no rules are kept as {what}", did_you_mean(name, known) or "`rules ls` lists them")
        query = f"select version, kind, columns, parameters, severity {meant} qualify version = max(version) over ()"
        shown = output.write(engine.sql(f"{query} order by number"), target)
    if shown is not None:
        table.show_all(shown)
    return 0
