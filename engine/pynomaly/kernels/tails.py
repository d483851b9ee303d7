"""Tails of the columns: the share of fitted rows at or below, and at or above, any value."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels import columns, kernel

Floats = NDArray[np.float64]
Counts = NDArray[np.uint32]
Signs = NDArray[np.int8]

# A column's values are cut at these shares of them, closer and closer to either end: within a piece of a heavy tail,
# too, buckets of equal width hold few values.
CUTS = np.array([0.0, *(0.5**k for k in range(8, 0, -1)), *(1.0 - 0.5**k for k in range(2, 9))])
UNSEEN = 0.5  # rows that a tail counts when no fitted row lies in it
BLOCK = 256  # rows that are looked up together
FACTORS = 16  # shares that may be multiplied before the logarithm is taken: their product cannot underflow
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
def _skewness_sign(known: Floats) -> int:
    """The sign of the skewness of sorted values: 0 where it, or their spread, is no more than rounding.

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
    if abs(third) <= NO_SKEWNESS * second**1.5 or second <= (EPSILON * mean) ** 2:
        return 0
    return 1 if third > 0.0 else -1


@kernel
def _fit_column(ordered: Floats, sample: Sample, skewness: Signs, j: int) -> None:
    """Fill the entries of a sorted column, from `start` on."""
    known = ordered[: columns.n_known(ordered)]
    start = sample.start[j]
    values, below, first = sample.values[start:], sample.below[start:], sample.first[start:]
    count = _fill_ranks(known, values, below)
    first[0] = 0
    if count > 0:
        _fill_buckets(values[:count], first[: count + 1], sample.pieces[j], sample.bound[j], sample.scale[j])
        skewness[j] = _skewness_sign(known)
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
def fill_tails(X: Floats, first: int, j: int, sample: Sample, left: Floats, right: Floats, scratch: Counts) -> None:
    """Fill the shares of fitted rows at or below, and at or above, column j's cells from row `first` on.

    Both are 1 for a gap and for every cell of a column that the fit never saw.
    """
    n: float = sample.below[sample.start[j + 1] - 1]
    for i in range(left.size):
        left[i] = X[first + i, j] if n > 0.0 else np.nan
    at = scratch[0, : left.size]
    if n > 0.0:
        _find(sample, j, left, at, scratch[1, : left.size])
    for i in range(left.size):
        cell = left[i]
        left[i], right[i] = 1.0, 1.0
        if cell == cell:
            below: float = sample.below[at[i]]
            through: float = sample.below[at[i] + np.uint32(sample.values[at[i]] == cell)]
            left[i] = (through if through > UNSEEN else UNSEEN) / n
            right[i] = (n - below if n - below > UNSEEN else UNSEEN) / n


def _empty(n: int, d: int) -> Sample:
    """Room for d columns of n rows."""
    size, cuts = d * (n + 1), len(CUTS)
    values, below, first = np.empty(size), np.empty(size, np.uint32), np.empty(size, np.uint32)
    start, pieces = np.zeros(d + 1, np.int64), np.zeros((d, cuts + 1), np.uint32)
    return Sample(values, below, first, start, pieces, np.zeros((d, cuts)), np.zeros((d, cuts)))


def _trimmed(array: Any, used: int) -> Any:
    """The used part, without holding the rest in memory."""
    return array if used == len(array) else array[:used].copy()


def fit(X: Floats) -> tuple[Sample, Signs]:
    """Sort each column; also the sign of each column's skewness, 0 where that is no more than rounding."""
    sample, skewness = _empty(*X.shape), np.zeros(X.shape[1], np.int8)
    for place, block in columns.ordered_columns(X):
        for j, ordered in enumerate(block, place.start):
            _fit_column(ordered, sample, skewness, j)
    used = sample.start[-1]
    values, below, first = (_trimmed(array, used) for array in sample[:3])
    return Sample(values, below, first, *sample[3:]), skewness
