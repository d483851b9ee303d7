"""Robust z-scores, a column at a time."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def contributions(fitted: Floats, X: Floats) -> Floats:
    """The distance of each cell, 0 for a gap."""
    out = np.zeros(X.shape)
    for j in range(X.shape[1]):
        known = fitted[~np.isnan(fitted[:, j]), j]
        if len(known):
            away = np.abs(known - np.median(known))
            spread = 1.4826 * np.median(away) or 1.2533 * away.mean()
            for i, x in enumerate(X[:, j] - np.median(known)):
                if not np.isnan(x):
                    out[i, j] = abs(x) / spread if spread else 1e6 * (x != 0.0)
    return out
