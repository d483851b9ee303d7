"""Exact nearest neighbours in standardised columns: a k-d tree of the distinct rows, searched by squared distance.

A row is compared in its own loop, column by column in order, so that a distance has the same bits in any
batch. Neighbours are ordered by distance, then by the lexicographic order of their values: the k nearest
do not depend on the order of the rows or on the shape of the tree.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros
from numpy.typing import NDArray

from pynomaly import workers
from pynomaly.kernels import kernel, lanes

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Counts = NDArray[np.int32]
Flags = NDArray[np.bool_]

FAN = 16  # rows of a leaf and children of a node, compared together: a few vector registers
QUERIES = 512  # that are searched for in one call
LEVELS = 16  # more than any tree has: it has 16 ** levels rows and more
FARTHEST = 1e140  # standardised values end here, so that sums of squares stay finite
UNBOUNDED = 1e300  # above any sum of squares
WIDEST = 1e15  # single values end here, so that sums of their squares stay finite; no distance grows by that
LARGEST = 3e38  # below the largest single number
ROUNDING = 2.0**-24  # of a single number, relative
FLAT = 2.3e-308  # below the smallest normal number a spread is rounding


class Tree(NamedTuple):
    """Distinct rows in leaves of `FAN`, and over them levels of nodes with `FAN` children each.

    Node g of a level has the children `FAN * g` to `FAN * g + FAN - 1` of the level below, so that no
    pointers are kept; the levels follow one another from the leaves up to the root. A node holds the
    bounding boxes of its children, at infinity where it has fewer. The last leaf is filled up with rows
    of which there are 0 copies.
    """

    blocks: Floats  # [n_leaves, d, FAN]
    near: Singles  # [n_leaves, d, FAN], the same to single precision: enough to tell which rows are too far
    low: Singles  # [n_nodes, d, FAN], rounded outward
    high: Singles  # [n_nodes, d, FAN], likewise
    starts: NDArray[np.int64]  # [n_levels + 1], first node of each level above the leaves
    copies: Counts  # [n_leaves * FAN], rows of the fit sample with these values
    rank: Counts  # [n_leaves * FAN], lexicographic order


class Index(msgspec.Struct, frozen=True):
    """The columns' scales and the tree of standardised rows: the part of a state that neighbours are found with."""

    center: Floats  # [d]
    spread: Floats  # [d]
    blocks: Floats  # this and the next six: see `Tree`
    near: Singles
    low: Singles
    high: Singles
    starts: NDArray[np.int64]
    copies: Counts
    rank: Counts

    @property
    def tree(self) -> Tree:
        """The tree as the kernels take it."""
        return Tree(self.blocks, self.near, self.low, self.high, self.starts, self.copies, self.rank)


def column_scales(X: Floats) -> tuple[Floats, Floats]:
    """Mean and population standard deviation of each column's values.

    A flat column has spread 1 and its value as the mean: it separates a row only where the row differs.
    A column of gaps has mean 0 and an infinite spread: it separates nothing.
    """
    center, spread = np.zeros(X.shape[1]), np.full(X.shape[1], np.inf)
    for j in range(X.shape[1]):
        values = X[~np.isnan(X[:, j]), j]
        if len(values):
            center[j], spread[j] = _scale(values)
    return center, spread


def _scale(values: Floats) -> tuple[float, float]:
    """Mean and spread of one column; halves and shares keep the widest values finite."""
    if values.min() == values.max():
        return float(values[0]), 1.0
    mean = float(np.sum(values / len(values)))
    away = 0.5 * values - 0.5 * mean
    reach = float(np.abs(away).max())
    spread = reach * (2.0 * float(np.sqrt(np.mean(np.square(away / reach))))) if reach > FLAT else 0.0
    return mean, spread if spread > FLAT else 1.0


@kernel
def standardised(X: Floats, center: Floats, spread: Floats) -> tuple[Floats, Flags]:
    """(x - center) / spread, kept within `FARTHEST`, 0 for a gap; and whether all of a row's cells are gaps."""
    out, empty = np.zeros(X.shape), np.ones(X.shape[0], np.bool_)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            if X[i, j] == X[i, j]:
                out[i, j] = min(max((X[i, j] - center[j]) / spread[j], -FARTHEST), FARTHEST)
                empty[i] = False
    return out, empty


def _distinct(Z: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The distinct rows in lexicographic order, and how many copies there are of each."""
    ordered = Z[np.lexsort(Z.T[::-1])]
    first = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    return ordered[first], np.diff(first, append=len(Z))


@kernel
def _longest_side(Z: Floats, rows: NDArray[np.int64]) -> int:
    """The column in which these rows reach farthest."""
    longest, length = 0, -1.0
    for j in range(Z.shape[1]):
        low, high = np.inf, -np.inf
        for i in rows:
            low, high = min(low, Z[i, j]), max(high, Z[i, j])
        if high - low > length:
            longest, length = j, high - low
    return longest


@kernel
def _select(Z: Floats, rows: NDArray[np.int64], j: int, middle: int) -> None:
    """Order the rows so that none before `middle` exceeds any after it in column j (Hoare's selection)."""
    first, last = 0, rows.size - 1
    while first < last:
        pivot = Z[rows[(first + last) // 2], j]
        up, down = first, last
        while up <= down:
            while Z[rows[up], j] < pivot:
                up += 1
            while Z[rows[down], j] > pivot:
                down -= 1
            if up <= down:
                rows[up], rows[down] = rows[down], rows[up]
                up, down = up + 1, down - 1
        if middle <= down:
            last = down
        elif middle >= up:
            first = up
        else:
            return


@kernel
def _arrange(Z: Floats, rows: NDArray[np.int64]) -> None:
    """Order the rows leaf after leaf by halving at multiples of whole subtrees. O(n (d + log n) log n)."""
    stack = np.empty((64, 2), np.int64)  # first leaf, end of leaves
    stack[0, 0], stack[0, 1] = 0, (rows.size + FAN - 1) // FAN
    top = 1
    while top > 0:
        top -= 1
        a, b = stack[top, 0], stack[top, 1]
        unit = 1
        while unit * FAN < b - a:
            unit *= FAN
        middle = a + (b - a + unit - 1) // unit // 2 * unit
        if middle == a:
            continue
        here = rows[a * FAN : b * FAN]
        _select(Z, here, _longest_side(Z, here), (middle - a) * FAN)
        stack[top, 0], stack[top, 1] = a, middle
        stack[top + 1, 0], stack[top + 1, 1] = middle, b
        top += 2


def _parents(boxes: Floats, filler: float) -> Floats:
    """Gather the corners of `FAN` boxes in each parent: [n, d] becomes [n_parents, d, FAN]."""
    missing = -len(boxes) % FAN
    full = np.concatenate([boxes, np.full((missing, boxes.shape[1]), filler)])
    return np.ascontiguousarray(full.reshape(-1, FAN, boxes.shape[1]).transpose(0, 2, 1))


def build_tree(Z: Floats) -> Tree:
    """The tree of standardised rows."""
    distinct, counts = _distinct(Z)
    place = np.arange(len(distinct))
    _arrange(distinct, place)
    rank = np.pad(place, (0, -len(place) % FAN), mode="edge").astype(np.int32)
    copies = counts[rank].astype(np.int32)
    copies[len(place) :] = 0
    blocks = np.ascontiguousarray(distinct[rank].reshape(-1, FAN, Z.shape[1]).transpose(0, 2, 1))
    low, high = [_parents(blocks.min(axis=2), np.inf)], [_parents(blocks.max(axis=2), -np.inf)]
    while len(low[-1]) > 1:
        low.append(_parents(low[-1].min(axis=2), np.inf))
        high.append(_parents(high[-1].max(axis=2), -np.inf))
    starts = np.cumsum([0, *map(len, low)])
    outward = np.nextafter(_single(np.concatenate(low)), -np.inf), np.nextafter(_single(np.concatenate(high)), np.inf)
    return Tree(blocks, _single(blocks), *outward, starts, copies, rank)


def _single(values: Floats) -> Singles:
    """To single precision, kept within `WIDEST`; infinities stay."""
    return np.where(np.isinf(values), values, np.clip(values, -WIDEST, WIDEST)).astype(np.float32)


def tree_rows(tree: Tree) -> Floats:
    """The row of each slot, of the last leaf's filling too."""
    return np.ascontiguousarray(tree.blocks.transpose(0, 2, 1)).reshape(-1, tree.blocks.shape[1])


@kernel
def load_row(blocks: Floats, slot: int, out: Floats) -> None:
    """Copy the row of a slot."""
    for j in range(out.size):
        out[j] = blocks[slot // FAN, j, slot % FAN]


@kernel
def _reach(worst: float, length: float, d: int) -> np.float32:
    """What a single squared distance does not exceed where the exact one is at most `worst`; q has this length.

    Coordinates of q and of a row near it are off by a rounding of their own size, the sum by one for each column.
    """
    far = math.sqrt(worst) * (1.0 + ROUNDING) + 2.0 * ROUNDING * length
    return np.float32(min((far * (1.0 + (d + 8) * ROUNDING)) ** 2, LARGEST))


@kernel
def _square(blocks: Floats, slot: int, q: Floats) -> float:
    """Squared distance from q to the row of a slot, summed column by column."""
    leaf, s = slot // FAN, slot % FAN
    total = 0.0
    for j in range(q.size):
        away = blocks[leaf, j, s] - q[j]
        total += away * away
    return total


@kernel
def insert(
    squares: Floats, slots: Counts, held: int, total: int, want: int, square: float, slot: int, tree: Tree
) -> tuple[int, int]:
    """Put a row in its place by (distance, rank), then drop what `want` rows do not need; return both counts."""
    at = held
    while at > 0 and (
        squares[at - 1] > square or (squares[at - 1] == square and tree.rank[slots[at - 1]] > tree.rank[slot])
    ):
        squares[at], slots[at] = squares[at - 1], slots[at - 1]
        at -= 1
    squares[at], slots[at] = square, slot
    held, total = held + 1, total + tree.copies[slot]
    while total - tree.copies[slots[held - 1]] >= want:
        held, total = held - 1, total - tree.copies[slots[held - 1]]
    return held, total


@kernel
def _push_children(
    squares: Singles, hits: int, first: int, level: int, stack: NDArray[np.int64], bound: Singles, top: int
) -> int:
    """Stack the children that were hit, the nearest last; return the new height of the stack."""
    base = top
    while hits != 0:
        s = trailing_zeros(hits)
        hits &= hits - 1
        square = squares[s]
        at = top
        while at > base and bound[at - 1] < square:
            stack[at], bound[at] = stack[at - 1], bound[at - 1]
            at -= 1
        stack[at], bound[at] = (first + s) * LEVELS + level, square
        top += 1
    return top


class Scratch(NamedTuple):
    """What a search writes to."""

    squares: Floats  # [k + 3], of the rows held
    slots: Counts  # [k + 3]
    q: Singles  # [d], the row that is searched for
    away: Singles  # [FAN]
    stack: NDArray[np.int64]  # position in the level * LEVELS + level, level 0 being the leaves
    bound: Singles  # squared distance of what is stacked


@kernel
def _scratch(k: int, d: int) -> Scratch:
    """Room for a search of k neighbours in d columns."""
    squares, slots, size = np.empty(k + 3), np.empty(k + 3, np.int32), LEVELS * FAN
    q, away = np.empty(d, np.float32), np.empty(FAN, np.float32)
    return Scratch(squares, slots, q, away, np.empty(size, np.int64), np.empty(size, np.float32))


@kernel
def _load_query(q: Floats, out: Singles) -> float:
    """Bring a row to single precision; return its length."""
    total = 0.0
    for j in range(q.size):
        value = min(max(q[j], -WIDEST), WIDEST)
        out[j] = np.float32(value)
        total += value * value
    return math.sqrt(total)


@kernel
def _search(tree: Tree, q: Floats, want: int, limit: float, to: Scratch) -> int:
    """Collect the distinct rows that hold the `want` nearest within `limit`; return their number.

    Depth first, the nearest box first.
    """
    held: Any = np.int64(0)  # a literal 0 has a type of its own, for which `insert` would be compiled again
    total: Any = np.int64(0)
    d = q.size
    length = _load_query(q, to.q)
    top, worst, reach = 1, limit, _reach(limit, length, d)
    to.stack[0], to.bound[0] = tree.starts.size - 1, 0.0
    while top > 0:
        top -= 1
        at, level = to.stack[top] // LEVELS, to.stack[top] % LEVELS
        if to.bound[top] > reach:
            continue
        if level > 0:
            hits = lanes.near_boxes(tree.low, tree.high, tree.starts[level - 1] + at, to.q, reach, to.away)
            top = _push_children(to.away, hits, at * FAN, level - 1, to.stack, to.bound, top)
            continue
        hits = lanes.near_rows(tree.near, at, to.q, reach, to.away)
        while hits != 0:
            slot = at * FAN + trailing_zeros(hits)
            hits &= hits - 1
            square = _square(tree.blocks, slot, q) if tree.copies[slot] > 0 else np.inf
            if square <= worst:
                held, total = insert(to.squares, to.slots, held, total, want, square, slot, tree)
                worst = to.squares[held - 1] if total >= want else limit
                reach = _reach(worst, length, d)
    return int(held)


@kernel
def _fill_nearest(tree: Tree, Q: Floats, own: Flags, limit: float, out: Floats, where: Counts) -> None:
    """Fill what `nearest` says, among the rows within `limit`; slot -1 where there are too few."""
    k = out.shape[1]
    to = _scratch(k, Q.shape[1])
    where.fill(-1)
    for i in range(Q.shape[0]):
        held = _search(tree, Q[i], k + int(own[i]), limit, to)
        used = 0
        for at in range(held):
            count = tree.copies[to.slots[at]] - int(own[i] and at == 0 and to.squares[at] == 0.0)
            for _ in range(min(count, k - used)):
                out[i, used], where[i, used] = to.squares[at], to.slots[at]
                used += 1


def _nearest(tree: Tree, Q: Floats, own: Flags, k: int, limit: float) -> tuple[Floats, Counts]:
    """What `nearest` says, among the rows within `limit`; slot -1 where there are too few."""
    out, where = np.empty((len(Q), k)), np.empty((len(Q), k), np.int32)

    def fill(first: int, end: int) -> None:
        part = slice(first, end)
        _fill_nearest(tree, Q[part], own[part], limit, out[part], where[part])

    workers.over_rows(len(Q), QUERIES, fill)
    return out, where


def nearest(tree: Tree, Q: Floats, own: Flags, k: int) -> tuple[Floats, Counts]:
    """Squared distances to the k nearest rows, ascending, and their slots: [n, k] each.

    For a row that is flagged `own` one copy at distance zero, itself, is not counted. The tree must hold
    at least k rows, k + 1 for such a row.
    """
    return _nearest(tree, Q, own, k, UNBOUNDED)


def find(tree: Tree, Q: Floats) -> Counts:
    """The slot of the fitted row that equals each row, -1 where there is none."""
    slots: Counts = _nearest(tree, Q, np.zeros(len(Q), np.bool_), 1, 0.0)[1][:, 0]
    return slots


def looked_up(
    tree: Tree, training: Floats, Q: Floats, own: Flags, evaluate: Callable[[NDArray[np.int64]], Floats]
) -> Floats:
    """Training score of each own row, found by value; for the others, what `evaluate` makes of their positions."""
    out = np.empty(len(Q))
    known = np.flatnonzero(own)
    slots = find(tree, Q[known])
    out[known] = training[slots]
    new = np.append(np.flatnonzero(~own), known[slots < 0])
    if len(new):
        out[new] = evaluate(new)
    return out


def scores(
    tree: Tree, training: Floats, Q: Floats, own: Flags, k: int, reduce: Callable[[Floats, Counts], Floats]
) -> Floats:
    """Training score of each own row, looked up by value; what `reduce` makes of the neighbours of the others."""
    return looked_up(tree, training, Q, own, lambda new: reduce(*nearest(tree, Q[new], own[new], k)))


@kernel
def column_shares(tree: Tree, Q: Floats, slots: Counts, scores: Floats) -> Floats:
    """Squared difference to the neighbours by column, scaled so that a row's columns sum to its score.

    All 0 where the neighbours equal the row; NaN where the score is.
    """
    out = np.zeros(Q.shape)
    k = slots.shape[1]
    for i in range(Q.shape[0]):
        total = 0.0
        for at in range(k):
            block, s = tree.blocks[slots[i, at] // FAN], slots[i, at] % FAN
            for j in range(Q.shape[1]):
                away = block[j, s] - Q[i, j]
                out[i, j] += away * away / k
        for j in range(Q.shape[1]):
            total += out[i, j]
        for j in range(Q.shape[1]):
            out[i, j] = scores[i] * (out[i, j] / total) if total > 0.0 else scores[i] * 0.0
    return out
