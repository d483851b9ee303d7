"""Angle-based outlier detection: an anomaly sees its neighbours all in one direction (Kriegel et al. 2008)."""

from typing import Annotated

import msgspec
import numpy as np

from pynomaly import workers
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import kernel
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels.nearest import QUERIES

FEWEST = 3  # neighbours that differ from the row: fewer than three pairs have no variance to speak of
LEAST_VARIANCE = 1e-12  # of angles relative to the nearest neighbour's distance: below lies rounding


@kernel
def _fill_directions(q: Floats, squares: Floats, slots: nb.Counts, rows: Floats, out: Floats) -> int:
    """Fill the differences to the neighbours over their squared length; return how many there are.

    Lengths are in units of the nearest that differs from the row: nothing overflows, and none is above 1. A
    neighbour that equals the row is left out.
    """
    used, unit = 0, 0.0
    for at in range(slots.size):
        if squares[at] > 0.0:
            unit = np.sqrt(squares[at]) if used == 0 else unit
            length = np.sqrt(squares[at]) / unit
            for j in range(q.size):
                away = rows[slots[at], j] - q[j]
                out[used, j] = away / unit / length / length
            used += 1
    return used


@kernel
def _variance(directions: Floats, angles: Floats) -> float:
    """Variance of the products of all pairs of rows; `angles` is scratch."""
    used, total, square = 0, 0.0, 0.0
    for a in range(directions.shape[0]):
        for b in range(a):
            angles[used] = 0.0
            for j in range(directions.shape[1]):
                angles[used] += directions[a, j] * directions[b, j]
            total += angles[used]
            used += 1
    for at in range(used):
        square += (angles[at] - total / used) ** 2
    return square / used


@kernel
def _scores(Q: Floats, squares: Floats, slots: nb.Counts, rows: Floats) -> Floats:
    """log(1 + 1 / variance of the weighted angles) of rows with these neighbours. O(n k ** 2 d)."""
    n, k = slots.shape
    directions, angles, out = np.empty((k, Q.shape[1])), np.empty(k * (k - 1) // 2), np.zeros(n)
    for i in range(n):
        used = _fill_directions(Q[i], squares[i], slots[i], rows, directions)
        if used >= FEWEST:
            variance = max(_variance(directions[:used], angles), LEAST_VARIANCE)
            # The logarithm of 1 / variance: lengths in other units change the variance by their fourth power.
            size = 2.0 * np.log(squares[i, k - used]) - np.log(variance)
            out[i] = max(size, 0.0) + np.log1p(np.exp(-abs(size)))
    return out


class AbodParams(Params, frozen=True):
    """Parameters of the angle-based detector."""

    n_neighbors: Annotated[
        int, msgspec.Meta(ge=3, le=1_000, description="Number of neighbours between which angles are taken")
    ] = 5


class AbodState(nb.Neighborhood, State, frozen=True):
    """The fit sample as a tree of standardised rows, with the training score of each."""

    def reduce(self, Z: Floats, squares: Floats, slots: nb.Counts) -> Floats:
        """Scores of rows with these neighbours."""
        return _scores(Z, squares, slots, self.rows)


@algorithm(
    kind="table",
    family="proximity",
    reference="Kriegel, Schubert & Zimek 2008",
    complexity="O(d * n * (log(n) + n_neighbors ** 2)) in few columns, O(d * n ** 2) in many",
    params=AbodParams,
    handles_missing=False,
    uses_own=True,
    neighbors="n_neighbors",
)
class abod:
    """Angle-based outlier detection: how little the directions to a row's nearest rows differ.

    For each two of the k nearest rows, with differences a and b from the row, the angle weighted by distance is
    <a, b> / (|a| ** 2 * |b| ** 2). The score is log(1 + 1 / v), v being the population variance of these: the fast
    variant of the paper on a scale on which far rows, whose variance is next to 0, spread out. PyOD's score is -v
    and orders rows alike. PyOD counts a fitted row among its own neighbours, so that its training scores with
    k + 1 neighbours are ours with k.

    A neighbour that equals the row forms no angle and is skipped; a row with fewer than three neighbours that
    differ from it lies among its copies, as near to others as can be, and scores 0. A variance below
    1e-12 in units of the nearest distance is rounding and counts as that. Columns are divided by their standard
    deviation in the fit sample; a flat column counts only where a new row differs from it; a gap takes
    the column's mean.
    """

    @staticmethod
    def fit(X: Floats, params: AbodParams, _seed: int) -> AbodState:
        """Standardise and index the rows, and score each."""
        index = nb.fit_index(X)
        squares, slots = index.nearest_others(k := min(params.n_neighbors, len(X) - 1))
        training = workers.per_row(
            len(slots),
            QUERIES,
            lambda first, end: _scores(index.rows[first:end], squares[first:end], slots[first:end], index.rows),
        )
        return AbodState(**index.fields(), training=training, n_neighbors=k)

    @staticmethod
    def score(state: AbodState, X: Floats, own: Flags) -> Floats:
        """log(1 + 1 / variance of the angles); NaN where a row has no value."""
        return state.score(X, own)

    @staticmethod
    def explain(state: AbodState, X: Floats) -> Floats:
        """Squared differences to the neighbours by column, scaled to sum to the score; a copy of the row is itself."""
        return state.explain(X)
