"""The generalised Pareto law nearest to a few quantiles, for the rule `pareto`."""

import math

import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels import kernel

Floats = NDArray[np.float64]


@kernel
def mean_and_deviation(x: Floats) -> tuple[float, float]:
    """The mean and the population standard deviation."""
    mean, square = 0.0, 0.0
    for value in x:
        mean += value
    mean /= x.size
    for value in x:
        square += (value - mean) ** 2
    return mean, math.sqrt(square / x.size)


@kernel
def _fill_quantiles(x: Floats, levels: Floats, out: Floats) -> None:
    """Fill the linear quantiles of sorted values."""
    for p in range(levels.size):
        place = levels[p] * (x.size - 1)
        below = int(place)
        above = min(below + 1, x.size - 1)
        out[p] = x[below] + (place - below) * (x[above] - x[below])


@kernel
def threshold(x: Floats, levels: Floats, law: Floats, center: Floats, length: Floats, far: Floats) -> float:
    """Where the law that is nearest to the quantiles of sorted values ends; see `cutoffs.Laws`.

    NaN where ties leave the quantiles without a spread, or where it lies within the part that was fitted.
    """
    quantiles = np.empty(levels.size)
    _fill_quantiles(x, levels, quantiles)
    if not quantiles[levels.size // 2] > quantiles[0]:
        return np.nan
    mean = mean_and_deviation(quantiles)[0]
    best, likest = 0, -np.inf
    for shape in range(law.shape[0]):
        product = 0.0
        for p in range(levels.size):
            product += law[shape, p] * (quantiles[p] - mean)
        if product / length[shape] > likest:
            best, likest = shape, product / length[shape]
    found: float = mean + likest / length[best] * (far[best] - center[best])
    return found if found > quantiles[-1] else np.nan
