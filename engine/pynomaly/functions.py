"""The functions that the macros call, as DuckDB sees them: Arrow arrays in, Arrow arrays out."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from pynomaly import access, arrays, options, registry, source
from pynomaly.algorithm import Floats
from pynomaly.cache import Entry, Fitted, ModelCache, Progress
from pynomaly.catalog.pipelines import PipelineFunctions
from pynomaly.cutoffs import DEFAULT_RULE, RULES
from pynomaly.encoding import LeftOut, fit_encoder
from pynomaly.errors import BadParameter, KeyNotUnique, NoUsableColumn, TooFewRows
from pynomaly.garbage import uncollected
from pynomaly.options import MINIMUM_ROWS, Options
from pynomaly.reasons import no_reasons, reasons
from pynomaly.schema import (
    ALGORITHM,
    COMPARED,
    DESCRIPTION,
    FITTED,
    PARAMETER,
    REASON,
    RULE,
)
from pynomaly.versions import Version
from pynomaly.workers import Stop, Work, aside, check, current, never, over_rows, working

MANY_GROUPS = 32  # a few groups are fitted one after another, each on all threads
CHUNK = 2_048  # rows of DuckDB's chunks: where one is full there are others, on its own threads
GROUPS_AT_ONCE = 32  # are encoded together
ROWS_AT_ONCE = 65_536  # so that few large ones are not


class Run(NamedTuple):
    """Rows of a chunk that one model scores; handle 0 stands for none."""

    handle: int
    first: int
    end: int


class Session(Protocol):
    """What the functions need of the engine that registers them."""

    id: str
    cache: ModelCache
    runs: dict[str, Progress]
    stops: dict[str, Stop]
    workspace: Path | None

    def is_blind(self) -> bool:
        """Whether this thread creates macros that must not look at the catalogue."""

    def lookup_cursor(self, name: str) -> duckdb.DuckDBPyConnection:
        """A cursor that looks up the schema of a source while a query is planned."""

    def is_variable(self, cursor: duckdb.DuckDBPyConnection, name: str) -> bool:
        """Whether a name is a Python variable, as far as the cursor can tell."""

    def select(self, name: str, chosen: source.Roles) -> str:
        """The SELECT of a source, with the columns that the macros need."""

    def relation(self, name: str) -> str:
        """A source as it stands in FROM."""

    def resolved(self, name: str) -> tuple[str, dict[str, str] | None]:
        """A source as it stands in FROM, and its columns with their types (None where they cannot be seen)."""

    def in_order(self, name: str) -> tuple[str, str | None]:
        """A source as it stands in FROM, and the column that numbers its rows as they are stored, if it has one."""

    def version(self, name: str) -> Version | None:
        """The version of a dataset that a source names; None where it is something else."""

    def macro_cursor(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A cursor that has the macros of features, for one user at a time."""

    def refuse_single_use(self, name: str) -> None:
        """Raise SourceSingleUse when the name is a reader that can be read once only."""


class Functions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: Session, pipelines: PipelineFunctions) -> None:
        self._session = session
        self._pipelines = pipelines

    def session(self, *args: pa.Array) -> pa.Array:
        """(NULL) to the session that these functions belong to."""
        return arrays.texts([self._session.id] * len(args[0]))

    @access.by_user
    def source(self, *args: pa.Array) -> pa.Array:
        """(source, features, exclude, label, key, by, options, pipeline) to the SELECT of the source."""
        given = arrays.constants(args)
        if len(given) > 7 and given[7] is not None:
            return arrays.texts([self._pipelines.source(given[0], source.roles(*given[1:6]), given[7])] * len(args[0]))
        if not isinstance(given[0], str) or not given[0]:
            raise BadParameter(f"the source is {given[0]!r}", "give the name of a table, view, frame or file")
        return arrays.texts([self._session.select(given[0], source.roles(*given[1:6]))] * len(args[0]))

    def options(self, *args: pa.Array) -> pa.Array:
        """The eleven parameters of a detection to their checked form, as JSON."""
        return arrays.texts([options.encode(options.check(*arrays.constants(args)))] * len(args[0]))

    def checked_rows(self, *args: pa.Array) -> pa.Array:
        """(n_rows, grouped, n_keys) to n_rows; an empty or too small source and a repeated or NULL key are errors."""
        n_rows, grouped, n_keys = arrays.constants(args)
        if n_rows == 0:
            raise TooFewRows("the source has no rows", f"give a source of {MINIMUM_ROWS} rows or more")
        if n_rows < MINIMUM_ROWS and not grouped:
            raise TooFewRows(
                f"the source has {n_rows} row{'s' if n_rows > 1 else ''}",
                f"a detection needs {MINIMUM_ROWS} or more",
            )
        if n_keys is not None and n_keys < n_rows:
            raise KeyNotUnique(
                f"the key has {n_keys:,} different values in {n_rows:,} rows",
                "name columns that identify each row and are never NULL",
            )
        return args[0]

    def fit(self, *args: pa.Array) -> pa.Array:
        """(rows, note, n_rows, n_group, options, run, cursor, threads) of a group to its model and threshold.

        The model is a handle, NULL under 5 rows; the threshold NULL where a rank decides.
        """
        lists, notes, sizes = arrays.contiguous(args[0]), args[1].to_pylist(), args[3].to_pylist()
        asked, (run, cursor, threads) = options.decode(args[4][0].as_py()), arrays.constants(args[5:])
        progress = self._session.runs.get(run, Progress())
        if progress.keep:
            asked = options.with_reasons(asked)
        started = time.perf_counter()
        with working(threads, self._session.stops.get(cursor, never())):
            handles = aside(lambda: self._fit_groups(lists, asked, sizes))
        entries = [self._session.cache.get(handle) if handle else None for handle in handles]
        progress.asked, progress.fit_seconds = asked, time.perf_counter() - started
        progress.fitted.extend(map(Fitted, entries, sizes, map(decode_note, notes)))
        thresholds = [entry.model.threshold if entry else None for entry in entries]
        return pa.StructArray.from_arrays([_integers(handles), _numbers(thresholds)], fields=list(FITTED))

    def _fit_groups(self, lists: pa.ListArray, asked: Options, sizes: list[int]) -> list[int | None]:
        """The handles of the groups' models, fitted side by side where there are many."""
        handles: list[int | None] = [None] * len(sizes)
        starts, work = np.asarray(arrays.view(lists.offsets, np.int32)).tolist(), current()
        blocks = _blocks(starts, sizes)

        def fit(begin: int, finish: int) -> None:
            for first, end in blocks[begin:finish]:
                handles[first:end] = self._fit_block(
                    lists.values, starts[first : end + 1], asked, sizes[first:end], work
                )

        with uncollected():
            if MANY_GROUPS <= len(sizes) < CHUNK:
                over_rows(len(blocks), 1, fit)
            else:
                fit(0, len(blocks))
        return handles

    def _fit_block(
        self, rows: pa.StructArray, starts: list[int], asked: Options, sizes: list[int], work: Work
    ) -> list[int | None]:
        """The handles of neighbouring groups' models; None for a group that has nothing to compare."""
        from pynomaly import model

        handles: list[int | None] = []
        block = rows.slice(starts[0], starts[-1] - starts[0])
        for sample in model.samples(block, [start - starts[0] for start in starts], sizes, asked):
            check()
            try:
                handles.append(self._session.cache.put(model.fit_sample(sample, asked), work))
            except NoUsableColumn:
                if not asked.grouped:
                    raise
                handles.append(None)
        return handles

    def score(self, *args: pa.Array) -> pa.Array:
        """(handle, row) to the score, NULL for no opinion."""
        handles, rows = map(arrays.contiguous, args)
        runs = _runs(handles)
        if len(runs) == 1 and runs[0].handle:
            return self._score_chunk(self._session.cache.get(runs[0].handle), rows)
        scores = np.full(len(rows), np.nan)
        for has_model, neighbours in groupby(runs, lambda run: run.handle != 0):
            if has_model:
                self._score_runs(list(neighbours), rows, scores)
        return arrays.floats(scores, np.isnan(scores))

    def reasons(self, *args: pa.Array) -> pa.Array:
        """(handle, row, score) to the reasons."""
        handles, rows, scores = map(arrays.contiguous, args)
        parts = [pa.nulls(0, pa.list_(REASON))]
        for handle, first, end in _runs(handles):
            here = rows.slice(first, end - first), scores.slice(first, end - first)
            parts.append(_explain(self._session.cache.get(handle), *here) if handle else no_reasons(end - first))
        return pa.concat_arrays(parts)

    def comparison(self, *args: pa.Array) -> pa.Array:
        """The eight parameters of a comparison to their checked form, as JSON."""
        return arrays.texts([options.encode(options.check_comparison(*arrays.constants(args)))] * len(args[0]))

    def compare(self, *args: pa.Array) -> pa.Array:
        """(rows, labels, options, run, cursor, threads) to one record an algorithm."""
        from pynomaly import comparison

        rows, labels = (arrays.contiguous(column)[0].values for column in args[:2])
        asked, run, cursor, threads = arrays.constants(args[2:])
        report, wanted = self._reporter(run), options.decode_comparison(asked)
        with working(threads, self._session.stops.get(cursor, never())):
            found = aside(lambda: comparison.compare(rows, labels, wanted, report))
        return pa.array([[_as_dict(record) for record in found]], pa.list_(COMPARED))

    def _reporter(self, run: str | None) -> Callable[[int, int, str], None]:
        """What a long function calls between its steps: it tells how far it is, and stops when it shall."""

        def report(n_done: int, n_all: int, doing: str) -> None:
            progress = self._session.runs.get(run or "", Progress())
            progress.n_done, progress.n_all, progress.doing = n_done, n_all, doing
            check()

        return report

    def describe(self, *args: pa.Array) -> pa.Array:
        """(rows, note, n_rows, features) to one description a column."""
        rows = arrays.contiguous(args[0])[0].values
        note, n_rows, features = arrays.constants(args[1:])
        encoder = fit_encoder(rows, n_rows, frozenset(source.names(features, "features")))
        used = [(name, True, encoding, None) for name, encoding in encoder.describe()]
        left_out = [(item.column, False, None, item.why) for item in (*encoder.left_out, *decode_note(note))]
        names = [field.name for field in DESCRIPTION]
        return pa.array([[dict(zip(names, row, strict=True)) for row in used + left_out]], pa.list_(DESCRIPTION))

    def algorithms(self, *args: pa.Array) -> pa.Array:  # noqa: ARG002 - a variadic function takes one or more
        """(NULL) to every registered algorithm."""
        return pa.array([[_as_dict(record) for record in registry.records()]], pa.list_(ALGORITHM))

    def threshold_rules(self, *args: pa.Array) -> pa.Array:  # noqa: ARG002 - a variadic function takes one or more
        """(NULL) to every rule that estimates a threshold."""
        rules = [
            {"name": r.name, "is_default": r.name == DEFAULT_RULE, "summary": r.summary, "reference": r.reference}
            for r in RULES.values()
        ]
        return pa.array([rules], pa.list_(RULE))

    def algorithm_parameters(self, *args: pa.Array) -> pa.Array:
        """(name) to the parameters of the algorithm."""
        parameters = registry.parameters(registry.get(str(args[0][0].as_py())))
        return pa.array([[_as_dict(parameter) for parameter in parameters]] * len(args[0]), pa.list_(PARAMETER))

    def _score_chunk(self, entry: Entry, rows: pa.StructArray) -> pa.Array:
        with working(entry.work.threads, entry.work.stop):
            scores, _ = entry.model.score(rows)
        return arrays.floats(scores, np.isnan(scores) if self._count(entry, scores) else None)

    def _score_runs(self, runs: list[Run], rows: pa.StructArray, out: Floats) -> None:
        """Fill the scores of neighbouring runs of rows, each by a model of its own."""
        from pynomaly import model

        entries = [self._session.cache.get(run.handle) for run in runs]
        starts = [run.first for run in runs] + [runs[-1].end]
        with working(entries[0].work.threads, entries[0].work.stop):
            found = model.score_each([entry.model for entry in entries], rows, starts)
            for entry, run, scores in zip(entries, runs, found, strict=True):
                out[run.first : run.end] = scores
                self._count(entry, scores)

    def _count(self, entry: Entry, scores: Floats) -> int:
        """Add scored rows to a model's tally; how many of them have no score."""
        from pynomaly.kernels.chunks import tally  # brings numba, which `import pynomaly` must not

        threshold = np.inf if entry.model.threshold is None else entry.model.threshold
        n_unknown, n_flagged = tally(scores, threshold)
        self._session.cache.count(entry, len(scores), n_flagged, n_unknown)
        return n_unknown


def _explain(entry: Entry, rows: pa.StructArray, scores: pa.Array) -> pa.Array:
    with working(entry.work.threads, entry.work.stop):
        return reasons(entry.model, rows, np.asarray(arrays.doubles(scores)))


def decode_note(note: str) -> list[LeftOut]:
    """The columns that the source left out, from the note that travels with its rows."""
    return msgspec.json.decode(note, type=list[LeftOut])


def _runs(handles: pa.Array) -> list[Run]:
    """The runs of a chunk's rows; rows of a group come together."""
    from pynomaly.kernels.chunks import are_equal

    values = arrays.view(handles, np.int64)
    if handles.null_count:
        values = np.where(arrays.null_flags(handles), 0, values)
    inner = [] if are_equal(values) else (np.flatnonzero(values[1:] != values[:-1]) + 1).tolist()
    edges = [0, *inner, len(values)] if len(values) else []
    return [Run(int(values[first]), first, end) for first, end in pairwise(edges)]


def _blocks(starts: list[int], sizes: list[int]) -> list[tuple[int, int]]:
    """The first and the end of neighbouring groups that are large enough for a model and are encoded together."""
    blocks: list[tuple[int, int]] = []
    for place, size in enumerate(sizes):
        first, end = blocks[-1] if blocks else (0, -1)
        if size < MINIMUM_ROWS:
            continue
        if end == place < first + GROUPS_AT_ONCE and starts[place + 1] - starts[first] <= ROWS_AT_ONCE:
            blocks[-1] = first, place + 1
        else:
            blocks.append((place, place + 1))
    return blocks


def _integers(values: Sequence[int | None]) -> pa.Array:
    return arrays.integers(np.array([value or 0 for value in values], np.int64), np.array([v is None for v in values]))


def _numbers(values: Sequence[float | None]) -> pa.Array:
    nulls = np.array([value is None for value in values], np.bool_)
    return arrays.floats(np.array([value or 0.0 for value in values]), nulls)


def _as_dict(record: msgspec.Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(record)
