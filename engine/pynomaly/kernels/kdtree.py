"""A k-d tree of the distinct rows among standardised ones, laid out to compare `LANES` boxes or rows at once.

Boxes and rows are held in single precision too, relative to the middle of the box that they lie in: differences of
near rows keep their digits wherever they lie.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.kernels import kernel
from pynomaly.kernels.order import lexicographic
from pynomaly.kernels.vectors import LANES, Singles

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Counts = NDArray[np.int32]

FARTHEST = 1e140  # standardised values end here, so that sums of squares stay finite


class Tree(NamedTuple):
    """Distinct rows in leaves of `LANES`, and over them levels of nodes with `LANES` children each.

    Node g of a level has the children `LANES * g` to `LANES * g + LANES - 1` of the level below, so that no
    pointers are kept; the levels follow one another from the leaves up to the root. A node holds the bounding boxes of
    its children, and one above the leaves their rows, relative to the middle of its own; NaN where it has fewer.
    The last leaf is filled up with rows of which there are 0 copies. What is in single precision has an even
    number of columns, the last perhaps of zeros.
    """

    rows: Floats  # [n_slots, d]
    leaves: Singles  # [n_leaves, d or d + 1, LANES], the rows again
    low: Singles  # [n_nodes, d or d + 1, LANES]
    high: Singles  # [n_nodes, d or d + 1, LANES]
    middle: Floats  # [n_nodes, d], of the box around a node
    radius: Floats  # [n_nodes], half the diagonal of that box
    starts: Integers  # [n_levels + 1], first node of each level above the leaves
    copies: Counts  # [n_slots], rows of the fit sample with these values
    rank: Counts  # [n_slots], lexicographic order


def _in_order(Z: Floats) -> tuple[Integers, Integers]:
    """The positions of the distinct rows in lexicographic order, and how many copies there are of each."""
    order = np.argsort(Z[:, 0])
    same = np.diff(Z[order, 0]) == 0.0
    tied = np.append(same, False) | np.append(False, same)
    rows = order[tied]
    order[tied] = rows[lexicographic(Z[rows])]
    again = np.append(False, same)
    again[again] = (Z[order[again]] == Z[order[np.flatnonzero(again) - 1]]).all(axis=1)
    first = np.flatnonzero(~again)
    return order[first], np.diff(first, append=len(Z))


@kernel
def _longest_side(Z: Floats, rows: Integers, low: Floats, high: Floats) -> int:
    """The column in which these rows reach farthest; `low` and `high` are scratch."""
    for j in range(Z.shape[1]):
        low[j] = high[j] = Z[rows[0], j]
    for i in rows:
        for j in range(Z.shape[1]):
            low[j], high[j] = min(low[j], Z[i, j]), max(high[j], Z[i, j])
    longest = 0
    for j in range(Z.shape[1]):
        if high[j] - low[j] > high[longest] - low[longest]:
            longest = j
    return longest


@kernel
def _select(Z: Floats, rows: Integers, j: int, middle: int) -> None:
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
def _arrange(Z: Floats, rows: Integers, stop: workers.Stop) -> None:
    """Order the rows leaf after leaf by halving at multiples of whole subtrees. O(n (d + log n) log n)."""
    stack = np.empty((64, 2), np.int64)  # first leaf, end of leaves
    stack[0, 0], stack[0, 1] = 0, (rows.size + LANES - 1) // LANES
    low, high = np.empty(Z.shape[1]), np.empty(Z.shape[1])
    top = 1
    while top > 0 and stop[0] == 0:
        top -= 1
        a, b = stack[top, 0], stack[top, 1]
        unit = 1
        while unit * LANES < b - a:
            unit *= LANES
        middle = a + (b - a + unit - 1) // unit // 2 * unit
        if middle == a:
            continue
        here = rows[a * LANES : b * LANES]
        _select(Z, here, _longest_side(Z, here, low, high), (middle - a) * LANES)
        stack[top, 0], stack[top, 1] = a, middle
        stack[top + 1, 0], stack[top + 1, 1] = middle, b
        top += 2


@kernel
def _fill_lanes(values: Floats, middle: Floats, share: int, out: Singles) -> None:
    """Fill blocks with values less the middle that each `share` of them have; NaN after the last."""
    for i in range(out.shape[0] * LANES):
        for j in range(values.shape[1]):
            out[i // LANES, j, i % LANES] = values[i, j] - middle[i // share, j] if i < values.shape[0] else np.nan


def _blocks(values: Floats, middle: Floats, share: int) -> Singles:
    """Values relative to the middles that each `share` of them have, in blocks of an even number of columns."""
    n, d = values.shape
    out = np.zeros((-(-n // LANES), d + d % 2, LANES), np.float32)
    _fill_lanes(values, middle, share, out)
    return out


def _around(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The corners of the boxes around `LANES` boxes each."""
    workers.check()
    firsts = np.arange(0, len(low), LANES)
    return np.minimum.reduceat(low, firsts), np.maximum.reduceat(high, firsts)


def build_tree(Z: Floats) -> Tree:
    """The tree of standardised rows: of n fitted ones, none lies farther than sqrt(n) from 0 in a column."""
    places, rank, copies = _arranged(Z)
    rows = Z[places]
    boxes = [_around(rows, rows)]
    while len(boxes) == 1 or len(boxes[-1][0]) > 1:
        boxes.append(_around(*boxes[-1]))
    middles = [0.5 * low + 0.5 * high for low, high in boxes[1:]]
    low, high = (
        np.concatenate([_blocks(box[i], m, LANES) for box, m in zip(boxes, middles, strict=False)]) for i in (0, 1)
    )
    workers.check()
    radius = [np.linalg.norm(np.maximum(b - m, m - a), axis=1) for (a, b), m in zip(boxes[1:], middles, strict=True)]
    return Tree(
        rows,
        _blocks(rows[: np.count_nonzero(copies)], middles[0], LANES * LANES),
        low,
        high,
        np.concatenate(middles),
        np.concatenate(radius),
        np.cumsum([0, *map(len, middles)]),
        copies,
        rank,
    )


def _arranged(Z: Floats) -> tuple[Integers, Counts, Counts]:
    """The position, the rank and the number of copies of the row in each slot."""
    distinct, counts = _in_order(Z)
    places = distinct.copy()
    _arrange(Z, places, workers.stop_flag())
    workers.check()
    rank, copies = np.empty((2, len(Z)), np.int32)
    rank[distinct], copies[distinct] = np.arange(len(distinct)), counts
    slots = np.pad(places, (0, -len(places) % LANES), mode="edge")
    copies = copies[slots]
    copies[len(places) :] = 0
    return slots, rank[slots], copies


def check_tree(tree: Tree, d: int) -> None:
    """Raise ModelCorrupt unless a search stays within the tree, and finds each row that it looks for.

    A lane that stands for nothing holds NaN in its first column, which is what a search goes by.
    """
    shapes = {"leaves": "l e 16", "low": "c e 16", "high": "c e 16", "middle": "c d", "radius": "c", "starts": "v"}
    n = layout.shapes(tree, d, rows="n d", copies="n", rank="n", **shapes)
    levels = layout.levels(n["l"], LANES, True)
    fits = n["n"] == LANES * n["l"] and n["e"] == d + d % 2 and tree.starts.tolist() == [0, *np.cumsum(levels)]
    layout.require(n["l"] and fits and n["c"] == sum(levels), "a tree has another form")
    layout.require((np.abs(tree.rows) <= FARTHEST).all(), "`rows` holds no numbers")
    layout.finite(tree.middle, "middle")
    layout.require(((tree.radius >= 0.0) & (tree.radius < np.inf)).all(), "`radius` holds no distances")
    _check_lanes(tree.leaves, tree.copies > 0)
    layout.require((tree.copies >= 0).all(), "`copies` counts less than none")
    for start, end, below in zip(tree.starts[:-1], tree.starts[1:], [n["l"], *levels], strict=False):
        is_child = np.arange((end - start) * LANES) < below
        _check_lanes(tree.low[start:end], is_child)
        _check_lanes(tree.high[start:end], is_child)


def _check_lanes(blocks: Singles, is_used: NDArray[np.bool_]) -> None:
    """Raise ModelCorrupt unless the lanes that are used hold numbers, and the others NaN in the first column."""
    lanes = np.moveaxis(blocks, 1, 2).reshape(len(is_used), -1)
    layout.require(np.isnan(lanes[~is_used, 0]).all(), "a node has too many children")
    layout.finite(lanes[is_used], "leaves, low and high")
