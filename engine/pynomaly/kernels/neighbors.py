"""Exact nearest neighbours in standardised columns: a k-d tree of the distinct rows, searched by squared distance.

A row is compared in its own loop, column by column in order, so that a distance has the same bits in any
batch. Neighbours are ordered by distance, then by the lexicographic order of their values: the k nearest
do not depend on the order of the rows or on the shape of the tree.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels import kernel

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]
Flags = NDArray[np.bool_]

FAN = 16  # rows of a leaf and children of a node, compared together: a few vector registers
LEVELS = 16  # more than any tree has: it has 16 ** levels rows and more
STRIDE = 32  # columns between two looks at whether a leaf can still hold a neighbour
FARTHEST = 1e140  # standardised values end here, so that sums of squares stay finite
UNBOUNDED = 1e300  # above any sum of squares
FLAT = 2.3e-308  # below the smallest normal number a spread is rounding


class Tree(NamedTuple):
    """Distinct rows in leaves of `FAN`, and over them levels of nodes with `FAN` children each.

    Node g of a level has the children `FAN * g` to `FAN * g + FAN - 1` of the level below, so that no
    pointers are kept; the levels follow one another from the leaves up to the root. A node holds the
    bounding boxes of its children, at infinity where it has fewer. The last leaf is filled up with rows
    of which there are 0 copies.
    """

    blocks: Floats  # [n_leaves, d, FAN]
    low: Floats  # [n_nodes, d, FAN]
    high: Floats  # [n_nodes, d, FAN]
    starts: NDArray[np.int64]  # [n_levels + 1], first node of each level above the leaves
    copies: Counts  # [n_leaves * FAN], rows of the fit sample with these values
    rank: Counts  # [n_leaves * FAN], lexicographic order


class Index(msgspec.Struct, frozen=True):
    """The columns' scales and the tree of standardised rows: the part of a state that neighbours are found with."""

    center: Floats  # [d]
    spread: Floats  # [d]
    blocks: Floats  # this and the next five: see `Tree`
    low: Floats
    high: Floats
    starts: NDArray[np.int64]
    copies: Counts
    rank: Counts

    @property
    def tree(self) -> Tree:
        """The tree as the kernels take it."""
        return Tree(self.blocks, self.low, self.high, self.starts, self.copies, self.rank)


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
    return Tree(blocks, np.concatenate(low), np.concatenate(high), starts, copies, rank)


def tree_rows(tree: Tree) -> Floats:
    """The row of each slot, of the last leaf's filling too."""
    return np.ascontiguousarray(tree.blocks.transpose(0, 2, 1)).reshape(-1, tree.blocks.shape[1])


@kernel
def load_row(blocks: Floats, slot: int, out: Floats) -> None:
    """Copy the row of a slot."""
    for j in range(out.size):
        out[j] = blocks[slot // FAN, j, slot % FAN]


@kernel
def _any_within(squares: Floats, worst: float) -> bool:
    """Whether any of these does not exceed `worst`; without a branch, so that it is vectorised."""
    hits = 0
    for s in range(FAN):
        hits |= int(squares[s] <= worst)
    return hits != 0


@kernel
def _beyond(low: float, high: float, value: float) -> float:
    """How far a value lies outside [low, high]."""
    below, above = low - value, value - high
    farther = below if below > above else above
    return farther if farther > 0.0 else 0.0


@kernel
def _box_squares(low: Floats, high: Floats, node: int, q: Floats, out: Floats) -> None:
    """Squared distances from q to the boxes of a node; summed like a row's, so never above a row's inside."""
    d = q.size
    for s in range(FAN):
        out[s] = 0.0
    for j in range(0, d - 1, 2):
        q0, q1 = q[j], q[j + 1]
        for s in range(FAN):
            a0 = _beyond(low[node, j, s], high[node, j, s], q0)
            a1 = _beyond(low[node, j + 1, s], high[node, j + 1, s], q1)
            out[s] = (out[s] + a0 * a0) + a1 * a1
    if d % 2 == 1:
        for s in range(FAN):
            a0 = _beyond(low[node, d - 1, s], high[node, d - 1, s], q[d - 1])
            out[s] += a0 * a0


@kernel
def _leaf_squares(blocks: Floats, leaf: int, q: Floats, worst: float, out: Floats) -> bool:
    """Squared distances from q to the rows of a leaf; False, with sums unfinished, once all exceed `worst`.

    Four columns a turn, added one after the other, keep the sums in registers.
    """
    whole = q.size - q.size % 4
    for s in range(FAN):
        out[s] = 0.0
    for j in range(0, whole, 4):
        q0, q1, q2, q3 = q[j], q[j + 1], q[j + 2], q[j + 3]
        for s in range(FAN):
            a0, a1 = blocks[leaf, j, s] - q0, blocks[leaf, j + 1, s] - q1
            a2, a3 = blocks[leaf, j + 2, s] - q2, blocks[leaf, j + 3, s] - q3
            out[s] = (((out[s] + a0 * a0) + a1 * a1) + a2 * a2) + a3 * a3
        if j % STRIDE == STRIDE - 4 and not _any_within(out, worst):
            return False
    for j in range(whole, q.size):
        q0 = q[j]
        for s in range(FAN):
            a0 = blocks[leaf, j, s] - q0
            out[s] += a0 * a0
    return _any_within(out, worst)


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
    squares: Floats, worst: float, first: int, level: int, stack: NDArray[np.int64], bound: Floats, top: int
) -> int:
    """Stack the children within `worst`, the nearest last; return the new height of the stack."""
    base = top
    for s in range(FAN):
        if squares[s] <= worst:
            at = top
            while at > base and bound[at - 1] < squares[s]:
                stack[at], bound[at] = stack[at - 1], bound[at - 1]
                at -= 1
            stack[at], bound[at] = (first + s) * LEVELS + level, squares[s]
            top += 1
    return top


@kernel
def _search(
    tree: Tree,
    q: Floats,
    want: int,
    limit: float,
    squares: Floats,
    slots: Counts,
    stack: NDArray[np.int64],
    bound: Floats,
    away: Floats,
) -> int:
    """Collect the distinct rows that hold the `want` nearest within `limit`; return their number.

    Depth first, the nearest box first.
    `stack` holds position in the level * LEVELS + level, level 0 being the leaves; the arrays are scratch.
    """
    held: Any = np.int64(0)  # a literal 0 has a type of its own, for which `insert` would be compiled again
    total: Any = np.int64(0)
    top, worst = 1, limit
    stack[0], bound[0] = tree.starts.size - 1, 0.0
    while top > 0:
        top -= 1
        at, level = stack[top] // LEVELS, stack[top] % LEVELS
        if bound[top] > worst:
            continue
        if level > 0:
            _box_squares(tree.low, tree.high, tree.starts[level - 1] + at, q, away)
            top = _push_children(away, worst, at * FAN, level - 1, stack, bound, top)
        elif _leaf_squares(tree.blocks, at, q, worst, away):
            for s in range(FAN):
                if away[s] <= worst and tree.copies[at * FAN + s] > 0:
                    held, total = insert(squares, slots, held, total, want, away[s], at * FAN + s, tree)
                    worst = squares[held - 1] if total >= want else limit
    return int(held)


@kernel
def _nearest(tree: Tree, Q: Floats, own: Flags, k: int, limit: float) -> tuple[Floats, Counts]:
    """What `nearest` says, among the rows within `limit`; slot -1 where there are too few."""
    out, where = np.empty((Q.shape[0], k)), np.empty((Q.shape[0], k), np.int32)
    squares, slots, away = np.empty(k + 3), np.empty(k + 3, np.int32), np.empty(FAN)
    stack, bound = np.empty(LEVELS * FAN, np.int64), np.empty(LEVELS * FAN)
    where.fill(-1)
    for i in range(Q.shape[0]):
        held = _search(tree, Q[i], k + int(own[i]), limit, squares, slots, stack, bound, away)
        used = 0
        for at in range(held):
            count = tree.copies[slots[at]] - int(own[i] and at == 0 and squares[at] == 0.0)
            for _ in range(min(count, k - used)):
                out[i, used], where[i, used] = squares[at], slots[at]
                used += 1
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
