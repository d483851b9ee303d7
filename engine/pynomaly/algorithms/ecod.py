"""Empirical cumulative distributions: an anomaly lies in the tails of its columns (Li et al. 2022)."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithm import Flags, Floats, NoParams, State, algorithm
from pynomaly.kernels import columns, kernel

Counts = NDArray[np.int32]

TRIM = 0.02  # share of a column's values at either end that the buckets leave out, so that a far one is no harm
UNSEEN = 0.5  # rows that a tail counts when no fitted row lies in it
BLOCK = 256  # rows that are looked up together
STEPS = 3  # steps from the start of a bucket that are taken without a branch: most end there
EPSILON = float(np.finfo(np.float64).eps)


class Sample(NamedTuple):
    """The sorted distinct values of every column, with buckets of equal width that lead to them.

    A column with m distinct values has m + 1 entries in each of the first two arrays, from `start` on: its
    values, each with the number of fitted rows below it, and infinity, with the number of all; and the first
    value of each of its m buckets with the end of the last. Bucket b holds the values for which
    (value - low) * scale lies in [b, b + 1).
    """

    ranks: Floats  # [entries, 2]
    first: Counts  # [entries], counted from the column's start
    start: NDArray[np.int64]  # [d + 1]
    low: Floats  # [d]
    scale: Floats  # [d]
    symmetric: NDArray[np.bool_]  # [d], whether the skewness is 0


@kernel
def _fill_ranks(known: Floats, ranks: Floats) -> int:
    """Fill the distinct values of a sorted column and the rows below each; return how many there are."""
    count = 0
    below = 0
    for i in range(known.size):
        ranks[count, 0], ranks[count, 1] = known[i], below
        if i + 1 == known.size or known[i + 1] != known[i]:
            count += 1
            below = i + 1
    ranks[count, 0], ranks[count, 1] = np.inf, known.size
    return count


@kernel
def _fill_buckets(ranks: Floats, first: Counts) -> tuple[float, float]:
    """Fill the first value of each bucket; return where the buckets start and how many there are per unit."""
    count = first.size - 1
    trimmed = int(TRIM * count)
    low, high = ranks[trimmed, 0], ranks[max(count - 1 - trimmed, 0), 0]
    scale = count / (high - low) if high > low else 0.0
    scale = scale if scale <= columns.LARGEST else 0.0
    first[:] = 0
    for at in range(count):
        bucket = (ranks[at, 0] - low) * scale
        if bucket < 0.0:
            first[0] += 1
        elif bucket < count:
            first[int(bucket) + 1] += 1
    for b in range(count):
        first[b + 1] += first[b]
    return low, scale


@kernel
def _is_symmetric(known: Floats) -> bool:
    """Whether the third moment of sorted values is 0, or the second within rounding of it.

    In the order of operations of scipy's `skew`, so that both find the same where the values are whole numbers.
    """
    scale = columns.unit(0.0, max(abs(known[0]), abs(known[-1])))
    mean, second, third = 0.0, 0.0, 0.0
    for value in known:
        mean += value * scale
    mean /= known.size
    for value in known:
        away = value * scale - mean
        second += away * away
        third += away * away * away
    return third == 0.0 or second / known.size <= (EPSILON * mean) ** 2


@kernel
def _fit_column(ordered: Floats, ranks: Floats, first: Counts) -> tuple[int, float, float, bool]:
    """Fill the entries of a sorted column; return their number, and the start, scale and symmetry."""
    known = ordered[: columns.n_known(ordered)]
    count = _fill_ranks(known, ranks)
    first[0] = 0
    if count == 0:
        return 1, 0.0, 0.0, True
    low, scale = _fill_buckets(ranks, first[: count + 1])
    return count + 1, low, scale, _is_symmetric(known)


@kernel
def _search(ranks: Floats, value: float, at: int, end: int) -> int:
    """The first entry in [at, end) that is not below the value, or `end`."""
    while at < end:
        middle = (at + end) // 2
        if ranks[middle, 0] < value:
            at = middle + 1
        else:
            end = middle
    return at


@kernel
def _find(X: Floats, from_row: int, j: int, ranks: Floats, first: Counts, low: float, scale: float, at: Counts) -> None:
    """Fill `at` with the first entry of column j that is not below the value, for each row of a block.

    Loops without branches go first, so that the processor fetches many entries at a time.
    """
    last = first.size - 1
    for i in range(at.size):
        bucket = (X[from_row + i, j] - low) * scale
        at[i] = first[int(bucket)] if bucket >= 0.0 and bucket < last else 0
    for i in range(at.size):
        for _ in range(STEPS):
            at[i] += int(ranks[at[i], 0] < X[from_row + i, j])
    for i in range(at.size):
        value = X[from_row + i, j]
        if ranks[at[i], 0] < value:
            bucket = (value - low) * scale
            end = first[int(bucket) + 1] if bucket >= 0.0 and bucket < last else last
            at[i] = _search(ranks, value, at[i], end)


@kernel
def _surprise(ranks: Floats, at: int, value: float, is_symmetric: bool) -> float:
    """-log of the share of fitted rows in the smaller tail that holds the value, or in both tails."""
    n, below = ranks[-1, 1], ranks[at, 1]
    through = ranks[at + 1, 1] if ranks[at, 0] == value else below
    left, right = max(through, UNSEEN) / n, max(n - below, UNSEEN) / n
    return -math.log(left) - math.log(right) if is_symmetric else -math.log(min(left, right))


@kernel
def _add_surprises(X: Floats, sample: Sample, out: Floats) -> None:
    """Add what each cell says to its place in `out`, or to the row's sum where `out` has one column. O(n d)."""
    block = np.empty(BLOCK, np.int32)
    for j in range(X.shape[1]):
        column = j if out.shape[1] > 1 else 0
        entries = slice(sample.start[j], sample.start[j + 1])
        ranks, first = sample.ranks[entries], sample.first[entries]
        for from_row in range(0, X.shape[0] if first.size > 1 else 0, BLOCK):
            at = block[: min(BLOCK, X.shape[0] - from_row)]
            _find(X, from_row, j, ranks, first, sample.low[j], sample.scale[j], at)
            for i in range(at.size):
                value = X[from_row + i, j]
                if value == value:
                    out[from_row + i, column] += _surprise(ranks, at[i], value, sample.symmetric[j])


def _surprises(X: Floats, sample: Sample, n_columns: int) -> Floats:
    out = np.zeros((len(X), n_columns))
    _add_surprises(X, sample, out)
    columns.rescale(X, out)
    return out


class EcodState(State, frozen=True):
    """The fitted columns; see `Sample`."""

    ranks: Floats
    first: Counts
    start: NDArray[np.int64]
    low: Floats
    scale: Floats
    symmetric: NDArray[np.bool_]

    @property
    def sample(self) -> Sample:
        """The arrays as the kernels take them."""
        return Sample(self.ranks, self.first, self.start, self.low, self.scale, self.symmetric)


@algorithm(
    kind="table",
    family="probabilistic",
    reference="Li, Zhao, Hu, Botta, Ionescu & Chen 2022",
    complexity="O(d * n * log(n))",
    params=NoParams,
)
class ecod:
    """Empirical-distribution outlier detection: how small the tails are that hold a row's values.

    The sum over the columns of -log(share of fitted rows at or beyond the value), of the smaller tail; of both
    tails where the column's skewness is exactly 0. On the fitted rows this is PyOD's ECOD, whose choice of the
    tail by the sign of the skewness never exceeds the smaller one. New rows are held against the fitted
    columns only, while PyOD sorts them together with the fitted rows, so that a score depends on its batch. A
    value beyond all fitted ones counts as half a row: more extreme than any of them, and finite. With gaps, the
    sum over the other columns is scaled up to all.
    """

    @staticmethod
    def fit(X: Floats, _params: NoParams, _seed: int) -> EcodState:
        """Sort each column."""
        n, d = X.shape
        ranks, first = np.empty((d * (n + 1), 2)), np.empty(d * (n + 1), np.int32)
        start, low, scale = np.zeros(d + 1, np.int64), np.empty(d), np.empty(d)
        symmetric = np.empty(d, np.bool_)
        for place, block in columns.ordered_columns(X):
            for j, ordered in enumerate(block, place.start):
                used, low[j], scale[j], symmetric[j] = _fit_column(ordered, ranks[start[j] :], first[start[j] :])
                start[j + 1] = start[j] + used
        if start[d] < len(first):
            ranks, first = ranks[: start[d]].copy(), first[: start[d]].copy()
        return EcodState(ranks, first, start, low, scale, symmetric)

    @staticmethod
    def score(state: EcodState, X: Floats, _own: Flags) -> Floats:
        """The sum over the columns; NaN where a row has no value."""
        return _surprises(X, state.sample, 1)[:, 0]

    @staticmethod
    def explain(state: EcodState, X: Floats) -> Floats:
        """What each column adds to the score, 0 for a gap."""
        return _surprises(X, state.sample, X.shape[1])
