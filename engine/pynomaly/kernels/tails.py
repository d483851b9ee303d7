"""Tails of the columns: how many fitted rows lie at or below, and at or above, any value."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.kernels import columns, kernel

Floats = NDArray[np.float64]
Counts = NDArray[np.uint32]
Places = NDArray[np.int32]
Signs = NDArray[np.int8]

WINDOW = 7  # values that are looked at, half of them before the guess and half after it
PAD = 4  # infinities before and after a column's values, so that a look beyond them needs no check
PIECES = 256  # of a column, at most
PIECE = 64  # values of a column for each of its pieces
BUCKET = 8  # values in a bucket, about
OUTER = 512  # one in so many values lies before the evenly cut part of a column's range, and after it
CLOSE = 1e-6  # from the largest place in a piece to the next piece
UNSEEN = 0.5  # rows that a tail counts when no fitted row lies in it
BLOCK = 512  # rows that are looked up together
FACTORS = 16  # shares that may be multiplied before the logarithm is taken: their product cannot underflow
NO_SKEWNESS = 1e-9
EPSILON = float(np.finfo(np.float64).eps)


class Sample(NamedTuple):
    """The sorted distinct values of every column, with buckets that lead to them.

    The bulk of a column's range is cut evenly into pieces; the first and the last also hold the values beyond. A
    piece is cut evenly into about as many buckets as it has values, divided by `BUCKET`.
    """

    values: Floats  # of one column after another: its distinct values in order, between infinities
    below: Counts  # of the columns with ties: the fitted rows below each of these values, and all rows
    first: Counts  # the number of distinct values before each of a column's buckets, and all
    start: NDArray[np.int64]  # [d + 1, 3], where a column begins in these three
    known: Counts  # [d], fitted rows with a value
    grid: Floats  # [d, 2], start of the evenly cut part, pieces per unit
    pieces: Floats  # [d, 4, pieces], lowest value, buckets per unit, first bucket, and largest place


class Scratch(NamedTuple):
    """What is found out about the cells of a block."""

    cells: Floats
    buckets: Places
    shares: Floats  # of the bucket that lie below
    at: Places  # how many values are below
    equal: Places  # how many equal the cell


@kernel
def scratch() -> Scratch:
    """Room for a block."""
    buckets, at, equal = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
    return Scratch(np.empty(BLOCK), buckets, np.empty(BLOCK), at, equal)


@kernel
def _fill_pieces(cells: Floats, grid: Floats, last: float, out: Places) -> None:
    """Fill the piece of each cell; a larger value is never in an earlier piece."""
    low, scale = grid[0], grid[1]
    for i in range(cells.size):
        piece = (cells[i] - low) * scale
        piece = piece if piece > 0.0 else 0.0
        out[i] = np.int32(piece if piece < last else last)


@kernel
def _fill_places(cells: Floats, grid: Floats, pieces: Floats, buckets: Places, shares: Floats) -> None:
    """Fill the bucket of each cell, and what share of it lies below; a larger value never has an earlier place."""
    low, scale, first, last = pieces[0], pieces[1], pieces[2], pieces[3]
    _fill_pieces(cells, grid, float(low.size - 1), buckets)
    for i in range(cells.size):
        piece = np.uint32(buckets[i])
        place = (cells[i] - low[piece]) * scale[piece] + first[piece]
        place = place if place > first[piece] else first[piece]
        shares[i] = place if place < last[piece] else last[piece]
    for i in range(cells.size):
        buckets[i] = np.int32(shares[i])
        shares[i] -= buckets[i]


@kernel
def _fill_distinct(ordered: Floats, below: Counts) -> int:
    """Move the distinct ones of sorted values to the front, fill the rows below each, and return their number.

    Nothing is filled where no two are equal.
    """
    ties = 0
    for i in range(1, ordered.size):
        ties += int(ordered[i] == ordered[i - 1])
    if ties == 0:
        return ordered.size
    count, latest = 0, np.nan
    for i in range(ordered.size):
        if ordered[i] != latest:
            latest = ordered[i]
            ordered[count], below[count] = latest, i
            count += 1
    below[count] = ordered.size
    return count


@kernel
def _cut(values: Floats, grid: Floats, pieces: Floats, buckets: Places) -> int:
    """Cut a column with these distinct values into pieces, and return the number of buckets; the last is scratch."""
    outer, counts = values.size // OUTER, np.zeros(pieces.shape[1], np.int64)
    width = values[values.size - 1 - outer] - values[outer]
    grid[0], grid[1] = values[outer], counts.size / width if width > 0.0 else 0.0
    for at in range(0, values.size, BLOCK):
        block = values[at : at + BLOCK]
        _fill_pieces(block, grid, float(counts.size - 1), buckets)
        for i in range(block.size):
            counts[buckets[i]] += 1
    total, passed = 0, 0
    for p in range(counts.size):
        n_buckets = (counts[p] + BUCKET - 1) // BUCKET
        width = values[passed + counts[p] - 1] - values[passed] if counts[p] > 1 else 0.0
        pieces[0, p], pieces[1, p] = values[min(passed, values.size - 1)], n_buckets / width if width > 0.0 else 0.0
        pieces[2, p], pieces[3, p] = total, max(total + n_buckets - CLOSE, float(total))
        total, passed = total + n_buckets, passed + counts[p]
    return total


@kernel
def _fill_buckets(values: Floats, first: Counts, grid: Floats, pieces: Floats) -> int:
    """Fill how many distinct values of a column come before each bucket, and return the number of buckets."""
    buckets, shares = np.empty(BLOCK, np.int32), np.empty(BLOCK)
    n_buckets = _cut(values, grid, pieces, buckets)
    first[: n_buckets + 1] = 0
    for at in range(0, values.size, BLOCK):
        block = values[at : at + BLOCK]
        _fill_places(block, grid, pieces, buckets, shares)
        for i in range(block.size):
            first[buckets[i] + 1] = at + i + 1
    for b in range(n_buckets):
        first[b + 1] = max(first[b], first[b + 1])
    return n_buckets


@kernel
def _skewness_sign(known: Floats) -> int:
    """The sign of the skewness of sorted values: 0 where it, or their spread, is no more than rounding.

    A sign that rounding decides would make scores depend on the last bit of a column. Moments are taken about the
    median, which is less than a spread from the mean, so that little cancels when they are moved there.
    """
    scale = columns.unit(0.0, max(abs(known[0]), abs(known[-1])))
    median = known[known.size // 2] * scale
    first, second, third = 0.0, 0.0, 0.0
    for value in known:
        away = value * scale - median
        first += away
        second += away * away
        third += away * away * away
    first, second, third = first / known.size, second / known.size, third / known.size
    third += first * (2.0 * first * first - 3.0 * second)
    second -= first * first
    if abs(third) <= NO_SKEWNESS * max(second, 0.0) ** 1.5 or second <= (EPSILON * (median + first)) ** 2:
        return 0
    return 1 if third > 0.0 else -1


@kernel
def _fit_columns(room: Sample, used: NDArray[np.int64], skewness: Signs, begin: int, end: int) -> None:
    """Fill the entries of columns whose sorted values are in their room, and how many of the three kinds there are."""
    for j in range(begin, end):
        values = room.values[j, PAD : room.values.shape[1] - PAD]
        known = values[: columns.n_known(values)]
        count, n_buckets = 0, 0
        if known.size > 0:
            skewness[j] = _skewness_sign(known)
            count = _fill_distinct(known, room.below[j])
            n_buckets = _fill_buckets(known[:count], room.first[j], room.grid[j], room.pieces[j])
        room.known[j] = known.size
        room.values[j, :PAD] = -np.inf
        room.values[j, PAD + count : PAD + count + PAD] = np.inf
        used[j, 0], used[j, 1], used[j, 2] = count + 2 * PAD, count + 1 if count < known.size else 0, n_buckets + 1


@kernel
def _search(values: Floats, value: float, at: int, end: int) -> int:
    """The first entry in [at, end) that is not below the value, or `end`."""
    while at < end:
        middle = (at + end) // 2
        if values[middle] < value:
            at = middle + 1
        else:
            end = middle
    return at


@kernel
def _fill_windows(values: Floats, first: Counts, found: Scratch) -> None:
    """Fill, for each cell, an entry of which the first value that is not below the cell is one of the next seven.

    A cell's bucket, and the share of it that lies below, tell about where that value is; few cells need a search.
    To look at both ends of the window also fetches them from memory, for many cells at a time.
    """
    cells, buckets, shares, at, _ = found
    for i in range(cells.size):
        bucket = np.uint32(buckets[i])
        before, through = np.int32(first[bucket]), np.int32(first[bucket + np.uint32(1)])
        at[i] = before + np.int32(shares[i] * float(np.int32(through - before)) + 0.5)
    for i in range(cells.size):
        cell, entry = cells[i], np.uint32(at[i])
        if not (values[entry] < cell) & (cell <= values[entry + np.uint32(WINDOW)]):
            bucket = np.uint32(buckets[i])
            at[i] = _search(values, cell, PAD + first[bucket], PAD + first[bucket + np.uint32(1)]) - WINDOW // 2


@kernel
def _find(values: Floats, first: Counts, found: Scratch) -> None:
    """Fill how many of a column's values are below each cell, and how many equal it."""
    cells, _, _, at, equal = found
    _fill_windows(values, first, found)
    for i in range(cells.size):
        cell, entry = cells[i], np.uint32(at[i])
        entry = np.uint32(entry + np.uint32(4)) if values[entry + np.uint32(3)] < cell else entry
        entry = np.uint32(entry + np.uint32(2)) if values[entry + np.uint32(1)] < cell else entry
        entry = np.uint32(entry + np.uint32(1)) if values[entry] < cell else entry
        at[i], equal[i] = np.int32(entry) - np.int32(PAD), np.int32(values[entry] == cell)


@kernel
def _count_ties(rows_below: Counts, at: Places, equal: Places) -> None:
    """Turn how many distinct values are below the cells, and equal them, into how many rows."""
    for i in range(at.size):
        entry = np.uint32(at[i])
        at[i] = rows_below[entry]
        equal[i] = rows_below[entry + np.uint32(equal[i])] - rows_below[entry]


@kernel
def fill_tails(X: Floats, begin: int, j: int, sample: Sample, room: Scratch, left: Floats, right: Floats) -> int:
    """Fill the shares of fitted rows at or below, and at or above, column j's cells from row `begin` on.

    Both are 1 for a gap and for every cell of a column that the fit never saw. Returns how many gaps there may be.
    """
    n, start, end, size, gaps = float(sample.known[j]), sample.start[j], sample.start[j + 1], left.size, 0
    if n == 0.0:
        left.fill(1.0)
        right.fill(1.0)
        return size
    found = Scratch(room.cells[:size], room.buckets[:size], room.shares[:size], room.at[:size], room.equal[:size])
    values = sample.values[start[0] : end[0]]
    for i in range(size):
        cell = X[begin + i, j]
        found.cells[i] = cell if cell == cell else values[PAD]
        gaps += int(cell != cell)
    _fill_places(found.cells, sample.grid[j], sample.pieces[j], found.buckets, found.shares)
    _find(values, sample.first[start[2] : end[2]], found)
    at, equal = found.at, found.equal
    if end[1] > start[1]:
        _count_ties(sample.below[start[1] : end[1]], at, equal)
    for i in range(size):
        at_most, at_least = float(np.int32(at[i] + equal[i])), n - float(at[i])
        left[i] = (at_most if at_most > UNSEEN else UNSEEN) / n
        right[i] = (at_least if at_least > UNSEEN else UNSEEN) / n
    for i in range(size if gaps > 0 else 0):
        is_gap = X[begin + i, j] != X[begin + i, j]
        left[i], right[i] = 1.0 if is_gap else left[i], 1.0 if is_gap else right[i]
    return gaps


def _room(n: int, d: int) -> Sample:
    """Room for d columns of n rows; what stays unused takes no memory."""
    n_pieces = max(min(n // PIECE, PIECES), 1)
    values, below = np.empty((d, n + 2 * PAD)), np.empty((d, n + 1), np.uint32)
    first, start = np.empty((d, n // BUCKET + n_pieces + 1), np.uint32), np.zeros((d + 1, 3), np.int64)
    return Sample(values, below, first, start, np.zeros(d, np.uint32), np.zeros((d, 2)), np.zeros((d, 4, n_pieces)))


def _packed(room: Any, used: NDArray[np.int64]) -> Any:
    """The used part of each row, one after the other."""
    if (used == used[0]).all():
        return room[:, : used[0]].reshape(-1)
    return np.concatenate([row[:count] for row, count in zip(room, used, strict=True)])


def fit(X: Floats) -> tuple[Sample, Signs]:
    """Sort each column; also the sign of each column's skewness, 0 where that is no more than rounding."""
    room, skewness = _room(*X.shape), np.zeros(X.shape[1], np.int8)
    used = np.zeros((X.shape[1], 3), np.int64)

    def fit_columns(begin: int, end: int) -> None:
        values = room.values[begin:end, PAD:-PAD]
        values[:] = X[:, begin:end].T
        columns.sort_rows(values)
        _fit_columns(room, used, skewness, begin, end)

    workers.over_rows(X.shape[1], columns.together(*X.shape), fit_columns)
    np.cumsum(used, axis=0, out=room.start[1:])
    values, below, first = (_packed(array, used[:, k]) for k, array in enumerate(room[:3]))
    return Sample(values, below, first, *room[3:]), skewness


def check(sample: Sample, d: int) -> None:
    """Raise ModelCorrupt unless every cell of d columns is looked up within the arrays."""
    shapes = {"start": "d+1 3", "known": "d", "grid": "d 2", "pieces": "d 4 p"}
    n = layout.shapes(sample, d, values="v", below="b", first="f", **shapes)
    counts, ties, buckets = (layout.runs(sample.start[:, k], n[x], "start") for k, x in enumerate("vbf"))
    counts, buckets, is_known = counts - 2 * PAD, buckets - 1, sample.known > 0
    layout.require((counts >= is_known).all() and (buckets >= is_known).all(), "a column has no values")
    layout.require(n["p"] and ((ties == 0) | (ties == counts + 1)).all(), "`below` is out of order")
    around = np.arange(PAD)
    before, after = sample.start[:-1, :1] + around, sample.start[1:, :1] - 1 - around
    is_padded = (sample.values[before] == -np.inf).all() and (sample.values[after] == np.inf).all()
    n_finite = np.isfinite(sample.values).sum()
    layout.require(is_padded and n_finite == counts.sum(), "`values` does not end in infinities")
    layout.within(sample.first, 0, np.repeat(counts, buckets + 1) + 1, "first")
    places = sample.pieces[is_known, 2:]
    layout.require(
        ((places >= 0.0) & (places < buckets[is_known, np.newaxis, np.newaxis])).all(), "`pieces` leads astray"
    )
