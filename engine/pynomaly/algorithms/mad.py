"""Robust z-score by column: the largest distance from the median, in scaled median absolute deviations."""

import numpy as np

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, NoParams, State, algorithm
from pynomaly.kernels import columns, kernel

MAD_TO_SIGMA = 1.4826  # the median absolute deviation times this estimates sigma under a normal law
MEAN_TO_SIGMA = 1.2533  # and so does the mean absolute deviation times this


@kernel
def _nearest(ordered: Floats, center: float, k: int) -> float:
    """The k-th smallest distance from the center: the tightest window of k sorted values around it. O(log n)."""
    first, last = 0, ordered.size - k
    while first < last:
        middle = (first + last) // 2
        if center - ordered[middle] > ordered[middle + k - 1] - center:
            first = middle + 1
        else:
            last = middle
    reach: float = max(center - ordered[first], ordered[first + k - 1] - center)
    if first > 0:
        reach = min(reach, max(center - ordered[first - 1], ordered[first + k - 2] - center))
    return min(reach, columns.LARGEST)


@kernel
def _spread(ordered: Floats, center: float) -> float:
    """Scaled median absolute deviation; the mean one where more than half of the values are the center."""
    lower = _nearest(ordered, center, (ordered.size + 1) // 2)
    upper = _nearest(ordered, center, ordered.size // 2 + 1)
    spread = MAD_TO_SIGMA * columns.blend(lower, upper, 0.5)
    if spread == 0.0:
        spread = MEAN_TO_SIGMA * columns.mean_distance(ordered, center, center)
    return min(spread, columns.LARGEST)


@kernel
def _fit_block(block: Floats, center: Floats, spread: Floats) -> None:
    """Fill center and spread of sorted columns; 0 and infinity for a column of gaps."""
    for j in range(block.shape[0]):
        ordered = block[j, : columns.n_known(block[j])]
        center[j], spread[j] = 0.0, np.inf
        if ordered.size > 0:
            center[j] = columns.quantile(ordered, 0.5)
            spread[j] = _spread(ordered, center[j])


class MadState(State, frozen=True):
    """Where each column's values lie."""

    center: Floats  # [d], median
    spread: Floats  # [d], an estimate of sigma; 0 where the column is flat

    def check(self, d: int) -> None:
        """See `State`."""
        layout.shapes(self, d, center="d", spread="d")


@algorithm(
    kind="table",
    family="robust statistics",
    reference="Iglewicz & Hoaglin 1993",
    complexity="O(d * n * log(n))",
    params=NoParams,
)
class mad:
    """Largest robust z-score of a row's columns.

    |x - median| / (1.4826 * median absolute deviation). Where that deviation is 0, since more than half of the
    values are equal, the mean absolute deviation times 1.2533 takes its place. Where that is 0 too, the
    column is flat: its value scores 0 and any other value 1,000,000. Gaps are skipped.
    """

    @staticmethod
    def fit(X: Floats, _params: NoParams, _seed: int) -> MadState:
        """Median and scaled deviation of each column."""
        center, spread = np.empty(X.shape[1]), np.empty(X.shape[1])
        for place, block in columns.ordered_columns(X):
            _fit_block(block, center[place], spread[place])
        return MadState(center, spread)

    @staticmethod
    def score(state: MadState, X: Floats, _own: Flags) -> Floats:
        """The largest robust z-score; NaN where a row has no value."""
        return columns.largest_distances(X, state.center, state.center, state.spread)

    @staticmethod
    def explain(state: MadState, X: Floats) -> Floats:
        """The robust z-score of each cell, 0 for a gap: the score is the largest of a row."""
        return columns.distances(X, state.center, state.center, state.spread)
