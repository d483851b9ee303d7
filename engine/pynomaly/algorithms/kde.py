"""Kernel density estimate: an anomaly lies where few rows are (Parzen 1962)."""

import math
from typing import Annotated, Literal

import msgspec
import numpy as np

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import balltree
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels import subsamples as sub

MOST, MANY = 262_144, 4096  # rows that the density is made of in one column, and in more
SQRT_TAU = math.sqrt(2.0 * math.pi)
NEAREST = 20  # rows that the reasons compare a row with: more than there are alike among anomalies
BLOCK = 256  # rows that a thread takes at a time


class KdeParams(Params, frozen=True):
    """Parameters of the density estimate."""

    bandwidth: Annotated[float, msgspec.Meta(ge=0.01, le=100.0, description="Width of the kernel over Scott's")] = 1.0
    max_samples: Annotated[
        Annotated[int, msgspec.Meta(ge=2, le=MOST)] | Literal["auto"],
        msgspec.Meta(description="Rows that the density is made of; auto is 262,144 in one column, 4,096 in more"),
    ] = "auto"


class KdeState(State, frozen=True):
    """The rows that the density is made of, in a tree, and the width of the kernel."""

    center: Floats  # [d], mean of each column
    spread: Floats  # [d]
    width: float
    n_rows: int
    rows: Floats  # this and the next five: see `balltree.BallTree`
    copies: Floats
    ball_center: Floats
    ball_radius: Floats
    ball_terms: Floats
    starts: balltree.Integers

    @property
    def tree(self) -> balltree.BallTree:
        """The tree as the kernels take it."""
        balls = (self.ball_center, self.ball_radius, self.ball_terms)
        return balltree.BallTree(self.rows, self.copies, *balls, self.starts, 0.5 / self.width**2)

    def check(self, d: int) -> None:
        """See `State`."""
        nb.check_scales(self, d)
        layout.require(0.0 < self.width < math.inf and self.n_rows > 0, "`width` is none")
        balltree.check(self.tree, d)


@algorithm(
    kind="table",
    family="probability",
    reference="Parzen 1962",
    complexity="O(max_samples * d * n)",
    params=KdeParams,
    handles_missing=False,
    deterministic=False,
    uses_own=True,
)
class kde:
    """Kernel density estimate: minus the logarithm of the density around a row.

    The score is -log(mean of K((x - y) / h) / h ** d) over m rows y: at most `max_samples` drawn from the
    fitted ones, K the product of normal densities of the standardised columns, h `bandwidth` times
    m ** (-1 / (d + 4)) (Scott 1992). Only differences of scores mean something; a score may be below 0.

    The rows lie in a tree of balls (Gray & Moore 2003). A ball is left out, or in one column summed as a whole, where
    the error this can make is below the ball's share of a millionth of the density: a score is within 1e-6 of the sum
    over all rows. What the tree spares grows with m and falls with d: of 262,144 rows 98 in 100 in one column, two in
    three in two or three, next to nothing from five on, where all are compared and the number drawn bounds the time.
    Sums of logarithms are taken from the nearest row on, so that no density underflows: a row far from all others
    scores by its distance from the nearest, however far. A training row that equals one of the m leaves one such row
    out, since it would be its own evidence.

    Reasons are, by column, the mean of (x - y) ** 2 / (2 h ** 2) over the 20 nearest distinct rows of other values:
    what the column takes off the logarithm of a kernel. Weights by the kernel would see the nearest row alone, so that
    of two anomalies alike each would hide why the other is one.

    Unlike in PyOD, whose width is 1 in the units of the columns and whose training rows count themselves, columns are
    divided by their standard deviation in the fit sample. A gap takes the column's mean.
    """

    @staticmethod
    def fit(X: Floats, params: KdeParams, seed: int) -> KdeState:
        """Standardise the rows, draw those that the density is made of, and choose the width."""
        center, spread = nb.column_scales(X)
        Z, empty = nb.standardised(X, center, spread)
        most = (MOST if X.shape[1] == 1 else MANY) if params.max_samples == "auto" else params.max_samples
        points = sub.draw(Z, empty, 1, most, np.random.default_rng(seed))[0]
        width = params.bandwidth * len(points) ** (-1.0 / (X.shape[1] + 4))
        return KdeState(center, spread, width, len(points), *balltree.build(points, 0.5 / width**2)[:-1])

    @staticmethod
    def score(state: KdeState, X: Floats, own: Flags) -> Floats:
        """Negative log density; NaN where a row has no value."""
        Z, empty = nb.standardised(X, state.center, state.spread)
        tree, scores = state.tree, np.empty(len(X))

        def run(first: int, end: int) -> None:
            balltree.fill_log_sums(tree, Z[first:end], own[first:end], float(state.n_rows), scores[first:end])

        workers.over_rows(len(X), BLOCK, run)
        scores += X.shape[1] * math.log(state.width * SQRT_TAU)
        scores[empty] = np.nan
        return scores

    @staticmethod
    def explain(state: KdeState, X: Floats) -> Floats:
        """Mean squared distance to the nearest rows by column, in widths of the kernel."""
        Z, empty = nb.standardised(X, state.center, state.spread)
        tree, shares = state.tree, np.empty(X.shape)

        def run(first: int, end: int) -> None:
            balltree.fill_shares(tree, Z[first:end], NEAREST, shares[first:end])

        workers.over_rows(len(X), BLOCK, run)
        shares[empty] = np.nan
        return shares
