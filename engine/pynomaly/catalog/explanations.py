"""The functions of the macros that look into saved runs and models, as DuckDB sees them."""

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from pynomaly import access, arrays, options
from pynomaly.cache import Entry
from pynomaly.catalog.functions import CatalogFunctions
from pynomaly.catalog.runs import RunFunctions, sampled
from pynomaly.errors import (
    BadParameter,
    ModelEvicted,
    ModelNotKept,
    SourceChanged,
    UnknownKey,
    UnknownSource,
)
from pynomaly.quoting import identifier, literal, texts
from pynomaly.reasons import every_reason, in_shares, shares
from pynomaly.schema import COST, DIFFERENCE, EXPLAINED, PROJECTED, sql_type
from pynomaly.workers import aside, never, working

if TYPE_CHECKING:
    from pynomaly.functions import Session
    from pynomaly.geometry import Nearness, Projection

HELD = 64  # geometries that running queries may need
MOST_COMPONENTS = 100
MOST_NEAREST = 10_000
EQUAL = 1e-6  # relative difference of two scores that are the same: a library's are only nearly so
LANDED = "_frame_"  # how the engine calls sources that were given by value

_RUN = """
select r.n_rows, r.notes, m.features
from pynomaly.runs as r left join {models} as m on m.name = r.model and m.version = r.model_version
where r.id = ?
"""
_KEY = "select 1 from pynomaly.results where run_id = ? and key = ? limit 1"
_SOURCE = "select m.source from pynomaly.models as m where m.name = ? and m.version = ?"


class SavedRun(NamedTuple):
    """A saved run: its model, and how many rows it scored."""

    id: str
    model: str
    version: int
    n_rows: int
    features: list[str]


class Held:
    """Geometries between the two steps of a query, under short handles; the oldest leave first."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, Any] = OrderedDict()
        self._handles = itertools.count(1)
        self._lock = Lock()

    def put(self, value: "Nearness | Projection") -> int:
        """Keep one and return its handle."""
        with self._lock:
            handle = next(self._handles)
            self._held[handle] = value
            while len(self._held) > HELD:
                self._held.popitem(last=False)
            return handle

    def get(self, handle: int) -> Any:
        """The one under a handle; ModelEvicted when it had to leave."""
        with self._lock:
            if handle not in self._held:
                raise ModelEvicted("a part of this query left the cache before it was done", "run the query again")
            return self._held[handle]


class ExplanationFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session", catalog: CatalogFunctions, runs: RunFunctions) -> None:
        self._session = session
        self._catalog = catalog
        self._runs = runs
        self._held = Held()

    def listed(self) -> tuple[tuple[Callable[..., pa.Array], str, bool], ...]:
        """Each function with the type that it returns, and whether it is volatile."""
        return (
            (self.run_select, "varchar", False),
            (self.run_model, "varchar", False),
            (self.run_key, "varchar", False),
            (self.explanation, f"{sql_type(EXPLAINED)}[]", False),
            (self.nearness, "bigint", True),
            (self.nearest_number, "bigint", False),
            (self.distance, "double", False),
            (self.differences, f"{sql_type(DIFFERENCE)}[]", False),
            (self.projection, sql_type(PROJECTED), True),
            (self.components, "double[]", False),
            (self.flagged, "varchar", False),
            (self.shares, "double[]", False),
            (self.model_columns, "varchar[]", False),
            (self.clock, "double", True),
            (self.estimate, sql_type(COST), True),
        )

    @access.by_user
    def run_select(self, *args: pa.Array) -> pa.Array:
        """(run, keys, n_rows) to a SELECT of its rows as its model sees them, with their keys.

        Of these keys alone, or of about so many rows, where they are not NULL.
        """
        named, keys, n_rows = arrays.constants(args)
        run = self._run(named)
        fields = ", ".join(f"{identifier(name)} := {identifier(name)}" for name in run.features)
        row = f"struct_pack({fields or '_pynomaly_nothing := null::boolean'})"
        planned = self._catalog.planned(run.model, run.version)
        chosen = "null" if keys is None else texts(str(key) for key in keys if key is not None)
        relation, among = f"_run_rows_of({literal(run.id)}, {chosen})", ""
        if keys is None:
            relation = f"_run_rows_sampled({literal(run.id)}, {literal(n_rows)})"
        if planned is not None and planned.pipeline is not None:  # its features of a row may depend on others
            read = self._runs.saved(run.id).read
            relation = self._catalog.pipelines.of_relation(f"_run_rows({literal(run.id)})", read, planned.pipeline)
            among = sampled(["_pynomaly_key"], run.n_rows, n_rows)
            among = among if keys is None else f" where list_contains({chosen}, _pynomaly_key)"
        select = f"select _pynomaly_key, {row} as _pynomaly_row from {relation}{among}"
        return arrays.texts([select] * len(args[0]))

    @access.by_user
    def run_model(self, *args: pa.Array) -> pa.Array:
        """(run) to a SELECT of its model, loaded."""
        run = self._run(arrays.constants(args)[0])
        return arrays.texts([f"from _chosen_model({literal(run.model)}, {run.version}, 0)"] * len(args[0]))

    @access.by_user
    def run_key(self, *args: pa.Array) -> pa.Array:
        """(run, key) to the key as text; UnknownKey where no result has it."""
        run, key = arrays.constants(args)
        if key is None:
            raise BadParameter("the key is NULL", "give the value that identifies the row")
        found = self._run(run)
        if not access.once((self, "key", run, key), lambda: self._is_key(found.id, key)):
            raise UnknownKey(
                f"run {found.id} has no row with the key {key!r}", "give a value of `key` in pynomaly.results"
            )
        return arrays.texts([key] * len(args[0]))

    def _is_key(self, run: str, key: str) -> bool:
        with closing(self._session.lookup_cursor("")) as cursor:
            return bool(cursor.execute(_KEY, [run, key]).fetchall())

    def _run(self, run: object) -> SavedRun:
        """A run that can be asked; UnknownRun, RunNotSaved or ModelNotKept for another."""
        return access.once((self, "asked", run), lambda: self._asked(run))

    def _asked(self, run: object) -> SavedRun:
        found, models = self._runs.saved(run), access.visible("models")
        with closing(self._session.lookup_cursor("")) as cursor:
            n_rows, notes, features = cursor.execute(_RUN.format(models=models), [found.id]).fetchall()[0]
        if found.model is None or found.model_version is None or features is None:
            why = next((note.partition(": ")[2] for note in notes if note.startswith("the model was not kept")), "")
            raise ModelNotKept(
                f"the model of run {found.id} was not kept{f': {why}' if why else ''}",
                "save a run of one group without a pipeline, with an algorithm whose `scores_new_rows` is true in "
                "algorithms(), or one that a trained model scored",
            )
        return SavedRun(found.id, found.model, found.model_version, n_rows or 0, features)

    def explanation(self, *args: pa.Array) -> pa.Array:
        """(model, row, score, run) to what each column contributes; SourceChanged unless the row has that score."""
        handle, run = args[0][0].as_py(), args[3][0].as_py()
        rows, saved = arrays.contiguous(args[1]), np.asarray(arrays.doubles(arrays.contiguous(args[2])))
        entry = self._session.cache.get(handle)
        _refuse_gone(rows, run)
        with working(entry.work.threads, entry.work.stop):
            _refuse_other(entry, rows, saved, run)
            told = every_reason(entry.model, rows, saved)
        return pa.array([_with_shares(reasons) for reasons in told.to_pylist()], pa.list_(EXPLAINED))

    def nearness(self, *args: pa.Array) -> pa.Array:
        """(model, rows, row, run) to a handle by which the distances from the row are told."""
        from pynomaly import geometry

        entry = self._session.cache.get(args[0][0].as_py())
        row = arrays.contiguous(args[2]).slice(0, 1)
        _refuse_gone(row, args[3][0].as_py())
        if not args[1][0].is_valid:
            return arrays.integers(np.zeros(len(args[0]), np.int64))
        sample = arrays.contiguous(args[1])[0].values
        with working(entry.work.threads, entry.work.stop):
            made = aside(lambda: geometry.nearness(entry.model, sample, row))
        return arrays.integers(np.full(len(args[0]), self._held.put(made), np.int64))

    def nearest_number(self, *args: pa.Array) -> pa.Array:
        """(k) to itself; BadParameter for what is no number of rows."""
        _check_number("k", args[0][0].as_py(), MOST_NEAREST)
        return args[0].cast(pa.int64())

    def distance(self, *args: pa.Array) -> pa.Array:
        """(nearness, row) to the distance."""
        near: Nearness = self._held.get(args[0][0].as_py())
        return arrays.floats(near.distances(arrays.contiguous(args[1])))

    def differences(self, *args: pa.Array) -> pa.Array:
        """(nearness, row) to the columns in which the row differs."""
        near: Nearness = self._held.get(args[0][0].as_py())
        return pa.array(near.differences(arrays.contiguous(args[1])), pa.list_(DIFFERENCE))

    def projection(self, *args: pa.Array) -> pa.Array:
        """(model, rows, n) to a handle of the principal axes, and their shares of the variance."""
        from pynomaly import geometry

        n = _check_number("n", args[2][0].as_py(), MOST_COMPONENTS)
        entry, sample = self._session.cache.get(args[0][0].as_py()), arrays.contiguous(args[1])[0].values
        with working(entry.work.threads, entry.work.stop):
            made = aside(lambda: geometry.projection(entry.model, sample, n))
        found = {"handle": self._held.put(made), "shares": made.shares.tolist()}
        return pa.array([found] * len(args[0]), PROJECTED)

    def components(self, *args: pa.Array) -> pa.Array:
        """(projection, row, run) to the coordinates of the row."""
        projected: Projection = self._held.get(args[0][0].as_py())
        rows = arrays.contiguous(args[1])
        _refuse_gone(rows, args[2][0].as_py())
        return _lists(projected.components(rows))

    @access.by_user
    def flagged(self, *args: pa.Array) -> pa.Array:
        """(model, version, source) to the SELECT of the rows that a model, or a run, has flagged."""
        model, version, source = arrays.constants(args)
        is_run = isinstance(model, str) and self._runs.is_meant(model)
        if not is_run and source is None:
            source = self._source_of(model, version)
        if is_run and source is None:
            select = f"from _flagged_by_run({literal(self._run(model).id)})"
        elif is_run:
            run = self._run(model)
            select = f"from _flagged_by_model({literal(run.model)}, {run.version}, {literal(source)})"
        else:
            select = f"from _flagged_by_model({literal(model)}, {literal(version)}, {literal(source)})"
        return arrays.texts([select] * len(args[0]))

    def _source_of(self, model: str, version: int | None) -> str:
        """What a committed model was trained on."""
        with closing(self._session.lookup_cursor("")) as cursor:
            chosen = self._catalog.committed(cursor, model, version).version
            source = str(cursor.execute(_SOURCE, [model, chosen]).fetchall()[0][0])
        if source.startswith(LANDED):
            raise UnknownSource(
                f"`{model}` was trained on data given by value, which is not kept", "name some rows in `source`"
            )
        return source

    def shares(self, *args: pa.Array) -> pa.Array:
        """(model, row) to each column's share of what drives the row's score; NULL for no row."""
        entry, rows = self._session.cache.get(args[0][0].as_py()), arrays.contiguous(args[1])
        gone = arrays.null_flags(rows)
        with working(entry.work.threads, entry.work.stop):
            found = shares(entry.model, rows, np.zeros(len(rows)))
        return _lists(found, gone)

    def model_columns(self, *args: pa.Array) -> pa.Array:
        """(model) to the names of the columns that it uses."""
        used = [column.name for column in self._session.cache.get(args[0][0].as_py()).model.encoder.columns]
        return pa.array([used] * len(args[0]), pa.list_(pa.string()))

    def clock(self, *args: pa.Array) -> pa.Array:
        """(anything) to the seconds of a clock."""
        return arrays.floats(np.full(len(args[0]), time.perf_counter()))

    def estimate(self, *args: pa.Array) -> pa.Array:
        """(rows, n_rows, options, clock, cursor, threads) to what a detection would cost."""
        from pynomaly import estimate

        rows = arrays.contiguous(args[0])[0].values
        n_rows, asked, begun, cursor, threads = arrays.constants(args[1:])
        scan_seconds = time.perf_counter() - begun
        with working(threads, self._session.stops.get(cursor, never())):
            found = aside(lambda: estimate.estimate(rows, n_rows, options.decode(asked), scan_seconds))
        return pa.array([msgspec.structs.asdict(found)], COST)


def _check_number(name: str, value: object, most: int) -> int:
    if not isinstance(value, int) or not 1 <= value <= most:
        raise BadParameter(f"`{name}` is {value}", f"give a whole number from 1 to {most:,}")
    return value


def _refuse_gone(rows: pa.StructArray, run: str) -> None:
    """Raise SourceChanged where a scored row is no longer there."""
    if rows.null_count:
        raise SourceChanged(
            f"the source of run {run} no longer has all of its rows", "detect again, and save the run with its rows"
        )


def _refuse_other(entry: Entry, rows: pa.StructArray, saved: np.ndarray, run: str) -> None:
    """Raise SourceChanged where a row has another score than the one saved.

    Where a fitted row scores differently than a new one there is nothing to compare with.
    """
    if entry.model.algorithm.uses_own:
        return
    if not np.allclose(entry.model.score(rows)[0], saved, rtol=EQUAL, atol=1e-12, equal_nan=True):
        raise SourceChanged(
            f"the row has other values than run {run} scored", "detect again, and save the run with its rows"
        )


def _with_shares(reasons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    amounts = np.array([[reason["contribution"] for reason in reasons]])
    parts = in_shares(amounts)[0].tolist() if reasons else []
    return [{**reason, "share": part} for reason, part in zip(reasons, parts, strict=True)]


def _lists(values: np.ndarray, nulls: np.ndarray | None = None) -> pa.ListArray:
    """float64[n, k] as DOUBLE[], NULL where told."""
    n, k = values.shape
    offsets = arrays.integers(np.arange(0, (n + 1) * k, k, dtype=np.int32) if k else np.zeros(n + 1, np.int32))
    flat = arrays.floats(np.ascontiguousarray(values).reshape(-1))
    found = pa.ListArray.from_arrays(offsets, flat)
    if nulls is None or not nulls.any():
        return found
    return pa.array([None if gone else row for gone, row in zip(nulls, found.to_pylist(), strict=True)], found.type)
