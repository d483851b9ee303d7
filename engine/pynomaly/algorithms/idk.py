"""Isolation distributional kernel: an anomaly shares few random cells with the rows (Ting, Xu, Washio & Zhou 2020)."""

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import kernel
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels import subsamples as sub

AT_ONCE = 8_192  # rows between two looks at whether to stop


@kernel
def _fill_nearest(block: Floats, centers: Floats, away: Floats, least: Floats, found: NDArray[np.int64]) -> None:
    """Fill the squared distance of a block's rows to the nearest centre, and which that is."""
    least.fill(np.inf)
    for s in range(centers.shape[0]):
        sub.fill_squares(block, centers[s], away)
        for i in range(sub.ROWS):
            found[i] = s if away[i] < least[i] else found[i]
            least[i] = min(away[i], least[i])


@kernel
def _count(Z: Floats, centers: Floats, squares: Floats, stop: workers.Stop) -> Floats:
    """Rows in each cell. O(estimators samples n d)."""
    block, away, least = np.zeros((Z.shape[1], sub.ROWS)), np.empty(sub.ROWS), np.empty(sub.ROWS)
    found = np.zeros(sub.ROWS, np.int64)
    out = np.zeros(squares.shape)
    for first in range(0, Z.shape[0], sub.ROWS):
        count = sub.load(Z, first, block)
        for t in range(centers.shape[0]):
            if stop[0] != 0:
                return out
            _fill_nearest(block, centers[t], away, least, found)
            for i in range(count):
                out[t, found[i]] += 1.0 if least[i] <= squares[t, found[i]] else 0.0
    return out


@kernel
def _dissimilarity(away: float, square: float, mass: float, n_rows: int) -> float:
    """1 - share of the rows in the cell; above 1, by less than one row, outside of it."""
    out: float = 1.0 - mass / n_rows if away <= square else 1.0 + (1.0 - np.sqrt(square / away)) / n_rows
    return out


@kernel
def _evaluate(
    Z: Floats,
    empty: Flags,
    centers: Floats,
    squares: Floats,
    mass: Floats,
    n_rows: int,
    scores: Floats,
    shares: Floats,
    stop: workers.Stop,
) -> None:
    """Fill the mean dissimilarity of each row, and its shares by column unless `shares` has no rows."""
    block, away, least = np.zeros((Z.shape[1], sub.ROWS)), np.empty(sub.ROWS), np.empty(sub.ROWS)
    found = np.zeros(sub.ROWS, np.int64)
    scores.fill(0.0)
    shares.fill(0.0)
    for first in range(0, Z.shape[0], sub.ROWS):
        count = sub.load(Z, first, block)
        for t in range(centers.shape[0]):
            if stop[0] != 0:
                return
            _fill_nearest(block, centers[t], away, least, found)
            for i in range(count):
                s = found[i]
                value = _dissimilarity(least[i], squares[t, s], mass[t, s], n_rows) / centers.shape[0]
                scores[first + i] += value
                if shares.shape[0] > 0:
                    sub.add_shares(Z[first + i], centers[t, s], value, shares[first + i])
    for i in range(Z.shape[0]):
        if empty[i]:
            scores[i] = np.nan
            if shares.shape[0] > 0:
                shares[i].fill(np.nan)


class IdkParams(Params, frozen=True):
    """Parameters of the isolation kernel."""

    n_estimators: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Number of partitions into cells")] = 100
    max_samples: Annotated[
        int, msgspec.Meta(ge=2, le=4_096, description="Cells of a partition, at most as many as there are rows")
    ] = 16


class IdkState(State, frozen=True):
    """The cells: balls around the rows drawn, and how many of the fitted rows lie in each."""

    center: Floats  # [d], mean of each column
    spread: Floats  # [d]
    centers: Floats  # [n_estimators, max_samples, d], standardised
    squares: Floats  # [n_estimators, max_samples], squared radii
    mass: Floats  # [n_estimators, max_samples]
    n_rows: int

    def evaluate(self, X: Floats, with_shares: bool) -> tuple[Floats, Floats]:
        """Scores, and shares by column if they are wanted."""
        Z, empty = nb.standardised(X, self.center, self.spread)
        scores, shares = np.empty(len(X)), np.empty(X.shape if with_shares else (0, X.shape[1]))
        balls = self.centers, self.squares, self.mass, self.n_rows
        _evaluate(Z, empty, *balls, scores, shares, workers.stop_flag())
        return scores, shares

    def check(self, d: int) -> None:
        """See `State`."""
        nb.check_scales(self, d)
        n = layout.shapes(self, d, centers="t m d", squares="t m", mass="t m")
        layout.require(n["t"] and n["m"] and self.n_rows > 0, "`centers` holds no sample")


@algorithm(
    kind="table",
    family="kernel",
    reference="Ting, Xu, Washio & Zhou 2020",
    complexity="O(n_estimators * max_samples * d * n)",
    params=IdkParams,
    handles_missing=False,
    deterministic=False,
)
class idk:
    """Isolation distributional kernel: how few of the rows fall in the same random cells as a row.

    A partition has a cell for each of `max_samples` random rows: the points nearer to that row than to the others, and
    no farther from it than the nearest of the others. Two rows are as similar as the share of the partitions in which
    they are in one cell; the score is 1 - the mean similarity to the fitted rows, which is the similarity to
    their distribution under the kernel.

    In the paper all rows that lie in no cell tie. Here such a row counts less than none of the n rows in a cell:
    -(1 - radius / distance) / n of them, of the nearest cell, which is never as much as a whole row, so that the
    order of other rows stays. Unlike in the paper, columns are divided by their standard deviation; a gap takes
    the column's mean. The paper tries many numbers of cells; 16 is a choice of ours.
    """

    @staticmethod
    def fit(X: Floats, params: IdkParams, seed: int) -> IdkState:
        """Draw the cells and count the rows in each."""
        center, spread = nb.column_scales(X)
        Z, empty = nb.standardised(X, center, spread)
        centers = sub.draw(Z, empty, params.n_estimators, params.max_samples, np.random.default_rng(seed))
        squares, _ = sub.radii(centers)
        known = Z[~empty]
        counts: list[Floats] = []
        stop = workers.stop_flag()
        workers.over_rows(
            len(known), AT_ONCE, lambda first, end: counts.append(_count(known[first:end], centers, squares, stop))
        )
        workers.check()
        return IdkState(center, spread, centers, squares, sum(counts, np.zeros(squares.shape)), max(len(known), 1))

    @staticmethod
    def score(state: IdkState, X: Floats, _own: Flags) -> Floats:
        """1 - mean similarity to the fitted rows; NaN where a row has no value."""
        return state.evaluate(X, False)[0]

    @staticmethod
    def explain(state: IdkState, X: Floats) -> Floats:
        """What each partition adds to the score, by the squared differences from the centre of the nearest cell.

        A row's contributions sum to its score but for the partitions in which it is a centre itself.
        """
        return state.evaluate(X, True)[1]
