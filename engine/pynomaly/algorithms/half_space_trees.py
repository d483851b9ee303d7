"""Half-space trees: anomalies lie in parts of the space that hold few rows for their size (Tan, Ting & Liu 2011)."""

import math
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import columns, kernel

Indices = NDArray[np.uint32]

BLOCK_ROWS = 128  # rows that go through a tree together
EMPTY = 0.5  # rows that an empty node counts


class Forest(NamedTuple):
    """The trees one after the other.

    A node's child is the first of two neighbouring nodes; the second is for rows that reach the threshold. A
    leaf is its own child and its threshold NaN, so that a walk of fixed length rests there.
    """

    threshold: Floats  # [nodes]
    column: Indices  # [nodes]
    child: Indices  # [nodes]
    gap_second: NDArray[np.uint8]  # [nodes], 1 where a gap goes to the second child
    level: Floats  # [nodes], -log2 of the density in the node over that of rows spread evenly in the work range
    root: Indices  # [n_trees + 1], first node of each tree
    low: Floats  # [n_trees, d], work ranges
    high: Floats  # [n_trees, d]
    width: Floats  # [n_trees, d], the range of the rows that grew the tree


@kernel
def _partition(X: Floats, rows: NDArray[np.int64], j: int, threshold: float, gap_second: bool) -> int:
    """Move the rows below the threshold to the front, gaps to the side told; return how many are in front."""
    front = 0
    for i in range(rows.size):
        value = X[rows[i], j]
        if value < threshold or (value != value and not gap_second):
            rows[front], rows[i] = rows[i], rows[front]
            front += 1
    return front


@kernel
def _second_is_larger(X: Floats, rows: NDArray[np.int64], j: int, threshold: float) -> bool:
    """Whether most of the rows with a value reach the threshold."""
    balance = 0
    for i in rows:
        balance += int(X[i, j] >= threshold) - int(X[i, j] < threshold)
    return balance > 0


@kernel
def _halve(X: Floats, rows: NDArray[np.int64], j: int, threshold: float, forest: Forest, node: int, child: int) -> int:
    """Give a node its children at a threshold in column j; return how many of its rows go to the first."""
    gap_second = _second_is_larger(X, rows, j, threshold)
    forest.threshold[node], forest.column[node], forest.child[node] = threshold, j, child
    forest.gap_second[node] = int(gap_second)
    return _partition(X, rows, j, threshold, gap_second)


@kernel
def _push(stack: NDArray[np.int64], boxes: Floats, top: int, entry: tuple[int, int, int, int], box: Floats) -> None:
    """Put a node, its rows from first to end, its depth and its box on the stack."""
    stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = entry
    for j in range(box.shape[1]):
        boxes[top, 0, j], boxes[top, 1, j] = box[0, j], box[1, j]


@kernel
def _grow(
    X: Floats,
    rows: NDArray[np.int64],
    varying: NDArray[np.int64],
    size_limit: int,
    depth_limit: int,
    rng: np.random.Generator,
    forest: Forest,
    t: int,
) -> int:
    """Grow tree t on these rows, in preorder, and return its depth.

    A node of more than `size_limit` rows is halved in a random one of the columns that vary.
    """
    stack = np.empty((depth_limit + 2, 4), np.int64)
    boxes, box = np.empty((depth_limit + 2, 2, X.shape[1])), np.empty((2, X.shape[1]))
    start: Any = np.int64(forest.root[t])
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = start, 0, rows.size, 0
    for j in range(X.shape[1]):
        boxes[0, 0, j], boxes[0, 1, j] = forest.low[t, j], forest.high[t, j]
    top, used, deepest = 1, start + 1, 0
    while top > 0:
        top -= 1
        node, first, end, depth = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
        deepest = max(deepest, depth)
        forest.threshold[node], forest.child[node] = np.nan, node
        forest.level[node] = math.log2(rows.size / max(end - first, EMPTY)) - depth
        if end - first <= size_limit or depth == depth_limit or varying.size == 0:
            continue
        for j in range(X.shape[1]):
            box[0, j], box[1, j] = boxes[top, 0, j], boxes[top, 1, j]
        j = varying[int(rng.random() * varying.size)]
        low, high = box[0, j], box[1, j]
        middle = 0.5 * low + 0.5 * high
        split = first + _halve(X, rows[first:end], j, middle, forest, node, used)
        box[0, j] = middle
        _push(stack, boxes, top, (used + 1, split, end, depth + 1), box)
        box[0, j], box[1, j] = low, middle
        _push(stack, boxes, top + 1, (used, first, split, depth + 1), box)
        top, used = top + 2, used + 2
    forest.root[t + 1] = used
    return deepest


@kernel
def _outside(X: Floats, i: int, j: int, forest: Forest, t: int) -> float:
    """How far a cell lies outside the work range of a tree, in ranges of the rows that grew it; 0 for a gap."""
    value = X[i, j]
    away = max(forest.low[t, j] - value, value - forest.high[t, j], 0.0) if value == value else 0.0
    ranges: float = min(away / forest.width[t, j], columns.FARTHEST)
    return ranges


@kernel
def _fill_outside(X: Floats, first: int, count: int, forest: Forest, t: int, out: Floats) -> None:
    """Fill the sums of the rows' distances outside the work range of a tree."""
    for i in range(count):
        out[i] = 0.0
        for j in range(X.shape[1]):
            out[i] += _outside(X, first + i, j, forest, t)


@kernel
def _following(X: Floats, i: int, node: np.uint32, forest: Forest) -> np.uint32:
    """The child that a row goes to; the leaf itself at a leaf."""
    value = X[i, forest.column[node]]
    is_second = value >= forest.threshold[node] or (value != value and forest.gap_second[node] == 1)
    child: np.uint32 = forest.child[node] + np.uint32(is_second)
    return child


@kernel
def _scores(X: Floats, forest: Forest, depth: int, nothing: float) -> Floats:
    """Mean over the trees of the level of each row's leaf, NaN for a row of gaps. O(n trees (depth + d))."""
    out, at, away = np.zeros(X.shape[0]), np.zeros(BLOCK_ROWS, np.uint32), np.zeros(BLOCK_ROWS)
    n_trees = forest.root.size - 1
    for first in range(0, X.shape[0], BLOCK_ROWS):
        count = min(BLOCK_ROWS, X.shape[0] - first)
        for t in range(n_trees):
            _fill_outside(X, first, count, forest, t, away)
            for i in range(count):
                at[i] = forest.root[t]
            for _ in range(depth):
                for i in range(count):
                    at[i] = _following(X, first + i, at[i], forest)
            for i in range(count):
                beyond = nothing + math.log2(1.0 + away[i]) if away[i] > 0.0 else 0.0
                out[first + i] += beyond if away[i] > 0.0 else forest.level[at[i]]
    for i in range(X.shape[0]):
        out[i] = np.nan if columns.is_empty(X, i) else out[i] / n_trees
    return out


@kernel
def _add_path(X: Floats, i: int, forest: Forest, t: int, out: Floats) -> None:
    """Add what each halving on a row's way through a tree adds to its level to the column halved."""
    node = forest.root[t]
    following = _following(X, i, node, forest)
    while following != node:
        out[forest.column[node]] += forest.level[following] - forest.level[node]
        node = following
        following = _following(X, i, node, forest)


@kernel
def _shares(X: Floats, forest: Forest, nothing: float) -> Floats:
    """What each column adds to the score; NaN for a row of gaps. O(n trees (depth + d))."""
    out, away = np.zeros(X.shape), np.zeros(1)
    for i in range(X.shape[0]):
        for t in range(forest.root.size - 1):
            _fill_outside(X, i, 1, forest, t, away)
            if away[0] > 0.0:
                beyond = nothing + math.log2(1.0 + away[0])
                for j in range(X.shape[1]):
                    out[i, j] += beyond * (_outside(X, i, j, forest, t) / away[0])
            else:
                _add_path(X, i, forest, t, out[i])
        for j in range(X.shape[1]):
            out[i, j] = np.nan if columns.is_empty(X, i) else out[i, j] / (forest.root.size - 1)
    return out


class HalfSpaceTreesParams(Params, frozen=True):
    """Parameters of the half-space trees."""

    n_trees: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Number of trees")] = 25
    depth: Annotated[int, msgspec.Meta(ge=1, le=60, description="Greatest depth of a tree")] = 15
    max_samples: Annotated[
        int, msgspec.Meta(ge=2, le=262_144, description="Rows drawn for each tree, at most those there are")
    ] = 256
    size_limit: Annotated[
        int, msgspec.Meta(ge=1, le=262_144, description="Rows of a node that is no longer halved")
    ] = 5


class HalfSpaceTreesState(State, frozen=True):
    """The trees; see `Forest`."""

    threshold: Floats
    column: Indices
    child: Indices
    gap_second: NDArray[np.uint8]
    level: Floats
    root: Indices
    low: Floats
    high: Floats
    width: Floats
    depth: int  # of the deepest tree
    nothing: float  # level of a row outside a tree's work range
    seed: int  # from which all was drawn

    @property
    def forest(self) -> Forest:
        """The trees as the kernels take them."""
        return Forest(*(getattr(self, name) for name in Forest._fields))

    def check(self, d: int) -> None:
        """See `State`."""
        nodes = dict.fromkeys(("threshold", "column", "child", "gap_second", "level"), "m")
        n = layout.shapes(self, d, root="t+1", low="t d", high="t d", width="t d", **nodes)
        layout.require(
            n["t"] and (self.width > 0.0).all() and 0 <= self.depth <= layout.DEEPEST, "`depth` is out of range"
        )
        layout.within(self.root[:-1], 0, n["m"], "root")
        layout.within(self.column, 0, d, "column")
        node, child = np.arange(n["m"]), self.child.astype(np.int64)
        is_leaf = child == node
        ends = np.isnan(self.threshold[is_leaf]) & (self.gap_second[is_leaf] == 0)
        layout.require(ends.all(), "a leaf has a threshold")
        layout.within(child[~is_leaf], node[~is_leaf] + 1, n["m"] - 1, "child")


def _room(n_trees: int, size: int, params: HalfSpaceTreesParams, d: int) -> Forest:
    """Arrays that hold the largest trees there can be: halved are at most size / (size_limit + 1) nodes a level."""
    halved = min(params.depth * (size // (params.size_limit + 1)), 2**params.depth - 1)
    nodes = n_trees * (2 * halved + 1)
    return Forest(
        np.zeros(nodes),
        np.zeros(nodes, np.uint32),
        np.zeros(nodes, np.uint32),
        np.zeros(nodes, np.uint8),
        np.zeros(nodes),
        np.zeros(n_trees + 1, np.uint32),
        *np.zeros((3, n_trees, d)),
    )


def _draw_range(sample: Floats, low: Floats, high: Floats, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Work range of a tree and the width of its rows, by column; `low` and `high` serve where these have no range."""
    least, most, _ = columns.ranges(sample)
    least, most = np.where(least < most, least, low), np.where(least < most, most, high)
    width = np.where(least < most, most - least, 1.0)
    place = rng.random(len(low))
    reach = 2.0 * np.maximum(place, 1.0 - place)
    known = least <= most
    base = np.where(known, least, 0.0)
    return (
        np.where(known, base + (place - reach) * width, -columns.LARGEST),
        np.where(known, base + (place + reach) * width, columns.LARGEST),
        width,
    )


def _trimmed(forest: Forest, nodes: int) -> Forest:
    """The arrays without the room that was not needed."""
    return Forest(
        forest.threshold[:nodes].copy(),
        forest.column[:nodes].copy(),
        forest.child[:nodes].copy(),
        forest.gap_second[:nodes].copy(),
        forest.level[:nodes].copy(),
        *forest[5:],
    )


def _grow_forest(X: Floats, params: HalfSpaceTreesParams, rng: np.random.Generator) -> tuple[Forest, int]:
    """The trees, each on rows drawn without replacement, and the depth of the deepest."""
    known = np.flatnonzero(~np.isnan(X).all(axis=1))
    known = known if len(known) > 1 else np.arange(len(X))
    low, high, _ = columns.ranges(X)
    varying = np.flatnonzero(low < high)
    size = min(params.max_samples, len(known))
    forest, depth = _room(params.n_trees, size, params, X.shape[1]), 0
    for t in range(params.n_trees):
        workers.check()
        rows = known[rng.choice(len(known), size, replace=False)]
        forest.low[t], forest.high[t], forest.width[t] = _draw_range(X[rows], low, high, rng)
        depth = max(depth, _grow(X, rows, varying, params.size_limit, params.depth, rng, forest, t))
    return _trimmed(forest, int(forest.root[-1])), depth


@algorithm(
    kind="table",
    family="isolation",
    reference="Tan, Ting & Liu 2011",
    complexity="O(n_trees * (depth + d) * n)",
    params=HalfSpaceTreesParams,
    deterministic=False,
)
class half_space_trees:
    """Half-space trees: how few rows share the random box that a row falls in, for the size of the box.

    A tree halves its work range again and again, each time in a random column, until a node has at most `size_limit`
    of the `max_samples` rows that grow the tree, or lies `depth` deep. The score is the mean over the trees of
    -log2(share of the rows in the leaf * 2 ** depth of the leaf): 0 is the density of rows spread evenly. The
    work range of a column is s - r to s + r in units of its range in those rows, s being uniform in [0, 1] and
    r = 2 * max(s, 1 - s), as in the paper. An empty leaf counts half a row. So does the whole of the outside of the
    work range, where the score goes on to rise by log2(1 + distance in ranges, summed over the columns).

    A column that does not vary in those rows has its range among all; one that never varies is not halved, and
    its range counts 1. A gap is no evidence: it follows the side that most of the node's rows with a value took.

    This is the paper's tree for a batch: all trees learn at once, each from its own 256 rows (the paper's one
    window has 250). The paper adds up the masses themselves, not their logarithms, which lets a single dense leaf
    outweigh all the other trees; halves no node of fewer than a tenth of the window, where 5 rows are left here;
    and gives 0, the most anomalous value, to any row outside the work range.
    """

    @staticmethod
    def fit(X: Floats, params: HalfSpaceTreesParams, seed: int) -> HalfSpaceTreesState:
        """Draw the work ranges and grow the trees."""
        forest, depth = _grow_forest(X, params, np.random.default_rng(seed))
        known = int((~np.isnan(X).all(axis=1)).sum())
        size = min(params.max_samples, known if known > 1 else len(X))
        return HalfSpaceTreesState(*forest, depth, math.log2(size / EMPTY), seed)

    @staticmethod
    def score(state: HalfSpaceTreesState, X: Floats, _own: Flags) -> Floats:
        """Mean level of the leaves; NaN where a row has no value."""
        return _scores(X, state.forest, state.depth, state.nothing)

    @staticmethod
    def explain(state: HalfSpaceTreesState, X: Floats) -> Floats:
        """What each halving adds to the level, by column; outside of a work range the level by the distances.

        A row's contributions sum to its score: the terms of a path telescope.
        """
        return _shares(X, state.forest, state.nothing)
