"""What the encoding needs to know of a column of numbers, in one pass over its sorted values."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels import kernel

Floats = NDArray[np.float64]


class Summary(NamedTuple):
    """A column's values, gaps aside."""

    n_known: int
    n_distinct: int
    is_whole: bool  # every value is a whole number
    usual_low: float  # linear 5 % quantile
    usual_high: float  # linear 95 % quantile


@kernel
def _quantile(known: Floats, share: float) -> float:
    """The linear quantile of sorted values."""
    place = share * (known.size - 1)
    below = int(place)
    above = min(below + 1, known.size - 1)
    value: float = known[below] + (place - below) * (known[above] - known[below])
    return value


@kernel
def _summarised(ordered: Floats) -> tuple[int, int, bool, float, float]:
    """The fields of `Summary`; the quantiles are NaN where there is no value."""
    n_known = ordered.size
    while n_known > 0 and ordered[n_known - 1] != ordered[n_known - 1]:
        n_known -= 1
    known = ordered[:n_known]
    n_distinct, n_broken = min(n_known, 1), 0
    for i in range(1, n_known):
        n_distinct += int(known[i] != known[i - 1])
    for value in known:
        n_broken += int(value != np.trunc(value))
    if n_known == 0:
        return 0, 0, True, np.nan, np.nan
    return n_known, n_distinct, n_broken == 0, _quantile(known, 0.05), _quantile(known, 0.95)


def summarised(ordered: Floats) -> Summary:
    """The summary of sorted values with the gaps, NaN, at the end."""
    return Summary(*_summarised(ordered))
