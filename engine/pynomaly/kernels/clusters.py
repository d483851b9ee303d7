"""k-means on standardised rows: seeded starts, then means and nearest rows in turn (Lloyd 1982)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pynomaly import workers
from pynomaly.kernels import kernel
from pynomaly.kernels.subsamples import ROWS, fill_squares, load

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

MOST_TURNS = 100
AT_ONCE = 4_096  # rows that are compared with the means at a time
SMALL_SHIFT = 1e-4  # sum of the squared distances that the means move in the last turn


class Clusters(NamedTuple):
    """Groups of rows around means, the largest first; none is without rows."""

    mean: Floats  # [k, d]
    n_rows: Indices  # [k]
    start: Indices  # the rows that the means began at, as many as were drawn


@kernel
def _fill_nearest(block: Floats, mean: Floats, squares: Floats, least: Floats, nearest: Indices) -> None:
    """Fill the least squared distance of each row of a block to a mean, and to which; of equals the first."""
    least.fill(np.inf)
    for c in range(mean.shape[0]):
        fill_squares(block, mean[c], squares)
        for i in range(ROWS):
            is_nearer = squares[i] < least[i]
            least[i] = squares[i] if is_nearer else least[i]
            nearest[i] = c if is_nearer else nearest[i]


@kernel
def _fill_nearest_means(Z: Floats, mean: Floats, out: Floats, where: Indices) -> None:
    block, squares = np.zeros((Z.shape[1], ROWS)), np.empty(ROWS)
    least, nearest = np.empty(ROWS), np.zeros(ROWS, np.int64)
    for first in range(0, Z.shape[0], ROWS):
        count = load(Z, first, block)
        _fill_nearest(block, mean, squares, least, nearest)
        for i in range(count):
            out[first + i], where[first + i] = least[i], nearest[i]


def nearest_means(Z: Floats, mean: Floats) -> tuple[Floats, Indices]:
    """Squared distance of each row to the nearest mean, and which that is. O(n k d)."""
    out, where = np.empty(len(Z)), np.empty(len(Z), np.int64)

    def fill(first: int, end: int) -> None:
        _fill_nearest_means(Z[first:end], mean, out[first:end], where[first:end])

    workers.over_rows(len(Z), AT_ONCE, fill)
    return out, where


@kernel
def _move(Z: Floats, nearest: Indices, farthest: int, mean: Floats, sums: Floats, n_rows: Indices) -> float:
    """Move each mean to that of its rows, one without rows to the farthest row; return the squares of the moves."""
    sums.fill(0.0)
    n_rows.fill(0)
    shift = 0.0
    for i in range(Z.shape[0]):
        n_rows[nearest[i]] += 1
        for j in range(Z.shape[1]):
            sums[nearest[i], j] += Z[i, j]
    for c in range(mean.shape[0]):
        for j in range(Z.shape[1]):
            place = sums[c, j] / n_rows[c] if n_rows[c] > 0 else Z[farthest, j]
            shift += (place - mean[c, j]) * (place - mean[c, j])
            mean[c, j] = place
    return shift


def _draw(Z: Floats, n_clusters: int, rng: np.random.Generator) -> Indices:
    """Rows to begin with (Arthur & Vassilvitskii 2007).

    Each is the best of 2 + log(n_clusters) that are drawn by their squared distance from those before.
    Fewer where no other row differs from them.
    """
    chosen = [int(rng.integers(len(Z)))]
    least = nearest_means(Z, Z[chosen])[0]
    for _ in range(n_clusters - 1):
        upper = np.cumsum(least)
        if upper[-1] == 0.0:
            break
        points = rng.random(2 + int(np.log(n_clusters))) * upper[-1]
        drawn = np.minimum(np.searchsorted(upper, points, "right"), int(np.flatnonzero(least)[-1]))
        left = [np.minimum(least, nearest_means(Z, Z[row : row + 1])[0]) for row in drawn]
        best = int(np.argmin([squares.sum() for squares in left]))
        chosen.append(int(drawn[best]))
        least = left[best]
    return np.array(chosen, np.int64)


def k_means(Z: Floats, n_clusters: int, rng: np.random.Generator) -> Clusters:
    """Clusters from one greedy start; fewer where there are fewer distinct rows. O(n k d) a turn."""
    start = _draw(Z, n_clusters, rng)
    mean = Z[start].copy()
    sums, n_rows = np.empty(mean.shape), np.empty(len(mean), np.int64)
    for _ in range(MOST_TURNS):
        workers.check()
        squares, nearest = nearest_means(Z, mean)
        if _move(Z, nearest, int(squares.argmax()), mean, sums, n_rows) <= SMALL_SHIFT:
            break
    n_rows = np.bincount(nearest_means(Z, mean)[1], minlength=len(mean))
    order = np.argsort(-n_rows, kind="stable")[: int((n_rows > 0).sum())]
    return Clusters(mean[order], n_rows[order], start)
