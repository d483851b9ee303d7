"""Nearest neighbours in standardised columns: what the algorithms that look at a row's neighbours have in common."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout, workers
from pynomaly.kernels import columns, kernel
from pynomaly.kernels.kdtree import FARTHEST, Tree, build_tree, check_tree
from pynomaly.kernels.nearest import find, nearest

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Counts = NDArray[np.int32]
Flags = NDArray[np.bool_]

MOST_NEIGHBORS = 10_000


def column_scales(X: Floats) -> tuple[Floats, Floats]:
    """Mean and population standard deviation of each column's values.

    A flat column has spread 1 and its value as the mean: it separates a row only where the row differs.
    A column of gaps has mean 0 and an infinite spread: it separates nothing.
    """
    center, spread = columns.moments(X)
    return center, np.where(spread > 0.0, spread, 1.0)


@kernel
def _fill_standardised(X: Floats, center: Floats, spread: Floats, out: Floats, empty: Flags) -> None:
    for i in range(X.shape[0]):
        empty[i] = True
        for j in range(X.shape[1]):
            out[i, j] = 0.0
            if X[i, j] == X[i, j]:
                out[i, j] = min(max((X[i, j] - center[j]) / spread[j], -FARTHEST), FARTHEST)
                empty[i] = False


def standardised(X: Floats, center: Floats, spread: Floats) -> tuple[Floats, Flags]:
    """(x - center) / spread, kept within `FARTHEST`, 0 for a gap; and whether all of a row's cells are gaps."""
    out, empty = np.empty(X.shape), np.empty(len(X), np.bool_)

    def fill(first: int, end: int) -> None:
        _fill_standardised(X[first:end], center, spread, out[first:end], empty[first:end])

    workers.over_rows(len(X), columns.BATCH, fill)
    return out, empty


def check_scales(state: Any, d: int) -> None:
    """Raise ModelCorrupt unless rows of d columns can be standardised."""
    layout.shapes(state, d, center="d", spread="d")
    layout.finite(state.center, "center")
    layout.require((state.spread > 0.0).all(), "`spread` is not positive")


class Index(msgspec.Struct, frozen=True):
    """The columns' scales and the tree of standardised rows: the part of a state that neighbours are found with."""

    center: Floats  # [d]
    spread: Floats  # [d]
    rows: Floats  # this and the next eight: see `Tree`
    leaves: Singles
    low: Singles
    high: Singles
    middle: Floats
    radius: Floats
    starts: NDArray[np.int64]
    copies: Counts
    rank: Counts

    @property
    def tree(self) -> Tree:
        """The tree as the kernels take it."""
        return Tree(*(getattr(self, field) for field in Tree._fields))

    def check(self, d: int) -> None:
        """Raise ModelCorrupt unless rows of d columns can be looked for: see `pynomaly.layout`."""
        check_scales(self, d)
        check_tree(self.tree, d)

    def check_number(self, n_neighbors: int) -> None:
        """Raise ModelCorrupt unless each row has so many others for neighbours."""
        most = min(int(self.copies.sum(dtype=np.int64)) - 1, MOST_NEIGHBORS)
        layout.require(1 <= n_neighbors <= most, "`n_neighbors` is out of range")

    def fields(self) -> dict[str, Any]:
        """The fields by name, for the state that the index becomes a part of."""
        return msgspec.structs.asdict(self)

    def nearest_others(self, k: int) -> tuple[Floats, Counts]:
        """Squared distances of each slot's row to the k nearest rows beside itself, and their slots: [n_slots, k]."""
        return nearest(self.tree, self.rows, np.ones(len(self.rows), np.bool_), k)


def fit_index(X: Floats) -> Index:
    """The index of a sample's rows."""
    center, spread = column_scales(X)
    return Index(center, spread, *build_tree(standardised(X, center, spread)[0]))


class Neighborhood(Index, frozen=True):
    """An index, and the score of each of its rows by its neighbours: what a subclass makes of them with `reduce`."""

    training: Floats  # [n_slots]
    n_neighbors: int

    def check(self, d: int) -> None:
        """As for the index, and unless each row has a score and enough neighbours."""
        super().check(d)
        layout.shapes(self, d, rows="n d", training="n")
        self.check_number(self.n_neighbors)

    def reduce(self, Z: Floats, squares: Floats, slots: Counts) -> Floats:
        """Scores of standardised rows with these neighbours."""
        raise NotImplementedError

    def score(self, X: Floats, own: Flags) -> Floats:
        """Scores of rows, those of fitted ones looked up by value; NaN where a row has no value."""
        Z, empty = standardised(X, self.center, self.spread)

        def evaluate(new: NDArray[np.int64]) -> Floats:
            return self.reduce(Z[new], *nearest(self.tree, Z[new], own[new], self.n_neighbors))

        scores = looked_up(self.tree, self.training, Z, own, evaluate)
        scores[empty] = np.nan
        return scores

    def explain(self, X: Floats) -> Floats:
        """Squared differences to the neighbours by column, scaled to sum to the score.

        A copy of the row in the fit sample is taken for the row itself and not counted.
        """
        Z, empty = standardised(X, self.center, self.spread)
        squares, slots = nearest(self.tree, Z, np.ones(len(X), np.bool_), self.n_neighbors)
        scores = self.reduce(Z, squares, slots)
        scores[empty] = np.nan
        return column_shares(self.rows, Z, slots, scores)


def looked_up(
    tree: Tree, training: Floats, Z: Floats, own: Flags, evaluate: Callable[[NDArray[np.int64]], Floats]
) -> Floats:
    """Training score of each own row, found by value; for the others, what `evaluate` makes of their positions."""
    out = np.empty(len(Z))
    known = np.flatnonzero(own)
    slots = find(tree, Z[known])
    out[known] = training[slots]
    new = np.append(np.flatnonzero(~own), known[slots < 0])
    if len(new):
        out[new] = evaluate(new)
    return out


@kernel
def column_shares(rows: Floats, Q: Floats, slots: Counts, scores: Floats) -> Floats:
    """Squared difference to the neighbours by column, scaled so that a row's columns sum to its score.

    All 0 where the neighbours equal the row; NaN where the score is.
    """
    out = np.zeros(Q.shape)
    k = slots.shape[1]
    for i in range(Q.shape[0]):
        total = 0.0
        for at in range(k):
            for j in range(Q.shape[1]):
                away = rows[slots[i, at], j] - Q[i, j]
                out[i, j] += away * away / k
        for j in range(Q.shape[1]):
            total += out[i, j]
        for j in range(Q.shape[1]):
            out[i, j] = scores[i] * (out[i, j] / total) if total > 0.0 else scores[i] * 0.0
    return out
