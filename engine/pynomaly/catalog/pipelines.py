"""The functions of the feature macros and pipelines, as DuckDB sees them."""

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from pynomaly import arrays, pipelines, source
from pynomaly.catalog.migrations import check_table
from pynomaly.errors import BadParameter, UnknownPipeline, did_you_mean
from pynomaly.feature_macros import MACROS
from pynomaly.kernels.ranks import normal_ranks
from pynomaly.pipelines import CONSTANTS, PIPED, Pipeline, Placed
from pynomaly.quoting import identifier, literal
from pynomaly.schema import FEATURE
from pynomaly.steps import Step, parse, steps_of

if TYPE_CHECKING:
    from pynomaly.functions import Session

_MEANT = re.compile(r"(?P<name>.+?)(?:@(?P<version>\d+))?")
_PIPELINES = "select version, steps from pynomaly.pipelines as stored where stored.name = ? order by version"
_NAMES = "select distinct stored.name from pynomaly.pipelines as stored"


class Piped(msgspec.Struct):
    """A pipeline over a source: how the source stands in FROM, its columns where they are seen, and the steps."""

    relation: str
    columns: dict[str, str] | None
    placed: list[Placed]


class PipelineFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def feature_macros(self, *args: pa.Array) -> pa.Array:
        """(NULL) to every feature macro."""
        return pa.array([[macro.told() for macro in MACROS.values()]] * len(args[0]), pa.list_(FEATURE))

    def featured(self, *args: pa.Array) -> pa.Array:
        """(source, macro, columns, parameters) to the SELECT of the source with the macro's columns."""
        name, macro, columns, parameters = arrays.constants(args)
        given = {key: _plain(value) for key, value in (parameters or {}).items()}
        found = self._over(name, steps_of(macro, columns, given))
        return arrays.texts([pipelines.select(found.relation, found.placed)] * len(args[0]))

    def rank_normal(self, *args: pa.Array) -> pa.Array:
        """(value, quantiles) to the normal quantile at the value's rank; the quantiles are those of the first row."""
        values, grid = arrays.contiguous(args[0]), args[1][0].as_py() if len(args[1]) else None
        if not grid or None in grid:
            return pa.nulls(len(values), pa.float64())
        ranks = normal_ranks(arrays.doubles(values), np.array(grid))
        return arrays.floats(ranks, np.isnan(ranks))

    def word_shares(self, *args: pa.Array) -> pa.Array:
        """(text, buckets) to the share of its words in each bucket."""
        from pynomaly.kernels.words import fill_shares

        texts, buckets = arrays.contiguous(args[0]), int(args[1][0].as_py())
        shares, nulls = np.zeros((len(texts), buckets)), arrays.null_flags(texts)
        starts, data = (np.frombuffer(part or b"", kind) for part, kind in zip(texts.buffers()[1:], (np.int32, np.uint8)))
        fill_shares(data, starts[texts.offset : texts.offset + len(texts) + 1], shares)
        offsets = arrays.integers(np.arange(0, shares.size + 1, buckets, dtype=np.int32), np.append(nulls, False))
        return pa.ListArray.from_arrays(offsets, arrays.floats(shares.ravel()))

    def _over(self, name: object, steps: list[Step]) -> Piped:
        """Steps over a source, the values of those that need some looked up in it."""
        if not isinstance(name, str) or not name:
            raise BadParameter(f"the source is {name!r}", "give the name of a table, view, frame or file")
        self._session.refuse_single_use(name)
        relation, columns = self._session.resolved(name)
        placed = pipelines.place(steps, columns)  # also checks the columns before anything is read
        pinned = [self._pinned(item, name, relation, columns) for item in placed]
        return Piped(relation, columns, pipelines.place(pinned, columns) if pinned != steps else placed)

    def _pinned(self, item: Placed, name: str, relation: str, columns: dict[str, str] | None) -> Step:
        """The step, or one_hot with the values that are most frequent."""
        step = item.step
        if step.macro != "one_hot" or step.options["values"] is not None:
            return step
        column = step.columns[0]
        if columns is None or item.level > 0:
            raise BadParameter(f"the values of `{column}` cannot be looked up", "name them: values := ['a', 'b']")
        text = f"{identifier(column)}::varchar"
        frequent = f"select {text} from {relation} where {text} is not null group by all order by count(*) desc, 1"
        with closing(self._session.lookup_cursor(name)) as cursor:
            rows = cursor.execute(f"{frequent} limit {step.options['n_values']}").fetchall()
        values = sorted(str(row[0]) for row in rows)
        return msgspec.structs.replace(step, options={**step.options, "values": values})


def _plain(value: Any) -> Any:
    """A decimal literal of SQL as a float."""
    return float(value) if type(value).__name__ == "Decimal" else value
