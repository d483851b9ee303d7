"""The adapter that makes a class of PyOD or scikit-learn an algorithm.

A fit that may be long runs in another process, which a stop ends at once (`pynomaly.wrapped.worker`); a short one
runs in this process, where a stop is seen when it ends. Which it is follows from the table alone: a row's
`quick_cells` says how large a table its class fits within about half a second with its defaults, and a table
counts as larger by as much as the parameters lie from them (`_effort`).
"""

from functools import partial
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import workers
from pynomaly.algorithm import Algorithm, Flags, Floats, Params, State
from pynomaly.errors import FitFailed, InternalFailure, OutOfMemory
from pynomaly.rows import hash_rows
from pynomaly.wrapped import worker
from pynomaly.wrapped.library import running
from pynomaly.wrapped.row import Row
from pynomaly.wrapped.training import finite, trained

BLOCK = 4_096  # rows that are looked up or scored at a time
PAIRS = 2**20  # of a new and a fitted row, compared between two looks at the flag that stops
LEAST_COLUMNS = 10  # a narrower table counts as one of these
KILLED = -9  # the exit code of a process that the system ends, which it does where memory runs out
A_WORD = 100.0  # by how much another word than the default may lengthen a fit


class WrappedState(State, frozen=True):
    """A fitted detector of a library, with the training score of each distinct row under the hash of its values."""

    medians: Floats  # float64[d], what a gap counts as
    varying: Flags  # bool[d], the columns that the detector sees; several detectors divide by the variance
    center: Floats | None  # float64[d], what is subtracted from the rows first
    hashes: NDArray[np.uint64]  # uint64[m], sorted
    scores: Floats  # float64[m]
    detector: object  # None where there is nothing to compare, or where it scores no other rows


def record(row: Row) -> Algorithm:
    """The algorithm that a row of the tables describes; imports no library."""
    params: Any = msgspec.defstruct(
        f"{row.name}_params", row.parameters, bases=(Params,), frozen=True, forbid_unknown_fields=True
    )
    return Algorithm(
        name=row.name,
        summary=row.summary,
        kind="table",
        family=row.family,
        reference=row.reference,
        complexity=row.complexity,
        params=params,
        fit=partial(_fit, row),
        score=partial(_score, row),
        deterministic=row.deterministic,
        handles_missing=False,
        scores_new_rows=row.scores_new_rows,
        uses_own=True,
        max_rows=row.max_rows,
        limit_reason=row.limit_reason,
        requires=row.packages,
        neighbors=row.neighbors,
        caveat=row.caveat,
    )


def _fit(row: Row, X: Floats, params: Params, seed: int) -> WrappedState:
    """Fit to the rows that have any value. Equal rows share one training score, the mean of theirs.

    The libraries may score equal rows differently, by which of several equally near neighbours they meet
    first. A row is looked up by value, so its copies must agree; the mean prefers none of them.
    """
    medians = _medians(X)
    rows = _complete(X, medians)
    varying = np.asarray((rows != rows[:1]).any(axis=0))
    center = medians if row.centred is not None and row.centred(params) else None
    hashes = _distinct(hash_rows(rows, 0))
    if len(hashes) < row.least_distinct:
        nothing = np.full(len(hashes), 0.0 if varying.any() else np.nan)
        return WrappedState(medians, varying, center, hashes, nothing, None)
    if row.fits_distinct:
        rows = rows[np.unique(hash_rows(rows, 0), return_index=True)[1]]
    detector, scores = _trained(row, _seen(rows, varying, center), params, seed)
    return WrappedState(medians, varying, center, hashes, _shared(hashes, rows, scores), detector)


def _distinct(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The values among these, sorted; the array given is sorted too, and no other is made where all differ."""
    hashes.sort()
    is_new = np.concatenate(([True], hashes[1:] != hashes[:-1]))
    return hashes if is_new.all() else hashes[is_new]


def _shared(hashes: NDArray[np.uint64], rows: Floats, scores: Floats) -> Floats:
    """The mean score of the rows of each hash."""
    sums = _summed(hashes, rows, scores)
    if len(hashes) < len(rows):
        sums /= _summed(hashes, rows, np.ones(len(rows)))
    return sums


def _summed(hashes: NDArray[np.uint64], rows: Floats, values: Floats) -> Floats:
    """The sum of the values of the rows of each hash."""
    sums = np.zeros(len(hashes))
    for first in range(0, len(rows), BLOCK):
        block = slice(first, first + BLOCK)
        np.add.at(sums, np.searchsorted(hashes, hash_rows(rows[block], 0)), values[block])
    return sums


def _seen(rows: Floats, varying: Flags, center: Floats | None) -> Floats:
    """What the detector sees of complete rows: the columns that vary, centred where it needs that."""
    seen = rows if varying.all() else rows[:, varying]
    return seen if center is None else seen - center[varying]


def _trained(row: Row, rows: Floats, params: Params, seed: int) -> tuple[object, Floats]:
    """A detector fitted to complete rows, and their training scores; in another process where that may be long."""
    _check_columns(row, rows)
    workers.check()
    if len(rows) * max(rows.shape[1], LEAST_COLUMNS) * _effort(params) <= row.quick_cells:
        return trained(row, params, rows, seed)
    plain = msgspec.structs.replace(row, parameters=()), msgspec.structs.asdict(params)  # what can be pickled
    try:
        found: tuple[object, Floats] = worker.call(trained, *plain, rows, seed)
    except worker.Died as error:
        kind = OutOfMemory if error.code == KILLED else InternalFailure
        raise kind(
            f"the process that fitted `{row.name}` to {len(rows):,} rows and {rows.shape[1]:,} columns {error}",
            "give fewer rows, or use another algorithm",
        ) from error
    return found


def _check_columns(row: Row, rows: Floats) -> None:
    """Raise FitFailed where there are more columns than the detector takes."""
    because, mend = None, "name fewer columns in `features`, or use another algorithm"
    if row.max_columns is not None and rows.shape[1] > row.max_columns:
        because = f"takes {row.max_columns} columns at most, not {rows.shape[1]}: {row.limit_reason}"
    elif row.exceeds_columns and len(rows) <= rows.shape[1]:
        because = f"needs more rows than columns, and there are {len(rows)} rows and {rows.shape[1]} columns"
    if because is not None:
        raise FitFailed(f"`{row.name}` {because}", mend)


def _effort(params: Params) -> float:
    """How many times longer than with the defaults a fit may take, at most.

    A number counts by how many times larger or smaller than its default it is, whatever it means, and a word
    or a number in place of one as a hundredfold.
    """
    values, defaults = (msgspec.structs.asdict(given) for given in (params, type(params)()))
    return prod(_ratio(value, defaults[name]) for name, value in values.items() if value != defaults[name])


def _ratio(value: Any, default: Any) -> float:
    """How many times one number is the other, 1 or more."""
    if not (isinstance(value, int | float) and isinstance(default, int | float) and value * default > 0.0):
        return A_WORD
    return max(value / default, default / value)


def _score(row: Row, state: WrappedState, X: Floats, own: Flags) -> Floats:
    """Training scores of rows known by value, the detector's own score of others where it can give one."""
    out = np.full(len(X), np.nan)

    def fill(first: int, end: int) -> None:
        rows, is_gap = X[first:end], np.isnan(X[first:end])
        if not is_gap.any():
            out[first:end] = _scores(row, state, rows, own[first:end])
            return
        present = ~is_gap.all(axis=1)
        filled = np.where(is_gap, state.medians, rows)[present]
        out[first:end][present] = _scores(row, state, filled, own[first:end][present])

    workers.over_rows(len(X), BLOCK, fill)
    return out


def _scores(row: Row, state: WrappedState, rows: Floats, own: Flags) -> Floats:
    """The scores of complete rows."""
    hashes = hash_rows(rows, 0)
    places = np.minimum(np.searchsorted(state.hashes, hashes), len(state.hashes) - 1)
    known = (state.hashes[places] == hashes) & (own | (not row.scores_new_rows))
    scores = np.where(known, state.scores[places], np.nan)
    if state.detector is not None and not known.all():
        scores[~known] = _new_scores(row, state, rows[~known])
    return scores


def _medians(X: Floats) -> Floats:
    """The median of each column, 0 for a column of gaps."""
    return np.array([0.0 if np.isnan(column).all() else np.nanmedian(column) for column in X.T])


def _complete(X: Floats, medians: Floats) -> Floats:
    """The rows that have any value, their gaps filled with the medians; X itself where nothing is missing."""
    is_gap = np.isnan(X)
    if not is_gap.any():
        return X
    rows = X[~is_gap.all(axis=1)]
    np.copyto(rows, medians, where=np.isnan(rows))
    return rows


def _new_scores(row: Row, state: WrappedState, rows: Floats) -> Floats:
    """The detector's scores of complete rows, a few at a time where it compares each with all that it was fitted to."""
    seen = _seen(rows, state.varying, state.center)
    scores = np.empty(len(seen))
    with running(row):
        for first in range(0, len(seen), _batch(row, state)):
            workers.check()
            part = seen[first : first + _batch(row, state)]
            scores[first : first + len(part)] = finite(_decided(state.detector, _whole(row, part)))[: len(part)]
    return scores


def _batch(row: Row, state: WrappedState) -> int:
    """How many rows are scored at a time; a detector for few rows (`max_rows`) compares each with all of them."""
    if row.scored_in is not None:
        return row.scored_in
    return BLOCK if row.max_rows is None else max(1, PAIRS // len(state.hashes))


def _whole(row: Row, rows: Floats) -> Floats:
    """The rows, the last one repeated where the detector's rounding follows the size of the batch."""
    if row.scored_in is None:
        return rows
    return np.pad(rows, ((0, -len(rows) % row.scored_in), (0, 0)), mode="edge")


def _decided(detector: Any, X: Floats) -> Any:
    """Larger is more anomalous: so in PyOD, and the opposite in scikit-learn."""
    return detector.decision_function(X) if hasattr(detector, "decision_scores_") else -detector.score_samples(X)
