"""Fitting one class of a library: it runs in this process or in a worker's, and gives the same there."""

import importlib
import inspect
from typing import Any

import msgspec
import numpy as np

from pynomaly.algorithm import Floats, Params
from pynomaly.errors import AlgorithmUnavailable, FitFailed
from pynomaly.wrapped.library import SEED_LIMIT, running
from pynomaly.wrapped.row import Row


def load(row: Row) -> Any:
    """The class behind a row; AlgorithmUnavailable when it cannot be imported."""
    module, _, name = row.target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise AlgorithmUnavailable(f"`{row.name}` cannot be imported: {error}", "install what is missing") from error


def arguments(row: Row, params: Params | dict[str, Any], seed: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """What the constructor is called with, for these parameters and rows of this shape."""
    made = {name: value() if callable(value) else value for name, value in row.constants.items()}
    given = {**(params if isinstance(params, dict) else msgspec.structs.asdict(params)), **made}
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


def trained(row: Row, params: Params | dict[str, Any], rows: Floats, seed: int) -> tuple[object, Floats]:
    """A detector fitted to complete rows, None where it scores no others; and the training scores."""
    made = load(row)
    with running(row, seed):
        detector = made(**arguments(row, params, seed, rows.shape)).fit(rows)
        scores = finite(_training_scores(detector, rows))
    if row.scored_in is not None and hasattr(detector, "batch_size"):
        detector.batch_size = row.scored_in  # that of the training may leave a smaller batch at the end
    if hasattr(detector, "labels_"):
        detector.labels_ = detector.labels_[:0].copy()  # a number a row that nobody asks for; its name is asked for
    if np.isnan(scores).all():
        raise FitFailed(
            f"`{row.name}` finds no finite score for any of {len(rows)} rows",
            "leave out columns that follow from others, or use another algorithm",
        )
    return detector if row.scores_new_rows else None, scores


def finite(scores: Any) -> Floats:
    """NaN, which is no opinion, where a library's arithmetic overflowed."""
    values = np.asarray(scores, dtype=np.float64).ravel()
    is_finite = np.isfinite(values)
    return values if is_finite.all() else np.where(is_finite, values, np.nan)


def _training_scores(detector: Any, X: Floats) -> Any:
    """Larger is more anomalous; a neighbour method's score of a row does not count the row itself."""
    if hasattr(detector, "decision_scores_"):
        return detector.decision_scores_
    if hasattr(detector, "negative_outlier_factor_"):
        return -detector.negative_outlier_factor_
    return -detector.score_samples(X)
