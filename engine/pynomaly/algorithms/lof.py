"""Local outlier factor: an anomaly lies where rows are sparser than around its neighbours (Breunig et al. 2000)."""

from typing import Annotated

import msgspec
import numpy as np

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import kernel
from pynomaly.kernels import neighbors as nb

LEAST_REACH = 1e-10  # added to the mean reachability distance, as scikit-learn does: copies would divide by 0


@kernel
def _densities(squares: Floats, slots: nb.Counts, reach: Floats) -> Floats:
    """Local reachability density of rows with these neighbours; `reach` is the distance to the k-th of each slot."""
    n, k = squares.shape
    out = np.zeros(n)
    for i in range(n):
        for at in range(k):
            out[i] += max(np.sqrt(squares[i, at]), reach[slots[i, at]])
        out[i] = 1.0 / (out[i] / k + LEAST_REACH)
    return out


@kernel
def _factors(own_density: Floats, slots: nb.Counts, density: Floats) -> Floats:
    """Mean density of the neighbours over the row's own."""
    n, k = slots.shape
    out = np.zeros(n)
    for i in range(n):
        for at in range(k):
            out[i] += density[slots[i, at]]
        out[i] = out[i] / k / own_density[i]
    return out


class LofParams(Params, frozen=True):
    """Parameters of the local outlier factor."""

    n_neighbors: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Number of neighbours")] = 20


class LofState(nb.Neighborhood, State, frozen=True):
    """The fit sample as a tree of standardised rows, with the densities and the training score of each."""

    reach: Floats  # [slots], distance to the k-th neighbour
    density: Floats  # [slots], local reachability density

    def reduce(self, _Z: Floats, squares: Floats, slots: nb.Counts) -> Floats:
        """Score of rows with these neighbours."""
        return _factors(_densities(squares, slots, self.reach), slots, self.density)

    def check(self, d: int) -> None:
        """See `State`."""
        super().check(d)
        layout.shapes(self, d, rows="n d", reach="n", density="n")
        layout.require(((self.reach >= 0.0) & (self.reach < np.inf)).all(), "`reach` holds no distances")


@algorithm(
    kind="table",
    family="proximity",
    reference="Breunig, Kriegel, Ng & Sander 2000",
    complexity="O(d * n * log(n)) in few columns, O(d * n ** 2) in many",
    params=LofParams,
    handles_missing=False,
    uses_own=True,
    neighbors="n_neighbors",
)
class lof:
    """Local outlier factor: how much sparser a row lies than its k nearest rows do.

    Exact, about 1 for an ordinary row. Columns are divided by their standard deviation in the fit sample;
    a flat column counts only where a new row differs from it; a gap takes the column's mean.
    """

    @staticmethod
    def fit(X: Floats, params: LofParams, _seed: int) -> LofState:
        """Standardise and index the rows, and find the density around each."""
        index = nb.fit_index(X)
        squares, slots = index.nearest_others(k := min(params.n_neighbors, len(X) - 1))
        reach = np.sqrt(squares[:, k - 1])
        density = _densities(squares, slots, reach)
        training = _factors(density, slots, density)
        return LofState(**index.fields(), training=training, n_neighbors=k, reach=reach, density=density)

    @staticmethod
    def score(state: LofState, X: Floats, own: Flags) -> Floats:
        """Local outlier factor; NaN where a row has no value."""
        return state.score(X, own)

    @staticmethod
    def explain(state: LofState, X: Floats) -> Floats:
        """Squared differences to the neighbours by column, scaled to sum to the score; a copy of the row is itself."""
        return state.explain(X)
