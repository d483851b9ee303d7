"""Extended isolation forest: random cuts of any slope set anomalies apart (Hariri, Carrasco Kind & Brunner 2021)."""

import math
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import kernel, trees
from pynomaly.kernels import neighbors as nb

Indices = NDArray[np.uint32]

BLOCK_ROWS = 128  # rows that go through a tree together
DRAWS = 1_000_000  # random numbers between two looks at whether to stop


class Forest(NamedTuple):
    """The trees one after the other, and the cuts in the order of the nodes that make them.

    A node's child is the first of two neighbouring nodes; the second is for rows beyond the cut. A leaf is
    its own child. Cut 0 is none.
    """

    child: Indices  # [nodes]
    cut: Indices  # [nodes], 0 for a leaf
    path: Floats  # [nodes], depth plus the expected depth below
    root: Indices  # [n_trees + 1], first node of each tree
    columns: Indices  # [cuts, s], columns that a cut takes
    normals: Floats  # [cuts, s]
    points: Floats  # [cuts, s], a point on the cut


@kernel
def _side(row: Floats, columns: Indices, normals: Floats, points: Floats) -> float:
    """How far beyond a cut a row lies, in units of the normal."""
    out = 0.0
    for k in range(normals.size):
        out += normals[k] * (row[columns[k]] - points[k])
    return out


@kernel
def _box(sample: Floats, rows: NDArray[np.int64], low: Floats, high: Floats, found: NDArray[np.int64]) -> int:
    """Fill the ranges of these rows' columns; list the columns that vary, then the others; return how many vary."""
    count, last = 0, low.size
    for j in range(low.size):
        low[j], high[j] = np.inf, -np.inf
        for i in rows:
            low[j], high[j] = min(low[j], sample[i, j]), max(high[j], sample[i, j])
        if low[j] < high[j]:
            found[count] = j
            count += 1
        else:
            last -= 1
            found[last] = j
    return count


@kernel
def _draw_cut(
    low: Floats, high: Floats, found: NDArray[np.int64], count: int, rng: np.random.Generator, forest: Forest, cut: int
) -> None:
    """Draw columns, those that vary first if not all take part, and a point in the box of the node's rows."""
    size = forest.normals.shape[1]
    if size < found.size:
        trees.shuffle(found, min(size, count), count, rng)
    else:
        for j in range(size):
            found[j] = j
    for k in range(size):
        j = found[k]
        forest.columns[cut, k] = j
        forest.points[cut, k] = low[j] + rng.random() * (high[j] - low[j])


@kernel
def _partition(sample: Floats, rows: NDArray[np.int64], forest: Forest, cut: int) -> int:
    """Move the rows that are not beyond a cut to the front; return their number."""
    front = 0
    for i in range(rows.size):
        if not _side(sample[rows[i]], forest.columns[cut], forest.normals[cut], forest.points[cut]) > 0.0:
            rows[front], rows[i] = rows[i], rows[front]
            front += 1
    return front


@kernel
def _grow(
    sample: Floats, limit: int, rng: np.random.Generator, forest: Forest, start: int, cuts: int
) -> tuple[int, int]:
    """Grow one tree from node `start` on, in preorder; return the next free node and the next free cut."""
    n, d = sample.shape
    low, high, found, rows = np.empty(d), np.empty(d), np.empty(d, np.int64), np.arange(n)
    stack = np.empty((limit + 2, 4), np.int64)  # node, first row, end of rows, depth
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = start, 0, n, 0
    top, used = 1, start + 1
    while top > 0:
        top -= 1
        node, first, end, depth = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
        forest.child[node], forest.cut[node] = node, 0
        forest.path[node] = depth + trees.expected_path(end - first)
        count = _box(sample, rows[first:end], low, high, found) if depth < limit else 0
        if count == 0:
            continue
        _draw_cut(low, high, found, count, rng, forest, cuts)
        middle = first + _partition(sample, rows[first:end], forest, cuts)
        forest.child[node], forest.cut[node] = used, cuts
        stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = used + 1, middle, end, depth + 1
        stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2], stack[top + 1, 3] = used, first, middle, depth + 1
        top, used, cuts = top + 2, used + 2, cuts + 1
    return used, cuts


@kernel
def _grow_forest(
    Z: Floats, size: int, limit: int, rng: np.random.Generator, forest: Forest, stop: workers.Stop
) -> tuple[int, int]:
    """Grow the trees, each on rows drawn without replacement; return the numbers of nodes and cuts."""
    order, sample = np.arange(Z.shape[0]), np.empty((size, Z.shape[1]))
    used, cuts = 0, 1
    for t in range(forest.root.size - 1):
        if stop[0] != 0:
            break
        trees.shuffle(order, size, order.size, rng)
        for i in range(size):
            for j in range(Z.shape[1]):
                sample[i, j] = Z[order[i], j]
        used, cuts = _grow(sample, limit, rng, forest, used, cuts)
        forest.root[t + 1] = used
    return used, cuts


@kernel
def _scores(Z: Floats, empty: Flags, forest: Forest, limit: int) -> Floats:
    """2 ** (-mean path length / c) of each row, NaN for a row of gaps. O(n trees limit s).

    A block goes down a tree level by level: its rows do not wait for one another.
    """
    out, at = np.zeros(Z.shape[0]), np.zeros(BLOCK_ROWS, np.uint32)
    for first in range(0, Z.shape[0], BLOCK_ROWS):
        count = min(BLOCK_ROWS, Z.shape[0] - first)
        for t in range(forest.root.size - 1):
            for i in range(count):
                at[i] = forest.root[t]
            for _ in range(limit):
                for i in range(count):
                    node = at[i]
                    cut = forest.cut[node]
                    if cut > 0:
                        side = _side(Z[first + i], forest.columns[cut], forest.normals[cut], forest.points[cut])
                        at[i] = forest.child[node] + np.uint32(side > 0.0)
            for i in range(count):
                out[first + i] += forest.path[at[i]]
    for i in range(Z.shape[0]):
        out[i] = np.nan if empty[i] else 2.0 ** (-out[i] / (forest.root.size - 1) / forest.path[0])
    return out


@kernel
def _add_credit(row: Floats, forest: Forest, cut: int, credit: float, out: Floats) -> None:
    """Add what a cut saved to the columns, by the size of each one's part in the side that the row took."""
    columns, normals, points = forest.columns[cut], forest.normals[cut], forest.points[cut]
    total = 0.0
    for k in range(normals.size):
        total += abs(normals[k] * (row[columns[k]] - points[k]))
    for k in range(normals.size if total > 0.0 else 0):
        out[columns[k]] += credit * (abs(normals[k] * (row[columns[k]] - points[k])) / total)


@kernel
def _credits(Z: Floats, empty: Flags, forest: Forest) -> Floats:
    """Cuts saved by column, mean over the trees; NaN for a row of gaps. O(n trees limit s)."""
    out = np.zeros(Z.shape)
    n_trees = forest.root.size - 1
    for i in range(Z.shape[0]):
        for t in range(n_trees):
            node = forest.root[t]
            while forest.cut[node] > 0:
                cut = forest.cut[node]
                side = _side(Z[i], forest.columns[cut], forest.normals[cut], forest.points[cut])
                following = forest.child[node] + np.uint32(side > 0.0)
                _add_credit(Z[i], forest, cut, (forest.path[node] - forest.path[following]) / n_trees, out[i])
                node = following
        if empty[i]:
            out[i].fill(np.nan)
    return out


class ExtendedIforestParams(Params, frozen=True):
    """Parameters of the extended isolation forest."""

    n_trees: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Number of trees")] = 100
    max_samples: Annotated[
        int, msgspec.Meta(ge=2, le=262_144, description="Rows drawn for each tree, at most those there are")
    ] = 256
    extension: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None,
        msgspec.Meta(description="Columns that a cut takes besides the first; 0 cuts one column, null takes all"),
    ] = None


class ExtendedIforestState(State, frozen=True):
    """The trees in standardised columns; see `Forest`."""

    center: Floats  # [d]
    spread: Floats  # [d]
    child: Indices
    cut: Indices
    path: Floats
    root: Indices
    columns: Indices
    normals: Floats
    points: Floats
    limit: int  # greatest depth of a tree
    seed: int  # from which all was drawn

    @property
    def forest(self) -> Forest:
        """The trees as the kernels take them."""
        return Forest(self.child, self.cut, self.path, self.root, self.columns, self.normals, self.points)

    def check(self, d: int) -> None:
        """See `State`."""
        nb.check_scales(self, d)
        cuts = dict.fromkeys(("columns", "normals", "points"), "c s")
        n = layout.shapes(self, d, child="m", cut="m", path="m", root="t+1", **cuts)
        layout.require(
            n["t"] and n["m"] and self.path[0] > 0.0 and 0 <= self.limit <= layout.DEEPEST, "`limit` is out of range"
        )
        layout.within(self.root[:-1], 0, n["m"], "root")
        layout.within(self.columns, 0, d, "columns")
        layout.within(self.cut, 0, n["c"], "cut")
        is_cut = self.cut > 0
        layout.within(self.child.astype(np.int64)[is_cut], np.flatnonzero(is_cut) + 1, n["m"] - 1, "child")


def _room(n_trees: int, limit: int, taken: int, rng: np.random.Generator) -> Forest:
    """Arrays that hold the largest trees there can be, the normals drawn."""
    most = 2 ** (limit + 1) - 1
    nodes = n_trees * most
    cuts = n_trees * (most // 2) + 1
    ids: Any = np.uint32
    return Forest(
        np.zeros(nodes, ids),
        np.zeros(nodes, ids),
        np.zeros(nodes),
        np.zeros(n_trees + 1, ids),
        np.zeros((cuts, taken), ids),
        _normals(cuts, taken, rng),
        np.zeros((cuts, taken)),
    )


def _normals(cuts: int, taken: int, rng: np.random.Generator) -> Floats:
    """float64[cuts, taken], drawn a part at a time."""
    out = np.empty((cuts, taken))
    at_once = max(DRAWS // taken, 1)
    for first in range(0, cuts, at_once):
        workers.check()
        rng.standard_normal(out=out[first : first + at_once])
    return out


def _trimmed(forest: Forest, nodes: int, cuts: int) -> Forest:
    """The arrays without the room that was not needed."""
    return Forest(
        forest.child[:nodes].copy(),
        forest.cut[:nodes].copy(),
        forest.path[:nodes].copy(),
        forest.root,
        forest.columns[:cuts].copy(),
        forest.normals[:cuts].copy(),
        forest.points[:cuts].copy(),
    )


@algorithm(
    kind="table",
    family="isolation",
    reference="Hariri, Carrasco Kind & Brunner 2021",
    complexity="O(n_trees * log(max_samples) * d * n)",
    params=ExtendedIforestParams,
    handles_missing=False,
    deterministic=False,
)
class extended_iforest:
    """Extended isolation forest: how few random cuts of any slope separate a row from the others.

    The score is 2 ** (-E[h] / c(max_samples)), in (0, 1), as in the isolation forest. A cut is the hyperplane
    through a point drawn uniformly from the box around the node's rows, its normal drawn from a standard normal
    law in `extension` + 1 columns; a side may be empty. A node of equal rows is a leaf.

    Unlike in the paper, columns are divided by their standard deviation, since a cut across several would
    otherwise follow the one with the largest numbers; a gap takes the column's mean; and where a cut takes only
    some of the columns, those that vary among the node's rows come first. The model holds
    n_trees * max_samples * (extension + 1) numbers twice.
    """

    @staticmethod
    def fit(X: Floats, params: ExtendedIforestParams, seed: int) -> ExtendedIforestState:
        """Grow the trees, each on rows drawn without replacement."""
        center, spread = nb.column_scales(X)
        Z, empty = nb.standardised(X, center, spread)
        known = Z if (~empty).sum() < 2 else Z[~empty]
        size = min(params.max_samples, len(known))
        limit = math.ceil(math.log2(size))
        taken = Z.shape[1] if params.extension is None else min(params.extension + 1, Z.shape[1])
        rng = np.random.default_rng(seed)
        forest = _room(params.n_trees, limit, taken, rng)
        nodes, cuts = _grow_forest(known, size, limit, rng, forest, workers.stop_flag())
        workers.check()
        return ExtendedIforestState(center, spread, *_trimmed(forest, nodes, cuts), limit, seed)

    @staticmethod
    def score(state: ExtendedIforestState, X: Floats, _own: Flags) -> Floats:
        """2 ** (-E[h] / c(max_samples)); NaN where a row has no value."""
        Z, empty = nb.standardised(X, state.center, state.spread)
        return _scores(Z, empty, state.forest, state.limit)

    @staticmethod
    def explain(state: ExtendedIforestState, X: Floats) -> Floats:
        """Cuts saved by column: a cut from n to m rows earns c(n) - (1 + c(m)), as the mean over the trees.

        It is shared by |w_j (x_j - p_j)|, w being the normal and p the point of the cut. A row's contributions
        sum to c(max_samples) - E[h]. A cut that takes a row to the larger side costs.
        """
        Z, empty = nb.standardised(X, state.center, state.spread)
        return _credits(Z, empty, state.forest)
