"""Cluster-based local outlier factor, one row at a time; the first means come from the state.

Sums are taken in the order of the rows and columns: a rounding apart would move a row that is between two means.
"""

import numpy as np
from numpy.typing import NDArray

from naive.subsamples import squares, standardise, unless_empty
from pynomaly.algorithms.cblof import CblofParams, CblofState

Floats = NDArray[np.float64]


def settle(rows: Floats, mean: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The means when they have come to rest, and the cluster of each row."""
    for _ in range(100):
        away = squares(rows, mean)
        label, before = away.argmin(axis=1), mean
        mean = np.empty(before.shape)
        for c in range(len(mean)):
            members = rows[label == c]
            mean[c] = sum(members) / len(members) if len(members) else rows[away.min(axis=1).argmax()]
        if ((mean - before) ** 2).sum() <= 1e-4:
            break
    return mean, squares(rows, mean).argmin(axis=1)


def count_large(sizes: list[int], alpha: float, beta: float) -> int:
    """The first end of the large clusters that meets both conditions, the first, the second."""
    ends = range(1, len(sizes))
    enough = [b for b in ends if sum(sizes[:b]) >= alpha * sum(sizes)]
    falls = [b for b in ends if sizes[b - 1] >= beta * sizes[b]]
    both = [b for b in enough if b in falls]
    return (both or enough or falls or [len(sizes)])[0]


def twin(state: CblofState, X: Floats, new: Floats, params: CblofParams) -> tuple[Floats, Floats]:
    rows = standardise(X, X)
    known = ~np.isnan(X).all(axis=1)
    rows = rows[known] if known.any() else rows
    n_distinct = len({tuple(row) for row in rows})
    assert len({tuple(row) for row in rows[state.start]}) == len(state.start) == min(params.n_clusters, n_distinct)
    mean, label = settle(rows, rows[state.start])
    sizes = {c: int((label == c).sum()) for c in range(len(mean))}
    order = sorted((c for c in sizes if sizes[c]), key=lambda c: -sizes[c])
    large = order[: count_large([sizes[c] for c in order], params.alpha, params.beta)]

    def scores(given: Floats) -> Floats:
        out = np.empty(len(given))
        for i, away in enumerate(squares(standardise(X, given), mean)):
            nearest = next(c for c in order if away[c] == away[order].min())
            out[i] = np.sqrt(away[nearest] if nearest in large else away[large].min())
        return unless_empty(given, out)

    return scores(X), scores(new)
