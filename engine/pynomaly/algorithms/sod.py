"""Subspace outlier degree: an anomaly leaves the columns in which the rows like it agree (Kriegel et al. 2009)."""

from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import kernel
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels.kdtree import Tree
from pynomaly.kernels.nearest import QUERIES, find, insert, nearest, square_distance

CLEARLY_LESS = 1.0 - 1e-9  # a variance at the limit is not below it, whatever rounding says
NO_VARIANCE = 1e-24  # standardised columns that vary less together are flat but for rounding


class Holders(NamedTuple):
    """The rows that have each slot among their neighbours, those of one slot after those of another."""

    start: NDArray[np.int64]  # [slots + 1], first entry of each slot
    holder: nb.Counts  # a slot whose row has it among its neighbours
    times: nb.Counts  # and how often, as copies are neighbours each


class References(NamedTuple):
    """Scratch for one row: the rows that share neighbours with it, and those of them that it is held against."""

    shared: nb.Counts  # [slots], neighbours shared; -1 for a row that was not met
    met: nb.Counts  # [slots]
    n_rows: NDArray[np.int64]  # [k + 1], rows that share so many
    slots: nb.Counts  # [k], the references, each once
    weights: NDArray[np.int64]  # [k], their copies that are references
    tied: nb.Counts  # [k + 4]
    squares: Floats  # [k + 4], distances of the tied


@kernel
def _end_of_run(slots: nb.Counts, at: int) -> int:
    """The end of the copies of one row in a list of neighbours."""
    end = at + 1
    while end < slots.size and slots[end] == slots[at]:
        end += 1
    return end


@kernel
def _holders(slots: nb.Counts, copies: nb.Counts) -> Holders:
    """Turn the lists of neighbours of all slots around. O(n k)."""
    n, k = slots.shape
    start = np.zeros(n + 1, np.int64)
    for i in range(n):
        at = 0 if copies[i] > 0 else k
        while at < k:
            start[slots[i, at] + 1] += 1
            at = _end_of_run(slots[i], at)
    for i in range(n):
        start[i + 1] += start[i]
    place = start.copy()
    holder, times = np.empty(start[n], np.int32), np.empty(start[n], np.int32)
    for i in range(n):
        at = 0 if copies[i] > 0 else k
        while at < k:
            slot, end = slots[i, at], _end_of_run(slots[i], at)
            holder[place[slot]], times[place[slot]] = i, end - at
            place[slot] += 1
            at = end
    return Holders(start, holder, times)


@kernel
def _meet(slot: int, shared: int, used: int, found: References) -> int:
    """Add to what a row shares; return how many rows were met."""
    if found.shared[slot] < 0:
        found.shared[slot], found.met[used] = 0, slot
        used += 1
    found.shared[slot] += shared
    return used


@kernel
def _count_shared(slots: nb.Counts, holders: Holders, found: References) -> int:
    """Count, for each row that shares neighbours with this list or is on it, how many; return how many rows.

    The same values in both lists are shared as often as they are in both.
    """
    used, at = 0, 0
    while at < slots.size:
        slot, end = slots[at], _end_of_run(slots, at)
        used = _meet(slot, 0, used, found)
        for p in range(holders.start[slot], holders.start[slot + 1]):
            used = _meet(holders.holder[p], min(end - at, holders.times[p]), used, found)
        at = end
    return used


@kernel
def _level(met: nb.Counts, itself: int, want: int, copies: nb.Counts, found: References) -> tuple[int, int]:
    """The least number of shared neighbours of a reference, and how many rows share more."""
    found.n_rows.fill(0)
    for slot in met:
        found.n_rows[found.shared[slot]] += copies[slot] - int(slot == itself)
    level, above = found.n_rows.size - 1, 0
    while level > 0 and above + found.n_rows[level] < want:
        above += found.n_rows[level]
        level -= 1
    return level, above


@kernel
def _choose(q: Floats, itself: int, met: nb.Counts, want: int, tree: Tree, found: References) -> int:
    """Fill the references: the rows that share the most, of equals the nearest; return how many differ."""
    level, above = _level(met, itself, want, tree.copies, found)
    chosen = 0
    held: Any = np.int64(0)  # a literal 0 has a type of its own, for which `insert` would be compiled again
    total: Any = np.int64(0)
    for slot in met:
        weight = tree.copies[slot] - int(slot == itself)
        if found.shared[slot] > level and weight > 0:
            found.slots[chosen], found.weights[chosen] = slot, weight
            chosen += 1
        elif found.shared[slot] == level and weight > 0:
            square = square_distance(q, tree.rows, slot)
            # One more than is wanted, as the row itself may be among the copies that are counted.
            held, total = insert(found.squares, found.tied, held, total, want - above + 1, square, slot, tree)
    for at in range(held):
        slot = found.tied[at]
        weight = min(tree.copies[slot] - int(slot == itself), want - above)
        if weight > 0:
            found.slots[chosen], found.weights[chosen] = slot, weight
            chosen, above = chosen + 1, above + weight
    return chosen


@kernel
def _fill_moments(slots: nb.Counts, weights: NDArray[np.int64], rows: Floats, mean: Floats, variance: Floats) -> None:
    """Fill mean and variance of the references by column; their sums start from the first, so equals vary by 0."""
    n = 0
    for weight in weights:
        n += weight
    for j in range(mean.size):
        base, total, square = rows[slots[0], j], 0.0, 0.0
        for at in range(slots.size):
            total += weights[at] * (rows[slots[at], j] - base)
        for at in range(slots.size):
            away = rows[slots[at], j] - base - total / n
            square += weights[at] * (away * away)
        mean[j], variance[j] = base + total / n, square / n


@kernel
def _limit(variance: Floats, alpha: float) -> float:
    """The variance that a column of the subspace is below: infinite where no column would be."""
    total, least = 0.0, np.inf
    for value in variance:
        total += value
        least = min(least, value)
    limit = CLEARLY_LESS * (alpha * (total / variance.size))
    return limit if total > NO_VARIANCE and least < limit else np.inf


@kernel
def _fill_deviations(q: Floats, mean: Floats, variance: Floats, alpha: float, out: Floats) -> float:
    """Fill the squared deviations in the subspace over its number of columns; return the root of their sum."""
    limit, chosen, total = _limit(variance, alpha), 0, 0.0
    for value in variance:
        chosen += int(value < limit)
    for j in range(q.size):
        out[j] = (q[j] - mean[j]) * (q[j] - mean[j]) / chosen if variance[j] < limit else 0.0
        total += out[j]
    return float(np.sqrt(total))


@kernel
def _evaluate(
    Q: Floats,
    slots: nb.Counts,
    itself: nb.Counts,
    tree: Tree,
    holders: Holders,
    ref_set: int,
    alpha: float,
    shares: Floats,
) -> Floats:
    """Subspace outlier degree of rows with these neighbours; fills the columns' shares unless that has no rows.

    `itself` is the slot of which one copy is the row itself, or -1.
    """
    (n, d), k, n_slots = Q.shape, slots.shape[1], tree.copies.size
    n_rows, weights = np.empty(k + 1, np.int64), np.empty(k, np.int64)
    shared, met, chosen = np.full(n_slots, np.int32(-1)), np.empty(n_slots, np.int32), np.empty(k, np.int32)
    found = References(shared, met, n_rows, chosen, weights, np.empty(k + 4, np.int32), np.empty(k + 4))
    mean, variance, parts, out = np.empty(d), np.empty(d), np.empty(d), np.empty(n)
    for i in range(n):
        used = _count_shared(slots[i], holders, found)
        count = _choose(Q[i], itself[i], met[:used], ref_set, tree, found)
        _fill_moments(chosen[:count], weights[:count], tree.rows, mean, variance)
        out[i] = _fill_deviations(Q[i], mean, variance, alpha, parts)
        for j in range(d if shares.shape[0] > 0 else 0):
            shares[i, j] = parts[j] / out[i] if out[i] > 0.0 else 0.0
        for at in range(used):
            shared[met[at]] = -1
    return out


class SodParams(Params, frozen=True):
    """Parameters of the subspace outlier degree."""

    n_neighbors: Annotated[
        int, msgspec.Meta(ge=2, le=1_000, description="Neighbours of a row, of which others may share some")
    ] = 20
    ref_set: Annotated[
        int,
        msgspec.Meta(ge=2, le=1_000, description="Rows that a row is held against; at most n_neighbors are"),
    ] = 10
    alpha: Annotated[
        float,
        msgspec.Meta(gt=0.0, lt=1.0, description="Share of the mean variance that a chosen column's is below"),
    ] = 0.8


class SodState(nb.Index, State, frozen=True):
    """The fit sample as a tree of standardised rows, with who is whose neighbour and the training scores."""

    start: NDArray[np.int64]  # this and the next two: see `Holders`
    holder: nb.Counts
    times: nb.Counts
    training: Floats  # [slots]
    n_neighbors: int
    ref_set: int
    alpha: float

    def evaluate(self, Q: Floats, itself: nb.Counts, shares: Floats) -> Floats:
        """Scores of standardised rows, `itself` being the slots that they are themselves; fills `shares`."""
        slots = nearest(self.tree, Q, itself >= 0, self.n_neighbors)[1]
        holders = Holders(self.start, self.holder, self.times)
        return _evaluate(Q, slots, itself, self.tree, holders, self.ref_set, self.alpha, shares)

    def check(self, d: int) -> None:
        """See `State`."""
        super().check(d)
        n = layout.shapes(self, d, rows="n d", start="n+1", holder="h", times="h", training="n")
        self.check_number(self.n_neighbors)
        layout.require(1 <= self.ref_set <= self.n_neighbors, "`ref_set` is out of range")
        layout.within(self.holder, 0, n["n"], "holder")
        of = np.repeat(np.arange(n["n"]), layout.runs(self.start, n["h"], "start"))
        again = (np.diff(of) == 0) & (np.diff(self.holder) <= 0)
        layout.require(not again.any() and (self.times > 0).all(), "`holder` lists a row twice")


@algorithm(
    kind="table",
    family="proximity",
    reference="Kriegel, Kroeger, Schubert & Zimek 2009",
    complexity="O(n * (d * log(n) + n_neighbors ** 2)) in few columns, O(d * n ** 2) in many",
    params=SodParams,
    handles_missing=False,
    uses_own=True,
    neighbors="n_neighbors",
    caveat="a row far out in one column scores low if the rows that share its neighbours vary much in that column",
)
class sod:
    """Subspace outlier degree: how far a row lies from similar rows in the columns in which those agree.

    A row is held against its references: of all fitted rows the `ref_set` that have the most of their
    `n_neighbors` nearest rows in common with it, of equals the nearest. The columns that count are those in which
    the references' variance is below `alpha` times its mean over the columns. The score is the root of the
    mean squared difference, over those columns, between the row and the mean of the references.

    Neighbours in common are counted by value: copies of a row are neighbours each, but one does not stand for
    another row than its copies. A new row is held against fitted rows by its nearest fitted rows and theirs.

    Where no column's variance is below the limit, as in a table of one column, all columns count: the paper
    leaves such a row at 0, however far it is. The score is the distance over the root of the number of columns,
    as in PyOD; the paper divides by that number itself. Columns are divided by their standard deviation in
    the fit sample; a flat column counts only where a new row differs from it; a gap takes the column's mean.
    """

    @staticmethod
    def fit(X: Floats, params: SodParams, _seed: int) -> SodState:
        """Standardise and index the rows, list whose neighbours each is, and score each."""
        index = nb.fit_index(X)
        tree, rows = index.tree, index.rows
        slots = index.nearest_others(k := min(params.n_neighbors, len(X) - 1))[1]
        ref_set, itself = min(params.ref_set, k), np.arange(len(rows), dtype=np.int32)
        holders = _holders(slots, tree.copies)

        def evaluate(first: int, end: int) -> Floats:
            part = rows[first:end], slots[first:end], itself[first:end]
            return _evaluate(*part, tree, holders, ref_set, params.alpha, np.empty((0, 0)))

        training = workers.per_row(len(rows), QUERIES, evaluate)
        return SodState(
            **index.fields(),
            **holders._asdict(),
            training=training,
            n_neighbors=k,
            ref_set=ref_set,
            alpha=params.alpha,
        )

    @staticmethod
    def score(state: SodState, X: Floats, own: Flags) -> Floats:
        """The subspace outlier degree; NaN where a row has no value."""
        Z, empty = nb.standardised(X, state.center, state.spread)

        def evaluate(new: NDArray[np.int64]) -> Floats:
            return state.evaluate(Z[new], np.full(len(new), -1, np.int32), np.empty((0, 0)))

        scores = nb.looked_up(state.tree, state.training, Z, own, evaluate)
        scores[empty] = np.nan
        return scores

    @staticmethod
    def explain(state: SodState, X: Floats) -> Floats:
        """Squared differences from the references' mean in the columns that count, over their number and the score.

        They sum to the score. A copy of the row in the fit sample is taken for the row itself and not counted.
        """
        Z, empty = nb.standardised(X, state.center, state.spread)
        shares = np.empty(X.shape)
        state.evaluate(Z, find(state.tree, Z), shares)
        shares[empty] = np.nan
        return shares
