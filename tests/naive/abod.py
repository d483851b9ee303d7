"""Angle-based outlier detection from its definition, one pair of neighbours after the other."""

from itertools import combinations

import numpy as np

from naive.knn import Floats, neighbors
from naive.subsamples import standardise, unless_empty
from pynomaly.algorithms.abod import AbodParams, AbodState


def score(fitted: Floats, q: Floats, own: bool, k: int) -> float:
    """log(1 + 1 / variance of the weighted angles); differences are in units of the nearest."""
    squares, at = neighbors(fitted, q, own, k)
    differing = fitted[at][squares > 0.0] - q
    if len(differing) < 3:
        return 0.0
    unit = float(np.sqrt(squares[squares > 0.0][0]))
    angles = [a @ b / (a @ a) / (b @ b) for a, b in combinations(differing / unit, 2)]
    return float(np.log1p(unit**4 / max(np.var(angles), 1e-12)))


def twin(_state: AbodState, X: Floats, new: Floats, params: AbodParams) -> tuple[Floats, Floats]:
    k, fitted = min(params.n_neighbors, len(X) - 1), standardise(X, X)

    def scores(given: Floats, own: bool) -> Floats:
        return unless_empty(given, np.array([score(fitted, q, own, k) for q in standardise(X, given)]))

    return scores(X, True), scores(new, False)
