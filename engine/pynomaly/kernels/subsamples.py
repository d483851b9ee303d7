"""Ensembles of small random samples of the rows, and distances to the rows drawn, in standardised columns.

Rows are compared in blocks, column by column in order, so that a distance has the same bits in any batch
and a row that was drawn is at distance 0 from itself.
"""

import numpy as np
from numpy.typing import NDArray

from pynomaly import workers
from pynomaly.kernels import hashing, kernel

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

ROWS = 128  # rows that are compared with a drawn one together: they fit the first-level cache


def draw(Z: Floats, empty: Flags, n_samples: int, size: int, rng: np.random.Generator) -> Floats:
    """Random rows, without replacement within a sample: float64[n_samples, size, d].

    Rows that are `empty` are left out unless all are; a sample is at most as large as the rows that remain.
    """
    known = np.arange(len(Z)) if empty.all() else np.flatnonzero(~empty)
    size = min(size, len(known))
    drawn = np.empty((n_samples, size), np.int64)
    for sample in drawn:
        workers.check()
        sample[:] = rng.choice(len(known), size, replace=False)
    points: Floats = Z[known[drawn]]
    return points


def count_copies(Z: Floats, empty: Flags, points: Floats) -> Floats:
    """How many rows that are not `empty` have the values of each drawn row, by their hashes. O(n (d + log n))."""
    rows = _hashes(Z[~empty])
    rows.sort()
    workers.check()
    wanted = _hashes(points.reshape(-1, points.shape[2]))
    counts = np.searchsorted(rows, wanted, "right") - np.searchsorted(rows, wanted, "left")
    copies: Floats = np.maximum(counts, 1).reshape(points.shape[:2]).astype(np.float64)
    return copies


def _hashes(Z: Floats) -> NDArray[np.uint64]:
    """A hash of each row."""
    out = np.empty(len(Z), np.uint64)
    hashing.fill_hashes(Z, Z.view(np.uint64), np.uint64(0), out)
    return out


def radii(points: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Squared distance of each drawn row to the nearest other of its sample, and which that is: [samples, size] each.

    Of several the first; a row that is alone has 0 and itself.
    """
    squares, nearest = np.full(points.shape[:2], np.inf), np.zeros(points.shape[:2], np.int64)
    _fill_radii(points, squares, nearest, workers.stop_flag())
    workers.check()
    return squares, nearest


@kernel
def _fill_radii(points: Floats, squares: Floats, nearest: NDArray[np.int64], stop: workers.Stop) -> None:
    n_samples, size, d = points.shape
    for t in range(n_samples):
        for a in range(size):
            if stop[0] != 0:
                return
            for b in range(size):
                square = 0.0
                for j in range(d):
                    away = points[t, b, j] - points[t, a, j]
                    square += away * away
                if a != b and square < squares[t, a]:
                    squares[t, a], nearest[t, a] = square, b
            if size == 1:
                squares[t, a] = 0.0


@kernel
def load(Z: Floats, first: int, block: Floats) -> int:
    """Copy the rows from `first` on into a block [d, ROWS], column by column; return their number."""
    count: int = min(ROWS, Z.shape[0] - first)
    for i in range(count):
        for j in range(Z.shape[1]):
            block[j, i] = Z[first + i, j]
    return count


@kernel
def fill_squares(block: Floats, point: Floats, out: Floats) -> None:
    """Fill the squared distances of a block's rows from a drawn one; four columns a turn, added one after the other."""
    whole = point.size - point.size % 4
    for i in range(ROWS):
        out[i] = 0.0
    for j in range(0, whole, 4):
        p0, p1, p2, p3 = point[j], point[j + 1], point[j + 2], point[j + 3]
        for i in range(ROWS):
            a0, a1, a2, a3 = block[j, i] - p0, block[j + 1, i] - p1, block[j + 2, i] - p2, block[j + 3, i] - p3
            out[i] = (((out[i] + a0 * a0) + a1 * a1) + a2 * a2) + a3 * a3
    for j in range(whole, point.size):
        p0 = point[j]
        for i in range(ROWS):
            a0 = block[j, i] - p0
            out[i] += a0 * a0


@kernel
def add_shares(row: Floats, point: Floats, value: float, out: Floats) -> None:
    """Add a value to the columns by their squared differences from a drawn row; nothing where there are none."""
    total = 0.0
    for j in range(row.size):
        total += (row[j] - point[j]) * (row[j] - point[j])
    for j in range(row.size if total > 0.0 else 0):
        out[j] += value * ((row[j] - point[j]) * (row[j] - point[j]) / total)


@kernel
def _nearest_of_block(
    block: Floats, points: Floats, copies: Floats, squares: Floats, least: Floats, same: Floats, weight: Floats
) -> None:
    """Fill, for each row of a block, the least squared distance above 0 to a drawn row of one sample.

    Also how many drawn rows equal it, and for how many rows each of these stands.
    """
    least.fill(np.inf)
    same.fill(0.0)
    for s in range(points.shape[0]):
        fill_squares(block, points[s], squares)
        for i in range(ROWS):
            is_same = squares[i] == 0.0
            other = np.inf if is_same else squares[i]
            least[i] = other if other < least[i] else least[i]
            same[i] += 1.0 if is_same else 0.0
            weight[i] = copies[s] if is_same else weight[i]


def mean_nearest(Z: Floats, empty: Flags, own: Flags, points: Floats, copies: Floats) -> Floats:
    """Mean over the samples of each row's distance to the nearest drawn row. O(samples size n d).

    A row that is flagged `own` is not compared with itself. Rows of equal values share the score that they
    have in the mean: where one of c such rows was drawn, it is itself for one of them and at distance 0 from the rest.
    """
    return _mean_nearest(Z, empty, own, points, copies, workers.stop_flag())


@kernel
def _mean_nearest(Z: Floats, empty: Flags, own: Flags, points: Floats, copies: Floats, stop: workers.Stop) -> Floats:
    block, squares = np.zeros((Z.shape[1], ROWS)), np.empty(ROWS)
    least, same, weight = np.empty(ROWS), np.empty(ROWS), np.ones(ROWS)
    out = np.zeros(Z.shape[0])
    for first in range(0, Z.shape[0], ROWS):
        count = load(Z, first, block)
        for t in range(points.shape[0]):
            if stop[0] != 0:
                return out
            _nearest_of_block(block, points[t], copies[t], squares, least, same, weight)
            for i in range(count):
                away = np.sqrt(least[i]) if least[i] < np.inf else 0.0
                if same[i] > 0.0:
                    away = away / weight[i] if own[first + i] and same[i] == 1.0 else 0.0
                out[first + i] += away / points.shape[0]
    for i in range(Z.shape[0]):
        out[i] = np.nan if empty[i] else out[i]
    return out


@kernel
def nearest_shares(Z: Floats, empty: Flags, points: Floats) -> Floats:
    """Mean distance to the nearest drawn row of other values, by squared differences in the columns."""
    out = np.zeros(Z.shape)
    for i in range(Z.shape[0]):
        for t in range(points.shape[0]):
            least, found = np.inf, 0
            for s in range(points.shape[1]):
                square = 0.0
                for j in range(Z.shape[1]):
                    square += (Z[i, j] - points[t, s, j]) * (Z[i, j] - points[t, s, j])
                if 0.0 < square < least:
                    least, found = square, s
            if least < np.inf:
                add_shares(Z[i], points[t, found], np.sqrt(least) / points.shape[0], out[i])
        if empty[i]:
            out[i].fill(np.nan)
    return out
