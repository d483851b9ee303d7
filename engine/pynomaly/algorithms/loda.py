"""Lightweight online detector of anomalies: histograms of sparse random projections (Pevny 2016)."""

import math
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import columns, kernel

Indices = NDArray[np.int64]

BLOCK = 256  # rows that are projected together
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
    levels: Floats  # [k, most bins + 2], what a value below the bins, in each bin, above them adds


@kernel
def _load(X: Floats, first: int, mean: Floats, spread: Floats, filled: bool, block: Floats) -> None:
    """Copy standardised rows from `first` on, column by column; gaps stay NaN unless they are to be filled."""
    for i in range(block.shape[1]):
        for j in range(X.shape[1]):
            value = X[first + i, j]
            block[j, i] = columns.standardised(value, mean[j], spread[j])
            if value != value and not filled:
                block[j, i] = np.nan


@kernel
def _project(block: Floats, drawn: Indices, weights: Floats, out: Floats) -> None:
    """Fill the coordinates of a block's rows on one direction; NaN where one of its columns is a gap."""
    out.fill(0.0)
    for s in range(drawn.size):
        values, weight = block[drawn[s]], weights[s]
        for i in range(out.size):
            out[i] += weight * values[i]


@kernel
def _coordinates(X: Floats, mean: Floats, spread: Floats, drawn: Indices, weights: Floats, filled: bool) -> Floats:
    """Coordinates of all rows on one direction, summed as in `_project`. O(n s).

    NaN where a column that it uses is a gap, or, if those are to be filled, where all are.
    """
    out = np.empty(X.shape[0])
    for i in range(X.shape[0]):
        total, known = 0.0, 0
        for s in range(drawn.size):
            value = X[i, drawn[s]]
            total += weights[s] * columns.standardised(value, mean[drawn[s]], spread[drawn[s]])
            known += int(value == value)
        out[i] = total if known == drawn.size or (filled and known > 0) else np.nan
    return out


@kernel
def _bins_per_unit(ordered: Floats, n_bins: int) -> float:
    """Bins per unit of a histogram of sorted values."""
    width = ordered[-1] - ordered[0]
    return n_bins / width if width > FLAT else FLAT_BINS


@kernel
def _count(ordered: Floats, n_bins: int, counts: Floats) -> None:
    """Fill how many sorted values fall in each of so many bins of equal width. O(n_bins log n)."""
    scale = _bins_per_unit(ordered, n_bins)
    passed = 0
    for b in range(n_bins):
        first, last = passed, ordered.size
        while first < last and b + 1 < n_bins:
            middle = (first + last) // 2
            if (ordered[middle] - ordered[0]) * scale + EDGE < b + 1:
                first = middle + 1
            else:
                last = middle
        counts[b] = last - passed
        passed = last


@kernel
def _best_number(ordered: Floats, counts: Floats) -> int:
    """The number of bins with the largest penalised likelihood (Birge & Rozenholc 2006), at most `MOST_BINS`."""
    n = ordered.size
    most = int(n / math.log(n)) if n > 1 and ordered[-1] - ordered[0] > FLAT else 1
    best, largest = 1, 0.0
    for n_bins in range(2, min(most, MOST_BINS) + 1):
        _count(ordered, n_bins, counts)
        value = 1.0 - n_bins - math.log(n_bins) ** 2.5
        for b in range(n_bins):
            value += counts[b] * math.log(counts[b] * n_bins / n) if counts[b] > 0.0 else 0.0
        if value > largest + SAME:
            best, largest = n_bins, value
    return best


@kernel
def _fill_levels(counts: Floats, n: int, levels: Floats) -> None:
    """Fill -log(density) of each bin, less its mean over the fitted rows, between two entries for values outside."""
    mean = 0.0
    for count in counts:
        mean += count / n * math.log(max(count, 1.0))
    levels.fill(mean - math.log(UNSEEN))
    for b in range(counts.size):
        levels[b + 1] = mean - math.log(max(counts[b], UNSEEN))


@kernel
def _fit_histogram(ordered: Floats, p: int, model: Model, counts: Floats) -> None:
    """Fill the histogram of sorted values on direction p; a number of bins of 0 is chosen."""
    if model.n_bins[p] == 0:
        model.n_bins[p] = _best_number(ordered, counts)
    n_bins = model.n_bins[p]
    _count(ordered, n_bins, counts)
    model.low[p], model.scale[p] = ordered[0], _bins_per_unit(ordered, n_bins)
    _fill_levels(counts[:n_bins], ordered.size, model.levels[p, : n_bins + 2])


@kernel
def _surprise(value: float, low: float, scale: float, n_bins: int, levels: Floats) -> float:
    """The level of a value's bin; outside, that of an empty bin plus log(1 + distance in bins)."""
    place = (value - low) * scale + EDGE
    level: float = levels[0]
    if place >= 0.0 and place < n_bins:
        level = levels[int(place) + 1]
    elif place >= n_bins and place <= n_bins + 2.0 * EDGE:
        level = levels[n_bins]
    else:
        level += math.log1p(place - n_bins if place > 0.0 else -place)
    return level


@kernel
def _add_surprises(block: Floats, model: Model, values: Floats, total: Floats, parts: Floats) -> None:
    """Add what the directions say of a block's rows, and their number, to `total` [2, rows]; O(rows k s).

    Also to the columns that each direction uses, in `parts` [2, d, rows], unless that is empty.
    """
    for p in range(model.low.size):
        drawn, levels = model.drawn[p], model.levels[p]
        low, scale, n_bins = model.low[p], model.scale[p], model.n_bins[p]
        _project(block, drawn, model.weights[p], values)
        for i in range(values.size):
            if values[i] == values[i]:
                values[i] = _surprise(values[i], low, scale, n_bins, levels)
                total[0, i] += values[i]
                total[1, i] += 1.0
        for s in range(drawn.size if parts.shape[1] > 0 else 0):
            for i in range(values.size):
                parts[0, drawn[s], i] += values[i] if values[i] == values[i] else 0.0
                parts[1, drawn[s], i] += 1.0 if values[i] == values[i] else 0.0


@kernel
def _difference(total: Floats, part: Floats) -> float:
    """Mean over some of the directions less the mean over the others; the former alone where there are no others."""
    if part[1] == 0.0:
        return 0.0
    others = total[1] - part[1]
    difference: float = part[0] / part[1] - ((total[0] - part[0]) / others if others > 0.0 else 0.0)
    return difference


@kernel
def _evaluate(X: Floats, model: Model, scores: Floats, shares: Floats) -> None:
    """Fill the mean surprise of each row, and the differences by column unless `shares` has no rows. O(n k s)."""
    d = X.shape[1]
    block, values, total = np.empty((d, BLOCK)), np.empty(BLOCK), np.empty((2, BLOCK))
    parts = np.empty((2, d if shares.shape[0] > 0 else 0, BLOCK))
    for first in range(0, X.shape[0], BLOCK):
        count = min(BLOCK, X.shape[0] - first)
        _load(X, first, model.mean, model.spread, False, block[:, :count])
        total.fill(0.0)
        parts.fill(0.0)
        _add_surprises(block[:, :count], model, values[:count], total, parts)
        for i in range(count):
            if total[1, i] == 0.0 and not columns.is_empty(X, first + i):
                _load(X, first + i, model.mean, model.spread, True, block[:, :1])
                _add_surprises(block[:, :1], model, values[:1], total[:, i : i + 1], parts[:, :, i : i + 1])
            scores[first + i] = total[0, i] / max(total[1, i], 1.0)
            if columns.is_empty(X, first + i):
                scores[first + i] = np.nan
            for j in range(parts.shape[1]):
                is_known = X[first + i, j] == X[first + i, j]
                shares[first + i, j] = _difference(total[:, i], parts[:, j, i]) if is_known else 0.0


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

    @property
    def model(self) -> Model:
        """The arrays as the kernels take them."""
        return Model(*msgspec.structs.astuple(self))


def _empty(X: Floats, params: LodaParams, seed: int) -> Model:
    """The directions, with room for their histograms."""
    mean, spread = columns.moments(X)
    drawn, weights = _draw(spread, params.n_projections, np.random.default_rng(seed))
    k = len(drawn)
    levels = np.zeros((k, (params.n_bins or MOST_BINS) + 2))
    return Model(mean, spread, drawn, weights, np.zeros(k), np.zeros(k), np.full(k, params.n_bins), levels)


def _ordered(X: Floats, model: Model, p: int) -> Floats:
    """The sorted coordinates on direction p of the rows without a gap there; with gaps filled if there are none."""
    for filled in (False, True):
        values = _coordinates(X, model.mean, model.spread, model.drawn[p], model.weights[p], filled)
        values.sort()
        known = values[: columns.n_known(values)]
        if len(known) > 0:
            break
    return known


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
        model = _empty(X, params, seed)
        counts = np.empty(model.levels.shape[1] - 2)
        for p in range(len(model.drawn)):
            _fit_histogram(_ordered(X, model, p), p, model, counts)
        return LodaState(*model[:-1], model.levels[:, : model.n_bins.max(initial=0) + 2].copy())

    @staticmethod
    def score(state: LodaState, X: Floats, _own: Flags) -> Floats:
        """The mean over the projections; NaN where a row has no value."""
        scores = np.empty(len(X))
        _evaluate(X, state.model, scores, np.empty((0, X.shape[1])))
        return scores

    @staticmethod
    def explain(state: LodaState, X: Floats) -> Floats:
        """Mean over the projections that use a column less the mean over the others, 0 for a gap."""
        shares = np.empty(X.shape)
        _evaluate(X, state.model, np.empty(len(X)), shares)
        return shares
