"""`pynomaly run explain|nearest|project|replay|compare`, `pynomaly model importance`: what runs and models tell."""

from typing import Annotated

from cyclopts import Parameter

from pynomaly.calls import macro_call
from pynomaly.cli import output, table
from pynomaly.cli.console import FAILED
from pynomaly.cli.listing import ALL_ROWS, listed
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Written, opened, resolve

Run = Annotated[str, Parameter(help="The id of a saved run.")]
Key = Annotated[str, Parameter(help="The key of one of its rows.")]


def explain(run: Run, key: Key, /, *, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """Tell what drove the score of one row: `pynomaly run explain RUN KEY --db team.duckdb`."""
    rows = f"from {macro_call('explain_row', (), (run, key), {})}"
    return listed(rows, resolve(common), written, common)


def nearest(
    run: Run,
    key: Key,
    /,
    *,
    k: Annotated[int, Parameter(alias="-k", help="How many rows.")] = 5,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """List the normal rows that are most like one row: `pynomaly run nearest RUN KEY --db team.duckdb`."""
    rows = f"from {macro_call('nearest_normal', ('k',), (run, key), {'k': k})}"
    return listed(rows, resolve(common), written, common)


def project(
    run: Run,
    /,
    *,
    n: Annotated[int, Parameter(alias="-n", help="How many principal components.")] = 2,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Write a run's rows as points in few dimensions: `pynomaly run project RUN -o points.parquet --db team.duckdb`."""
    rows = f"from {macro_call('project', ('n',), (run,), {'n': n})}"
    return listed(rows, resolve(common), written, common)


def replay(run: Run, /, *, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """Run a saved run again and tell what differs, with exit code 1: `pynomaly run replay RUN --db team.duckdb`."""
    settings = resolve(common)
    target = output.target(written, settings, ALL_ROWS)
    with opened(settings, read_only=True) as engine:
        found = engine.replay_run(run).arrow()
        row = found.to_pylist()[0]
        if target.format != "table":
            engine.register("_replayed", found)
            output.write(engine.sql("from _replayed"), target)
    if row["is_equal"]:
        common.voice.say(f"equal, bit for bit: {row['n_rows']:,} rows")
        return 0
    if target.format == "table":
        table.facts(row)
    return FAILED


def compare(
    a: Run,
    b: Annotated[str, Parameter(help="The id of another one.")],
    /,
    *,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """List the rows that two runs judge differently: `pynomaly run compare RUN RUN --db team.duckdb`."""
    order = "order by change <> 'newly flagged', change <> 'no longer flagged', abs(score_change) desc nulls first, key"
    rows = f"from {macro_call('diff_runs', (), (a, b), {})} {order}"
    return listed(rows, resolve(common), written, common, nothing="no row is judged differently")


def importance(
    name: Annotated[str, Parameter(help="The name of a model, or the id of a saved run.")],
    version: Annotated[int | None, Parameter(help="Its version; by default the champion, or the newest.")] = None,
    /,
    *,
    source: Annotated[
        str | None, Parameter(help="A table or file to look at; by default what the model was trained on.")
    ] = None,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Tell how much each feature drives a model's anomalies: `pynomaly model importance fraud --db team.duckdb`."""
    given = {"version": version, "source": source}
    rows = f"from {macro_call('feature_importance', tuple(given), (name,), given)}"
    return listed(rows, resolve(common), written, common)
