"""Connectivity-based outlier factor from its definition; a chaining distance is worked out wherever one is needed."""

import numpy as np

from naive.knn import Floats, neighbors
from naive.subsamples import standardise, unless_empty
from pynomaly.algorithms.cof import CofParams, CofState


def chaining(fitted: Floats, q: Floats, own: bool, k: int) -> float:
    """Weighted mean of the steps from the row to its neighbours, nearest first."""
    joined, steps = [q], []
    for row in fitted[neighbors(fitted, q, own, k)[1]]:
        steps.append(min(float(np.sqrt(((row - other) ** 2).sum())) for other in joined))
        joined.append(row)
    return float(np.average(steps, weights=range(k, 0, -1)))


def twin(_state: CofState, X: Floats, new: Floats, params: CofParams) -> tuple[Floats, Floats]:
    k, fitted = min(params.n_neighbors, len(X) - 1), standardise(X, X)
    own = [chaining(fitted, row, True, k) for row in fitted]

    def scores(given: Floats, is_own: bool) -> Floats:
        out = np.empty(len(given))
        for i, q in enumerate(standardise(X, given)):
            around = np.mean([own[at] for at in neighbors(fitted, q, is_own, k)[1]])
            out[i] = (chaining(fitted, q, is_own, k) + 1e-10) / (around + 1e-10)
        return unless_empty(given, out)

    return scores(X, True), scores(new, False)
