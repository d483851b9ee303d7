"""k-nearest neighbours: an anomaly is far from its nearest rows (Ramaswamy, Rastogi & Shim 2000)."""

from typing import Annotated, Literal

import msgspec
import numpy as np

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import kernel
from pynomaly.kernels import neighbors as nb

METHODS = ("largest", "mean", "median")


@kernel
def _reduce(squares: Floats, method: int) -> Floats:
    """Largest, mean or median distance of each row from its neighbours, which come in ascending order."""
    n, k = squares.shape
    out = np.zeros(n)
    for i in range(n):
        if method == 0:
            out[i] = np.sqrt(squares[i, k - 1])
        elif method == 1:
            for at in range(k):
                out[i] += np.sqrt(squares[i, at]) / k
        else:
            out[i] = 0.5 * np.sqrt(squares[i, (k - 1) // 2]) + 0.5 * np.sqrt(squares[i, k // 2])
    return out


class KnnParams(Params, frozen=True):
    """Parameters of the nearest neighbours."""

    n_neighbors: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Number of neighbours")] = 5
    method: Annotated[
        Literal["largest", "mean", "median"],
        msgspec.Meta(description="Which of the distances to the neighbours is the score"),
    ] = "largest"


class KnnState(nb.Neighborhood, State, frozen=True):
    """The fit sample as a tree of standardised rows, with the training score of each."""

    method: int  # position in METHODS

    def reduce(self, _Z: Floats, squares: Floats, _slots: nb.Counts) -> Floats:
        """Score of rows with these neighbours."""
        return _reduce(squares, self.method)

    def check(self, d: int) -> None:
        """See `State`."""
        super().check(d)
        layout.require(0 <= self.method < len(METHODS), "`method` is unknown")


@algorithm(
    kind="table",
    family="proximity",
    reference="Ramaswamy, Rastogi & Shim 2000",
    complexity="O(d * n * log(n)) in few columns, O(d * n ** 2) in many",
    params=KnnParams,
    handles_missing=False,
    uses_own=True,
    neighbors="n_neighbors",
)
class knn:
    """Distance to the k nearest rows, in standardised columns.

    Exact. Columns are divided by their standard deviation in the fit sample; a flat column counts only
    where a new row differs from it; a gap takes the column's mean.
    """

    @staticmethod
    def fit(X: Floats, params: KnnParams, _seed: int) -> KnnState:
        """Standardise and index the rows, and score each."""
        index, method = nb.fit_index(X), METHODS.index(params.method)
        squares, _ = index.nearest_others(k := min(params.n_neighbors, len(X) - 1))
        return KnnState(**index.fields(), training=_reduce(squares, method), n_neighbors=k, method=method)

    @staticmethod
    def score(state: KnnState, X: Floats, own: Flags) -> Floats:
        """Distance to the neighbours; NaN where a row has no value."""
        return state.score(X, own)

    @staticmethod
    def explain(state: KnnState, X: Floats) -> Floats:
        """Squared differences to the neighbours by column, scaled to sum to the score; a copy of the row is itself."""
        return state.explain(X)
