"""The functions of the feature macros and pipelines, as DuckDB sees them."""

import re
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from pynomaly import access, arrays, pipelines, source, suggestions
from pynomaly.catalog.migrations import check_table
from pynomaly.errors import BadParameter, NeedsHistory, UnknownPipeline, did_you_mean
from pynomaly.feature_macros import COLUMN, MACROS
from pynomaly.pipelines import KEPT, PIPED, Pipeline, Placed
from pynomaly.quoting import identifier, literal
from pynomaly.schema import FEATURE, SUGGESTION, sql_type
from pynomaly.source import Roles
from pynomaly.steps import Step, parse, steps_of

if TYPE_CHECKING:
    from pynomaly.functions import Session

NUMBER = "_pynomaly_number"  # of a row among those that are scored together
_MEANT = re.compile(r"(?P<name>.+?)(?:@(?P<version>\d+))?")
_PIPELINES = "select version, steps from {pipelines} as stored where stored.name = ? order by version"
_NAMES = "select distinct stored.name from {pipelines} as stored"


class Piped(NamedTuple):
    """A pipeline over a source: how the source stands in FROM, its columns where they are seen, and the steps."""

    relation: str
    columns: dict[str, str] | None
    placed: list[Placed]

    def all_columns(self) -> dict[str, str] | None:
        """The columns of the source and those of the steps."""
        added = {name: "DOUBLE" for item in self.placed for name, sql in item.piece.outputs.items() if sql}
        return None if self.columns is None else {**self.columns, **added}

    def roles(self, chosen: Roles) -> Roles:
        """The roles of a call: unless it names features, the columns of the steps are."""
        if chosen.features is not None:
            return chosen
        made = (name for name in pipelines.columns_of(self.placed) if name.lower() not in chosen.aside())
        return msgspec.structs.replace(chosen, features=tuple(made))


class PipelineFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def listed(self) -> tuple[tuple[Callable[..., pa.Array], str, bool], ...]:
        """Each function with what it returns, and whether it has side effects."""
        return (
            (self.feature_macros, f"{sql_type(FEATURE)}[]", False),
            (self.featured, "varchar", False),
            (self.piped, "varchar", False),
            (self.kept_pipeline, "varchar", False),
            (self.pinned_pipeline, "varchar", False),
            (self.pipeline_name, "varchar", False),
            (self.checked_steps, "varchar[]", False),
            (self.profiled, "varchar", False),
            (self.suggested, f"{sql_type(SUGGESTION)}[]", False),
            (self.rank_normal, "double", False),
            (self.word_shares, "double[]", False),
        )

    def feature_macros(self, *args: pa.Array) -> pa.Array:
        """(NULL) to every feature macro."""
        return pa.array([[macro.told() for macro in MACROS.values()]] * len(args[0]), pa.list_(FEATURE))

    @access.by_user
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
        from pynomaly.kernels.ranks import normal_ranks  # brings numba, which `import pynomaly` must not

        ranks = normal_ranks(arrays.doubles(values), np.array(grid))
        return arrays.floats(ranks, np.isnan(ranks))

    def word_shares(self, *args: pa.Array) -> pa.Array:
        """(text, buckets) to the share of its words in each bucket."""
        from pynomaly.kernels.words import fill_shares

        texts, buckets = arrays.contiguous(args[0]), int(args[1][0].as_py())
        shares, nulls = np.zeros((len(texts), buckets)), arrays.null_flags(texts)
        _, starts, data = texts.buffers()
        starts, data = np.frombuffer(starts or b"", np.int32), np.frombuffer(data or b"", np.uint8)
        fill_shares(data, starts[texts.offset : texts.offset + len(texts) + 1], shares)
        offsets = arrays.integers(np.arange(0, shares.size + 1, buckets, dtype=np.int32), np.append(nulls, False))
        return pa.ListArray.from_arrays(offsets, arrays.floats(shares.ravel()))

    @access.by_user
    def piped(self, *args: pa.Array) -> pa.Array:
        """(source, pipeline, is_kept) to the SELECT of the source with the pipeline's columns, PIPED in the query.

        Its constants come from KEPT where told. Without a pipeline it is a SELECT that no part of the query reads.
        """
        name, pipeline, is_kept = arrays.constants(args)
        if pipeline is None:
            return arrays.texts(["select null as nothing where false"] * len(args[0]))
        found = self._over(name, parse(self.defined(pipeline).steps))
        return arrays.texts([pipelines.select(found.relation, found.placed, KEPT if is_kept else None)] * len(args[0]))

    @access.by_user
    def kept_pipeline(self, *args: pa.Array) -> pa.Array:
        """(source, pipeline) to the SELECT of the pipeline fitted to the source, as a model keeps it; NULL for none."""
        name, pipeline = arrays.constants(args)
        if pipeline is None:
            return arrays.texts(["select null::json as pipeline"] * len(args[0]))
        meant = self.defined(pipeline)
        found = self._over(name, parse(meant.steps))
        return arrays.texts([pipelines.select_kept(found.relation, found.placed, meant)] * len(args[0]))

    def pipeline_name(self, *args: pa.Array) -> pa.Array:
        """(name) to itself; BadParameter for what cannot be the name of a pipeline."""
        (name,) = arrays.constants(args)
        if not isinstance(name, str) or not name.strip() or "@" in name:
            raise BadParameter(f"the name of the pipeline is {name!r}", "give a name to find it by, without `@`")
        return args[0]

    def checked_steps(self, *args: pa.Array) -> pa.Array:
        """(steps) to each step on its own, as it is written."""
        steps = [str(step) for step in parse(arrays.constants(args)[0])]
        return pa.array([steps] * len(args[0]), pa.list_(pa.string()))

    def source(self, name: str, chosen: Roles, pipeline: str) -> str:
        """The SELECT of a source with the columns that the macros need, from PIPED; features are the pipeline's."""
        found = self._over(name, parse(self.defined(pipeline).steps))
        return source.select_relation(PIPED, found.all_columns(), found.roles(chosen), name.startswith(source.SNAPSHOT))

    def scored(self, name: str, features: list[str], kept: str) -> str:
        """The same by the pipeline that a model keeps, with the constants of its training."""
        found = self._over(name, _steps_kept(kept))
        relation = f"({pipelines.select(found.relation, found.placed, _as_relation(kept))})"
        chosen = source.roles(features or None, None, None, None, None)  # a model of constants needs none
        return source.select_relation(
            relation, found.all_columns(), found.roles(chosen), name.startswith(source.SNAPSHOT)
        )

    def of_relation(self, relation: str, name: str, kept: str) -> str:
        """A relation that has the columns of a source, as it stands in FROM, with those of a model's pipeline."""
        return f"({pipelines.select(relation, self._over(name, _steps_kept(kept)).placed, _as_relation(kept))})"

    def of_rows(self, rows: pa.StructArray, kept: str) -> pa.StructArray:
        """Rows by themselves with the columns of a model's pipeline; NeedsHistory where a step reads others."""
        steps = _steps_kept(kept)
        for step in steps:
            if step.macro != COLUMN and MACROS[step.macro].class_ == "history":
                raise NeedsHistory(f"`{step}` reads earlier rows", "score a source that has them with score_anomalies")
        table = pa.table(rows.flatten(), names=[field.name for field in rows.type])
        numbered = table.append_column(NUMBER, pa.array(range(len(table))))
        with self._session.macro_cursor() as cursor:
            cursor.register("_pynomaly_given", numbered)
            try:
                relation = "_pynomaly_given"
                columns = {str(row[0]): str(row[1]) for row in cursor.execute(f"describe {relation}").fetchall()}
                placed = pipelines.place(steps, columns)
                select = pipelines.select(relation, placed, _as_relation(kept))
                found = cursor.sql(f"from ({select}) order by {NUMBER}").to_arrow_table().combine_chunks()
            finally:
                cursor.unregister("_pynomaly_given")
        return pa.StructArray.from_arrays(
            [column.combine_chunks() for column in found.columns], names=found.column_names
        )

    def defined(self, pipeline: object) -> Pipeline:
        """The pipeline of this name: its newest version, or `name@version`; UnknownPipeline."""
        meant = _MEANT.fullmatch(pipeline) if isinstance(pipeline, str) else None
        if meant is None:
            raise BadParameter(f"the pipeline is {pipeline!r}", "give the name of a pipeline, or name@version")
        with closing(self._session.lookup_cursor("")) as cursor:
            there, seen = check_table(cursor, "pipelines"), access.visible("pipelines")
            select = _PIPELINES.format(pipelines=seen)
            known = dict(cursor.execute(select, [meant["name"]]).fetchall()) if there else {}
            names = [row[0] for row in cursor.execute(_NAMES.format(pipelines=seen)).fetchall()] if there else []
        if not known:
            near = did_you_mean(meant["name"], names)
            raise UnknownPipeline(f"there is no pipeline `{meant['name']}`", near or "define it, and commit, first")
        version = int(meant["version"] or max(known))
        if version not in known:
            versions = ", ".join(map(str, known))
            raise UnknownPipeline(f"`{meant['name']}` has no version {version}", f"it has {versions}")
        return Pipeline(meant["name"], version, tuple(known[version]))

    @access.by_user
    def pinned_pipeline(self, *args: pa.Array) -> pa.Array:
        """(pipeline) to its name with its version."""
        found = self.defined(arrays.constants(args)[0])
        return arrays.texts([f"{found.name}@{found.version}"] * len(args[0]))

    @access.by_user
    def profiled(self, *args: pa.Array) -> pa.Array:
        """(source) to a SELECT of one list, what is to be known of each column before features are suggested."""
        name = arrays.constants(args)[0]
        if not isinstance(name, str) or not name:
            raise BadParameter(f"the source is {name!r}", "give the name of a table, view, frame or file")
        self._session.refuse_single_use(name)
        relation, columns = self._session.resolved(name)
        if columns is None:
            raise BadParameter(
                f"the columns of `{name}` cannot be looked up", "make it a table or a view, and commit it"
            )
        return arrays.texts([suggestions.select(relation, columns)] * len(args[0]))

    def suggested(self, *args: pa.Array) -> pa.Array:
        """(profiles, order_by, by) to the steps that suit the columns, each with its reason."""
        profiles, order_by, by = arrays.constants(args)
        found = suggestions.suggest(profiles, order_by, by)
        return pa.array([[{"step": step, "why": why} for step, why in found]] * len(args[0]), pa.list_(SUGGESTION))

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
        if not rows:
            raise BadParameter(f"`{column}` has no value", "name some: values := ['a', 'b'], or leave the step out")
        values = sorted(str(row[0]) for row in rows)
        return msgspec.structs.replace(step, options={**step.options, "values": values})


def _steps_kept(kept: str) -> list[Step]:
    return parse(msgspec.json.decode(kept, type=Pipeline).steps)


def _as_relation(kept: str) -> str:
    return f"(select {literal(kept)}::json as pipeline)"


def _plain(value: Any) -> Any:
    """A decimal literal of SQL as a float."""
    return float(value) if type(value).__name__ == "Decimal" else value
