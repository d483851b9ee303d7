"""Histograms: an anomaly falls in the empty bins of its columns (Goldstein & Dengel 2012)."""

from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import columns, kernel

Places = NDArray[np.int32]

BLOCK = 256  # rows that are looked up together
LANES = 4  # counts of one bin


class Model(NamedTuple):
    """The histograms."""

    edges: Floats  # [d, n_bins + 1]
    scale: Floats  # [d], bins per unit; 0 where bins have no width
    levels: Floats  # [d, n_bins + 2], what a value below the bins, in each bin, above them adds to the score
    tolerance: float  # bin widths that a value may lie outside


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
def _bin(value: float, guess: int, edges: Floats) -> int:
    """The bin with these edges whose (left, right] holds the value, or the nearest."""
    b, last = guess, edges.size - 2
    while b > 0 and value <= edges[b]:
        b -= 1
    while b < last and value > edges[b + 1]:
        b += 1
    return b


@kernel
def _fill_guesses(X: Floats, begin: int, j: int, edges: Floats, scale: float, cells: Floats, guesses: Places) -> None:
    """Copy column j's cells from row `begin` on, and fill about which bins hold them; `scale` is bins per unit."""
    low, last = edges[0], float(edges.size - 2)
    for i in range(cells.size):
        cells[i] = X[begin + i, j]
    for i in range(cells.size):
        place = (cells[i] - low) * scale
        place = place if place > 0.0 else 0.0
        guesses[i] = np.int32(place if place < last else last)


@kernel
def _count(X: Floats, j: int, edges: Floats, scale: float, counts: Floats) -> None:
    """Fill the values in each bin of column j; a bin holds its left edge, and the last one its right edge too.

    Counted by lanes, since most values fall in few bins, and a count must be stored before it can grow again.
    """
    cells, guesses, n_bins = np.empty(BLOCK), np.empty(BLOCK, np.int32), np.uint32(counts.size)
    lanes = np.zeros(LANES * counts.size, np.uint32)
    for begin in range(0, X.shape[0], BLOCK):
        size, n_sure = min(BLOCK, X.shape[0] - begin), 0
        _fill_guesses(X, begin, j, edges, scale, cells[:size], guesses)
        for i in range(size):
            guess = np.uint32(guesses[i])
            is_sure = int((edges[guess] < cells[i]) & (cells[i] < edges[guess + np.uint32(1)]))
            lanes[np.uint32(i) % np.uint32(LANES) * n_bins + guess] += np.uint32(is_sure)
            n_sure += is_sure
        for i in range(size if n_sure < size else 0):
            value, at = cells[i], int(guesses[i])
            if value == value and not (edges[at] < value < edges[at + 1]):
                at = _bin(value, at, edges)
                while at + 1 < counts.size and value >= edges[at + 1]:
                    at += 1
                lanes[at] += np.uint32(1)
    counts.fill(0.0)
    for lane in range(LANES):
        for b in range(counts.size):
            counts[b] += lanes[lane * counts.size + b]


@kernel
def _fill_counts(X: Floats, begin: int, end: int, edges: Floats, scale: Floats, counts: Floats) -> None:
    """Fill the values in each bin of some columns."""
    for j in range(begin, end):
        _count(X, j, edges[j], scale[j], counts[j])


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
def _level(value: float, guess: int, edges: Floats, tolerance: float) -> int:
    """The entry of a column's levels for a value."""
    n_bins: int = edges.size - 1
    if value <= edges[0]:
        return int(edges[0] - value <= tolerance * (edges[1] - edges[0]))
    if value > edges[n_bins]:
        near: bool = value - edges[n_bins] <= tolerance * (edges[n_bins] - edges[n_bins - 1])
        return n_bins + 1 - int(near)
    return 1 + _bin(value, guess, edges)


@kernel
def _fill_added(X: Floats, begin: int, j: int, model: Model, cells: Floats, guesses: Places, added: Floats) -> int:
    """Fill what column j's cells from row `begin` on add, 0 for a gap; return the number of gaps.

    Most guesses are right: a loop without branches takes them all, and only where one is wrong there is another.
    """
    edges, levels, n_sure, gaps = model.edges[j], model.levels[j], 0, 0
    _fill_guesses(X, begin, j, edges, model.scale[j], cells[: added.size], guesses)
    for i in range(added.size):
        b = np.uint32(guesses[i])
        n_sure += int((edges[b] < cells[i]) & (cells[i] <= edges[b + np.uint32(1)]))
        added[i] = levels[b + np.uint32(1)]
    for i in range(added.size if n_sure < added.size else 0):
        value, b = cells[i], np.uint32(guesses[i])
        if value != value:
            added[i] = 0.0
            gaps += 1
        elif not (edges[b] < value <= edges[b + np.uint32(1)]):
            added[i] = levels[_level(value, guesses[i], edges, model.tolerance)]
    return gaps


@kernel
def _fill_scores(X: Floats, model: Model, out: Floats) -> None:
    """Fill what each row's cells add together. O(n d)."""
    cells, guesses, added, gaps = np.empty(BLOCK), np.empty(BLOCK, np.int32), np.empty(BLOCK), 0
    out.fill(0.0)
    for begin in range(0, X.shape[0], BLOCK):
        scores = out[begin : begin + BLOCK]
        for j in range(X.shape[1]):
            gaps += _fill_added(X, begin, j, model, cells, guesses, added[: scores.size])
            for i in range(scores.size):
                scores[i] += added[i]
    if gaps > 0:
        columns.rescale(X, out.reshape(-1, 1))


@kernel
def _contributions(X: Floats, model: Model) -> Floats:
    """What each cell adds. O(n d)."""
    out, added = np.empty(X.shape), np.empty(BLOCK)
    cells, guesses = np.empty(BLOCK), np.empty(BLOCK, np.int32)
    for begin in range(0, X.shape[0], BLOCK):
        size = min(BLOCK, X.shape[0] - begin)
        for j in range(X.shape[1]):
            _fill_added(X, begin, j, model, cells, guesses, added[:size])
            for i in range(size):
                out[begin + i, j] = added[i]
    columns.rescale(X, out)
    return out


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
    """The histograms; see `Model`."""

    edges: Floats
    scale: Floats
    levels: Floats
    tolerance: float

    @property
    def model(self) -> Model:
        """The arrays as the kernels take them."""
        return Model(self.edges, self.scale, self.levels, self.tolerance)

    def check(self, d: int) -> None:
        """See `State`."""
        n = layout.shapes(self, d, edges="d b+1", scale="d", levels="d b+2")
        layout.require(n["b"], "`edges` holds no bin")


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
        d, n_bins = X.shape[1], params.n_bins
        edges, levels, counts = np.empty((d, n_bins + 1)), np.empty((d, n_bins + 2)), np.empty((d, n_bins))
        low, high, known = columns.ranges(X)
        _fill_edges(low, high, edges)
        scale = _scales(edges)
        workers.over_rows(
            d, columns.together(len(X), d), lambda begin, end: _fill_counts(X, begin, end, edges, scale, counts)
        )
        spread = columns.moments_within(X, low, high, known)[1]
        _fill_levels(counts, edges, known, spread, params.alpha, levels)
        return HbosState(edges, scale, levels, params.tol)

    @staticmethod
    def score(state: HbosState, X: Floats, _own: Flags) -> Floats:
        """The sum over the columns; NaN where a row has no value."""
        model = state.model
        return columns.scored(X, lambda rows, scores: _fill_scores(rows, model, scores))

    @staticmethod
    def explain(state: HbosState, X: Floats) -> Floats:
        """What each column adds to the score, 0 for a gap."""
        return _contributions(X, state.model)
