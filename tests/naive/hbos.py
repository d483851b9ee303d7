"""Histograms by `np.histogram`, a cell at a time."""

import math

import numpy as np
from numpy.typing import NDArray

from naive.ecod import scaled

Floats = NDArray[np.float64]


def emptiness(edges: Floats, levels: Floats, tolerance: float, x: float) -> float:
    """What a value adds, given the bins' edges and what each bin adds."""
    place = int(sum(edges < x))  # 0: not above the lowest edge
    if place == 0:
        return float(levels[0] if edges[0] - x <= tolerance * (edges[1] - edges[0]) else max(levels))
    if place == len(edges):
        return float(levels[-1] if x - edges[-1] <= tolerance * (edges[-1] - edges[-2]) else max(levels))
    return float(levels[place - 1])


def deviation(known: Floats) -> float:
    """Standard deviation, computed on the values brought to [0, 1]."""
    low, width = float(known.min()), float(known.max() - known.min())
    shares = [(x - low) / width for x in known.tolist()]
    mean = math.fsum(shares) / len(shares)
    return width * math.sqrt(math.fsum((share - mean) ** 2 for share in shares) / len(shares))


def contributions(fitted: Floats, X: Floats, n_bins: int = 10, alpha: float = 0.1, tolerance: float = 0.5) -> Floats:
    """What each cell adds, 0 for a gap; scaled up where a row has gaps."""
    out = np.zeros(X.shape)
    for j in range(X.shape[1]):
        known = fitted[~np.isnan(fitted[:, j]), j]
        is_flat = len(known) > 0 and known.min() == known.max()
        if len(known) and not is_flat:
            density, edges = np.histogram(known, bins=n_bins, density=True)
            levels = -np.log2(density * deviation(known) + alpha)
        for i, x in enumerate(X[:, j].tolist()):
            if is_flat and not math.isnan(x):
                out[i, j] = -math.log2(n_bins + alpha if x == known[0] else alpha)
            elif len(known) and not math.isnan(x):
                out[i, j] = emptiness(edges, levels, tolerance, x)
    return scaled(X, out)
