"""z-score by column: the largest distance from the mean, in standard deviations."""

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, NoParams, State, algorithm
from pynomaly.kernels import columns


class ZscoreState(State, frozen=True):
    """Where each column's values lie."""

    mean: Floats  # [d]
    spread: Floats  # [d], population standard deviation; 0 where the column is flat

    def check(self, d: int) -> None:
        """See `State`."""
        layout.shapes(self, d, mean="d", spread="d")


@algorithm(
    kind="table",
    family="statistics",
    reference="Grubbs 1969",
    complexity="O(d * n)",
    params=NoParams,
)
class zscore:
    """Largest z-score of a row's columns.

    |x - mean| / standard deviation, as Grubbs' test takes it, over n. In a flat column its value scores 0 and
    any other value 1,000,000. Gaps are skipped. Anomalies widen the deviation that they are measured in: `mad`
    does not let them.
    """

    @staticmethod
    def fit(X: Floats, _params: NoParams, _seed: int) -> ZscoreState:
        """Mean and standard deviation of each column."""
        return ZscoreState(*columns.moments(X))

    @staticmethod
    def score(state: ZscoreState, X: Floats, _own: Flags) -> Floats:
        """The largest z-score; NaN where a row has no value."""
        return columns.largest_distances(X, state.mean, state.mean, state.spread)

    @staticmethod
    def explain(state: ZscoreState, X: Floats) -> Floats:
        """The z-score of each cell, 0 for a gap: the score is the largest of a row."""
        return columns.distances(X, state.mean, state.mean, state.spread)
