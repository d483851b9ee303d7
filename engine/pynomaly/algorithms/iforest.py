"""Isolation forest: anomalies are separated from the rest by few random splits (Liu, Ting & Zhou 2008)."""

import math
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import columns, kernel, trees
from pynomaly.kernels.trees import Links, Plan, Splits

Indices = NDArray[np.int64]
Rows = NDArray[np.uint32]

SIZE_BITS = 20  # of a link to a leaf
WALKED_ROWS = 1_000  # for no more rows a plan takes longer than it saves
WALKERS = 128  # rows that walk through a tree together: with the tree they fit the first-level cache
PATHS = 800_000  # that a thread follows before it looks whether to stop


class Grower(NamedTuple):
    """What a tree grows in."""

    sample: Floats  # [d, size]
    rows: Rows  # [size], those of a node side by side
    stack: Indices  # [nodes, 4]: first row, end of rows, depth, place of the link to the node
    varying: Indices  # [d]


@kernel
def _leaf(depth: int, size: int) -> int:
    """The link to a leaf."""
    return ~((depth << SIZE_BITS) | size)


@kernel
def _size(link: int) -> int:
    """Rows that were in a leaf when it grew."""
    return ~link & ((1 << SIZE_BITS) - 1)


def paths(links: Links, expected: Floats) -> Floats:
    """The expected lengths of paths that reach these leaves."""
    paths: Floats = (~links >> SIZE_BITS) + expected[~links & ((1 << SIZE_BITS) - 1)]
    return paths


@kernel
def _varies(values: Floats, rows: Rows) -> bool:
    """Whether these rows have two values."""
    known = np.nan
    for i in range(rows.size):
        value = values[rows[i]]
        if value < known or value > known:
            return True
        known = value if value == value else known
    return False


@kernel
def _count_varying(sample: Floats, rows: Rows, varying: Indices) -> int:
    """List the columns that vary among these rows and return their number; most vary in the first two rows."""
    a, b, count = rows[0], rows[1], 0
    for j in range(varying.size):
        if sample[j, a] < sample[j, b] or sample[j, a] > sample[j, b] or _varies(sample[j], rows):
            varying[count] = j
            count += 1
    return count


@kernel
def _range(values: Floats, rows: Rows) -> tuple[float, float, int]:
    """The least and the greatest value of these rows, and how many of them have none."""
    low, high, n_gaps = np.inf, -np.inf, 0
    for i in range(rows.size):
        value = values[rows[i]]
        low = value if value < low else low
        high = value if value > high else high
        n_gaps += int(value != value)
    return low, high, n_gaps


@kernel
def _split_point(low: float, high: float, share: float) -> float:
    """A point in (low, high], so that `x < point` leaves a row on either side. Halves keep the range finite."""
    point = low + 2.0 * (share * (0.5 * high - 0.5 * low))
    return high if point <= low or point > high else point


@kernel
def _partition(values: Floats, rows: Rows, point: float) -> int:
    """Move the rows below the point to the front, without a branch, which would be guessed wrong; return how many."""
    front = 0
    for i in range(rows.size):
        row = rows[i]
        rows[i] = rows[front]
        rows[front] = row
        front += int(values[row] < point)
    return front


@kernel
def _gaps_to_front(values: Floats, rows: Rows) -> int:
    """Move the rows without a value to the front; return how many."""
    front = 0
    for i in range(rows.size):
        row = rows[i]
        if values[row] != values[row]:
            rows[i], rows[front] = rows[front], row
            front += 1
    return front


@kernel
def _split(values: Floats, rows: Rows, share: float) -> tuple[float, int, bool]:
    """Part a node's rows by a column: the point, how many rows are on the low side, and whether gaps are."""
    low, high, n_gaps = _range(values, rows)
    point = _split_point(low, high, share)
    n_low = _partition(values, rows, point)
    gaps_low = 2 * n_low >= rows.size - n_gaps
    if n_gaps > 0 and gaps_low:
        n_low += _gaps_to_front(values, rows[n_low:])
    return point, n_low, gaps_low


@kernel
def _push(stack: Indices, top: int, first: int, end: int, depth: int, limit: int, to: int, link: Links) -> int:
    """Link to a node as a leaf, and put it on the stack if it may be split; return how many are on the stack."""
    link[to >> 1, to & 1] = _leaf(depth, end - first)
    if end - first == 1 or depth == limit:
        return top
    stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = first, end, depth, to
    return top + 1


@kernel
def _grow(grower: Grower, limit: int, draws: Floats, used: int, splits: Splits, k: int) -> tuple[int, int]:
    """Grow a tree from split k on, in preorder of the low sides; return the next split and the draws used.

    There is no link to the root; the one that stands for it is filled again later.
    """
    sample, rows, stack, varying = grower
    threshold, column, link = splits.threshold, splits.column, splits.link
    top = _push(stack, 0, 0, rows.size, 0, limit, 2 * k, link)
    while top > 0:
        top -= 1
        first, end, depth, to = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
        here = rows[first:end]
        count = _count_varying(sample, here, varying)
        if count > 0:
            link[to >> 1, to & 1] = k
            j = varying[int(draws[used] * count)]
            threshold[k], n_low, gaps_low = _split(sample[j], here, draws[used + 1])
            column[k] = j if gaps_low else j + varying.size
            top = _push(stack, top, first + n_low, end, depth + 1, limit, 2 * k + 1, link)
            top = _push(stack, top, first, first + n_low, depth + 1, limit, 2 * k, link)
            k, used = k + 1, used + 2
    return k, used


@kernel
def _draw_sample(X: Floats, order: Indices, draws: Floats, used: int, grower: Grower) -> None:
    """Bring random rows to the front of the order and copy them; draws for all rows are passed over."""
    rows = grower.rows
    for i in range(rows.size):
        rows[i] = i
    for i in range(rows.size if rows.size < order.size else 0):
        j = i + int(draws[used + i] * (order.size - i))
        order[i], order[j] = order[j], order[i]
    for c in range(X.shape[1] if rows.size < order.size else 0):
        for i in range(rows.size):
            grower.sample[c, i] = X[order[i], c]


@kernel
def _grow_trees(
    X: Floats, order: Indices, t: int, limit: int, draws: Floats, grower: Grower, splits: Splits
) -> tuple[int, int]:
    """Grow trees from t on as long as the draws suffice; return the next tree and the draws used."""
    size, used = grower.rows.size, 0
    while t < splits.root.size - 1 and draws.size - used >= 3 * size:
        _draw_sample(X, order, draws, used, grower)
        splits.root[t + 1], used = _grow(grower, limit, draws, used + size, splits, splits.root[t])
        t += 1
    return t, used


def _room(n_trees: int, size: int, limit: int) -> Splits:
    """Arrays that hold the largest trees there can be, and a link more: see `_grow`."""
    most = n_trees * min(size - 1, 2**limit - 1) + 1
    root: Indices = np.zeros(n_trees + 1, np.int64)
    return Splits(np.empty(most), np.empty(most, np.uint32), np.empty((most, 2), np.int32), root, _leaf(0, size))


def _grow_forest(X: Floats, n_trees: int, size: int, limit: int, seed: int) -> Splits:
    """Grow the trees, each on rows drawn without replacement. O(n + n_trees size (limit + d))."""
    stack: Indices = np.empty((limit + 2, 4), np.int64)
    varying: Indices = np.empty(X.shape[1], np.int64)
    sample = np.ascontiguousarray(X.T) if size == len(X) else np.empty((X.shape[1], size))
    grower = Grower(sample, np.empty(size, np.uint32), stack, varying)
    splits, order, draws, t = _room(n_trees, size, limit), np.arange(len(X)), trees.first_draws(seed), 0
    rng: np.random.Generator | None = None
    while t < n_trees:
        workers.check()
        if len(draws) < 3 * size:
            rng = rng or trees.later_draws(seed)
            more = rng.random(max(min(trees.DRAWS, 3 * size * (n_trees - t)), 3 * size) - len(draws))
            draws = np.concatenate([draws, more])
        t, used = _grow_trees(X, order, t, limit, draws, grower, splits)
        draws = draws[used:]
    end = splits.root[-1]
    return Splits(
        splits.threshold[:end].copy(), splits.column[:end].copy(), splits.link[:end].copy(), splits.root, splits.whole
    )


@kernel
def _load(X: Floats, block: Floats) -> None:
    """Copy rows column by column, and once more with gaps that pass every test."""
    d = X.shape[1]
    for i in range(X.shape[0]):
        for j in range(d):
            value = X[i, j]
            block[j, i], block[d + j, i] = value, value if value == value else np.inf


@kernel
def _walk(block: Floats, splits: Splits, t: int, limit: int, at: Links) -> None:
    """Take the rows of a block through tree t, all of them a step at a time; fill the links to their leaves."""
    threshold, column, link, root = splits.threshold, splits.column, splits.link, splits.root
    at[:] = root[t] if root[t] < root[t + 1] else splits.whole
    for _ in range(limit):
        for i in range(at.size):
            if at[i] >= 0:
                k = np.uint32(at[i])
                at[i] = link[k, np.uint32(block[column[k], i] >= threshold[k])]


@kernel
def _add_paths(X: Floats, splits: Splits, limit: int, expected: Floats, out: Floats) -> None:
    """Add the lengths of the rows' paths through all trees. O(n trees limit)."""
    block, at = np.zeros((2 * X.shape[1], WALKERS)), np.zeros(WALKERS, np.int32)
    for first in range(0, X.shape[0], WALKERS):
        sums = out[first : first + WALKERS]
        _load(X[first : first + WALKERS], block)
        for t in range(splits.root.size - 1):
            _walk(block, splits, t, limit, at[: sums.size])
            for i in range(sums.size):
                leaf = np.uint32(~at[i])
                sums[i] += (leaf >> SIZE_BITS) + expected[leaf & ((1 << SIZE_BITS) - 1)]


@kernel
def _finish(X: Floats, n_trees: int, longest: float, out: Floats) -> None:
    """Turn sums of path lengths into scores; NaN for a row of gaps."""
    for i in range(X.shape[0]):
        out[i] = np.nan if columns.is_empty(X, i) else 2.0 ** (-out[i] / n_trees / longest)


@kernel
def _sizes(splits: Splits) -> Indices:
    """How many rows were in each split's node when it grew."""
    link, out = splits.link, np.zeros(splits.threshold.size, np.int64)
    for k in range(out.size - 1, -1, -1):
        for side in range(2):
            out[k] += out[link[k, side]] if link[k, side] >= 0 else _size(link[k, side])
    return out


@kernel
def _add_credits(row: Floats, splits: Splits, t: int, sizes: Indices, expected: Floats, out: Floats) -> None:
    """Add what the splits on a row's path through tree t save to their columns."""
    k = splits.root[t] if splits.root[t] < splits.root[t + 1] else -1
    while k >= 0:
        j = splits.column[k] % row.size
        is_high = row[j] >= splits.threshold[k] or (row[j] != row[j] and splits.column[k] >= row.size)
        following = splits.link[k, int(is_high)]
        size = sizes[following] if following >= 0 else _size(following)
        out[j] += expected[sizes[k]] - 1.0 - expected[size]
        k = following


@kernel
def _credits(X: Floats, splits: Splits, expected: Floats) -> Floats:
    """Splits saved by column, mean over the trees; NaN for a row of gaps. O(splits + n trees limit)."""
    out, sizes, n_trees = np.zeros(X.shape), _sizes(splits), splits.root.size - 1
    for i in range(X.shape[0]):
        for t in range(n_trees):
            _add_credits(X[i], splits, t, sizes, expected, out[i])
        for j in range(X.shape[1]):
            out[i, j] = np.nan if columns.is_empty(X, i) else out[i, j] / n_trees
    return out


class IforestParams(Params, frozen=True):
    """Parameters of the isolation forest."""

    n_trees: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Number of trees")] = 100
    max_samples: Annotated[
        int, msgspec.Meta(ge=2, le=262_144, description="Rows drawn for each tree, at most those there are")
    ] = 256


class IforestState(State, frozen=True):
    """The trees: see `Splits`, and `Plan`, which is empty unless the trees are small and the rows many.

    A link to a leaf is the complement of its depth and size.
    """

    threshold: Floats
    column: Rows
    link: Links
    root: Indices
    whole: int
    limit: int  # greatest depth
    expected: Floats  # [max_samples + 1], expected depth below a node by its size
    points: Floats
    first_point: Indices
    grid: Floats
    cells: trees.Counts
    lane: Rows
    code: NDArray[np.int8]
    label: trees.Labels
    other: trees.Labels
    first_split: Indices
    value: Floats
    first_leaf: Indices

    @property
    def splits(self) -> Splits:
        """The trees as they grew."""
        return Splits(self.threshold, self.column, self.link, self.root, self.whole)

    @property
    def plan(self) -> Plan:
        """The trees as many rows take them."""
        return Plan(*(getattr(self, name) for name in Plan._fields))

    def check(self, d: int) -> None:
        """See `State`."""
        n = layout.shapes(self, d, threshold="k", column="k", link="k 2", root="t+1", expected="m+1")
        layout.require(
            n["t"] and self.expected[-1] > 0.0 and 0 <= self.limit <= layout.DEEPEST, "`limit` is out of range"
        )
        layout.within(self.column, 0, 2 * d, "column")
        layout.within(_size(self.whole), 0, n["m"] + 1 if self.whole < 0 else 0, "whole")
        trees.check_splits(self.splits, self.limit, n["m"], lambda links: ~links & ((1 << SIZE_BITS) - 1))
        if len(self.first_leaf) > 1:
            trees.check_plan(self.plan, d, n["t"])


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
        limit, expected = math.ceil(math.log2(size)), trees.expected_paths(size)
        splits = _grow_forest(X, params.n_trees, size, limit, seed)

        is_planned = len(X) > WALKED_ROWS and trees.has_plan(splits, X.shape[1])
        plan: Any = (
            trees.plan(splits, X.shape[1], lambda links: paths(links, expected)) if is_planned else trees.NO_PLAN
        )
        return IforestState(*splits, limit, expected, *plan)

    @staticmethod
    def score(state: IforestState, X: Floats, _own: Flags) -> Floats:
        """2 ** (-E[h] / c(max_samples)); NaN where a row has no value."""
        out, splits, plan = np.zeros(len(X)), state.splits, state.plan
        n_trees, is_planned = len(splits.root) - 1, len(plan.first_leaf) > 1

        def run(first: int, end: int) -> None:
            rows, sums = X[first:end], out[first:end]
            if is_planned:
                trees.add_values(rows, plan, sums)
            else:
                _add_paths(rows, splits, state.limit, state.expected, sums)
            _finish(rows, n_trees, state.expected[-1], sums)

        workers.over_rows(len(X), max(PATHS // n_trees, trees.ROWS), run)
        return out

    @staticmethod
    def explain(state: IforestState, X: Floats) -> Floats:
        """Splits saved by column: a split from n to m rows earns c(n) - (1 + c(m)), as the mean over the trees.

        A row's contributions sum to c(max_samples) - E[h], since the terms of a path telescope (in the
        spirit of DIFFI, Carletti, Terzi & Susto 2023). A split that takes a row to the larger side costs.
        """
        return _credits(X, state.splits, state.expected)
