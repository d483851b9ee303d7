"""Kernel density estimate: an anomaly lies where few rows are (Parzen 1962)."""

import math
from typing import Annotated

import msgspec
import numpy as np

from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import kernel
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels import subsamples as sub

TILE = 32  # reference rows that a block of rows is compared with at a time: their distances fit the cache
FAR = 1e300  # above any squared distance
SQRT_TAU = math.sqrt(2.0 * math.pi)
NIL = 44.0  # exp(-44) is nothing beside 1, and so are 16,384 of them


@kernel
def _decay(t: float) -> float:
    """exp(-t), t >= 0, and 0 beyond `NIL`: a series of exp(-t / 256) squared, vectorised, unlike a library's."""
    x = min(t, NIL) * (-1.0 / 256.0)
    inner = 1.0 + x / 7.0 * (1.0 + x / 8.0 * (1.0 + x / 9.0 * (1.0 + x / 10.0)))
    y = 1.0 + x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0 * (1.0 + x / 6.0 * inner)))))
    for _ in range(8):
        y *= y
    return y if t < NIL else 0.0


@kernel
def _add_tile(
    block: Floats, points: Floats, scale: float, squares: Floats, least: Floats, total: Floats, same: Floats
) -> None:
    """Add the kernels of a few reference rows to the totals, which count in units of the nearest row's kernel.

    Rows of equal values are counted in `same` alone.
    """
    for i in range(sub.ROWS):
        squares[TILE, i] = least[i]
    for p in range(points.shape[0]):
        sub.fill_squares(block, points[p], squares[p])
        for i in range(sub.ROWS):
            is_same = squares[p, i] == 0.0
            same[i] += 1.0 if is_same else 0.0
            squares[p, i] = FAR if is_same else squares[p, i]
            least[i] = min(squares[p, i], least[i])
    for i in range(sub.ROWS):
        total[i] *= _decay((squares[TILE, i] - least[i]) * scale)
    for p in range(points.shape[0]):
        for i in range(sub.ROWS):
            total[i] += _decay((squares[p, i] - least[i]) * scale)


@kernel
def _scores(Z: Floats, own: Flags, points: Floats, width: float) -> Floats:
    """Negative log density of each row; one that is flagged `own` leaves one row of its values out. O(n m d)."""
    m, scale = points.shape[0], 0.5 / (width * width)
    block, squares = np.zeros((Z.shape[1], sub.ROWS)), np.empty((TILE + 1, sub.ROWS))
    least, total, same = np.empty(sub.ROWS), np.empty(sub.ROWS), np.empty(sub.ROWS)
    out = np.empty(Z.shape[0])
    for first in range(0, Z.shape[0], sub.ROWS):
        count = sub.load(Z, first, block)
        least.fill(FAR)
        total.fill(0.0)
        same.fill(0.0)
        for start in range(0, m, TILE):
            _add_tile(block, points[start : start + TILE], scale, squares, least, total, same)
        for i in range(count):
            left_out = 1.0 if own[first + i] and same[i] > 0.0 and m > 1 else 0.0
            nearest = least[i] * scale if same[i] == left_out else 0.0
            kernels = (same[i] - left_out) + total[i] * _decay(least[i] * scale - nearest)
            constant = np.log(m - left_out) + Z.shape[1] * np.log(width * SQRT_TAU)
            out[first + i] = nearest - np.log(kernels) + constant
    return out


class KdeParams(Params, frozen=True):
    """Parameters of the density estimate."""

    bandwidth: Annotated[float, msgspec.Meta(ge=0.01, le=100.0, description="Width of the kernel over Scott's")] = 1.0
    max_samples: Annotated[
        int, msgspec.Meta(ge=2, le=16_384, description="Rows that the density is made of, at most those there are")
    ] = 4096


class KdeState(State, frozen=True):
    """The rows that the density is made of, and the width of the kernel."""

    center: Floats  # [d], mean of each column
    spread: Floats  # [d]
    points: Floats  # [max_samples, d], standardised
    width: float


@algorithm(
    kind="table",
    family="probability",
    reference="Parzen 1962",
    complexity="O(max_samples * d * n)",
    params=KdeParams,
    handles_missing=False,
    deterministic=False,
    uses_own=True,
)
class kde:
    """Kernel density estimate: minus the logarithm of the density around a row.

    The score is -log(mean of K((x - y) / h) / h ** d) over m rows y: at most `max_samples` drawn from the
    fitted ones, K the product of normal densities of the standardised columns, h `bandwidth` times
    m ** (-1 / (d + 4)) (Scott 1992). Only differences of scores mean something; a score may be below 0.

    Sums of logarithms are taken from the nearest row on, so that no density underflows: a row far from all others
    scores by its distance from the nearest, however far. A training row that equals one of the m leaves one such row
    out, since it would be its own evidence. There is no tree and no tolerance: a kernel below exp(-44) of the largest
    is 0, all others are summed for the rows drawn, whose number bounds the time.

    Unlike in PyOD, whose width is 1 in the units of the columns and whose training rows count themselves, columns are
    divided by their standard deviation in the fit sample. A gap takes the column's mean.
    """

    @staticmethod
    def fit(X: Floats, params: KdeParams, seed: int) -> KdeState:
        """Standardise the rows, draw those that the density is made of, and choose the width."""
        center, spread = nb.column_scales(X)
        Z, empty = nb.standardised(X, center, spread)
        points = sub.draw(Z, empty, 1, params.max_samples, np.random.default_rng(seed))[0]
        return KdeState(center, spread, points, params.bandwidth * len(points) ** (-1.0 / (X.shape[1] + 4)))

    @staticmethod
    def score(state: KdeState, X: Floats, own: Flags) -> Floats:
        """Negative log density; NaN where a row has no value."""
        Z, empty = nb.standardised(X, state.center, state.spread)
        scores = _scores(Z, own, state.points, state.width)
        scores[empty] = np.nan
        return scores
