"""`pynomaly lineage`: what an object of the catalogue came from, and what came from it."""

from typing import Annotated

from cyclopts import Parameter

from pynomaly.cli import output, table
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Written, needed, opened
from pynomaly.quoting import literal

TABLE_ROWS = 100
SHORT = "regexp_replace({}, '([0-9a-f]{{8}})[0-9a-f-]{{28,}}', '\\1')"  # eight characters name a run
BRIEF = f"select direction, depth, {SHORT.format('parent')} as parent, relation, {SHORT.format('child')} as child"


def lineage(
    object_: Annotated[
        str, Parameter(name="object", help="A source, a model, a version of it as fraud@2, a run or a snapshot.")
    ],
    /,
    *,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Tell what an object came from, and what came from it: `pynomaly lineage fraud@2 --db team.duckdb`."""
    settings = needed(common, "a lineage")
    target = output.target(written, settings, TABLE_ROWS)
    with opened(settings, read_only=True) as engine:
        columns = BRIEF if target.format == "table" else "select *"
        steps = f"{columns} from lineage({literal(object_)}) order by direction, depth, parent, child"
        shown = output.write(engine.sql(steps), target)
    if shown is not None:
        table.show(shown)
        if shown.more:
            common.voice.say(f"the first {len(shown.rows)} steps are shown; --rows shows more, --format csv all", "dim")
    return 0
