"""Empirical copula: an anomaly lies in tails of its columns that point the same way (Li et al. 2020)."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, NoParams, State, algorithm
from pynomaly.kernels import columns, kernel, tails


@kernel
def _multiply(left: Floats, right: Floats, skewness: int, products: Floats) -> None:
    """Multiply the shares of a column's left tails, right tails, and tails on its skewed side into `products`."""
    by_left, by_right, by_skewed = products[0], products[1], products[2]
    skewed = left if skewness < 0 else right
    for i in range(left.size):
        by_left[i] *= left[i]
        by_right[i] *= right[i]
        by_skewed[i] *= skewed[i]


@kernel
def _move(products: Floats, sums: Floats) -> None:
    """Take the -log of products into the sums, and begin new products."""
    for side in range(3):
        for i in range(products.shape[1]):
            sums[side, i] -= math.log(products[side, i])
    products.fill(1.0)


@kernel
def _fill_scores(X: Floats, sample: tails.Sample, skewness: tails.Signs, out: Floats) -> None:
    """Fill the largest of the three sums of -log(tail) over the columns, as logarithms of products. O(n d)."""
    d, room, gaps = X.shape[1], tails.scratch(), 0
    products, sums = np.empty((3, tails.BLOCK)), np.empty((3, tails.BLOCK))
    left, right = np.empty(tails.BLOCK), np.empty(tails.BLOCK)
    for begin in range(0, X.shape[0], tails.BLOCK):
        count = min(tails.BLOCK, X.shape[0] - begin)
        products.fill(1.0)
        sums.fill(0.0)
        for j in range(d):
            if j > 0 and j % tails.FACTORS == 0:
                _move(products, sums)
            gaps += tails.fill_tails(X, begin, j, sample, room, left[:count], right[:count])
            _multiply(left[:count], right[:count], skewness[j], products)
        if d > tails.FACTORS:
            _move(products, sums)
        for i in range(count):
            smallest = min(products[0, i], products[1, i], products[2, i])
            out[begin + i] = max(sums[0, i], sums[1, i], sums[2, i]) - math.log(smallest)
    if gaps > 0:
        columns.rescale(X, out.reshape(-1, 1))


@kernel
def _shares(X: Floats, sample: tails.Sample, scores: Floats) -> Floats:
    """The scores, divided among the columns in proportion to -log(smaller tail). O(n d)."""
    out, total, room = np.zeros(X.shape), np.zeros(X.shape[0]), tails.scratch()
    left, right = np.empty(tails.BLOCK), np.empty(tails.BLOCK)
    for begin in range(0, X.shape[0], tails.BLOCK):
        count = min(tails.BLOCK, X.shape[0] - begin)
        for j in range(X.shape[1]):
            tails.fill_tails(X, begin, j, sample, room, left[:count], right[:count])
            for i in range(count):
                out[begin + i, j] = -math.log(min(left[i], right[i]))
                total[begin + i] += out[begin + i, j]
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            out[i, j] *= scores[i] / total[i] if total[i] > 0.0 else 1.0
    return out


class CopodState(State, frozen=True):
    """The fitted columns; see `tails.Sample`."""

    values: Floats
    below: tails.Counts
    first: tails.Counts
    start: NDArray[np.int64]
    known: tails.Counts
    grid: Floats
    pieces: Floats
    skewness: tails.Signs  # [d], its sign

    @property
    def sample(self) -> tails.Sample:
        """The arrays as the kernels take them."""
        return tails.Sample(*msgspec.structs.astuple(self)[:-1])

    def check(self, d: int) -> None:
        """See `State`."""
        tails.check(self.sample, d)
        layout.shapes(self, d, skewness="d")


@algorithm(
    kind="table",
    family="probability",
    reference="Li, Zhao, Botta, Ionescu & Hu 2020",
    complexity="O(d * n * log(n))",
    params=NoParams,
)
class copod:
    """Copula-based outlier detection: how unlikely a row is to lie so far out on one side in all columns.

    The largest of three sums over the columns, as in the paper: of -log(share of fitted rows at or below the
    value), of -log(share at or above), and of the former where the column's skewness is negative and the latter
    elsewhere. A skewness that is no more than rounding counts as 0, so the right tail is taken.

    PyOD's COPOD differs in three ways. It takes the largest within each column before it sums, not after: of
    -log(tail on the skewed side) and of the mean of both sides' -log. In a column of skewness 0, what it takes for
    the skewed side is the sum of both. And it ranks new rows and fitted rows together, so that a score depends on
    its batch; here new rows are held against the fitted columns only, and a value beyond all fitted ones counts as
    half a row: more extreme than any of them, and finite. With gaps, the sums over the other columns are scaled up.
    """

    @staticmethod
    def fit(X: Floats, _params: NoParams, _seed: int) -> CopodState:
        """Sort each column."""
        sample, skewness = tails.fit(X)
        return CopodState(*sample, skewness)

    @staticmethod
    def score(state: CopodState, X: Floats, _own: Flags) -> Floats:
        """The largest of the three sums; NaN where a row has no value."""
        sample = state.sample
        return columns.scored(X, lambda rows, scores: _fill_scores(rows, sample, state.skewness, scores))

    @staticmethod
    def explain(state: CopodState, X: Floats) -> Floats:
        """The score, divided in proportion to -log(the column's smaller tail), 0 for a gap.

        The addends of the largest sum would leave out a column whose value lies on the other side, however far.
        """
        return _shares(X, state.sample, copod.score(state, X, np.zeros(len(X), np.bool_)))
