"""Connectivity-based outlier factor: an anomaly links to its neighbours by longer steps than they do (Tang 2002)."""

from typing import Annotated

import msgspec
import numpy as np

from pynomaly import layout, workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import kernel
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels.nearest import QUERIES

LEAST_DISTANCE = 1e-10  # added to every chaining distance: among copies it is 0, and two of them divide to 1


@kernel
def _chaining_distances(squares: Floats, slots: nb.Counts, rows: Floats) -> Floats:
    """Average chaining distance of rows with these neighbours. O(n k ** 2 d)."""
    n, k = squares.shape
    path, out = np.empty((k, rows.shape[1])), np.zeros(n)
    for i in range(n):
        for at in range(k):
            for j in range(path.shape[1]):
                path[at, j] = rows[slots[i, at], j]
            step = squares[i, at]
            for before in range(at):
                square = 0.0
                for j in range(path.shape[1]):
                    away = path[before, j] - path[at, j]
                    square += away * away
                step = min(step, square)
            out[i] += 2.0 * (k - at) / (k * (k + 1.0)) * np.sqrt(step)
    return out


@kernel
def _factors(chaining: Floats, slots: nb.Counts, fitted: Floats) -> Floats:
    """Chaining distance of rows over the mean of their neighbours'."""
    n, k = slots.shape
    out = np.zeros(n)
    for i in range(n):
        for at in range(k):
            out[i] += fitted[slots[i, at]]
        out[i] = (chaining[i] + LEAST_DISTANCE) / (out[i] / k + LEAST_DISTANCE)
    return out


class CofParams(Params, frozen=True):
    """Parameters of the connectivity-based outlier factor."""

    n_neighbors: Annotated[int, msgspec.Meta(ge=1, le=1_000, description="Number of neighbours")] = 20


class CofState(nb.Neighborhood, State, frozen=True):
    """The fit sample as a tree of standardised rows, with the chaining distance and the training score of each."""

    chaining: Floats  # [slots]

    def reduce(self, _Z: Floats, squares: Floats, slots: nb.Counts) -> Floats:
        """Score of rows with these neighbours."""
        return _factors(_chaining_distances(squares, slots, self.rows), slots, self.chaining)

    def check(self, d: int) -> None:
        """See `State`."""
        super().check(d)
        layout.shapes(self, d, rows="n d", chaining="n")


@algorithm(
    kind="table",
    family="proximity",
    reference="Tang, Chen, Fu & Cheung 2002",
    complexity="O(d * n * (log(n) + n_neighbors ** 2)) in few columns, O(d * n ** 2) in many",
    params=CofParams,
    handles_missing=False,
    uses_own=True,
    neighbors="n_neighbors",
)
class cof:
    """Connectivity-based outlier factor: a row's steps to its neighbours against the neighbours' own.

    The neighbours s_1 .. s_k are joined one after the other; the step to s_i is its distance to the nearest of the
    row and s_1 .. s_(i-1). The average chaining distance is the mean of the steps with weights
    2 (k + 1 - i) / (k (k + 1)): early ones count most. The score is that of the row over the mean of its neighbours'
    own, about 1 for an ordinary row, also where rows lie along a line.

    Neighbours are joined in the order of their distance from the row, as PyOD does; the paper joins next the
    one that is nearest to any of those joined. 1e-10 is added to every chaining distance, so that a row
    among its copies scores 1; equal distances come in the order of the rows' values. Columns are divided by their
    standard deviation in the fit sample; a flat column counts only where a new row differs from it; a gap
    takes the column's mean.
    """

    @staticmethod
    def fit(X: Floats, params: CofParams, _seed: int) -> CofState:
        """Standardise and index the rows, and find the chaining distance of each."""
        index = nb.fit_index(X)
        squares, slots = index.nearest_others(k := min(params.n_neighbors, len(X) - 1))
        chaining = workers.per_row(
            len(slots),
            QUERIES,
            lambda first, end: _chaining_distances(squares[first:end], slots[first:end], index.rows),
        )
        training = _factors(chaining, slots, chaining)
        return CofState(**index.fields(), training=training, n_neighbors=k, chaining=chaining)

    @staticmethod
    def score(state: CofState, X: Floats, own: Flags) -> Floats:
        """Connectivity-based outlier factor; NaN where a row has no value."""
        return state.score(X, own)

    @staticmethod
    def explain(state: CofState, X: Floats) -> Floats:
        """Squared differences to the neighbours by column, scaled to sum to the score; a copy of the row is itself."""
        return state.explain(X)
