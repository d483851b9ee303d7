"""`pynomaly run`: list and show what was run, and say what its rows are."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from pynomaly.cli import output, table
from pynomaly.cli.insights import compare, explain, nearest, project, replay
from pynomaly.cli.listing import listed
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Written, needed, opened
from pynomaly.errors import BadParameter
from pynomaly.quoting import literal

RECENT_RUNS = 20
BRIEF = """
select
    left(id::varchar, 8) as run, strftime(started_at, '%Y-%m-%d %H:%M') as started, source, algorithm, n_rows as rows,
    n_flagged as flagged, saved, coalesce(error_code, status) as status
"""

run = App(name="run", help="List the runs of a database, show one, and ask about its rows.")
for verb in (explain, nearest, project, replay, compare):
    run.command(verb)


@run.command
def ls(
    *,
    limit: Annotated[int, Parameter(help="How many runs, the newest first.")] = RECENT_RUNS,
    status: Annotated[
        Literal["succeeded", "failed", "cancelled"] | None, Parameter(help="Only those that ended so.")
    ] = None,
    kind: Annotated[Literal["detect", "score"] | None, Parameter(help="Only detections, or only scorings.")] = None,
    source: Annotated[str | None, Parameter(help="Only those of this source.")] = None,
    algorithm: Annotated[str | None, Parameter(alias="-a", help="Only those of this algorithm.")] = None,
    model: Annotated[str | None, Parameter(help="Only those that scored with this model.")] = None,
    saved: Annotated[bool, Parameter(help="Only those whose scored rows were saved.")] = False,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """List the newest runs: `pynomaly run ls --db team.duckdb --status failed`."""
    if limit < 1:
        raise BadParameter(f"`--limit` is {limit}", "give a whole number from 1")
    asked = {"status": status, "kind": kind, "source": source, "algorithm": algorithm, "model": model}
    wanted = [f"{name} = {literal(value)}" for name, value in asked.items() if value is not None]
    wanted += ["saved"] if saved else []
    settings = needed(common, "a list of runs")
    target = output.target(written, settings, limit)
    with opened(settings, read_only=True) as engine:
        columns = BRIEF if target.format == "table" else "select *"
        newest = f"where {' and '.join(['true', *wanted])} order by started_at desc, id limit {limit}"
        shown = output.write(engine.sql(f"{columns} from runs() {newest}"), target)
    if shown is not None and shown.rows:
        table.show_all(shown)
    elif shown is not None:
        common.voice.say("no such run" if wanted else "nothing was run yet: `pynomaly detect SOURCE --db FILE`")
    return 0


@run.command
def show(
    id_: Annotated[str, Parameter(name="run", help="The id of the run, or its first eight characters or more.")],
    /,
    *,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Tell all about a run: `pynomaly run show 7f8c12ab --db team.duckdb`."""
    settings = needed(common, "a run")
    target = output.target(written, settings, 1)
    with opened(settings, read_only=True) as engine:
        query = engine.sql(f"from _run({literal(id_)})")
        if target.format == "table" and target.path is None:
            table.facts(dict(zip(query.columns, query.fetchall()[0], strict=True)))
        else:
            output.write(query, target)
    return 0


@run.command
def label(
    id_: Annotated[str, Parameter(name="run", help="The id of a saved run, or its first characters.")],
    key: Annotated[str, Parameter(help="The key of one of its rows.")],
    label_: Annotated[Literal["anomaly", "normal"], Parameter(name="label", help="What the row is.")],
    /,
    *,
    note: Annotated[str | None, Parameter(help="What else there is to say.")] = None,
    common: Common = COMMON,
) -> int:
    """Say what a row of a saved run is: `pynomaly run label 7f8c12ab 17 normal --note refund --db team.duckdb`."""
    with opened(needed(common, "a label")) as engine:
        engine.label(id_, key, label_, note)
    common.voice.say(f"row {key}: {label_}")
    return 0


@run.command
def labels(
    id_: Annotated[str, Parameter(name="run", help="The id of a saved run, or its first characters.")],
    /,
    *,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """List what was last said of the rows of a run: `pynomaly run labels 7f8c12ab --db team.duckdb`."""
    return listed(f"from labels_of({literal(id_)}) order by key", needed(common, "a label"), written, common)
