"""Empirical cumulative distributions: an anomaly lies in the tails of its columns (Li et al. 2022)."""

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithm import Flags, Floats, NoParams, State, algorithm
from pynomaly.kernels import columns, kernel

Counts = NDArray[np.uint32]

# A column's values are cut at these shares of them, closer and closer to either end: within a piece of a heavy tail,
# too, buckets of equal width hold few values.
CUTS = np.array([0.0, *(0.5**k for k in range(8, 0, -1)), *(1.0 - 0.5**k for k in range(2, 9))])
UNSEEN = 0.5  # rows that a tail counts when no fitted row lies in it
BLOCK = 256  # rows that are looked up together
FACTORS = 16  # shares that are multiplied before the logarithm is taken: their product cannot underflow
NO_SKEWNESS = 1e-9
EPSILON = float(np.finfo(np.float64).eps)


class Sample(NamedTuple):
    """The sorted distinct values of every column, with buckets that lead to them.

    A column with m distinct values has m + 1 entries in each of the first three arrays, from `start` on: its
    values and infinity; the number of fitted rows below each; the first value of each of its m buckets, counted
    from `start`, and the end of the last. The values of a piece are as many as its buckets, which have equal width.
    """

    values: Floats
    below: Counts
    first: Counts
    start: NDArray[np.int64]  # [d + 1]
    pieces: Counts  # [d, len(CUTS) + 1], first bucket, and first value, of each piece
    bound: Floats  # [d, len(CUTS)], lowest value of each piece
    scale: Floats  # [d, len(CUTS)], buckets per unit in each piece
    symmetric: NDArray[np.bool_]  # [d], whether the skewness is 0


@kernel
def _fill_ranks(known: Floats, values: Floats, below: Counts) -> int:
    """Fill the distinct values of a sorted column and the rows below each; return how many there are."""
    count, passed = 0, 0
    for i in range(known.size):
        values[count], below[count] = known[i], passed
        if i + 1 == known.size or known[i + 1] != known[i]:
            count, passed = count + 1, i + 1
    values[count], below[count] = np.inf, known.size
    return count


@kernel
def _bucket(value: float, piece: np.uint32, pieces: Counts, bound: Floats, scale: Floats) -> np.uint32:
    """The bucket of a value in a piece: one before or after all of them goes to the nearest."""
    one = np.uint32(1)
    first, last = pieces[piece], max(pieces[piece + one], one) - one
    place = first + (value - bound[piece]) * scale[piece]
    place = place if place > first else float(first)
    return np.uint32(place if place < last else last)


@kernel
def _fill_buckets(values: Floats, first: Counts, pieces: Counts, bound: Floats, scale: Floats) -> None:
    """Cut the distinct values of a column into pieces, and fill the first value of each bucket."""
    count = values.size
    pieces[CUTS.size] = count
    for p in range(CUTS.size):
        pieces[p] = int(CUTS[p] * count)
        bound[p] = values[pieces[p]]
    first.fill(0)
    for p in range(CUTS.size):
        width = (bound[p + 1] if p + 1 < CUTS.size else values[count - 1]) - bound[p]
        scale[p] = (pieces[p + 1] - pieces[p]) / width if width > 0.0 else 0.0
        for at in range(pieces[p], pieces[p + 1]):
            first[_bucket(values[at], np.uint32(p), pieces, bound, scale) + np.uint32(1)] += np.uint32(1)
    for b in range(count):
        first[b + 1] += first[b]


@kernel
def _is_symmetric(known: Floats) -> bool:
    """Whether the skewness of sorted values is 0 but for rounding, or their spread no more than rounding.

    A sign that rounding decides would make scores depend on the last bit of a column.
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
    second, third = second / known.size, third / known.size
    return abs(third) <= NO_SKEWNESS * second**1.5 or second <= (EPSILON * mean) ** 2


@kernel
def _fit_column(ordered: Floats, sample: Sample, j: int) -> None:
    """Fill the entries of a sorted column, from `start` on."""
    known = ordered[: columns.n_known(ordered)]
    start = sample.start[j]
    values, below, first = sample.values[start:], sample.below[start:], sample.first[start:]
    count = _fill_ranks(known, values, below)
    first[0] = 0
    if count > 0:
        _fill_buckets(values[:count], first[: count + 1], sample.pieces[j], sample.bound[j], sample.scale[j])
        sample.symmetric[j] = _is_symmetric(known)
    sample.start[j + 1] = start + count + 1


@kernel
def _search(values: Floats, value: float, at: np.uint32, end: np.uint32) -> np.uint32:
    """The first entry in [at, end) that is not below the value, or `end`."""
    while at < end:
        middle = (at + end) // np.uint32(2)
        if values[middle] < value:
            at = middle + np.uint32(1)
        else:
            end = middle
    return at


@kernel
def _find(sample: Sample, j: int, cells: Floats, at: Counts, end: Counts) -> None:
    """Fill `at` with the first entry of column j that is not below each of the cells; `end` is scratch.

    Most are found by three steps from the start of their bucket. Those are taken in loops without branches, so
    that the processor fetches many entries at a time.
    """
    values, first, start, one = sample.values, sample.first, np.uint32(sample.start[j]), np.uint32(1)
    pieces, bound, scale = sample.pieces[j], sample.bound[j], sample.scale[j]
    at.fill(0)
    for p in range(1, CUTS.size):
        for i in range(cells.size):
            at[i] += np.uint32(cells[i] >= bound[p])
    for i in range(cells.size):
        entry = start + _bucket(cells[i], at[i], pieces, bound, scale)
        at[i], end[i] = start + first[entry], start + first[entry + one]
    for i in range(cells.size):
        at[i] += np.uint32(values[at[i]] < cells[i])
    for i in range(cells.size):
        entry = at[i]
        entry += np.uint32(values[entry] < cells[i])
        at[i] = entry + np.uint32(values[entry] < cells[i])
    for i in range(cells.size):
        if values[at[i]] < cells[i]:
            at[i] = _search(values, cells[i], at[i] + one, end[i])


@kernel
def _fill_tails(X: Floats, from_row: int, j: int, sample: Sample, cells: Floats, scratch: Counts) -> None:
    """Replace `cells` by the shares of fitted rows in the smaller tails that hold column j's cells; 1 for a gap.

    The product of both tails where the column is symmetric.
    """
    for i in range(cells.size):
        cells[i] = X[from_row + i, j]
    at = scratch[0, : cells.size]
    _find(sample, j, cells, at, scratch[1, : cells.size])
    n: float = sample.below[sample.start[j + 1] - 1]
    is_symmetric = sample.symmetric[j]
    for i in range(cells.size):
        below: float = sample.below[at[i]]
        through: float = sample.below[at[i] + np.uint32(sample.values[at[i]] == cells[i])]
        left = through if through > UNSEEN else UNSEEN
        right = n - below if n - below > UNSEEN else UNSEEN
        tail = (left if left < right else right) / n if not is_symmetric else left / n * (right / n)
        cells[i] = tail if cells[i] == cells[i] else 1.0


@kernel
def _scores(X: Floats, sample: Sample) -> Floats:
    """Sum of -log(tail) over the columns, as the logarithm of products. O(n d)."""
    d = X.shape[1]
    out, product = np.zeros(X.shape[0]), np.ones(BLOCK)
    tails, scratch = np.empty(BLOCK), np.empty((2, BLOCK), np.uint32)
    for first in range(0, X.shape[0], BLOCK):
        count = min(BLOCK, X.shape[0] - first)
        for j in range(d):
            if sample.start[j + 1] - sample.start[j] > 1:
                _fill_tails(X, first, j, sample, tails[:count], scratch)
                for i in range(count):
                    product[i] *= tails[i]
            if j + 1 == d or j % FACTORS == FACTORS - 1:
                for i in range(count):
                    out[first + i] -= math.log(product[i])
                    product[i] = 1.0
    return out


@kernel
def _surprises(X: Floats, sample: Sample) -> Floats:
    """-log(tail) of each cell, 0 for a gap and in a column that the fit never saw. O(n d)."""
    out = np.zeros(X.shape)
    tails, scratch = np.empty(BLOCK), np.empty((2, BLOCK), np.uint32)
    for first in range(0, X.shape[0], BLOCK):
        count = min(BLOCK, X.shape[0] - first)
        for j in range(X.shape[1]):
            if sample.start[j + 1] - sample.start[j] > 1:
                _fill_tails(X, first, j, sample, tails[:count], scratch)
                for i in range(count):
                    out[first + i, j] -= math.log(tails[i])
    return out


def _empty(n: int, d: int) -> Sample:
    """Room for d columns of n rows."""
    size, cuts = d * (n + 1), len(CUTS)
    values, below, first = np.empty(size), np.empty(size, np.uint32), np.empty(size, np.uint32)
    start, pieces = np.zeros(d + 1, np.int64), np.zeros((d, cuts + 1), np.uint32)
    return Sample(values, below, first, start, pieces, np.zeros((d, cuts)), np.zeros((d, cuts)), np.ones(d, np.bool_))


def _trimmed(array: Any, used: int) -> Any:
    """The used part, without holding the rest in memory."""
    return array if used == len(array) else array[:used].copy()


class EcodState(State, frozen=True):
    """The fitted columns; see `Sample`."""

    values: Floats
    below: Counts
    first: Counts
    start: NDArray[np.int64]
    pieces: Counts
    bound: Floats
    scale: Floats
    symmetric: NDArray[np.bool_]

    @property
    def sample(self) -> Sample:
        """The arrays as the kernels take them."""
        return Sample(*msgspec.structs.astuple(self))


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
    tails where the column's skewness is exactly 0. On the fitted rows this is PyOD's ECOD: it takes the largest of
    either tail's value and of the one that the sign of the skewness selects. New rows are held against the fitted
    columns only, while PyOD sorts them together with the fitted rows, so that a score depends on its batch. A
    value beyond all fitted ones counts as half a row: more extreme than any of them, and finite. With gaps, the
    sum over the other columns is scaled up to all.
    """

    @staticmethod
    def fit(X: Floats, _params: NoParams, _seed: int) -> EcodState:
        """Sort each column."""
        sample = _empty(*X.shape)
        for place, block in columns.ordered_columns(X):
            for j, ordered in enumerate(block, place.start):
                _fit_column(ordered, sample, j)
        used = sample.start[-1]
        values, below, first = (_trimmed(array, used) for array in sample[:3])
        return EcodState(values, below, first, *sample[3:])

    @staticmethod
    def score(state: EcodState, X: Floats, _own: Flags) -> Floats:
        """The sum over the columns; NaN where a row has no value."""
        scores = _scores(X, state.sample)
        columns.rescale(X, scores.reshape(-1, 1))
        return scores

    @staticmethod
    def explain(state: EcodState, X: Floats) -> Floats:
        """What each column adds to the score, 0 for a gap."""
        contributions = _surprises(X, state.sample)
        columns.rescale(X, contributions)
        return contributions
