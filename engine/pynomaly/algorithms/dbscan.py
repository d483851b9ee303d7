"""DBSCAN as a score: an anomaly is far from every row that lies in a dense place (Ester, Kriegel, Sander & Xu 1996)."""

from typing import Annotated

import msgspec
import numpy as np

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels.kdtree import build_tree
from pynomaly.kernels.nearest import find, nearest

DENSE_SHARE = 0.9  # of the rows that are core rows where no radius is given


class DbscanParams(Params, frozen=True):
    """Parameters of the distance to core rows."""

    min_samples: Annotated[
        int, msgspec.Meta(ge=2, le=10_000, description="Rows within eps of a core row, itself included")
    ] = 5
    eps: Annotated[
        Annotated[float, msgspec.Meta(gt=0.0, le=1e9)] | None,
        msgspec.Meta(description="Radius in standard deviations; none makes 90 % of the rows core rows"),
    ] = None


class DbscanState(nb.Index, State, frozen=True):
    """The core rows as a tree of standardised rows, and how far the neighbours of each are."""

    reach: Floats  # [slots], distance to the neighbour that makes a row a core row
    eps: float

    def check(self, d: int) -> None:
        """See `State`."""
        super().check(d)
        layout.shapes(self, d, rows="n d", reach="n")
        self.check_number(1)
        layout.require(self.eps > 0.0, "`eps` is not positive")


def _radius(reach: Floats, asked: float | None) -> float:
    """The radius: as asked, or such that 90 % of the rows are core rows; the two densest rows are in any case."""
    radius = float(np.quantile(reach, DENSE_SHARE, method="lower")) if asked is None else asked
    return max(radius, float(np.partition(reach, 1)[1]))


def _distances(state: DbscanState, Z: Floats, own: Flags) -> tuple[Floats, nb.Counts]:
    """Distance to the nearest other core row over eps, and its slot; an own core row is at most as far as its reach."""
    squares, slots = nearest(state.tree, Z, own, 1)
    distances = np.sqrt(squares[:, 0])
    itself = np.where(own, find(state.tree, Z), -1)
    distances = np.where(itself >= 0, np.minimum(distances, state.reach[itself]), distances)
    return distances / state.eps, slots


@algorithm(
    kind="table",
    family="clustering",
    reference="Ester, Kriegel, Sander & Xu 1996",
    complexity="O(d * n * log(n)) in few columns, O(d * n ** 2) in many",
    params=DbscanParams,
    handles_missing=False,
    uses_own=True,
    neighbors="min_samples",
)
class dbscan:
    """Distance to the nearest row in a dense place, in radii of DBSCAN: above 1 a row is noise.

    A core row has min_samples rows within eps, itself included. The score is the distance to the nearest other core row
    over eps; that of a fitted core row is at most the distance to its own min_samples-th row, so never above 1. What
    DBSCAN calls noise scores above 1, and the clusters themselves need not be found. Without eps the 0.9 quantile
    of the distances to the min_samples-th row takes its place; where that is 0, since most rows are copies, scores
    are plain distances. Columns are divided by their standard deviation in the fit sample; a flat column counts only
    where a new row differs from it; a gap takes the column's mean.
    """

    @staticmethod
    def fit(X: Floats, params: DbscanParams, _seed: int) -> DbscanState:
        """Standardise the rows, find how far the neighbours of each are, and index the core rows."""
        center, spread = nb.column_scales(X)
        Z = nb.standardised(X, center, spread)[0]
        every = np.ones(len(Z), np.bool_)
        k = min(params.min_samples, len(Z)) - 1
        reach = np.sqrt(nearest(build_tree(Z), Z, every, k)[0][:, k - 1])
        radius = _radius(reach, params.eps)
        core = reach <= radius
        tree = build_tree(Z[core])
        of_slot = np.zeros(len(tree.copies))
        of_slot[find(tree, Z[core])] = reach[core]  # equal rows have equal reach
        return DbscanState(center, spread, *tree, of_slot, radius if radius > 0.0 else 1.0)

    @staticmethod
    def score(state: DbscanState, X: Floats, own: Flags) -> Floats:
        """Distance to the nearest other core row over eps; NaN where a row has no value."""
        Z, empty = nb.standardised(X, state.center, state.spread)
        scores = _distances(state, Z, own)[0]
        scores[empty] = np.nan
        return scores

    @staticmethod
    def explain(state: DbscanState, X: Floats) -> Floats:
        """Squared differences to the nearest other core row by column, scaled to sum to the score."""
        Z, empty = nb.standardised(X, state.center, state.spread)
        scores, slots = _distances(state, Z, np.ones(len(X), np.bool_))
        scores[empty] = np.nan
        return nb.column_shares(state.rows, Z, slots, scores)
