"""Statistics of columns that may hold gaps, and what the cells of a row add to its score.

Every row is worked out in a loop of its own, column after column, so that its score has the same bits in
any batch. Nothing here overflows to infinity or NaN for finite values of any size.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pynomaly import workers
from pynomaly.kernels import kernel

T = TypeVar("T")
Floats = NDArray[np.float64]

LINE = 8  # cells of a row that a cache line holds: so many columns are copied and sorted together
FEW_CELLS = 10_000  # of a table that one thread sorts
SHARES = 6  # parts of a table that are dealt out to threads, at least, where it has as many columns
LARGEST = float(np.finfo(np.float64).max)
STRANGE = 1e6  # spreads that a cell counts for when it differs from the one value of a flat column
FARTHEST = 1e140  # standardised values end here, so that sums of squares stay finite
BATCH = 8192  # rows of a large batch that one thread scores at a time
ROWS, TILE = 64, 32  # rows and columns of the tiles in which products are summed: they fit the cache
PARTS = 8  # of the rows, whose products are summed side by side
QUICK_CELLS = 1_000_000  # which are sorted in less than a tenth of a second
QUICK_COLUMNS = 400  # whose axes take less than a tenth of a second
RANK_TOLERANCE = 1e-12  # below this share of the largest variance, a principal axis is rounding


def together(n_rows: int, n_columns: int) -> int:
    """Columns to copy and sort at a time: some for every thread, at most as many as a cache line holds.

    All of a small table, whose columns are sorted sooner than handed out.
    """
    return n_columns if n_rows * n_columns <= FEW_CELLS else min(-(-n_columns // SHARES), LINE)


def ordered_columns(X: Floats) -> Iterator[tuple[slice, Floats]]:
    """A few columns at a time in ascending order, gaps last: which columns, and float64[columns, n]."""
    for first in range(0, X.shape[1], LINE):
        place = slice(first, min(first + LINE, X.shape[1]))
        block = np.array(X[:, place].T, order="C")  # a copy even of a single column
        sort_rows(block)
        yield place, block


def sort_rows(rows: Floats) -> None:
    """Sort each row in place, gaps last."""
    if rows.size <= QUICK_CELLS:
        rows.sort(axis=1)
        return
    for row in rows:
        workers.check()
        row.sort()


def scored(X: Floats, fill: Callable[[Floats, Floats], None]) -> Floats:
    """A score for each row: `fill(rows, scores)` is called for batches of rows, on the threads there are."""
    scores = np.empty(len(X))
    workers.over_rows(len(X), BATCH, lambda begin, end: fill(X[begin:end], scores[begin:end]))
    return scores


@kernel
def n_known(ordered: Floats) -> int:
    """How many values there are before the gaps at the end of a sorted column."""
    count: int = ordered.size
    while count > 0 and ordered[count - 1] != ordered[count - 1]:
        count -= 1
    return count


@kernel
def blend(a: float, b: float, share: float) -> float:
    """The point a share of the way from a up to b, never outside them."""
    width = b - a
    return min(a + share * width, b) if width <= LARGEST else (1.0 - share) * a + share * b


@kernel
def quantile(ordered: Floats, share: float) -> float:
    """The linear quantile of sorted values without gaps (type 7 of Hyndman & Fan 1996)."""
    place = share * (ordered.size - 1)
    below = int(place)
    return blend(ordered[below], ordered[min(below + 1, ordered.size - 1)], place - below)


@kernel
def mean_distance(values: Floats, low: float, high: float) -> float:
    """Mean distance of the values from the interval [low, high]."""
    total = 0.0
    for value in values:
        total += max(low - value, value - high, 0.0) / values.size
    return min(total, LARGEST)


@kernel
def _distance(value: float, low: float, high: float, spread: float) -> float:
    """Distance of a value from [low, high] in spreads; `STRANGE` for any distance where the spread is 0."""
    away = max(low - value, value - high, 0.0)
    if spread == 0.0:
        return STRANGE if away > 0.0 else 0.0
    return min(away / spread, LARGEST)


@kernel
def fill_distances(X: Floats, low: Floats, high: Floats, spread: Floats, out: Floats) -> None:
    """Fill `out` with each cell's distance from its column's [low, high], in spreads, 0 for a gap. O(n d).

    An `out` of one column gets the largest of the row instead. A row of gaps gets NaN.
    """
    for i in range(X.shape[0]):
        largest = np.nan
        for j in range(X.shape[1]):
            value = X[i, j]
            distance = 0.0
            if value == value:
                distance = _distance(value, low[j], high[j], spread[j])
                largest = max(distance, largest if largest == largest else 0.0)
            if out.shape[1] > 1:
                out[i, j] = distance
        if out.shape[1] == 1 or largest != largest:
            out[i].fill(largest)


def distances(X: Floats, low: Floats, high: Floats, spread: Floats) -> Floats:
    """Distance of each cell from its column's [low, high] in spreads, 0 for a gap; NaN for a row of gaps."""
    out = np.empty(X.shape)
    fill_distances(X, low, high, spread, out)
    return out


def largest_distances(X: Floats, low: Floats, high: Floats, spread: Floats) -> Floats:
    """The largest of each row's `distances`."""
    out = np.empty((len(X), 1))
    fill_distances(X, low, high, spread, out)
    return out[:, 0]


@kernel
def rescale(X: Floats, out: Floats) -> None:
    """Multiply each row of `out` by columns / columns with a value: the sum that a row without gaps would have.

    A row of gaps becomes NaN.
    """
    for i in range(X.shape[0]):
        known = 0
        for j in range(X.shape[1]):
            known += int(X[i, j] == X[i, j])
        if known < X.shape[1]:
            factor = X.shape[1] / known if known > 0 else np.nan
            for j in range(out.shape[1]):
                out[i, j] *= factor


@kernel
def ranges(X: Floats) -> tuple[Floats, Floats, Floats]:
    """Smallest value, largest value and number of values of each column; inf, -inf and 0 where all are gaps."""
    d = X.shape[1]
    low, high, known = np.full(d, np.inf), np.full(d, -np.inf), np.zeros(d)
    for i in range(X.shape[0]):
        for j in range(d):
            value = X[i, j]
            low[j] = value if value < low[j] else low[j]
            high[j] = value if value > high[j] else high[j]
            known[j] += 1.0 if value == value else 0.0
    return low, high, known


@kernel
def unit(low: float, high: float) -> float:
    """A power of two that brings the range near 1: to multiply by it rounds nothing, and squares stay finite."""
    width = min(high - low, LARGEST)
    return 2.0 ** min(-np.floor(np.log2(width)), 1000.0) if width > 0.0 else 0.0


@kernel
def moments_within(X: Floats, low: Floats, high: Floats, known: Floats) -> tuple[Floats, Floats]:
    """Mean and population standard deviation of each column's values, given their `ranges`.

    A flat column has its value as the mean and spread 0; a column of gaps has mean 0 and an infinite spread.
    Sums are taken from the smallest value on, so that an offset costs no precision.
    """
    d = X.shape[1]
    scale, base, mean, square = np.zeros(d), np.zeros(d), np.zeros(d), np.zeros(d)
    for j in range(d):
        scale[j] = unit(low[j], high[j])
        base[j] = low[j] * scale[j] if scale[j] > 0.0 else 0.0
    for i in range(X.shape[0]):
        for j in range(d):
            value = X[i, j]
            mean[j] += (value * scale[j] - base[j]) if value == value else 0.0
    for j in range(d):
        mean[j] /= max(known[j], 1.0)
    for i in range(X.shape[0]):
        for j in range(d):
            value = X[i, j]
            away = value * scale[j] - base[j] - mean[j]
            square[j] += away * away if value == value else 0.0
    for j in range(d):
        if known[j] == 0.0:
            mean[j], square[j] = 0.0, np.inf
        elif scale[j] == 0.0:
            mean[j], square[j] = low[j], 0.0
        else:
            mean[j] = (base[j] + mean[j]) / scale[j]
            square[j] = np.sqrt(square[j] / known[j]) / scale[j]
    return mean, square


@kernel
def moments(X: Floats) -> tuple[Floats, Floats]:
    """Mean and population standard deviation of each column's values; see `moments_within`."""
    low, high, known = ranges(X)
    return moments_within(X, low, high, known)


@kernel
def standardised(value: float, mean: float, spread: float) -> float:
    """(value - mean) / spread within `FARTHEST`; 0 for a gap. A flat column counts as one of spread 1."""
    z = (value - mean) / (spread if spread > 0.0 else 1.0)
    z = z if z < FARTHEST else FARTHEST
    z = z if z > -FARTHEST else -FARTHEST
    return z if value == value else 0.0


@kernel
def load(X: Floats, begin: int, end: int, mean: Floats, spread: Floats, gap: float, out: Floats, first: int) -> None:
    """Copy rows, standardised, to the columns of `out`, float64[d, ...], from `first` on, with `gap` for a gap."""
    for j in range(X.shape[1]):
        column, center, scale = out[j][first : first + end - begin], mean[j], spread[j]
        for i in range(column.size):
            column[i] = X[begin + i, j]
        for i in range(column.size):
            z = standardised(column[i], center, scale)
            column[i] = z if column[i] == column[i] else gap


@kernel
def is_empty(X: Floats, i: int) -> bool:
    """Whether every cell of row i is a gap."""
    known = 0
    for j in range(X.shape[1]):
        known += int(X[i, j] == X[i, j])
    return known == 0


@kernel
def _load_block(X: Floats, first: int, mean: Floats, spread: Floats, block: Floats) -> None:
    """Standardise the rows from `first` on into a block, with rows of zeros after the last."""
    for r in range(ROWS):
        for j in range(X.shape[1]):
            block[r, j] = standardised(X[first + r, j], mean[j], spread[j]) if first + r < X.shape[0] else 0.0


@kernel
def _add_products(block: Floats, out: Floats, stop: workers.Stop) -> None:
    """Add the products of a block's columns to the upper triangle of `out`, four rows a turn."""
    d = out.shape[0]
    for first in range(0, d, TILE):
        if stop[0] != 0:
            return
        for r in range(0, ROWS, 4):
            for j in range(first, min(first + TILE, d)):
                a, b, c, e = block[r, j], block[r + 1, j], block[r + 2, j], block[r + 3, j]
                for k in range(first, d):
                    out[j, k] += a * block[r, k] + b * block[r + 1, k] + (c * block[r + 2, k] + e * block[r + 3, k])


@kernel
def _fill_products(X: Floats, mean: Floats, spread: Floats, out: Floats, stop: workers.Stop) -> None:
    """Fill the upper triangle of the sums of products of standardised columns."""
    block = np.empty((ROWS, X.shape[1]))
    out.fill(0.0)
    for first in range(0, X.shape[0], ROWS):
        _load_block(X, first, mean, spread, block)
        _add_products(block, out, stop)
        if stop[0] != 0:
            return


def cross_products(X: Floats, mean: Floats, spread: Floats) -> Floats:
    """Sums of the products of standardised columns, float64[d, d]. O(n d ** 2).

    Own loops and not BLAS, whose rounding depends on the number of threads. Parts of the rows are summed by
    themselves, always the same ones.
    """
    rows = ROWS * -(-len(X) // (ROWS * PARTS))
    sums = np.empty((-(-len(X) // rows), X.shape[1], X.shape[1]))
    stop = workers.stop_flag()
    workers.over_rows(
        len(X), rows, lambda begin, end: _fill_products(X[begin:end], mean, spread, sums[begin // rows], stop)
    )
    workers.check()
    upper: Floats = np.triu(sums.sum(axis=0))
    return np.add(upper, np.triu(upper, 1).T)


def _now(action: Callable[[], T]) -> T:
    return action()


def principal_axes(X: Floats, mean: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Variances along the principal axes of the standardised columns, and the axes as columns: [k], [d, k].

    Axes without variance are left out. An axis points to where its largest entry is positive.
    """
    products = cross_products(X, mean, spread) / (len(X) - 1)
    is_long = len(products) > QUICK_COLUMNS
    values, axes = (workers.left_behind if is_long else _now)(lambda: np.linalg.eigh(products))
    kept = values > RANK_TOLERANCE * values.max()
    axes = axes[:, kept]
    # Entries of equal size, as any two columns have, must not leave the sign to rounding: the first decides.
    size = np.abs(axes)
    leading = (size > (1.0 - 1e-9) * size.max(axis=0)).argmax(axis=0)
    return values[kept], np.ascontiguousarray(axes * np.sign(axes[leading, np.arange(axes.shape[1])]))
