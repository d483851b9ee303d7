"""Distances from the ends of the principal axes, a row and an axis at a time."""

import numpy as np
from numpy.typing import NDArray

from naive.zscore import standardised

Floats = NDArray[np.float64]


def contributions(fitted: Floats, X: Floats) -> Floats:
    """Each distance shared among the columns by their part of the square; NaN for a row of gaps."""
    Z, out = standardised(fitted, fitted), np.zeros(X.shape)
    variances, axes = np.linalg.eigh(Z.T @ Z)
    for variance, axis in zip(variances, axes.T, strict=True):
        if variance > 1e-12 * variances.max():
            leading = np.flatnonzero(np.abs(axis) > (1.0 - 1e-9) * np.abs(axis).max())[0]
            squares = (standardised(fitted, X) - axis * np.sign(axis[leading])) ** 2
            distance = np.sqrt(squares.sum(axis=1, keepdims=True))
            out += (
                np.divide(squares, distance, where=distance > 0.0, out=np.zeros(X.shape)) * variances.sum() / variance
            )
    out[np.isnan(X).all(axis=1)] = np.nan
    return out
