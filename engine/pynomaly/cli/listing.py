"""What the verbs share that only list rows of a database."""

from pynomaly.cli import output, table
from pynomaly.cli.settings import Common, Settings, Written, opened

ALL_ROWS = 1000


def listed(
    sql: str, settings: Settings, written: Written, common: Common, brief: str | None = None, nothing: str | None = None
) -> int:
    """Write the rows of a query that reads only; a table gets those of `brief`, and `nothing` is told of no rows."""
    target = output.target(written, settings, ALL_ROWS)
    with opened(settings, read_only=True) as engine:
        shown = output.write(engine.sql(brief if brief and target.format == "table" else sql), target)
    if shown is not None and (shown.rows or nothing is None):
        table.show_all(shown)
    elif shown is not None:
        common.voice.say(str(nothing))
    return 0
