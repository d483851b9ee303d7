"""z-scores, a column at a time, in extended precision."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def moments(values: Floats) -> tuple[np.longdouble, np.longdouble]:
    wide = values[~np.isnan(values)].astype(np.longdouble)
    if not len(wide):
        return np.longdouble(0.0), np.longdouble(np.inf)
    if wide.min() == wide.max():
        return wide[0], np.longdouble(0.0)
    return wide.mean(), wide.std()


def contributions(fitted: Floats, X: Floats) -> Floats:
    """The distance of each cell, 0 for a gap."""
    out = np.zeros(X.shape)
    for j in range(X.shape[1]):
        mean, spread = moments(fitted[:, j])
        for i, x in enumerate(X[:, j]):
            if not np.isnan(x):
                out[i, j] = float(abs(x - mean) / spread) if spread else 1e6 * (x != mean)
    return out


def standardised(fitted: Floats, X: Floats) -> Floats:
    """Rows by mean and deviation, gaps at 0; flat columns have deviation 1."""
    out = np.zeros(X.shape)
    for j in range(X.shape[1]):
        mean, spread = moments(fitted[:, j])
        out[:, j] = np.where(np.isnan(X[:, j]), 0.0, (X[:, j] - mean) / (spread or np.longdouble(1.0)))
    return out
