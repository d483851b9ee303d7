"""Principal components: an anomaly lies far along axes on which the rest hardly varies (Shyu et al. 2003)."""

import numpy as np

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, NoParams, State, algorithm
from pynomaly.kernels import columns, kernel


@kernel
def _fill_squares(X: Floats, i: int, mean: Floats, spread: Floats, axes: Floats, squares: Floats) -> None:
    """Fill the squared distances of row i, standardised, from the end of each axis."""
    squares.fill(0.0)
    for j in range(X.shape[1]):
        z = columns.standardised(X[i, j], mean[j], spread[j])
        for k in range(squares.size):
            squares[k] += (z - axes[j, k]) * (z - axes[j, k])


@kernel
def _fill_scores(X: Floats, mean: Floats, spread: Floats, axes: Floats, weights: Floats, out: Floats) -> None:
    """Fill the weighted sum of each row's distances from the ends of the axes; NaN for a row of gaps. O(n d ** 2)."""
    d, squares = X.shape[1], np.empty(columns.ROWS)
    block = np.empty((d, columns.ROWS))
    for begin in range(0, X.shape[0], columns.ROWS):
        scores = out[begin : begin + columns.ROWS]
        columns.load(X, begin, begin + scores.size, mean, spread, 0.0, block, 0)
        scores.fill(0.0)
        for k in range(weights.size):
            squares.fill(0.0)
            for j in range(d):
                column, end = block[j], axes[j, k]
                for i in range(scores.size):
                    squares[i] += (column[i] - end) * (column[i] - end)
            for i in range(scores.size):
                scores[i] += np.sqrt(squares[i]) * weights[k]
        for i in range(scores.size):
            if block[0, i] == 0.0 and columns.is_empty(X, begin + i):
                scores[i] = np.nan


@kernel
def _shares(X: Floats, mean: Floats, spread: Floats, axes: Floats, weights: Floats) -> Floats:
    """Each column's part of the scores: of every distance its share of the square. O(n d ** 2)."""
    out, squares = np.zeros(X.shape), np.empty(weights.size)
    for i in range(X.shape[0]):
        _fill_squares(X, i, mean, spread, axes, squares)
        for k in range(weights.size):
            squares[k] = weights[k] / np.sqrt(squares[k]) if squares[k] > 0.0 else 0.0
        for j in range(X.shape[1]):
            z = columns.standardised(X[i, j], mean[j], spread[j])
            for k in range(weights.size):
                out[i, j] += squares[k] * (z - axes[j, k]) * (z - axes[j, k])
        if columns.is_empty(X, i):
            out[i].fill(np.nan)
    return out


class PcaState(State, frozen=True):
    """The axes of the standardised columns."""

    mean: Floats  # [d]
    spread: Floats  # [d], population standard deviation; 0 where the column is flat
    axes: Floats  # [d, k], unit vectors
    weights: Floats  # [k], total variance over the variance along the axis

    def check(self, d: int) -> None:
        """See `State`."""
        layout.shapes(self, d, mean="d", spread="d", axes="d k", weights="k")


@algorithm(
    kind="table",
    family="linear",
    reference="Shyu, Chen, Sarinnapakorn & Chang 2003",
    complexity="O(d ** 2 * n)",
    params=NoParams,
    handles_missing=False,
)
class pca:
    """Distances from the principal axes, weighted by how little the rows vary along them.

    The sum over the axes of |z - axis| / (share of the variance along it), z being the row in standardised
    columns and the axis a point at distance 1: PyOD's PCA with its defaults, equal to it where no axis is
    without variance. Such an axis (below 1e-12 of the largest variance) is rounding and left out. A gap takes the
    column's mean.
    """

    @staticmethod
    def fit(X: Floats, _params: NoParams, _seed: int) -> PcaState:
        """Standardise the columns and find their principal axes."""
        mean, spread = columns.moments(X)
        variances, axes = columns.principal_axes(X, mean, spread)
        return PcaState(mean, spread, axes, variances.sum() / variances)

    @staticmethod
    def score(state: PcaState, X: Floats, _own: Flags) -> Floats:
        """The weighted sum of distances; NaN where a row has no value."""
        fitted = (state.mean, state.spread, state.axes, state.weights)
        return columns.scored(X, lambda rows, scores: _fill_scores(rows, *fitted, scores))

    @staticmethod
    def explain(state: PcaState, X: Floats) -> Floats:
        """Each column's share of every squared distance, applied to the distance: the shares sum to the score."""
        return _shares(X, state.mean, state.spread, state.axes, state.weights)
