"""Mahalanobis distance: an anomaly is far from the mean in view of how the columns vary together."""

import numpy as np

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, NoParams, State, algorithm
from pynomaly.kernels import columns, kernel


@kernel
def _fill_whitened(X: Floats, i: int, mean: Floats, spread: Floats, axes: Floats, whitened: Floats) -> None:
    """Fill the coordinates of row i along the axes, each in standard deviations."""
    whitened.fill(0.0)
    for j in range(X.shape[1]):
        z = columns.standardised(X[i, j], mean[j], spread[j])
        for k in range(whitened.size):
            whitened[k] += z * axes[j, k]


@kernel
def _scores(X: Floats, mean: Floats, spread: Floats, axes: Floats) -> Floats:
    """Squared distance of each row from the mean; NaN for a row of gaps. O(n d ** 2)."""
    out, whitened = np.zeros(X.shape[0]), np.empty(axes.shape[1])
    for i in range(X.shape[0]):
        _fill_whitened(X, i, mean, spread, axes, whitened)
        for k in range(whitened.size):
            out[i] += whitened[k] * whitened[k]
        if columns.is_empty(X, i):
            out[i] = np.nan
    return out


@kernel
def _shares(X: Floats, mean: Floats, spread: Floats, axes: Floats) -> Floats:
    """Each column's part of `_scores`: z_j * (S^-1 z)_j, S being the covariance of standardised columns."""
    out, whitened = np.zeros(X.shape), np.empty(axes.shape[1])
    for i in range(X.shape[0]):
        _fill_whitened(X, i, mean, spread, axes, whitened)
        for j in range(X.shape[1]):
            z = columns.standardised(X[i, j], mean[j], spread[j])
            for k in range(whitened.size):
                out[i, j] += z * axes[j, k] * whitened[k]
        if columns.is_empty(X, i):
            out[i].fill(np.nan)
    return out


class MahalanobisState(State, frozen=True):
    """Axes along which the standardised columns have variance 1."""

    mean: Floats  # [d]
    spread: Floats  # [d], population standard deviation; 0 where the column is flat
    axes: Floats  # [d, k], principal axes over the standard deviation along them

    def check(self, d: int) -> None:
        """See `State`."""
        layout.shapes(self, d, mean="d", spread="d", axes="d k")


@algorithm(
    kind="table",
    family="linear",
    reference="Mahalanobis 1936",
    complexity="O(d ** 2 * n)",
    params=NoParams,
    handles_missing=False,
)
class mahalanobis:
    """Squared distance from the mean under the covariance of the columns.

    x' S^-1 x, x being the row less the mean and S the sample covariance. Where columns depend on one another or
    are flat, the pseudo-inverse of the correlations takes the place of S^-1: a direction in which the fitted
    rows do not vary (below 1e-12 of the largest variance) adds nothing. A gap takes the column's mean.
    """

    @staticmethod
    def fit(X: Floats, _params: NoParams, _seed: int) -> MahalanobisState:
        """Standardise the columns and find the axes that make their covariance the identity."""
        mean, spread = columns.moments(X)
        variances, axes = columns.principal_axes(X, mean, spread)
        return MahalanobisState(mean, spread, axes / np.sqrt(variances))

    @staticmethod
    def score(state: MahalanobisState, X: Floats, _own: Flags) -> Floats:
        """The squared distance; NaN where a row has no value."""
        return _scores(X, state.mean, state.spread, state.axes)

    @staticmethod
    def explain(state: MahalanobisState, X: Floats) -> Floats:
        """x_j * (S^-1 x)_j for each column: the parts sum to the score, and one may be negative."""
        return _shares(X, state.mean, state.spread, state.axes)
