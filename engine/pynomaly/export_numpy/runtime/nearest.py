"""The distance to the nearest rows or means: knn, sampling and cblof."""

from __future__ import annotations

import numpy as np

from pynomaly.export_numpy.runtime.standard import standardised

CELLS = 1 << 20  # distances that are held at a time


def scores(state: dict[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """The largest, mean or median distance to the k nearest of the points, in standardised columns.

    A gap is at the mean.
    """
    z, rows = np.nan_to_num(standardised(state, X)), max(CELLS // len(state["points"]), 1)
    found = [_distances(state, z[first : first + rows]) for first in range(0, len(z), rows)]
    return np.concatenate(found)


def _distances(state: dict[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    squares, k, method = np.zeros((len(z), len(state["points"]))), int(state["k"]), str(state["method"])
    for j in range(z.shape[1]):
        squares += (z[:, j : j + 1] - state["points"][:, j]) ** 2
    nearest: np.ndarray = np.sqrt(np.partition(squares, k - 1, axis=1)[:, :k])
    if method == "largest":
        return nearest[:, -1]
    distance: np.ndarray = nearest.mean(axis=1) if method == "mean" else np.median(nearest, axis=1)
    return distance
