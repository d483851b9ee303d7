"""Squared Mahalanobis distances by the pseudo-inverse, a row at a time."""

import numpy as np
from numpy.typing import NDArray

from naive.zscore import standardised

Floats = NDArray[np.float64]


def contributions(fitted: Floats, X: Floats) -> Floats:
    """x_j * (S^-1 x)_j; NaN for a row of gaps."""
    Z = standardised(fitted, fitted)
    inverse = np.linalg.pinv(Z.T @ Z / (len(Z) - 1), rcond=1e-12, hermitian=True)
    out = np.array([z * (inverse @ z) for z in standardised(fitted, X)])
    out[np.isnan(X).all(axis=1)] = np.nan
    return out
