"""Rapid distance-based detection: an anomaly is far from a small random sample (Sugiyama & Borgwardt 2013)."""

from typing import Annotated

import msgspec
import numpy as np

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels import subsamples as sub


class SamplingParams(Params, frozen=True):
    """Parameters of the sample."""

    n_samples: Annotated[int, msgspec.Meta(ge=2, le=100_000, description="Rows drawn, at most those there are")] = 20


class SamplingState(State, frozen=True):
    """The sample, and how many rows of the fit sample each of its rows stands for."""

    center: Floats  # [d], mean of each column
    spread: Floats  # [d]
    points: Floats  # [1, n_samples, d], standardised
    copies: Floats  # [1, n_samples]

    def check(self, d: int) -> None:
        """See `State`."""
        nb.check_scales(self, d)
        layout.shapes(self, d, points="1 m d", copies="1 m")


@algorithm(
    kind="table",
    family="proximity",
    reference="Sugiyama & Borgwardt 2013",
    complexity="O(n_samples * d * n)",
    params=SamplingParams,
    handles_missing=False,
    deterministic=False,
    uses_own=True,
)
class sampling:
    """Distance to the nearest row of one small random sample.

    Euclidean, in columns divided by their standard deviation in the fit sample; a gap takes the column's mean. As in
    the authors' code, and unlike in PyOD, a training row that was drawn is not compared with itself: an anomaly in
    the sample would else score 0. Where one of c rows of equal values was drawn, each of them scores 1 / c
    of its distance to the rest of the sample: one is that far away, the others are at distance 0 from it.
    """

    @staticmethod
    def fit(X: Floats, params: SamplingParams, seed: int) -> SamplingState:
        """Standardise the rows and draw the sample."""
        center, spread = nb.column_scales(X)
        Z, empty = nb.standardised(X, center, spread)
        points = sub.draw(Z, empty, 1, params.n_samples, np.random.default_rng(seed))
        return SamplingState(center, spread, points, sub.count_copies(Z, empty, points))

    @staticmethod
    def score(state: SamplingState, X: Floats, own: Flags) -> Floats:
        """Distance to the nearest row drawn; NaN where a row has no value."""
        Z, empty = nb.standardised(X, state.center, state.spread)
        return sub.mean_nearest(Z, empty, own, state.points, state.copies)

    @staticmethod
    def explain(state: SamplingState, X: Floats) -> Floats:
        """The distance by the squared differences from the nearest row drawn that has other values.

        A row's contributions sum to its score unless it equals a row that was drawn.
        """
        Z, empty = nb.standardised(X, state.center, state.spread)
        return sub.nearest_shares(Z, empty, state.points)
