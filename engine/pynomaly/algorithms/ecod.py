"""Empirical cumulative distributions: an anomaly lies in the tails of its columns (Li et al. 2022)."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, NoParams, State, algorithm
from pynomaly.kernels import columns, kernel, tails


@kernel
def _fill_shares(
    X: Floats,
    begin: int,
    j: int,
    sample: tails.Sample,
    is_symmetric: bool,
    room: tails.Scratch,
    left: Floats,
    right: Floats,
) -> int:
    """Fill, in `left`, the shares of fitted rows in the smaller tails that hold column j's cells.

    The product of both tails where the column is symmetric; 1 for a gap. Returns how many gaps there may be.
    """
    gaps: int = tails.fill_tails(X, begin, j, sample, room, left, right)
    for i in range(left.size):
        smaller = left[i] if left[i] < right[i] else right[i]
        left[i] = left[i] * right[i] if is_symmetric else smaller
    return gaps


@kernel
def _fill_scores(X: Floats, sample: tails.Sample, symmetric: Flags, out: Floats) -> None:
    """Fill the sum of -log(tail) over the columns, as the logarithm of products. O(n d)."""
    d, room, gaps = X.shape[1], tails.scratch(), 0
    product, left, right = np.ones(tails.BLOCK), np.empty(tails.BLOCK), np.empty(tails.BLOCK)
    out.fill(0.0)
    for begin in range(0, X.shape[0], tails.BLOCK):
        count = min(tails.BLOCK, X.shape[0] - begin)
        for j in range(d):
            gaps += _fill_shares(X, begin, j, sample, symmetric[j], room, left[:count], right[:count])
            for i in range(count):
                product[i] *= left[i]
            if j + 1 == d or j % tails.FACTORS == tails.FACTORS - 1:
                for i in range(count):
                    out[begin + i] -= math.log(product[i])
                    product[i] = 1.0
    if gaps > 0:
        columns.rescale(X, out.reshape(-1, 1))


@kernel
def _surprises(X: Floats, sample: tails.Sample, symmetric: Flags) -> Floats:
    """-log(tail) of each cell, 0 for a gap and in a column that the fit never saw. O(n d)."""
    out, room, left, right = np.zeros(X.shape), tails.scratch(), np.empty(tails.BLOCK), np.empty(tails.BLOCK)
    for begin in range(0, X.shape[0], tails.BLOCK):
        count = min(tails.BLOCK, X.shape[0] - begin)
        for j in range(X.shape[1]):
            _fill_shares(X, begin, j, sample, symmetric[j], room, left[:count], right[:count])
            for i in range(count):
                out[begin + i, j] -= math.log(left[i])
    return out


class EcodState(State, frozen=True):
    """The fitted columns; see `tails.Sample`."""

    values: Floats
    below: tails.Counts
    first: tails.Counts
    start: NDArray[np.int64]
    known: tails.Counts
    grid: Floats
    pieces: Floats
    symmetric: Flags  # [d], whether the skewness is 0

    @property
    def sample(self) -> tails.Sample:
        """The arrays as the kernels take them."""
        return tails.Sample(*msgspec.structs.astuple(self)[:-1])

    def check(self, d: int) -> None:
        """See `State`."""
        tails.check(self.sample, d)
        layout.shapes(self, d, symmetric="d")


@algorithm(
    kind="table",
    family="probability",
    reference="Li, Zhao, Hu, Botta, Ionescu & Chen 2022",
    complexity="O(d * n * log(n))",
    params=NoParams,
)
class ecod:
    """Empirical-distribution outlier detection: how small the tails are that hold a row's values.

    The sum over the columns of -log(share of fitted rows at or beyond the value), of the smaller tail; of both
    tails where the column's skewness is exactly 0. On the fitted rows this is PyOD's ECOD: it takes the largest of
    either tail's value and of the one that the sign of the skewness selects. New rows are held against the fitted
    columns only, while PyOD sorts them together with the fitted rows, so that a score depends on its batch. A
    value beyond all fitted ones counts as half a row: more extreme than any of them, and finite. With gaps, the
    sum over the other columns is scaled up to all.
    """

    @staticmethod
    def fit(X: Floats, _params: NoParams, _seed: int) -> EcodState:
        """Sort each column."""
        sample, skewness = tails.fit(X)
        return EcodState(*sample, skewness == 0)

    @staticmethod
    def score(state: EcodState, X: Floats, _own: Flags) -> Floats:
        """The sum over the columns; NaN where a row has no value."""
        sample = state.sample
        return columns.scored(X, lambda rows, scores: _fill_scores(rows, sample, state.symmetric, scores))

    @staticmethod
    def explain(state: EcodState, X: Floats) -> Floats:
        """What each column adds to the score, 0 for a gap."""
        contributions = _surprises(X, state.sample, state.symmetric)
        columns.rescale(X, contributions)
        return contributions
