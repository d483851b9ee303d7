"""Empirical copula by counting: the three sums of the paper, and the largest of them."""

import math

import numpy as np
from numpy.typing import NDArray

from naive.ecod import skewness_sign
from pynomaly.algorithm import NoParams, State

Floats = NDArray[np.float64]


def surprise(n_rows: int, n_known: int) -> float:
    return -math.log(max(n_rows, 0.5) / n_known)


def sums(fitted: Floats, x: Floats) -> list[float]:
    """The sums over the left tails, the right tails, and the tails on the skewed side."""
    total = [0.0, 0.0, 0.0]
    for j in np.flatnonzero(~np.isnan(x)):
        known = fitted[~np.isnan(fitted[:, j]), j]
        if len(known) > 0:
            left = surprise(int((known <= x[j]).sum()), len(known))
            right = surprise(int((known >= x[j]).sum()), len(known))
            skewed = left if skewness_sign(known) < 0 else right
            total = [a + b for a, b in zip(total, (left, right, skewed), strict=True)]
    return total


def scores(fitted: Floats, X: Floats) -> Floats:
    """The largest sum of each row, scaled up where it has gaps; NaN for a row of gaps."""
    out = np.full(len(X), np.nan)
    for i, x in enumerate(X):
        known = int((~np.isnan(x)).sum())
        if known > 0:
            out[i] = max(sums(fitted, x)) * len(x) / known
    return out


def twin(_state: State, X: Floats, new: Floats, _params: NoParams) -> tuple[Floats, Floats]:
    return scores(X, X), scores(X, new)
