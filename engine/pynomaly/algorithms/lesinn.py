"""Least similar nearest neighbours: far from the nearest of a few random rows, again and again (Pang et al. 2015)."""

from typing import Annotated

import msgspec
import numpy as np

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels import subsamples as sub


class LesinnParams(Params, frozen=True):
    """Parameters of the samples."""

    n_estimators: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Number of samples")] = 50
    max_samples: Annotated[
        int, msgspec.Meta(ge=2, le=4_096, description="Rows drawn for each sample, at most those there are")
    ] = 8


class LesinnState(State, frozen=True):
    """The samples, and how many rows of the fit sample each of their rows stands for."""

    center: Floats  # [d], mean of each column
    spread: Floats  # [d]
    points: Floats  # [n_estimators, max_samples, d], standardised
    copies: Floats  # [n_estimators, max_samples]

    def check(self, d: int) -> None:
        """See `State`."""
        nb.check_scales(self, d)
        n = layout.shapes(self, d, points="t m d", copies="t m")
        layout.require(n["t"], "`points` holds no sample")


@algorithm(
    kind="table",
    family="proximity",
    reference="Pang, Ting & Albrecht 2015",
    complexity="O(n_estimators * max_samples * d * n)",
    params=LesinnParams,
    handles_missing=False,
    deterministic=False,
    uses_own=True,
)
class lesinn:
    """Mean distance to the nearest of a few random rows, over many small samples.

    The Euclidean distance to the nearest row of each sample, mean over the samples. Columns are divided by their
    standard deviation in the fit sample; a gap takes the column's mean. A training row is not compared with
    itself where it was drawn; rows of equal values share the mean of the scores that they would have each. The
    paper does not say so, but with few rows all would else be at distance 0 from themselves.
    """

    @staticmethod
    def fit(X: Floats, params: LesinnParams, seed: int) -> LesinnState:
        """Standardise the rows and draw the samples."""
        center, spread = nb.column_scales(X)
        Z, empty = nb.standardised(X, center, spread)
        points = sub.draw(Z, empty, params.n_estimators, params.max_samples, np.random.default_rng(seed))
        return LesinnState(center, spread, points, sub.count_copies(Z, empty, points))

    @staticmethod
    def score(state: LesinnState, X: Floats, own: Flags) -> Floats:
        """Mean distance to the nearest row drawn; NaN where a row has no value."""
        Z, empty = nb.standardised(X, state.center, state.spread)
        return sub.mean_nearest(Z, empty, own, state.points, state.copies)

    @staticmethod
    def explain(state: LesinnState, X: Floats) -> Floats:
        """Distances by the squared differences from the nearest row drawn that has other values.

        A row's contributions sum to its score unless it equals a row that was drawn.
        """
        Z, empty = nb.standardised(X, state.center, state.spread)
        return sub.nearest_shares(Z, empty, state.points)
