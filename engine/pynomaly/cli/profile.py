"""`pynomaly profile`: what the columns of a source are like."""

from typing import Annotated

from cyclopts import Parameter

from pynomaly.calls import macro_call
from pynomaly.cli import output, table
from pynomaly.cli.console import interruptible
from pynomaly.cli.scoring import landed_one, read_as
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Written, opened, resolve

ALL_ROWS = 1000
BRIEF = """
select
    column_name, type, n_null as nulls, n_distinct as "distinct", minimum, round(median, 4) as median, maximum,
    concat_ws(
        ', ', case when is_constant then 'constant' end, case when is_identifier then 'identifier' end,
        case when is_monotone then 'grows' end,
        'often ' || nullif(array_to_string([top.value for top in top_values[:3]], ', '), '')
    ) as notes
"""


def profile(
    source: Annotated[str, Parameter(help="A file, `-` for standard input, or with --db a table or view.")],
    /,
    *,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Tell what the columns of SOURCE are like: `pynomaly profile payments.csv`.

    Every other format than a table has also mean, MAD, quantiles, skew, counts of the top values and a histogram.
    """
    settings = resolve(common)
    target = output.target(written, settings, ALL_ROWS)
    with landed_one(source) as file, opened(settings, read_only=True) as engine:
        brief = BRIEF if target.format == "table" else "select *"
        sql = f"{brief} from {macro_call('profile', (), (read_as(file, settings),), {})}"
        common.voice.detail(f"sql: {sql}")
        shown = interruptible(engine, lambda: output.write(engine.sql(sql), target))
    if shown is not None:
        table.show_all(shown)
    return 0
