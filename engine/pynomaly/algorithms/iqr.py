"""Distance outside the quartiles by column, in interquartile ranges: Tukey's fences as a score."""

import numpy as np

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, NoParams, State, algorithm
from pynomaly.kernels import columns, kernel

MEAN_TO_IQR = 1.2533 * 1.349  # the mean absolute deviation times this is the interquartile range of a normal law


@kernel
def _fit_block(block: Floats, low: Floats, high: Floats, spread: Floats) -> None:
    """Fill the quartiles of sorted columns and what lies between them; an infinite spread for a column of gaps."""
    for j in range(block.shape[0]):
        ordered = block[j, : columns.n_known(block[j])]
        low[j], high[j], spread[j] = 0.0, 0.0, np.inf
        if ordered.size > 0:
            low[j], high[j] = columns.quantile(ordered, 0.25), columns.quantile(ordered, 0.75)
            spread[j] = min(high[j] - low[j], columns.LARGEST)
            if spread[j] == 0.0:
                spread[j] = min(MEAN_TO_IQR * columns.mean_distance(ordered, low[j], high[j]), columns.LARGEST)


class IqrState(State, frozen=True):
    """Where the middle half of each column's values lies."""

    low: Floats  # [d], first quartile
    high: Floats  # [d], third quartile
    spread: Floats  # [d], interquartile range; 0 where the column is flat

    def check(self, d: int) -> None:
        """See `State`."""
        layout.shapes(self, d, low="d", high="d", spread="d")


@algorithm(
    kind="table",
    family="robust statistics",
    reference="Tukey 1977",
    complexity="O(d * n * log(n))",
    params=NoParams,
)
class iqr:
    """Largest distance of a row's columns outside the quartiles, in interquartile ranges.

    0 inside; Tukey's inner and outer fences are at 1.5 and 3. Quartiles are linear quantiles. Where the range
    is 0, since at least half of the values are equal, the mean distance from the quartiles, scaled to the
    range of a normal law, takes its place. Where that is 0 too, the column is flat: its value scores 0 and
    any other value 1,000,000. Gaps are skipped.
    """

    @staticmethod
    def fit(X: Floats, _params: NoParams, _seed: int) -> IqrState:
        """Quartiles of each column."""
        state = IqrState(*np.empty((3, X.shape[1])))
        for place, block in columns.ordered_columns(X):
            _fit_block(block, state.low[place], state.high[place], state.spread[place])
        return state

    @staticmethod
    def score(state: IqrState, X: Floats, _own: Flags) -> Floats:
        """The largest distance outside the quartiles; NaN where a row has no value."""
        return columns.largest_distances(X, state.low, state.high, state.spread)

    @staticmethod
    def explain(state: IqrState, X: Floats) -> Floats:
        """The distance of each cell, 0 for a gap: the score is the largest of a row."""
        return columns.distances(X, state.low, state.high, state.spread)
