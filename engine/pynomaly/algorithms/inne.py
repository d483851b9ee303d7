"""Isolation by nearest-neighbour ensembles: balls around a few random rows (Bandaragoda et al. 2018)."""

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import kernel
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels import subsamples as sub


@kernel
def _isolation(squares: Floats, nearest: NDArray[np.int64]) -> Floats:
    """1 - squared radius of the nearest centre's ball / that of the ball itself; 0 for a ball of radius 0."""
    out = np.zeros(squares.shape)
    for t in range(squares.shape[0]):
        for s in range(squares.shape[1]):
            if squares[t, s] > 0.0:
                out[t, s] = 1.0 - squares[t, nearest[t, s]] / squares[t, s]
    return out


@kernel
def _scores(Z: Floats, empty: Flags, centers: Floats, squares: Floats, isolation: Floats, stop: workers.Stop) -> Floats:
    """Mean isolation of the smallest ball around each row, 1 where there is none. O(estimators samples n d).

    Balls come in ascending order: the last to take a row, from the largest down, is its smallest.
    """
    block, away, value = np.zeros((Z.shape[1], sub.ROWS)), np.empty(sub.ROWS), np.empty(sub.ROWS)
    out = np.zeros(Z.shape[0])
    for first in range(0, Z.shape[0], sub.ROWS):
        count = sub.load(Z, first, block)
        for t in range(centers.shape[0]):
            if stop[0] != 0:
                return out
            value.fill(1.0)
            for s in range(centers.shape[1] - 1, -1, -1):
                sub.fill_squares(block, centers[t, s], away)
                for i in range(sub.ROWS):
                    value[i] = isolation[t, s] if away[i] <= squares[t, s] else value[i]
            for i in range(count):
                out[first + i] += value[i]
    for i in range(Z.shape[0]):
        out[i] = np.nan if empty[i] else out[i] / centers.shape[0]
    return out


@kernel
def _place(row: Floats, centers: Floats, squares: Floats) -> tuple[int, bool]:
    """The smallest ball that holds the row; the one with the nearest centre, and False, where none does."""
    found, least = 0, np.inf
    for s in range(squares.size):
        away = 0.0
        for j in range(row.size):
            away += (row[j] - centers[s, j]) * (row[j] - centers[s, j])
        if away <= squares[s]:
            return s, True
        if away < least:
            found, least = s, away
    return found, False


@kernel
def _shares(Z: Floats, empty: Flags, centers: Floats, squares: Floats, isolation: Floats) -> Floats:
    """What each ensemble member adds to a row's score, by the squared differences from the centre of its ball."""
    out = np.zeros(Z.shape)
    for i in range(Z.shape[0]):
        for t in range(centers.shape[0]):
            s, is_inside = _place(Z[i], centers[t], squares[t])
            value = isolation[t, s] if is_inside else 1.0
            sub.add_shares(Z[i], centers[t, s], value / centers.shape[0], out[i])
        if empty[i]:
            out[i].fill(np.nan)
    return out


class InneParams(Params, frozen=True):
    """Parameters of the ensembles."""

    n_estimators: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Number of samples")] = 200
    max_samples: Annotated[
        int, msgspec.Meta(ge=2, le=4_096, description="Rows drawn for each sample, at most those there are")
    ] = 8


class InneState(State, frozen=True):
    """The balls of each sample, in ascending order of their radii."""

    center: Floats  # [d], mean of each column
    spread: Floats  # [d]
    centers: Floats  # [n_estimators, max_samples, d], standardised
    squares: Floats  # [n_estimators, max_samples], squared radii
    isolation: Floats  # [n_estimators, max_samples]

    def check(self, d: int) -> None:
        """See `State`."""
        nb.check_scales(self, d)
        n = layout.shapes(self, d, centers="t m d", squares="t m", isolation="t m")
        layout.require(n["t"] and n["m"], "`centers` holds no sample")


@algorithm(
    kind="table",
    family="isolation",
    reference="Bandaragoda, Ting, Albrecht, Liu, Zhu & Wells 2018",
    complexity="O(n_estimators * max_samples * d * n)",
    params=InneParams,
    handles_missing=False,
    deterministic=False,
)
class inne:
    """Isolation using nearest-neighbour ensembles: how large the ball is that holds a row, next to its neighbour's.

    Around each of `max_samples` random rows lies a ball that reaches to the nearest other of them. A row's isolation
    is 1 - (r' / r) ** 2: r is the radius of the smallest ball that holds it, r' that of the ball around the centre
    nearest to that ball's own; it is 1 where no ball holds the row. The score is the mean over the samples, in [0, 1].

    Rows that no ball ever holds tie at 1. A ball of radius 0, around a row that was drawn with a copy of it, has
    isolation 0. A row that was drawn is scored like any other, by the ball around itself. Unlike in the paper, the
    ratio of the radii is squared, as in PyOD, and columns are divided by their standard deviation; a gap takes
    the column's mean.
    """

    @staticmethod
    def fit(X: Floats, params: InneParams, seed: int) -> InneState:
        """Draw the centres and order them by the radii of their balls."""
        center, spread = nb.column_scales(X)
        rng = np.random.default_rng(seed)
        drawn = sub.draw(*nb.standardised(X, center, spread), params.n_estimators, params.max_samples, rng)
        order = np.argsort(sub.radii(drawn)[0], axis=1, kind="stable")
        centers = np.take_along_axis(drawn, order[:, :, np.newaxis], axis=1)
        squares, nearest = sub.radii(centers)
        return InneState(center, spread, centers, squares, _isolation(squares, nearest))

    @staticmethod
    def score(state: InneState, X: Floats, _own: Flags) -> Floats:
        """Mean isolation; NaN where a row has no value."""
        Z, empty = nb.standardised(X, state.center, state.spread)
        return _scores(Z, empty, state.centers, state.squares, state.isolation, workers.stop_flag())

    @staticmethod
    def explain(state: InneState, X: Floats) -> Floats:
        """Isolation by the squared differences from the centre of the ball, or from the nearest where there is none.

        A row's contributions sum to its score but for the samples in which it is a centre itself: nothing is
        known of them by column.
        """
        Z, empty = nb.standardised(X, state.center, state.spread)
        return _shares(Z, empty, state.centers, state.squares, state.isolation)
