"""Distances outside the quartiles, a column at a time."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def contributions(fitted: Floats, X: Floats) -> Floats:
    """The distance of each cell, 0 for a gap."""
    out = np.zeros(X.shape)
    for j in range(X.shape[1]):
        known = fitted[~np.isnan(fitted[:, j]), j]
        if len(known):
            low, high = np.quantile(known, [0.25, 0.75])
            spread = (high - low) or 1.2533 * 1.349 * np.abs(known - low).mean()
            for i, x in enumerate(X[:, j]):
                away = max(low - x, x - high, 0.0)
                if not np.isnan(x):
                    out[i, j] = away / spread if spread else 1e6 * (away > 0.0)
    return out
