"""The functions of the catalogue's macros, as DuckDB sees them."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from pynomaly import access, arrays, options
from pynomaly.algorithm import Floats
from pynomaly.cache import Fitted
from pynomaly.catalog import migrations
from pynomaly.catalog.pipelines import PipelineFunctions
from pynomaly.errors import (
    BadParameter,
    ModelNotCommitted,
    SourceUnreadable,
    UnknownModel,
    UnknownSource,
    did_you_mean,
)
from pynomaly.features import timed
from pynomaly.quoting import literal
from pynomaly.reasons import reasons
from pynomaly.schema import FITTED, SCORED, TRAINED
from pynomaly.source import roles
from pynomaly.workers import Work, aside, never, working

if TYPE_CHECKING:
    from pynomaly.functions import Session
    from pynomaly.model import Model

_VERSIONS = "select stored.version, stored.digest, {has_pipeline} from pynomaly.models as stored where stored.name = ?"
_CHAMPION = """
select version from (
    select changes.version, arg_max(changes.stage, changes.number) as stage
    from pynomaly.model_stages as changes where changes.name = ? group by all
) where stage = 'champion'
"""
_NAMES = "select distinct stored.name from {models} as stored where stored.run_id is null"
_STATE = "select stored.state from pynomaly.models as stored where stored.name = ? and stored.version = ?"
PIPELINE = "pipeline"  # the column of a model's pipeline
STAGES = ("draft", "staging", "champion", "retired")


class Committed(NamedTuple):
    """A committed model."""

    version: int
    digest: str
    has_pipeline: bool


class Planned(NamedTuple):
    """What a query of a model is planned with."""

    features: list[str]
    pipeline: str | None  # as JSON


class CatalogFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session", pipelines: PipelineFunctions) -> None:
        self._session = session
        self.pipelines = pipelines
        self._is_there = False
        self._has_pipelines = False
        self._known: set[str] = set()  # tables that were there; one that somebody drops is DuckDB's error

    @access.by_user
    def catalog(self, *args: pa.Array) -> pa.Array:
        """(table) to a SELECT of that table of the catalogue, without rows where there is no catalogue.

        (table, value) is for those of whom one model or run is read, and chooses it for a user who does not see all.
        """
        table, *chosen = arrays.constants(args)
        if self._session.is_blind():
            return arrays.texts([migrations.empty_select(table)] * len(args[0]))
        if not (known := table in self._known):
            with closing(self._session.lookup_cursor("")) as cursor:
                known = migrations.check_table(cursor, table)
        self._known |= {table} if known else set()
        if table == "models" and known:
            with closing(self._session.lookup_cursor("")) as cursor:
                if not self._has_pipeline_column(cursor):
                    return arrays.texts([f"select *, null::json as {PIPELINE} from pynomaly.models"] * len(args[0]))
        select = f"from {access.visible(table, True, *chosen)}" if known else migrations.empty_select(table)
        return arrays.texts([select] * len(args[0]))

    def who(self, *args: pa.Array) -> pa.Array:
        """(user) to who is at work."""
        from pynomaly.catalog.models import who

        return arrays.texts([who(arrays.constants(args)[0])] * len(args[0]))

    def train(self, *args: pa.Array) -> pa.Array:
        """(rows, labels, n_rows, options, cursor, threads) to what training finds."""
        from pynomaly.catalog import models

        rows, labels = (arrays.contiguous(column)[0].values for column in args[:2])
        n_rows, asked, cursor, threads = arrays.constants(args[2:])
        with working(threads, self._session.stops.get(cursor, never())):
            found = aside(lambda: models.train(rows, labels, n_rows, options.decode(asked)))
        return pa.array([msgspec.structs.asdict(found)], TRAINED)

    def model_name(self, *args: pa.Array) -> pa.Array:
        """(name) to itself; BadParameter for what cannot be the name of a model."""
        (name,) = arrays.constants(args)
        if not isinstance(name, str) or not name.strip():
            raise BadParameter(f"the name of the model is {name!r}", "give a name to find it by")
        return args[0]

    def model_version(self, *args: pa.Array) -> pa.Array:
        """(model, version, names, versions, champion) to the version that is meant."""
        model, version, names, versions, champion = arrays.constants(args)
        _check_name(model)
        chosen = _chosen(model, version, names or [], versions or [], champion)
        return pa.array([chosen] * len(args[0]), pa.int32())

    def model_stage(self, *args: pa.Array) -> pa.Array:
        """(stage) to itself; BadParameter for what is no stage."""
        (stage,) = arrays.constants(args)
        if stage not in STAGES:
            raise BadParameter(f"the stage is {stage!r}", f"give one of {', '.join(f'`{name}`' for name in STAGES)}")
        return args[0]

    def former_champion(self, *args: pa.Array) -> pa.Array:
        """(model, versions) to the champion before the last one, of the versions in the order of their promotions."""
        model, versions = arrays.constants(args)
        _check_name(model)
        former = [version for version in versions or () if version != versions[-1]]
        if not former:
            raise UnknownModel(f"`{model}` has no champion before the present one", "promote a version by its number")
        return pa.array([former[-1]] * len(args[0]), pa.int32())

    def load_model(self, *args: pa.Array) -> pa.Array:
        """(state, digest, explain, run, cursor, threads, pipeline, planned) of a model to its handle and threshold.

        `planned` is the pipeline that the query applies, which must be the model's own.
        """
        state, digest, explain, run, cursor, threads, pipeline, planned = (column[0] for column in args)
        if pipeline.as_py() != planned.as_py():
            raise ModelNotCommitted("the model was trained in this transaction", "commit it, then score")
        cache, work = self._session.cache, Work(threads.as_py(), self._session.stops.get(cursor.as_py(), never()))
        handle = self._load(digest.as_py(), state.as_py, explain.as_py(), work)
        entry = cache.get(handle)
        if run.as_py() in self._session.runs:  # a run has a count of its own
            handle = cache.put(entry.model, work)
            entry = cache.get(handle)
            self._session.runs[run.as_py()].fitted.append(Fitted(entry, 0, []))
        return pa.array([{"model": handle, "threshold": entry.model.threshold}] * len(args[0]), FITTED)

    @access.by_user
    def model_file(self, *args: pa.Array) -> pa.Array:
        """(file) to a SELECT of the model in it; SourceUnreadable for a file that holds none."""
        (file,) = arrays.constants(args)
        if not access.is_vouched():
            access.refuse_restricted("files cannot be named here")
        if not isinstance(file, str) or not Path(file).is_file():
            raise UnknownSource(f"file {file!r} does not exist", "give a file that was copied from export_model")
        try:
            with closing(self._session.lookup_cursor("")) as cursor:
                there = {row[0] for row in cursor.execute(f"describe from read_parquet({literal(file)})").fetchall()}
                kept = [name for name in migrations.columns("models") if name != PIPELINE or name in there]
                missing = "" if PIPELINE in kept else f", null::json as {PIPELINE}"  # a file of an older release
                select = f"select {', '.join(kept)}{missing} from read_parquet({literal(file)})"
                cursor.execute(f"describe {select}")
        except duckdb.Error:
            raise SourceUnreadable(
                f"`{file}` holds no model", "give a file that was copied from export_model"
            ) from None
        return arrays.texts([select] * len(args[0]))

    def checked_model(self, *args: pa.Array) -> pa.Array:
        """(state, digest) of models to the digest; refused where a model cannot be read."""
        from pynomaly.catalog.models import restored

        states, digests = (column.to_pylist() for column in args)
        for state, digest in zip(states, digests, strict=True):
            restored(state, digest, 0)
        return arrays.texts(digests)

    def detector_sql(self, *args: pa.Array) -> pa.Array:
        """(state, digest, name) of a model to the statement that makes it a macro of plain SQL."""
        from pynomaly.catalog.models import restored
        from pynomaly.export_sql import to_sql

        rows = zip(*(column.to_pylist() for column in args), strict=True)
        return arrays.texts([to_sql(restored(state, digest, 0), name) for state, digest, name in rows])

    @access.by_user
    def row_score(self, *args: pa.Array) -> pa.Array:
        """(model, version, row, cursor, threads) to the score by a committed model, NULL for no opinion.

        A row by itself is scored faster so than by a query of the catalogue within its own.
        """
        model, version, cursor, threads = arrays.constants((*args[:2], *args[3:]))
        scores, _, _ = self._scored_rows(args[2], model, version, 0, cursor, threads)
        return arrays.floats(scores, np.isnan(scores))

    @access.by_user
    def scored_row(self, *args: pa.Array) -> pa.Array:
        """(model, version, row, explain, cursor, threads) to score, flag and reasons by a committed model."""
        model, version, explain, cursor, threads = arrays.constants((*args[:2], *args[3:]))
        _check_explain(explain)
        scores, rows, found = self._scored_rows(args[2], model, version, explain, cursor, threads)
        unknown = np.isnan(scores)
        columns = [arrays.floats(scores, unknown), arrays.flags(found.flags(scores), unknown)]
        return pa.StructArray.from_arrays([*columns, reasons(found, rows, scores)], fields=list(SCORED))

    def _scored_rows(
        self, column: pa.Array, model: str, version: int | None, explain: int, cursor: str, threads: int
    ) -> tuple[Floats, pa.StructArray, "Model"]:
        """The scores of rows, the rows as the model sees them, and the model."""
        rows = arrays.contiguous(column)
        _check_name(model)
        if not pa.types.is_struct(rows.type):
            raise BadParameter(f"the row is of type {rows.type}", "give a struct such as {'amount': 12.5}")
        work = Work(threads, self._session.stops.get(cursor, never()))
        with closing(self._session.lookup_cursor("")) as lookup:
            found = self.committed(lookup, model, version)
            handle = self._load(
                found.digest, lambda: lookup.execute(_STATE, [model, found.version]).fetchall()[0][0], explain, work
            )
            pipeline = self._plan(lookup, model, found).pipeline if found.has_pipeline else None
        if pipeline is not None:
            rows = self.pipelines.of_rows(rows, pipeline)
        scoring = self._session.cache.get(handle).model
        rows = timed(scoring.encoder.columns, rows)
        scores, _ = scoring.score(rows)
        return scores, rows, scoring

    def committed(self, lookup: duckdb.DuckDBPyConnection, model: str, version: int | None) -> Committed:
        """The committed model that is meant."""
        _check_name(model)
        known = []
        if self.has_catalog(lookup) and (access.user() is None or access.is_visible(lookup, "model", model)):
            has_pipeline = f"stored.{PIPELINE} is not null" if self._has_pipeline_column(lookup) else "false"
            known = lookup.execute(_VERSIONS.format(has_pipeline=has_pipeline), [model]).fetchall()
        versions = [row[0] for row in known]
        promoted = lookup.execute(_CHAMPION, [model]).fetchall() if version is None and len(versions) > 1 else []
        champion = promoted[0][0] if promoted else None
        others = _NAMES.format(models=access.visible("models"))
        names = lookup.execute(others).fetchall() if not known and self._is_there else []
        chosen = _chosen(model, version, [row[0] for row in names], versions, champion)
        return Committed(*known[versions.index(chosen)])

    def has_catalog(self, lookup: duckdb.DuckDBPyConnection) -> bool:
        """Whether the database has the catalogue's tables; once seen they stay."""
        self._is_there = self._is_there or bool(migrations.applied(lookup))
        return self._is_there

    def _load(self, digest: str, state: Callable[[], bytes], explain: int, work: Work) -> int:
        """The handle of a stored model; its state is read only where the model is not at hand."""

        def load() -> "Model":
            from pynomaly.catalog.models import restored

            return restored(state(), digest, explain)

        return self._session.cache.keep((digest, explain, work.threads, id(work.stop)), load, work)

    @access.by_user
    def model_pipeline(self, *args: pa.Array) -> pa.Array:
        """(model, version) to the pipeline of the committed model that is meant; NULL for none."""
        found = self.planned(*arrays.constants(args))
        return arrays.texts([found.pipeline if found else None] * len(args[0]))

    @access.by_user
    def scored_source(self, *args: pa.Array) -> pa.Array:
        """(source, model, version) to the SELECT of a source with the columns that the model needs."""
        name, model, version = arrays.constants(args)
        _check_source(name)
        found = self.planned(model, version)
        if found is not None and found.pipeline is not None:
            return arrays.texts([self.pipelines.scored(name, found.features, found.pipeline)] * len(args[0]))
        features = found.features if found is not None else None
        return arrays.texts([self._session.select(name, roles(features, None, None, None, None))] * len(args[0]))

    def planned(self, model: str, version: int | None) -> Planned | None:
        """What the committed model needs that is meant, as far as the lookup can tell."""
        if version is None:  # which one that is may change
            return self._planned(model, None)
        return access.once((self, "planned", model, version), lambda: self._planned(model, version))

    def _planned(self, model: str, version: int | None) -> Planned | None:
        with closing(self._session.lookup_cursor("")) as cursor:
            try:
                found = self.committed(cursor, model, version)
            except UnknownModel:
                return None
            # without a version another model may be meant, which is not committed yet
            is_certain = version is not None or found.has_pipeline
            return self._plan(cursor, model, found) if is_certain else None

    def _plan(self, cursor: duckdb.DuckDBPyConnection, model: str, found: Committed) -> Planned:
        """What a committed model needs."""
        pipeline = PIPELINE if found.has_pipeline else "null"
        select = f"select features, {pipeline} from pynomaly.models where name = ? and version = ?"
        return Planned(*cursor.execute(select, [model, found.version]).fetchall()[0])

    def _has_pipeline_column(self, cursor: duckdb.DuckDBPyConnection) -> bool:
        """Whether models have pipelines: not in an attached catalogue of an older release. Once there they stay."""
        self._has_pipelines = self._has_pipelines or migrations.check_table(cursor, "pipelines")
        return self._has_pipelines


def _chosen(model: str, version: object, names: list[str], versions: list[int], champion: int | None) -> int:
    """The version that is meant: the champion or the newest where none is named."""
    if not versions:
        raise UnknownModel(f"there is no model `{model}`", did_you_mean(model, names) or "train it first")
    if not isinstance(version, int | None):
        raise BadParameter(f"the version is {version!r}", f"give a number; it has {_listed(versions)}")
    chosen = version if version is not None else champion or max(versions)
    if chosen not in versions:
        raise UnknownModel(f"`{model}` has no version {chosen}", f"it has {_listed(versions)}")
    return chosen


def _check_source(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise BadParameter(f"the source is {name!r}", "give the name of a table, view, frame or file")


def _check_explain(explain: object) -> None:
    if not isinstance(explain, int) or explain < 0:
        raise BadParameter(f"explain is {explain!r}", "give the number of reasons that each row shall have, from 0")


def _check_name(model: object) -> None:
    if not isinstance(model, str) or not model:
        raise BadParameter(f"the model is {model!r}", "give the name of a trained model")


def _listed(versions: Sequence[int]) -> str:
    few = ", ".join(map(str, versions[-5:]))
    return f"version {few}" if len(versions) == 1 else f"versions {'..., ' if len(versions) > 5 else ''}{few}"
