"""Histograms of the columns: hbos."""

from __future__ import annotations

import numpy as np


def scores(state: dict[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """The sum over the columns of how empty a value's bin is, scaled up to all columns for a row with gaps."""
    total = np.zeros(len(X))
    for j in range(X.shape[1]):
        x = X[:, j]
        total += np.where(np.isnan(x), 0.0, state["levels"][j][_bins(state["edges"][j], state["tolerance"], x)])
    scaled: np.ndarray = total * (X.shape[1] / (~np.isnan(X)).sum(axis=1))
    return scaled


def _bins(edges: np.ndarray, tolerance: np.ndarray, x: np.ndarray) -> np.ndarray:
    """1 for the first bin (left, right] and so on; 0 below all of them and one more than there are above.

    A value that is few bin widths outside is in the outermost bin.
    """
    last = len(edges) - 1
    found = np.searchsorted(edges, x, "left")
    is_near = (edges[0] - x <= tolerance * (edges[1] - edges[0])) & (
        x - edges[-1] <= tolerance * (edges[-1] - edges[-2])
    )
    found = np.where(is_near, np.clip(found, 1, last), found)
    return np.where(np.isnan(x), 0, found)
