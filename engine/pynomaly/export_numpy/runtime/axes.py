"""Distances along the principal axes of the standardised columns: mahalanobis and pca."""

from __future__ import annotations

import numpy as np

from pynomaly.export_numpy.runtime.standard import standardised


def scores(state: dict[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """The sum of squares along the axes; of pca, whose axes have weights, of distances from their ends.

    Column after column, so that a row's score does not depend on the rows beside it. A gap is at the mean.
    """
    z, axes = np.nan_to_num(standardised(state, X)), state["axes"]
    sums = np.zeros((len(X), axes.shape[1]))
    if "weights" in state:
        for j in range(X.shape[1]):
            sums += (z[:, j : j + 1] - axes[j]) ** 2
        along = np.sqrt(sums) * state["weights"]
    else:
        for j in range(X.shape[1]):
            sums += z[:, j : j + 1] * axes[j]
        along = sums**2
    total: np.ndarray = along.sum(axis=1)
    return total
