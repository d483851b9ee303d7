"""The adapter that makes a class of PyOD or scikit-learn an algorithm."""

import importlib
import inspect
from functools import partial
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithm import Algorithm, Flags, Floats, Params, State
from pynomaly.errors import AlgorithmUnavailable, FitFailed
from pynomaly.rows import hash_rows
from pynomaly.wrapped.library import SEED_LIMIT, running
from pynomaly.wrapped.row import Row


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


def load(row: Row) -> Any:
    """The class behind a row; AlgorithmUnavailable when it cannot be imported."""
    module, _, name = row.target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise AlgorithmUnavailable(f"`{row.name}` cannot be imported: {error}", "install what is missing") from error


def arguments(row: Row, params: Params, seed: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """What the constructor is called with, for rows of this shape."""
    made = {name: value() if callable(value) else value for name, value in row.constants.items()}
    given = {**msgspec.structs.asdict(params), **made}
    for name, more in _limits(row).items():
        given[name] = _at_most(given[name], shape[0] + more)
    signature = inspect.signature(load(row)).parameters
    if "random_state" in signature:
        given["random_state"] = seed % SEED_LIMIT
    if "n_features" in signature:
        given["n_features"] = shape[1]
    return given


def _limits(row: Row) -> dict[str, int]:
    """How far each parameter that depends on the number of rows may exceed it."""
    return row.at_most if row.neighbors is None else {row.neighbors: -1, **row.at_most}


def _at_most(value: Any, limit: int) -> Any:
    """A number lowered to the limit; a word or None as it is."""
    return min(value, limit) if isinstance(value, int) else value


def _fit(row: Row, X: Floats, params: Params, seed: int) -> WrappedState:
    """Fit to the rows that have any value. Equal rows share one training score, the mean of theirs.

    The libraries may score equal rows differently, by which of several equally near neighbours they meet
    first. A row is looked up by value, so its copies must agree; the mean prefers none of them.
    """
    medians = _medians(X)
    rows = _complete(X, medians)
    varying = np.asarray((rows != rows[:1]).any(axis=0))
    center = medians if row.centred is not None and row.centred(params) else None
    hashes, first, copy_of = np.unique(hash_rows(rows, 0), return_index=True, return_inverse=True)
    if len(hashes) < row.least_distinct:
        nothing = np.full(len(hashes), 0.0 if varying.any() else np.nan)
        return WrappedState(medians, varying, center, hashes, nothing, None)
    if row.fits_distinct:
        rows, copy_of = rows[first], np.arange(len(first))
    detector, scores = _trained(row, _seen(rows, varying, center), params, seed)
    shared = np.bincount(copy_of, scores) / np.bincount(copy_of)
    return WrappedState(medians, varying, center, hashes, shared, detector if row.scores_new_rows else None)


def _seen(rows: Floats, varying: Flags, center: Floats | None) -> Floats:
    """What the detector sees of complete rows: the columns that vary, centred where it needs that."""
    seen = rows if varying.all() else rows[:, varying]
    return seen if center is None else seen - center[varying]


def _trained(row: Row, rows: Floats, params: Params, seed: int) -> tuple[object, Floats]:
    """A detector fitted to complete rows, and their training scores."""
    if row.max_columns is not None and rows.shape[1] > row.max_columns:
        raise FitFailed(
            f"`{row.name}` takes {row.max_columns} columns at most, not {rows.shape[1]}: {row.limit_reason}",
            "name fewer columns in `features`, or use another algorithm",
        )
    if row.exceeds_columns and len(rows) <= rows.shape[1]:
        raise FitFailed(
            f"`{row.name}` needs more rows than columns, and there are {len(rows)} rows and {rows.shape[1]} columns",
            "name fewer columns in `features`, or use another algorithm",
        )
    made = load(row)
    with running(row, seed):
        detector = made(**arguments(row, params, seed, rows.shape)).fit(rows)
        scores = _finite(_training_scores(detector, rows))
    if row.scored_in is not None and hasattr(detector, "batch_size"):
        detector.batch_size = row.scored_in  # that of the training may leave a smaller batch at the end
    if np.isnan(scores).all():
        raise FitFailed(
            f"`{row.name}` finds no finite score for any of {len(rows)} rows",
            "leave out columns that follow from others, or use another algorithm",
        )
    return detector, scores


def _score(row: Row, state: WrappedState, X: Floats, own: Flags) -> Floats:
    """Training scores of rows known by value, the detector's own score of others where it can give one."""
    out = np.full(len(X), np.nan)
    present = ~_is_empty(X)
    if not present.any():
        return out
    rows = _complete(X, state.medians)
    hashes = hash_rows(rows, 0)
    places = np.minimum(np.searchsorted(state.hashes, hashes), len(state.hashes) - 1)
    known = (state.hashes[places] == hashes) & (own[present] | (not row.scores_new_rows))
    scores = np.where(known, state.scores[places], np.nan)
    if state.detector is not None and not known.all():
        scores[~known] = _new_scores(row, state, rows[~known])
    out[present] = scores
    return out


def _medians(X: Floats) -> Floats:
    """The median of each column, 0 for a column of gaps."""
    return np.array([0.0 if np.isnan(column).all() else np.nanmedian(column) for column in X.T])


def _complete(X: Floats, medians: Floats) -> Floats:
    """The rows that have any value, their gaps filled; X itself where nothing is missing."""
    return _filled(X[~_is_empty(X)], medians) if np.isnan(X).any() else X


def _filled(X: Floats, medians: Floats) -> Floats:
    """A copy whose gaps are the medians."""
    return np.where(np.isnan(X), medians, X)


def _is_empty(X: Floats) -> Flags:
    return np.asarray(np.isnan(X).all(axis=1))


def _finite(scores: Any) -> Floats:
    """NaN, which is no opinion, where a library's arithmetic overflowed."""
    values = np.asarray(scores, dtype=np.float64).ravel()
    return np.where(np.isfinite(values), values, np.nan)


def _training_scores(detector: Any, X: Floats) -> Any:
    """Larger is more anomalous; a neighbour method's score of a row does not count the row itself."""
    if hasattr(detector, "decision_scores_"):
        return detector.decision_scores_
    if hasattr(detector, "negative_outlier_factor_"):
        return -detector.negative_outlier_factor_
    return -detector.score_samples(X)


def _new_scores(row: Row, state: WrappedState, rows: Floats) -> Floats:
    """The detector's scores of complete rows, in batches of one size where its rounding follows the batch."""
    seen = _seen(rows, state.varying, state.center)
    size = row.scored_in or len(seen)
    short = -len(seen) % size
    padded = np.pad(seen, ((0, short), (0, 0)), mode="edge") if short else seen
    with running(row):
        scores = [_finite(_decided(state.detector, block)) for block in np.split(padded, len(padded) // size)]
    return np.concatenate(scores)[: len(seen)]


def _decided(detector: Any, X: Floats) -> Any:
    """Larger is more anomalous: so in PyOD, and the opposite in scikit-learn."""
    return detector.decision_function(X) if hasattr(detector, "decision_scores_") else -detector.score_samples(X)
