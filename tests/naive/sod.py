"""Subspace outlier degree from its definition: every list of neighbours is compared with every other."""

from collections import Counter

import numpy as np

from naive.knn import Floats, neighbors
from naive.subsamples import standardise, unless_empty
from pynomaly.algorithms.sod import SodParams, SodState


def values(fitted: Floats, q: Floats, own: bool, k: int) -> Counter[bytes]:
    """The values of the k nearest rows."""
    return Counter(row.tobytes() for row in fitted[neighbors(fitted, q, own, k)[1]] + 0.0)


def references(fitted: Floats, q: Floats, own: bool, k: int, size: int) -> Floats:
    """The rows that share the most neighbours with q; of equals the nearest, then the lexicographically smaller."""
    mine = values(fitted, q, own, k)
    shared = np.array([(mine & values(fitted, row, True, k)).total() for row in fitted])
    squares = np.zeros(len(fitted))
    for j in range(len(q)):
        squares = squares + (fitted[:, j] - q[j]) ** 2
    if own:
        shared[(fitted == q).all(axis=1).argmax()] = -1
    return fitted[np.lexsort((*fitted.T[::-1], squares, -shared))[:size]]


def degree(rows: Floats, q: Floats, alpha: float) -> float:
    """Root mean squared difference from the rows' mean in the columns in which they vary little."""
    away = rows - rows[0]  # equal rows have no variance at all
    variance = away.var(axis=0)
    chosen = variance < (1.0 - 1e-9) * alpha * variance.mean()
    if variance.sum() <= 1e-24 or not chosen.any():
        chosen[:] = True
    return float(np.sqrt(np.mean((q - rows[0] - away.mean(axis=0))[chosen] ** 2)))


def twin(_state: SodState, X: Floats, new: Floats, params: SodParams) -> tuple[Floats, Floats]:
    k, fitted = min(params.n_neighbors, len(X) - 1), standardise(X, X)
    size = min(params.ref_set, k)

    def scores(given: Floats, own: bool) -> Floats:
        rows = standardise(X, given)
        out = np.array([degree(references(fitted, q, own, k, size), q, params.alpha) for q in rows])
        return unless_empty(given, out)

    return scores(X, True), scores(new, False)
