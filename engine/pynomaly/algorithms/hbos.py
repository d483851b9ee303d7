"""Histograms: an anomaly falls in the empty bins of its columns (Goldstein & Dengel 2012)."""

from typing import Annotated

import msgspec
import numpy as np

from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import columns, kernel


@kernel
def _fill_edges(low: Floats, high: Floats, edges: Floats) -> None:
    """Fill the edges of each column's bins, rounded as `np.linspace` rounds them; 0 for a column of gaps."""
    n_bins = edges.shape[1] - 1
    for j in range(edges.shape[0]):
        if low[j] > high[j]:
            edges[j].fill(0.0)
            continue
        width = high[j] - low[j]
        step = width / n_bins if width <= columns.LARGEST else high[j] / n_bins - low[j] / n_bins
        for b in range(n_bins):
            edges[j, b] = min(b * step + low[j], high[j])
        edges[j, n_bins] = high[j]


@kernel
def _scales(edges: Floats) -> Floats:
    """Bins per unit of each column; 0 where they have no width, or one too small for a reciprocal."""
    scale = np.zeros(edges.shape[0])
    for j in range(edges.shape[0]):
        step = edges[j, 1] - edges[j, 0]
        if step > 1.0 / columns.LARGEST:
            scale[j] = 1.0 / step
    return scale


@kernel
def _bin(value: float, edges: Floats, j: int, scale: float) -> int:
    """The bin of column j whose (left, right] holds the value, or the nearest; `scale` is bins per unit."""
    last = edges.shape[1] - 2
    b = int(min(max((value - edges[j, 0]) * scale, 0.0), last))
    while b > 0 and value <= edges[j, b]:
        b -= 1
    while b < last and value > edges[j, b + 1]:
        b += 1
    return b


@kernel
def _counts(X: Floats, edges: Floats, scale: Floats) -> Floats:
    """Values in each bin of each column; a bin holds its left edge, and the last one its right edge too."""
    counts = np.zeros((edges.shape[0], edges.shape[1] - 1))
    last = counts.shape[1] - 1
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            value = X[i, j]
            if value == value:
                b = _bin(value, edges, j, scale[j])
                while b < last and value >= edges[j, b + 1]:
                    b += 1
                counts[j, b] += 1.0
    return counts


@kernel
def _fill_levels(counts: Floats, edges: Floats, known: Floats, spread: Floats, alpha: float, levels: Floats) -> None:
    """Fill -log2(density + alpha) of each bin, between two entries for values too far below and above.

    Densities are per standard deviation, so that alpha means the same in a column of cents and one of millions.
    """
    n_bins = counts.shape[1]
    for j in range(counts.shape[0]):
        worst = -np.inf
        for b in range(n_bins):
            width = edges[j, b + 1] - edges[j, b]
            density = float(n_bins)  # of a flat column, as if its range were 1
            if edges[j, n_bins] > edges[j, 0]:
                density = counts[j, b] / known[j] * (spread[j] / width) if width > 0.0 else np.inf
            levels[j, b + 1] = -np.log2(min(density + alpha, columns.LARGEST))
            worst = max(worst, levels[j, b + 1])
        if edges[j, n_bins] == edges[j, 0]:
            worst = -np.log2(alpha)
        levels[j, 0], levels[j, n_bins + 1] = worst, worst
        if known[j] == 0.0:
            levels[j].fill(0.0)


@kernel
def _level(value: float, edges: Floats, j: int, scale: float, tolerance: float) -> int:
    """The entry of column j's levels for a value."""
    n_bins: int = edges.shape[1] - 1
    if value <= edges[j, 0]:
        return int(edges[j, 0] - value <= tolerance * (edges[j, 1] - edges[j, 0]))
    if value > edges[j, n_bins]:
        near: bool = value - edges[j, n_bins] <= tolerance * (edges[j, n_bins] - edges[j, n_bins - 1])
        return n_bins + 1 - int(near)
    return 1 + _bin(value, edges, j, scale)


@kernel
def _add_levels(X: Floats, edges: Floats, scale: Floats, levels: Floats, tolerance: float, out: Floats) -> None:
    """Add what each cell says to its place in `out`, or to the row's sum where `out` has one column. O(n d)."""
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            if X[i, j] == X[i, j]:
                column = j if out.shape[1] > 1 else 0
                out[i, column] += levels[j, _level(X[i, j], edges, j, scale[j], tolerance)]


class HbosParams(Params, frozen=True):
    """Parameters of the histograms."""

    n_bins: Annotated[int, msgspec.Meta(ge=2, le=10_000, description="Bins of each column, of equal width")] = 10
    alpha: Annotated[
        float, msgspec.Meta(gt=0.0, lt=1.0, description="Added to each density, so that an empty bin has a logarithm")
    ] = 0.1
    tol: Annotated[
        float,
        msgspec.Meta(gt=0.0, lt=1.0, description="Bin widths that a value may lie outside and belong to the last bin"),
    ] = 0.5


class HbosState(State, frozen=True):
    """The histograms."""

    edges: Floats  # [d, n_bins + 1]
    scale: Floats  # [d], bins per unit; 0 where bins have no width
    levels: Floats  # [d, n_bins + 2], what a value below the bins, in each bin, above them adds to the score
    tolerance: float

    def added(self, X: Floats, n_columns: int) -> Floats:
        """What each cell adds, in as many columns as X has, or its sum by row, in one."""
        out = np.zeros((len(X), n_columns))
        _add_levels(X, self.edges, self.scale, self.levels, self.tolerance, out)
        columns.rescale(X, out)
        return out


@algorithm(
    kind="table",
    family="histogram",
    reference="Goldstein & Dengel 2012",
    complexity="O(d * n)",
    params=HbosParams,
)
class hbos:
    """Histogram-based outlier score: how empty the bins are that hold a row's values.

    The sum over the columns of -log2(density per standard deviation + alpha), as in PyOD's HBOS with a fixed
    number of bins, equal to it on the fitted rows of standardised columns. As there, a value on the edge between
    two bins is counted in the upper bin and scored by the lower one; outside the bins it counts as in the
    outermost bin within `tol` bin widths, and as in the emptiest bin beyond. Unlike there, a flat column keeps its
    value in a dense bin and any other value outside. With gaps, the sum over the other columns is scaled up to all.
    """

    @staticmethod
    def fit(X: Floats, params: HbosParams, _seed: int) -> HbosState:
        """Count the values in each bin."""
        low, high, known = columns.ranges(X)
        edges, levels = np.empty((X.shape[1], params.n_bins + 1)), np.empty((X.shape[1], params.n_bins + 2))
        _fill_edges(low, high, edges)
        scale = _scales(edges)
        _fill_levels(_counts(X, edges, scale), edges, known, columns.moments(X)[1], params.alpha, levels)
        return HbosState(edges, scale, levels, params.tol)

    @staticmethod
    def score(state: HbosState, X: Floats, _own: Flags) -> Floats:
        """The sum over the columns; NaN where a row has no value."""
        return state.added(X, 1)[:, 0]

    @staticmethod
    def explain(state: HbosState, X: Floats) -> Floats:
        """What each column adds to the score, 0 for a gap."""
        return state.added(X, X.shape[1])
