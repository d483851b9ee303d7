"""Isolation forest: anomalies are separated from the rest by few random splits (Liu, Ting & Zhou 2008)."""

import math
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import columns, kernel, trees

Indices = NDArray[np.uint32]

BLOCK_ROWS = 128  # rows that go through a tree together: with the tree they fit the first-level cache


@kernel
def _varying(X: Floats, rows: NDArray[np.int64], low: Floats, high: Floats, found: NDArray[np.int64]) -> int:
    """Fill the ranges of these rows' columns; list the columns that vary in `found` and return their number."""
    low.fill(np.inf)
    high.fill(-np.inf)
    for i in rows:
        for j in range(X.shape[1]):
            low[j] = min(low[j], X[i, j]) if X[i, j] == X[i, j] else low[j]
            high[j] = max(high[j], X[i, j]) if X[i, j] == X[i, j] else high[j]
    count = 0
    for j in range(X.shape[1]):
        if low[j] < high[j]:
            found[count] = j
            count += 1
    return count


@kernel
def _split_point(low: float, high: float, share: float) -> float:
    """A point in (low, high], so that `x < point` leaves a row on either side. Halves keep the range finite."""
    point = low + 2.0 * (share * (0.5 * high - 0.5 * low))
    return high if point <= low or point > high else point


@kernel
def _partition(values: Floats, rows: NDArray[np.int64], point: float, gaps_low: bool) -> int:
    """Move the rows below the point to the front, gaps to the side told; return how many are in front."""
    front = 0
    for i in range(rows.size):
        value = values[rows[i]]
        if value < point or (gaps_low and value != value):
            rows[front], rows[i] = rows[i], rows[front]
            front += 1
    return front


@kernel
def _low_side_is_larger(values: Floats, rows: NDArray[np.int64], point: float) -> bool:
    """Whether at least half of the rows that have a value lie below the point."""
    balance = 0
    for i in rows:
        balance += int(values[i] < point) - int(values[i] >= point)
    return balance >= 0


@kernel
def _grow(X: Floats, rows: NDArray[np.int64], limit: int, rng: np.random.Generator, nodes: tuple) -> tuple:  # type: ignore[type-arg]
    """Grow one tree on these rows, in preorder of the low sides; return its number of nodes and its depth.

    A node tests `x[column] >= threshold`; its child is the first of two neighbouring nodes, the second is
    taken when the test holds. A leaf's threshold is NaN and its child the leaf itself, so that a walk of
    fixed length rests there. Column d + j is column j negated: with it the larger side is always the
    first, and a gap, for which no test holds, follows the larger side.
    """
    threshold, column, child, path = nodes
    d = X.shape[1]
    low, high, found = np.empty(d), np.empty(d), np.empty(d, np.int64)
    stack = np.empty((limit + 2, 4), np.int64)  # node, first row, end of rows, depth
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 0, 0, rows.size, 0
    top, used, deepest = 1, 1, 0
    while top > 0:
        top -= 1
        node, first, end, depth = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
        here = rows[first:end]
        deepest = max(deepest, depth)
        threshold[node], column[node], child[node] = np.nan, 0, node
        path[node] = depth + trees.expected_path(end - first)
        count = _varying(X, here, low, high, found) if depth < limit else 0
        if count == 0:
            continue
        j = found[int(rng.random() * count)]
        point = _split_point(low[j], high[j], rng.random())
        low_is_first = _low_side_is_larger(X[:, j], here, point)
        middle = first + _partition(X[:, j], here, point, low_is_first)
        threshold[node] = point if low_is_first else np.nextafter(-point, np.inf)
        column[node] = j if low_is_first else d + j
        child[node] = used
        low_node, high_node = (used, used + 1) if low_is_first else (used + 1, used)
        stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = high_node, middle, end, depth + 1
        top += 1
        stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = low_node, first, middle, depth + 1
        top += 1
        used += 2
    return used, deepest


@kernel
def _load_sample(X: Floats, order: NDArray[np.int64], sample: Floats, rows: NDArray[np.int64]) -> None:
    """Copy the first rows of `order` and number them. Loops: a slice assignment takes a second to compile."""
    for i in range(rows.size):
        rows[i] = i
        for j in range(X.shape[1]):
            sample[i, j] = X[order[i], j]


@kernel
def _grow_forest(X: Floats, n_trees: int, size: int, limit: int, rng: np.random.Generator) -> tuple:  # type: ignore[type-arg]
    """All trees one after the other in flat arrays; children are counted from the start of the arrays."""
    most = n_trees * min(2 * size - 1, 2 ** (limit + 1) - 1)
    threshold, path = np.empty(most), np.empty(most)
    column, child = np.empty(most, np.uint32), np.empty(most, np.uint32)
    root = np.zeros(n_trees + 1, np.uint32)
    order, rows = np.arange(X.shape[0]), np.empty(size, np.int64)
    sample = np.empty((size, X.shape[1]))
    start, height = 0, 0
    for t in range(n_trees):
        trees.shuffle(order, size, order.size, rng)
        _load_sample(X, order, sample, rows)
        nodes = (threshold[start:], column[start:], child[start:], path[start:])
        used, depth = _grow(sample, rows, limit, rng, nodes)
        for node in range(start, start + used):
            child[node] += np.uint32(start)
        height = max(height, depth)
        start += used
        root[t + 1] = start
    return threshold[:start].copy(), column[:start].copy(), child[:start].copy(), path[:start].copy(), root, height


@kernel
def _load_block(X: Floats, first: int, block: Floats) -> int:
    """Copy the rows from `first` on into a block, column by column and once more negated; return their number."""
    d = X.shape[1]
    count: int = min(block.shape[1], X.shape[0] - first)
    for i in range(count):
        for j in range(d):
            block[j, i] = X[first + i, j]
            block[d + j, i] = -X[first + i, j]
    return count


@kernel
def _scores(
    X: Floats, threshold: Floats, column: Indices, child: Indices, path: Floats, root: Indices, height: int
) -> Floats:
    """2 ** (-mean path length / c) of each row, NaN for a row of gaps. O(n trees height)."""
    block = np.zeros((2 * X.shape[1], BLOCK_ROWS))
    at = np.zeros(BLOCK_ROWS, np.uint32)
    out = np.zeros(X.shape[0])
    for first in range(0, X.shape[0], BLOCK_ROWS):
        count = _load_block(X, first, block)
        for t in range(root.size - 1):
            for i in range(count):
                at[i] = root[t]
            for _ in range(height):
                for i in range(count):
                    node = at[i]
                    at[i] = child[node] + np.uint32(block[column[node], i] >= threshold[node])
            for i in range(count):
                out[first + i] += path[at[i]]
    for i in range(X.shape[0]):
        out[i] = np.nan if columns.is_empty(X, i) else 2.0 ** (-out[i] / (root.size - 1) / path[0])
    return out


@kernel
def _credits(X: Floats, threshold: Floats, column: Indices, child: Indices, path: Floats, root: Indices) -> Floats:
    """Splits saved by column, mean over the trees; NaN for a row of gaps. O(n trees height)."""
    d = X.shape[1]
    out = np.zeros(X.shape)
    for i in range(X.shape[0]):
        for t in range(root.size - 1):
            node = root[t]
            while threshold[node] == threshold[node]:
                j = column[node] % np.uint32(d)
                value = X[i, j] if j == column[node] else -X[i, j]
                following = child[node] + np.uint32(value >= threshold[node])
                out[i, j] += path[node] - path[following]
                node = following
        for j in range(d):
            out[i, j] = np.nan if columns.is_empty(X, i) else out[i, j] / (root.size - 1)
    return out


class IforestParams(Params, frozen=True):
    """Parameters of the isolation forest."""

    n_trees: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Number of trees")] = 100
    max_samples: Annotated[
        int, msgspec.Meta(ge=2, le=262_144, description="Rows drawn for each tree, at most those there are")
    ] = 256


class IforestState(State, frozen=True):
    """The trees, one after the other: see `_grow` for what a node holds."""

    threshold: Floats
    column: Indices
    child: Indices
    path: Floats  # depth of a node plus the expected depth below it
    root: Indices  # [n_trees + 1], first node of each tree
    height: int


@algorithm(
    kind="table",
    family="isolation",
    reference="Liu, Ting & Zhou 2008",
    complexity="O(n_trees * log(max_samples) * n)",
    params=IforestParams,
    deterministic=False,
)
class iforest:
    """Isolation forest: how few random splits separate a row from the others.

    The score is 2 ** (-E[h] / c(max_samples)), in (0, 1): E[h] is the mean path length over the trees,
    c its expectation for ordinary rows. A split falls only on a column that varies among the rows of its
    node. A gap is no evidence: it follows the side that most of the node's rows with a value took.
    """

    @staticmethod
    def fit(X: Floats, params: IforestParams, seed: int) -> IforestState:
        """Grow the trees, each on rows drawn without replacement."""
        size = min(params.max_samples, len(X))
        limit = math.ceil(math.log2(size))
        return IforestState(*_grow_forest(X, params.n_trees, size, limit, np.random.default_rng(seed)))

    @staticmethod
    def score(state: IforestState, X: Floats, _own: Flags) -> Floats:
        """2 ** (-E[h] / c(max_samples)); NaN where a row has no value."""
        return _scores(X, state.threshold, state.column, state.child, state.path, state.root, state.height)

    @staticmethod
    def explain(state: IforestState, X: Floats) -> Floats:
        """Splits saved by column: a split from n to m rows earns c(n) - (1 + c(m)), as the mean over the trees.

        A row's contributions sum to c(max_samples) - E[h], since the terms of a path telescope (in the
        spirit of DIFFI, Carletti, Terzi & Susto 2023). A split that takes a row to the larger side costs.
        """
        return _credits(X, state.threshold, state.column, state.child, state.path, state.root)
