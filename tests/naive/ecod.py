"""Tails of the empirical distributions by counting, with PyOD's choice of the tail by the sign of the skewness."""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def skewness_sign(values: Floats) -> int:
    exact = [Fraction(value) for value in values.tolist()]
    mean = sum(exact) / len(exact)
    second, third = (sum((value - mean) ** power for value in exact) / len(exact) for power in (2, 3))
    if third**2 <= Fraction(1, 10**18) * second**3:
        return 0
    return 1 if third > 0 else -1


def surprise(known: Floats, sign: int, x: float) -> float:
    left = -math.log(max(sum(known <= x), 0.5) / len(known))
    right = -math.log(max(sum(known >= x), 0.5) / len(known))
    chosen = {-1: left, 0: left + right, 1: right}[sign]
    return max(left, right, chosen)


def contributions(fitted: Floats, X: Floats) -> Floats:
    """What each cell adds, 0 for a gap; scaled up where a row has gaps."""
    out = np.zeros(X.shape)
    for j in range(X.shape[1]):
        known = fitted[~np.isnan(fitted[:, j]), j]
        sign = skewness_sign(known) if len(known) else 0
        for i, x in enumerate(X[:, j].tolist()):
            if len(known) and not math.isnan(x):
                out[i, j] = surprise(known, sign, x)
    return scaled(X, out)


def scaled(X: Floats, out: Floats) -> Floats:
    """Multiplied by columns / columns with a value, NaN for a row of gaps."""
    known = (~np.isnan(X)).sum(axis=1, keepdims=True)
    return np.where(known > 0, out * X.shape[1] / np.maximum(known, 1), np.nan)
