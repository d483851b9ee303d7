"""`pynomaly pipeline`: define, list, show and remove the pipelines of features of a database."""

from typing import Annotated

from cyclopts import App, Parameter

from pynomaly.cli import output, table
from pynomaly.cli.listing import ALL_ROWS, listed
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Written, needed, opened, resolve
from pynomaly.errors import BadParameter
from pynomaly.quoting import literal

pipeline = App(name="pipeline", help="Define, list, show and remove the pipelines of features of a database.")


@pipeline.command
def add(
    name: Annotated[str, Parameter(help="What the pipeline is called.")],
    /,
    *steps: Annotated[str, Parameter(help="Feature macros as SQL calls them, and columns that stay as they are.")],
    suggest: Annotated[str | None, Parameter(help="Take the steps that suit this table or file.")] = None,
    common: Common = COMMON,
) -> int:
    """Keep steps as a pipeline's next version: `pynomaly pipeline add card "log1p_signed(amount)" --db team.duckdb`."""
    settings = needed(common, "a pipeline")
    if bool(steps) == (suggest is not None):
        raise BadParameter("a pipeline needs steps", "name them, or a source with --suggest, and not both")
    with opened(settings) as engine:
        wanted = list(steps) if suggest is None else engine.suggest_features(suggest)
        common.voice.say(str(engine.define_pipeline(name, wanted)))
    return 0


@pipeline.command
def ls(*, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """List the pipelines: `pynomaly pipeline ls --db team.duckdb`."""
    rows = "from query(_catalog('pipelines', null)) order by name, version"
    nothing = "no pipeline is defined yet: `pynomaly pipeline add NAME STEP... --db FILE`"
    return listed(rows, resolve(common), written, common, f"select name, version, len(steps) as steps {rows}", nothing)


@pipeline.command
def show(
    name: Annotated[str, Parameter(help="The name of the pipeline, or name@version.")],
    /,
    *,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Tell the steps of a pipeline: `pynomaly pipeline show card --db team.duckdb`."""
    settings = resolve(common)
    target = output.target(written, settings, ALL_ROWS)
    with opened(settings, read_only=True) as engine:
        meant = literal(engine.pinned_pipeline(name))
        query = engine.sql(f"from query(_catalog('pipelines', null)) where name || '@' || version = {meant}")
        if target.format != "table" or target.path is not None:
            output.write(query, target)
            return 0
        table.facts(dict(zip(query.columns, query.fetchall()[0], strict=True)))
    return 0


@pipeline.command
def rm(
    name: Annotated[str, Parameter(help="The name of the pipeline.")],
    version: Annotated[int | None, Parameter(help="The version to remove; all where none is named.")] = None,
    /,
    *,
    common: Common = COMMON,
) -> int:
    """Remove a pipeline, which models keep: `pynomaly pipeline rm card 1 --db team.duckdb`."""
    with opened(needed(common, "a pipeline")) as engine:
        n_removed = engine.remove_pipeline(name, version)
    common.voice.say(f"{n_removed} version{'s' if n_removed > 1 else ''} of {name} removed")
    return 0
