"""Lightweight online detector of anomalies: histograms of sparse random projections (Pevny 2016)."""

import math
from functools import lru_cache
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import columns, kernel

Indices = NDArray[np.int64]
Counts = NDArray[np.uint32]

BLOCK = 256  # rows that are projected together
DIRECTIONS = 4  # that one thread fits at a time
MOST_BINS = 256  # of the histograms that choose their own number of bins
EDGE = 1e-9  # bin widths by which a bin reaches below its left edge, so that rounding moves no value across one
SAME = 1e-6  # a gain in likelihood too small to call for more bins
UNSEEN = 0.5  # rows that an empty bin counts
FLAT = 1e-100  # range of projected values that counts as none: its reciprocal leaves room for far values
FLAT_BINS = 1e6  # bins per unit where there is no range: any other value lies outside


class Model(NamedTuple):
    """Sparse directions in the standardised columns, each with a histogram of what falls on it."""

    mean: Floats  # [d]
    spread: Floats  # [d], population standard deviation; 0 where the column is flat
    drawn: Indices  # [k, s], columns that a direction uses
    weights: Floats  # [k, s]
    low: Floats  # [k], where the bins begin
    scale: Floats  # [k], bins per unit
    n_bins: Indices  # [k]
    levels: Floats  # [k, most bins + 2], what a value adds in each bin, between two NaN
    empty: Floats  # [k], what a value adds in an empty bin


class Edges(NamedTuple):
    """Edges of histograms of several numbers of bins, in shares of the range, which is cut into cells to find them."""

    edges: Floats  # in order, from 0 to below 1, and infinity
    cells: NDArray[np.uint16]  # the last edge at or before the start of each; so small that at most one lies inside
    numbers: Indices  # the numbers of bins
    entries: Indices  # the edges of each number of bins, one number after another


@lru_cache(maxsize=16)
def _edges(fewest: int, most: int) -> Edges:
    """The edges of histograms of `fewest` to `most` bins."""
    numbers = np.arange(fewest, most + 1)
    edges, entries = np.unique(np.concatenate([np.arange(n + 1) / n for n in numbers]), return_inverse=True)
    n_cells = 2 ** math.ceil(-math.log2(np.diff(edges).min()))
    edges[-1] = np.inf
    cells = np.searchsorted(edges, np.arange(n_cells) / n_cells, "right") - 1
    return Edges(edges, cells.astype(np.uint16), numbers, entries)


@kernel
def _standardise(X: Floats, begin: int, end: int, model: Model, Z: Floats) -> None:
    """Fill some columns of Z, float64[d, n], with the standardised rows of X; gaps stay NaN."""
    for first in range(begin, end, BLOCK):
        columns.load(X, first, min(first + BLOCK, end), model.mean, model.spread, np.nan, Z, first)


@kernel
def _project(Z: Floats, begin: int, drawn: Indices, weights: Floats, out: Floats) -> None:
    """Fill the coordinates of rows from `begin` on on one direction; NaN where one of its columns is a gap."""
    out.fill(0.0)
    for s in range(drawn.size):
        values, weight = Z[drawn[s]][begin:], weights[s]
        for i in range(out.size):
            out[i] += weight * values[i]


@kernel
def _project_filled(Z: Floats, drawn: Indices, weights: Floats, out: Floats) -> None:
    """Fill the coordinates on one direction, gaps being 0; NaN where all of its columns are gaps."""
    for i in range(out.size):
        total, known = 0.0, 0
        for s in range(drawn.size):
            value = Z[drawn[s], i]
            total += weights[s] * value if value == value else 0.0
            known += int(value == value)
        out[i] = total if known > 0 else np.nan


@kernel
def _without_gaps(values: Floats) -> Floats:
    """The values that are not NaN, moved to the front."""
    gaps = 0
    for i in range(values.size):
        gaps += int(values[i] != values[i])
    count = 0
    for i in range(values.size if gaps > 0 else 0):
        values[count] = values[i]
        count += int(values[i] == values[i])
    return values[: values.size - gaps]


@kernel
def _range(values: Floats) -> tuple[float, float]:
    """The smallest and the largest value."""
    low, high = values[0], values[0]
    for value in values:
        low = value if value < low else low
        high = value if value > high else high
    return low, high


@kernel
def _count(values: Floats, low: float, scale: float, table: Edges, below: Counts) -> None:
    """Fill how many values lie below each edge. O(n)."""
    edges, cells, reach = table.edges, table.cells, EDGE / table.numbers[-1]
    n_cells, last = float(cells.size), float(cells.size - 1)
    below.fill(0)
    for i in range(values.size):
        share = (values[i] - low) * scale + reach
        cell = np.int32(share * n_cells if share * n_cells < last else last)
        after = np.uint32(cells[np.uint32(cell)]) + np.uint32(1)
        below[np.uint32(after + np.uint32(share >= edges[after]))] += np.uint32(1)
    for e in range(1, below.size):
        below[e] += below[e - 1]


@kernel
def _likelihood(below: Counts, edges: Indices) -> float:
    """The penalised likelihood of a histogram (Birge & Rozenholc 2006), of the rows below each of its edges."""
    n_bins, n = edges.size - 1, float(below[-1])
    value: float = 1.0 - n_bins - math.log(n_bins) ** 2.5
    for b in range(n_bins):
        count = float(below[edges[b + 1]] - below[edges[b]])
        value += count * math.log(count * n_bins / n) if count > 0.0 else 0.0
    return value


@kernel
def _best(below: Counts, table: Edges, most: int) -> tuple[int, int]:
    """The number of bins of the largest likelihood, at most `most` if there is a choice, and its first entry."""
    best, begin, largest, first = 0, 0, -np.inf, 0
    for n_bins in table.numbers:
        if best == 0 or n_bins <= most:
            value = _likelihood(below, table.entries[first : first + n_bins + 1])
            if best == 0 or value > largest + SAME:
                best, begin, largest = n_bins, first, value
        first += n_bins + 1
    return best, begin


@kernel
def _fill_levels(counts: Floats, n: int, p: int, model: Model) -> None:
    """Fill -log(density) of each bin of direction p, less its mean over the fitted rows."""
    mean = 0.0
    for count in counts:
        mean += count / n * math.log(max(count, 1.0))
    for b in range(counts.size):
        model.levels[p, b + 1] = mean - math.log(max(counts[b], UNSEEN))
    model.empty[p] = mean - math.log(UNSEEN)


@kernel
def _fit_histogram(values: Floats, p: int, model: Model, table: Edges, below: Counts) -> None:
    """Fill the histogram of the coordinates on direction p."""
    n, (low, high) = values.size, _range(values)
    is_flat = high - low <= FLAT
    _count(values, low, 0.0 if is_flat else 1.0 / (high - low), table, below)
    n_bins, first = _best(below, table, int(n / math.log(n)) if n > 1 and not is_flat else 1)
    counts = np.empty(n_bins)
    for b in range(n_bins):
        counts[b] = below[table.entries[first + b + 1]] - below[table.entries[first + b]]
    model.low[p], model.scale[p] = low, FLAT_BINS if is_flat else n_bins / (high - low)
    model.n_bins[p] = n_bins
    _fill_levels(counts, n, p, model)


@kernel
def _fit_directions(Z: Floats, begin: int, end: int, model: Model, table: Edges) -> None:
    """Fill the histograms of some directions from standardised columns.

    They count the rows without a gap in the columns of the direction; with gaps filled if there are none.
    """
    values, below = np.empty(Z.shape[1]), np.empty(table.edges.size, np.uint32)
    for p in range(begin, end):
        for first in range(0, values.size, BLOCK):
            _project(Z, first, model.drawn[p], model.weights[p], values[first : first + BLOCK])
        known = _without_gaps(values)
        if known.size == 0:
            _project_filled(Z, model.drawn[p], model.weights[p], values)
            known = _without_gaps(values)
        _fit_histogram(known, p, model, table, below)


@kernel
def _add_levels(model: Model, block: Floats, total: Floats, values: Floats, entries: NDArray[np.int32]) -> None:
    """Fill the sum of the levels of a block's first rows over the directions; the last two are scratch. O(rows k s).

    NaN where one is a gap or outside the bins. Short loops without branches: the processor does several rows a step.
    """
    total.fill(0.0)
    for p in range(model.low.size):
        low, scale, last, levels = model.low[p], model.scale[p], float(model.n_bins[p] + 1), model.levels[p]
        _project(block, 0, model.drawn[p], model.weights[p], values)
        for i in range(values.size):
            entry = (values[i] - low) * scale + EDGE + 1.0
            entry = entry if entry > 0.0 else 0.0
            entries[i] = np.int32(entry if entry < last else last)
        for i in range(values.size):
            total[i] += levels[np.uint32(entries[i])]


@kernel
def _surprise(z: Floats, p: int, model: Model) -> float:
    """What direction p says of a standardised row: the level of its bin; NaN where a column is a gap.

    Outside the bins, that of an empty one plus log(1 + distance in bins).
    """
    value, n_bins, levels = 0.0, model.n_bins[p], model.levels[p]
    for s in range(model.drawn.shape[1]):
        value += model.weights[p, s] * z[model.drawn[p, s]]
    place = (value - model.low[p]) * model.scale[p] + EDGE
    level: float = model.empty[p]
    if place != place:
        level = place
    elif place >= 0.0 and place < n_bins:
        level = levels[int(place) + 1]
    elif place >= n_bins and place <= n_bins + 2.0 * EDGE:
        level = levels[n_bins]
    else:
        level += math.log1p(place - n_bins if place > 0.0 else -place)
    return level


@kernel
def _add_surprises(z: Floats, model: Model, sums: Floats) -> None:
    """Fill what the directions say of a standardised row, and how many do: in all, and of those that use a column.

    The sums are float64[2, 1 + columns], or [2, 1] if those of the columns are not wanted. O(k s).
    """
    sums.fill(0.0)
    for p in range(model.low.size):
        level = _surprise(z, p, model)
        if level == level:
            sums[0, 0] += level
            sums[1, 0] += 1.0
            for s in range(model.drawn.shape[1] if sums.shape[1] > 1 else 0):
                column = 1 + model.drawn[p, s]
                sums[0, column] += level
                sums[1, column] += 1.0


@kernel
def _row_sums(X: Floats, i: int, model: Model, z: Floats, sums: Floats) -> None:
    """Fill the sums of a row; where every direction uses a gap of it, of the row with its gaps filled."""
    for gap in (np.nan, 0.0):
        columns.load(X, i, i + 1, model.mean, model.spread, gap, z, 0)
        _add_surprises(z[:, 0], model, sums)
        if sums[1, 0] > 0.0:
            break
    if columns.is_empty(X, i):
        sums.fill(np.nan)


@kernel
def _fill_scores(X: Floats, model: Model, scores: Floats) -> None:
    """Fill the mean surprise of each row. O(n k s)."""
    d, rows = X.shape[1], min(BLOCK, X.shape[0])
    block, z, sums = np.empty((d, rows)), np.empty((d, 1)), np.empty((2, 1))
    values, entries = np.empty(rows), np.empty(rows, np.int32)
    for begin in range(0, X.shape[0], BLOCK):
        total = scores[begin : begin + BLOCK]
        columns.load(X, begin, begin + total.size, model.mean, model.spread, np.nan, block, 0)
        _add_levels(model, block, total, values[: total.size], entries)
        for i in range(total.size):
            if total[i] != total[i] or model.low.size == 0:
                _row_sums(X, begin + i, model, z, sums)
                total[i] = sums[0, 0] / max(sums[1, 0], 1.0)
            else:
                total[i] /= model.low.size


@kernel
def _differences(X: Floats, model: Model) -> Floats:
    """Mean over the directions that use a column less the mean over the others, if there are any; 0 for a gap."""
    out, z, sums = np.zeros(X.shape), np.empty((X.shape[1], 1)), np.empty((2, 1 + X.shape[1]))
    for i in range(X.shape[0]):
        _row_sums(X, i, model, z, sums)
        for j in range(X.shape[1]):
            total, counted = sums[0, 1 + j], sums[1, 1 + j]
            if X[i, j] == X[i, j] and counted > 0.0:
                others = sums[1, 0] - counted
                out[i, j] = total / counted - ((sums[0, 0] - total) / others if others > 0.0 else 0.0)
    return out


def _draw(spread: Floats, n_projections: int, rng: np.random.Generator) -> tuple[Indices, Floats]:
    """Columns and weights of the directions: each takes about sqrt(d) columns, of those that were drawn least.

    A column without values is left out; where there is no other, so are all directions.
    """
    known = np.flatnonzero(np.isfinite(spread))
    n_drawn = round(math.sqrt(len(known)))
    drawn, times = np.empty((n_projections if n_drawn else 0, n_drawn), np.int64), np.zeros(len(known))
    for p in range(len(drawn)):
        chosen = np.argsort(times + rng.random(len(known)), kind="stable")[:n_drawn]
        times[chosen] += 1.0
        drawn[p] = np.sort(known[chosen])
    return drawn, rng.normal(size=drawn.shape)


class LodaParams(Params, frozen=True):
    """Parameters of the projections and their histograms."""

    n_projections: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Number of random projections")] = 100
    n_bins: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=10_000, description="Bins of each histogram, of equal width; 0 lets each choose its number"
        ),
    ] = 0


class LodaState(State, frozen=True):
    """The directions and their histograms; see `Model`."""

    mean: Floats
    spread: Floats
    drawn: Indices
    weights: Floats
    low: Floats
    scale: Floats
    n_bins: Indices
    levels: Floats
    empty: Floats

    @property
    def model(self) -> Model:
        """The arrays as the kernels take them."""
        return Model(*msgspec.structs.astuple(self))

    def check(self, d: int) -> None:
        """See `State`."""
        layout.shapes(self, d, mean="d", spread="d", drawn="k s", weights="k s")
        n = layout.shapes(self, d, drawn="k s", low="k", scale="k", n_bins="k", levels="k b+2", empty="k")
        layout.within(self.drawn, 0, d, "drawn")
        layout.within(self.n_bins, 0, n["b"] + 1, "n_bins")


def _empty(X: Floats, params: LodaParams, seed: int) -> Model:
    """The directions, with room for their histograms."""
    mean, spread = columns.moments(X)
    drawn, weights = _draw(spread, params.n_projections, np.random.default_rng(seed))
    k = len(drawn)
    levels, n_bins = np.full((k, (params.n_bins or MOST_BINS) + 2), np.nan), np.zeros(k, np.int64)
    return Model(mean, spread, drawn, weights, np.zeros(k), np.zeros(k), n_bins, levels, np.zeros(k))


@algorithm(
    kind="table",
    family="histogram",
    reference="Pevny 2016",
    complexity="O(n_projections * sqrt(d) * n)",
    params=LodaParams,
    deterministic=False,
)
class loda:
    """Lightweight detector of anomalies: how rare a row is on many sparse random projections.

    The mean over the projections of -log(density), as in the paper: a projection is a sum of about sqrt(d) columns
    with normal weights, its density a histogram. The number of its bins, all of one width, is the one with the
    largest penalised likelihood (Birge & Rozenholc 2006, the paper's choice), at most 256, unless `n_bins` is given.
    From each projection's -log(density) its mean over the fitted rows is taken, which moves the scores of rows
    without gaps by the same amount and makes those of rows with gaps comparable: 0 is an ordinary row. An empty
    bin counts half a row. A value beyond the bins counts as in an empty one, plus log(1 + distance in bins).

    As in the paper, a row with gaps is scored by the projections that use none of its gaps. Where there is no
    such projection of the row, and likewise where no fitted row is complete for a projection, the gaps take the
    column's mean.

    Unlike in the paper, columns are standardised, since a sum would otherwise follow the one with the largest
    numbers; and the columns of a projection are the least used so far, so that none is left out by chance. PyOD's LODA
    has 10 bins, an empty one of density 1e-12, takes no gaps, and looks values up one bin off.
    """

    @staticmethod
    def fit(X: Floats, params: LodaParams, seed: int) -> LodaState:
        """Draw the directions and count what falls on them."""
        model, most = _empty(X, params, seed), int(len(X) / math.log(max(len(X), 2)))
        table, Z = _edges(params.n_bins or 1, params.n_bins or min(max(most, 1), MOST_BINS)), np.empty(X.shape[::-1])
        workers.over_rows(len(X), columns.BATCH, lambda begin, end: _standardise(X, begin, end, model, Z))
        workers.over_rows(len(model.drawn), DIRECTIONS, lambda begin, end: _fit_directions(Z, begin, end, model, table))
        model = model._replace(levels=model.levels[:, : model.n_bins.max(initial=0) + 2].copy())
        return LodaState(*model)

    @staticmethod
    def score(state: LodaState, X: Floats, _own: Flags) -> Floats:
        """The mean over the projections; NaN where a row has no value."""
        model = state.model
        return columns.scored(X, lambda rows, scores: _fill_scores(rows, model, scores))

    @staticmethod
    def explain(state: LodaState, X: Floats) -> Floats:
        """Mean over the projections that use a column less the mean over the others, 0 for a gap."""
        return _differences(X, state.model)
