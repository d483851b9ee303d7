"""Distances to drawn rows by sorting; the draws come from the state.

The scales of the columns are those of the kernels: a rounding apart would move a row across the edge of a ball.
"""

import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels.neighbors import column_scales

Floats = NDArray[np.float64]


def standardise(X: Floats, Q: Floats) -> Floats:
    """Every column by its mean and deviation in the fitted rows; gaps at 0."""
    center, spread = column_scales(X)
    return np.nan_to_num((Q - center) / spread)


def squares(rows: Floats, drawn: Floats) -> Floats:
    """Squared distances, added column by column: [rows, drawn]."""
    out = np.zeros((len(rows), len(drawn)))
    for j in range(rows.shape[1]):
        out = out + np.subtract.outer(rows[:, j], drawn[:, j]) ** 2
    return out


def others(drawn: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Squared distance of each drawn row to the nearest other, and which that is; 0 and itself if there is none."""
    if len(drawn) == 1:
        return np.zeros(1), np.zeros(1, np.int64)
    away = squares(drawn, drawn)
    np.fill_diagonal(away, np.inf)
    return away.min(axis=1), away.argmin(axis=1)


def check_drawn(X: Floats, samples: Floats, size: int) -> None:
    """Samples have their size, and hold no row more often than the rows that have a value do."""
    rows = standardise(X, X)[~np.isnan(X).all(axis=1)]
    rows = rows if len(rows) else standardise(X, X)
    for drawn in samples:
        assert len(drawn) == min(size, len(rows))
        equal = (drawn[:, np.newaxis] == rows).all(axis=2).sum(axis=1)
        assert (equal >= (drawn[:, np.newaxis] == drawn).all(axis=2).sum(axis=1)).all()


def unless_empty(X: Floats, scores: Floats) -> Floats:
    """NaN where a row has no value."""
    return np.where(np.isnan(X).all(axis=1), np.nan, scores)


def mean_nearest(X: Floats, given: Floats, samples: Floats, own: bool) -> Floats:
    """Mean distance to the nearest drawn row.

    An own row stands for its copies: for each of them that could have been the one drawn, it leaves that one out.
    """
    Z, rows = standardise(X, X)[~np.isnan(X).all(axis=1)], standardise(X, given)
    out = np.zeros(len(rows))
    for drawn in samples:
        for i, away in enumerate(np.sqrt(squares(rows, drawn))):
            same = np.flatnonzero(away == 0.0)
            n_copies = int((rows[i] == Z).all(axis=1).sum())
            left = [np.delete(away, s).min(initial=np.inf) for s in same] if own else []
            left = [0.0 if np.isinf(least) else float(least) for least in left]
            left += [float(away.min())] * max(n_copies - len(left) if own else 1, 0 if left else 1)
            out[i] += np.mean(left) / len(samples)
    return unless_empty(given, out)
