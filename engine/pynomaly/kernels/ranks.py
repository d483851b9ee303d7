"""Values by their rank in a distribution, as a normal law would have them."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FARTHEST = 1e-7  # a share nearer to 0 or 1 counts as this far away
TAIL = 0.02425  # of the distribution, where another approximation holds
# fmt: off
_TOP = (-3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.383577518672690e2,
        -3.066479806614716e1, 2.506628277459239)
_BOTTOM = (-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1,
           -1.328068155288572e1, 1.0)
_TAIL_TOP = (-7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734,
             4.374664141464968, 2.938163982698783)
_TAIL_BOTTOM = (7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0)
# fmt: on


def normal_ranks(x: Floats, grid: Floats) -> Floats:
    """float64[n]: the normal quantile at each value's share, by the sorted quantiles of a distribution, evenly spaced.

    A value that is several of the quantiles lies in their middle; NaN stays NaN.
    """
    last = len(grid) - 1
    low, high = np.searchsorted(grid, x, "left"), np.searchsorted(grid, x, "right")
    below = np.clip(high - 1, 0, last)
    gap = grid[np.minimum(below + 1, last)] - grid[below]
    part = np.divide(x - grid[below], gap, out=np.zeros(len(x)), where=gap > 0)
    places = np.where(high > low, (low + high - 1) / 2, np.where(high == 0, 0.0, np.minimum(below + part, last)))
    shares = np.clip(places / last, FARTHEST, 1 - FARTHEST)
    return np.where(np.isnan(x), np.nan, normal_quantiles(shares))


def normal_quantiles(shares: Floats) -> Floats:
    """The inverse of the normal distribution function to nine digits (Acklam 2003), for shares between 0 and 1."""
    nearer = np.minimum(shares, 1 - shares)
    s = shares - 0.5
    r, t = s * s, np.sqrt(-2 * np.log(nearer))
    middle = s * np.polyval(_TOP, r) / np.polyval(_BOTTOM, r)
    tail = np.polyval(_TAIL_TOP, t) / np.polyval(_TAIL_BOTTOM, t)
    return np.where(nearer < TAIL, np.where(s < 0, tail, -tail), middle)
