"""Histograms of the state's projections, one row and one projection at a time."""

import math

import numpy as np
from numpy.typing import NDArray

from naive.knn import standardise
from pynomaly.algorithms.loda import LodaParams, LodaState

Floats = NDArray[np.float64]


def coordinate(x: Floats, weights: dict[int, float], filled: bool) -> float:
    """Where a standardised row falls, NaN unless its columns are known, or one of them if gaps are filled at 0."""
    gaps = [math.isnan(x[j]) for j in weights]
    if all(gaps) or (any(gaps) and not filled):
        return math.nan
    return float(sum(weight * (0.0 if math.isnan(x[j]) else x[j]) for j, weight in weights.items()))


def counted(values: list[float], n_bins: int) -> list[int]:
    """How many values each bin holds; one within 1e-9 bins of an edge is in the upper bin."""
    width = (max(values) - min(values)) / n_bins
    counts = [0] * n_bins
    for value in values:
        counts[min(math.floor((value - min(values)) / width + 1e-9), n_bins - 1) if width > 0.0 else 0] += 1
    return counts


def likelihood(counts: list[int]) -> float:
    n, n_bins = sum(counts), len(counts)
    fit = math.fsum(count * math.log(count * n_bins / n) for count in counts if count)
    return fit - (n_bins - 1.0 + math.pow(math.log(n_bins), 2.5))


def histogram(values: list[float]) -> list[int]:
    """The one with the largest penalised likelihood; of equal ones the one with fewer bins."""
    n = len(values)
    most = int(n / math.log(n)) if n > 1 and max(values) > min(values) else 1
    found = [counted(values, n_bins) for n_bins in range(1, min(most, 256) + 1)]
    best = found[0]
    for counts in found:
        best = counts if likelihood(counts) > likelihood(best) + 1e-6 else best
    return best


def surprise(value: float, values: list[float], counts: list[int]) -> float:
    """-log of the rows in the value's bin, less the mean of that over the fitted rows."""
    low, high, n = min(values), max(values), len(values)
    mean = sum(count / n * math.log(count) for count in counts if count)
    width = (high - low) / len(counts) if high > low else 1e-6
    if low - 1e-9 * width <= value <= high + 1e-9 * width:
        at = min(math.floor((value - low) / width + 1e-9), len(counts) - 1) if high > low else 0
        return mean - math.log(max(counts[at], 0.5))
    away = max(low - value, value - low - width * len(counts)) / width
    return mean - math.log(0.5) + math.log1p(away)


def fitted(Z: Floats, weights: dict[int, float]) -> tuple[list[float], list[int]]:
    """A projection's values and its histogram."""
    for filled in (False, True):
        values = [value for value in (coordinate(z, weights, filled) for z in Z) if not math.isnan(value)]
        if values:
            break
    return values, histogram(values)


def score(z: Floats, directions: list[dict[int, float]], models: list[tuple[list[float], list[int]]]) -> float:
    if np.isnan(z).all():
        return math.nan
    for row in (z, np.nan_to_num(z)):
        places = [(coordinate(row, weights, False), model) for weights, model in zip(directions, models, strict=True)]
        found = [surprise(value, *model) for value, model in places if not math.isnan(value)]
        if found:
            return sum(found) / len(found)
    return 0.0


def twin(state: LodaState, X: Floats, new: Floats, _params: LodaParams) -> tuple[Floats, Floats]:
    Z = np.where(np.isnan(X), np.nan, standardise(X, X))
    Q = np.where(np.isnan(new), np.nan, standardise(X, new))
    directions = [
        dict(zip(drawn.tolist(), weights.tolist(), strict=True))
        for drawn, weights in zip(state.drawn, state.weights, strict=True)
    ]
    models = [fitted(Z, weights) for weights in directions]
    return np.array([score(z, directions, models) for z in Z]), np.array([score(q, directions, models) for q in Q])
