"""The exact nearest rows: those that may be near enough in single precision are compared in double.

A row is compared in its own loop, column by column in order, so that a distance has the same bits in any batch and on
any machine. Neighbours are ordered by distance, then by the lexicographic order of their values: the k nearest
do not depend on the order of the rows or on the shape of the tree.
"""

from typing import Any, NamedTuple

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros
from numpy.typing import NDArray

from pynomaly import workers
from pynomaly.kernels import kernel
from pynomaly.kernels.kdtree import Tree
from pynomaly.kernels.vectors import LANES, Singles, borrowing, boxes_within, rows_within

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Counts = NDArray[np.int32]
Flags = NDArray[np.bool_]

LEVELS = 16  # more than any tree has: it has 16 ** levels rows and more
UNBOUNDED = 1e300  # above any sum of squares
ROUNDING = 2.0**-24  # the largest relative error of a number in single precision
FARTHEST_SINGLE = 1e19  # a distance whose square is above what single precision holds
NEAREST_SINGLE = 1e-18  # one whose square is near the least that it holds with all digits
QUERIES = 512  # of a block


@borrowing
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


class Scratch(NamedTuple):
    """What a search writes to."""

    squares: Floats  # [k + 3], of the rows held so far, ascending
    slots: Counts  # [k + 3]
    stack: Integers  # nodes to be looked at: position in the level * LEVELS + level, level 0 being the leaves
    bound: Floats  # a distance that no row of the node is below
    q: Singles  # [d or d + 1], the row relative to the middle of a node
    boxes: Singles  # [LANES], squared distances
    rows: Singles  # [LANES]


@kernel
def _scratch(tree: Tree, k: int) -> Scratch:
    """Room for a search for k neighbours."""
    stack, bound = np.empty(LEVELS * LANES, np.int64), np.empty(LEVELS * LANES)
    q, boxes, rows = np.zeros(tree.low.shape[1], np.float32), np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    return Scratch(np.empty(k + 3), np.empty(k + 3, np.int32), stack, bound, q, boxes, rows)


@borrowing
def _limit(reach: float, radius: float, d: int) -> np.float32:
    """What squares in single precision do not exceed where the true one does not exceed that of `reach`.

    With u the rounding error, a row within reach of q, and so q within radius + reach of the middle: the differences
    are off by less than 1.1 u (2 radius + reach) together, their squares and the sum of these by a share of (d + 8) u.
    """
    away = reach * (1.0 + 4.0 * ROUNDING) + radius * (4.0 * ROUNDING)
    return np.float32(away * away * (1.0 + (2.0 * d + 16.0) * ROUNDING) + NEAREST_SINGLE * NEAREST_SINGLE)


@borrowing
def _least_distance(square: float, radius: float, d: int) -> float:
    """What a true distance is not below, by its square in single precision: `_limit` the other way round."""
    away: float = min(np.sqrt(square), FARTHEST_SINGLE)
    return away * (1.0 - (2.0 * d + 24.0) * ROUNDING) - radius * (4.0 * ROUNDING) - NEAREST_SINGLE


@borrowing
def _push_children(bits: int, first: int, level: int, radius: float, top: int, room: Scratch) -> int:
    """Stack these children of a node, the nearest last; return the new height of the stack."""
    base = top
    while bits != 0:
        s = trailing_zeros(bits)
        bits &= bits - 1
        bound, at = _least_distance(room.boxes[s], radius, room.q.size), top
        while at > base and room.bound[at - 1] < bound:
            room.stack[at], room.bound[at] = room.stack[at - 1], room.bound[at - 1]
            at -= 1
        room.stack[at], room.bound[at] = (first + s) * LEVELS + level, bound
        top += 1
    return top


@borrowing
def _nearest_lane(bits: int, squares: Singles) -> int:
    """Which of some lanes has the smallest square."""
    nearest: int = trailing_zeros(bits)
    while bits != 0:
        s = trailing_zeros(bits)
        bits &= bits - 1
        if squares[s] < squares[nearest]:
            nearest = s
    return nearest


@borrowing
def square_distance(q: Floats, rows: Floats, slot: int) -> float:
    """The squared distance of a row."""
    square = 0.0
    for j in range(q.size):
        away = rows[slot, j] - q[j]
        square += away * away
    return square


class Found(NamedTuple):
    """How far a search has come."""

    held: Any  # distinct rows
    total: Any  # rows, with their copies
    worst: float  # a square that no neighbour exceeds
    reach: float  # its root


@borrowing
def _take_rows(bits: int, leaf: int, q: Floats, want: int, tree: Tree, found: Found, room: Scratch) -> Found:
    """Compare these rows of a leaf in full."""
    held, total, worst, _ = found
    while bits != 0:
        slot = leaf * LANES + trailing_zeros(bits)
        bits &= bits - 1
        square = square_distance(q, tree.rows, slot)
        if square <= worst:
            held, total = insert(room.squares, room.slots, held, total, want, square, slot, tree)
            if total >= want:
                worst = room.squares[held - 1]
    return Found(held, total, worst, np.sqrt(worst))


@borrowing
def _search_leaves(
    bits: int, first: int, radius: float, q: Floats, want: int, tree: Tree, found: Found, room: Scratch
) -> Found:
    """Search these leaves of a node; the nearest first while there are too few rows to tell what is too far."""
    limit = _limit(found.reach, radius, q.size)
    while bits != 0:
        s = trailing_zeros(bits) if found.total >= want else _nearest_lane(bits, room.boxes)
        bits &= ~(1 << s)
        if room.boxes[s] <= limit:
            near = rows_within(tree.leaves, first + s, room.q, limit, room.rows)
            if near != 0:
                found = _take_rows(near, first + s, q, want, tree, found, room)
                limit = _limit(found.reach, radius, q.size)
    return found


@borrowing
def _search(tree: Tree, q: Floats, want: int, worst: float, room: Scratch) -> int:
    """Collect the distinct rows that hold the `want` nearest of squares up to `worst`; return their number.

    Depth first, the nearest box first.
    """
    found = Found(np.int64(0), np.int64(0), worst, np.sqrt(worst))
    room.stack[0], room.bound[0], top = tree.starts.size - 1, 0.0, 1
    while top > 0:
        top -= 1
        if room.bound[top] > found.reach:
            continue
        at, level = room.stack[top] // LEVELS, room.stack[top] % LEVELS
        node = tree.starts[level - 1] + at
        radius = tree.radius[node]
        for j in range(q.size):
            room.q[j] = q[j] - tree.middle[node, j]
        limit = _limit(found.reach, radius, q.size)
        near = boxes_within(tree.low, tree.high, node, room.q, limit, room.boxes)
        if level > 1:
            top = _push_children(near, at * LANES, level - 1, radius, top, room)
        else:
            found = _search_leaves(near, at * LANES, radius, q, want, tree, found, room)
    return int(found.held)


@kernel
def _fill_nearest(
    tree: Tree, Q: Floats, own: Flags, worst: float, out: Floats, where: Counts, stop: workers.Stop
) -> None:
    """Fill what `nearest` says, among the rows of squares up to `worst`; slot -1 where there are too few."""
    k = out.shape[1]
    room = _scratch(tree, k)
    where.fill(-1)
    for i in range(Q.shape[0]):
        if stop[0] != 0:
            return
        held, used = _search(tree, Q[i], k + int(own[i]), worst, room), 0
        for at in range(held):
            slot, square = room.slots[at], room.squares[at]
            count = tree.copies[slot] - int(own[i] and at == 0 and square == 0.0)
            for _ in range(min(count, k - used)):
                out[i, used], where[i, used] = square, slot
                used += 1


def _nearest(tree: Tree, Q: Floats, own: Flags, k: int, worst: float) -> tuple[Floats, Counts]:
    """The k nearest rows of squares up to `worst`, on as many threads as there are."""
    out, where, stop = np.empty((len(Q), k)), np.empty((len(Q), k), np.int32), workers.stop_flag()

    def fill(first: int, end: int) -> None:
        _fill_nearest(tree, Q[first:end], own[first:end], worst, out[first:end], where[first:end], stop)

    workers.over_rows(len(Q), QUERIES, fill)
    return out, where


def nearest(tree: Tree, Q: Floats, own: Flags, k: int) -> tuple[Floats, Counts]:
    """Squared distances to the k nearest rows, ascending, and their slots: [n, k] each.

    For a row that is flagged `own` one copy at distance zero, itself, is not counted. The tree must hold
    at least k rows, k + 1 for such a row. Raises Interrupted when the work is to stop.
    """
    return _nearest(tree, Q, own, k, UNBOUNDED)


def find(tree: Tree, Q: Floats) -> Counts:
    """The slot of the fitted row that equals each row, -1 where there is none."""
    slots: Counts = _nearest(tree, Q, np.zeros(len(Q), np.bool_), 1, 0.0)[1][:, 0]
    return slots
