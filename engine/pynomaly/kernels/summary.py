"""What the encoding needs to know of a column of numbers, in one pass over its sorted values."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels import kernel

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class Summary(NamedTuple):
    """A column's values, gaps aside."""

    n_known: int
    n_distinct: int
    n_broken: int  # values that are no whole numbers
    low: float
    high: float
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
def _fill_summaries(ordered: Floats, starts: Counts, counts: Counts, values: Floats) -> None:
    """Fill the fields of each group's summary, counts and values; the values are 0 where a group has none."""
    for g in range(starts.size - 1):
        n_known, n_broken = starts[g + 1] - starts[g], 0
        while n_known > 0 and np.isnan(ordered[starts[g] + n_known - 1]):
            n_known -= 1
        known = ordered[starts[g] : starts[g] + n_known]
        n_distinct = min(n_known, 1)
        for i in range(1, n_known):
            n_distinct += int(known[i] != known[i - 1])
        for value in known:
            n_broken += int(value != np.trunc(value))
        counts[g, 0], counts[g, 1], counts[g, 2] = n_known, n_distinct, n_broken
        if n_known > 0:
            values[g, 0], values[g, 1] = known[0], known[n_known - 1]
            values[g, 2], values[g, 3] = _quantile(known, 0.05), _quantile(known, 0.95)


def summaries(ordered: Floats, starts: Sequence[int]) -> list[Summary]:
    """The summary of each group of a column: sorted values from one start to the next, gaps, NaN, at their end."""
    counts, values = np.zeros((len(starts) - 1, 3), np.int64), np.zeros((len(starts) - 1, 4))
    _fill_summaries(ordered, np.array(starts), counts, values)
    return [Summary(*few, *others) for few, others in zip(counts.tolist(), values.tolist(), strict=True)]
