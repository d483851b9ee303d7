"""Distances from one point, and coordinates along axes, row by row: the same bits in any batch."""

import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels import kernel

Floats = NDArray[np.float64]


@kernel
def fill_distances(Z: Floats, point: Floats, out: Floats) -> None:
    """Fill the Euclidean distance of each row from a point. O(n d)."""
    for i in range(Z.shape[0]):
        total = 0.0
        for j in range(Z.shape[1]):
            total += (Z[i, j] - point[j]) * (Z[i, j] - point[j])
        out[i] = np.sqrt(total)


@kernel
def fill_coordinates(Z: Floats, axes: Floats, out: Floats) -> None:
    """Fill each row's coordinates along axes, float64[d, k]. O(n d k)."""
    for i in range(Z.shape[0]):
        for k in range(axes.shape[1]):
            out[i, k] = 0.0
        for j in range(Z.shape[1]):
            for k in range(axes.shape[1]):
                out[i, k] += Z[i, j] * axes[j, k]
