"""Cluster-based local outlier factor: an anomaly is far from the large clusters (He, Xu & Deng 2003)."""

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly import layout
from pynomaly.algorithm import Flags, Floats, Params, State, algorithm
from pynomaly.kernels import clusters, kernel
from pynomaly.kernels import neighbors as nb

MOST_ROWS = 65_536  # rows that are clustered: a mean of more is hardly another


@kernel
def _shares(Z: Floats, mean: Floats, squares: Floats, nearest: NDArray[np.int64]) -> Floats:
    """Squared differences to the nearest mean over the distance: they sum to it."""
    out = np.zeros(Z.shape)
    for i in range(Z.shape[0]):
        distance = np.sqrt(squares[i])
        for j in range(Z.shape[1] if distance > 0.0 else 0):
            away = Z[i, j] - mean[nearest[i], j]
            out[i, j] = away * away / distance
    return out


def _clusters(Z: Floats, n_clusters: int, rng: np.random.Generator) -> clusters.Clusters:
    """Cluster the rows, or a random sample of them where there are very many."""
    if len(Z) > MOST_ROWS:
        Z = Z[rng.choice(len(Z), MOST_ROWS, replace=False)]
    return clusters.k_means(Z, n_clusters, rng)


def _n_large(n_rows: NDArray[np.int64], alpha: float, beta: float) -> int:
    """How many clusters, the largest first, are large."""
    held, drop = np.cumsum(n_rows[:-1]), n_rows[:-1] / n_rows[1:]
    enough, falls = held >= alpha * n_rows.sum(), drop >= beta
    for ends in (enough & falls, enough, falls):
        if ends.any():
            return int(ends.argmax()) + 1
    return len(n_rows)


class CblofParams(Params, frozen=True):
    """Parameters of the cluster-based local outlier factor."""

    n_clusters: Annotated[int, msgspec.Meta(ge=1, le=1_000, description="Clusters, at most the distinct rows")] = 8
    alpha: Annotated[
        float, msgspec.Meta(gt=0.0, lt=1.0, description="Share of the rows that the large clusters hold together")
    ] = 0.9
    beta: Annotated[
        float,
        msgspec.Meta(
            gt=1.0, le=1e6, description="How many times larger the last large cluster is than the first small one"
        ),
    ] = 5.0


class CblofState(State, frozen=True):
    """The means of the large clusters, in standardised columns."""

    center: Floats  # [d]
    spread: Floats  # [d]
    mean: Floats  # [n_large, d]
    start: NDArray[np.int64]  # the rows, of those that were clustered, that the means began at

    def check(self, d: int) -> None:
        """See `State`."""
        nb.check_scales(self, d)
        n = layout.shapes(self, d, mean="k d", start="s")
        layout.require(n["k"], "`mean` holds no cluster")


@algorithm(
    kind="table",
    family="clustering",
    reference="He, Xu & Deng 2003",
    complexity="O(n_clusters * d * n)",
    params=CblofParams,
    deterministic=False,
    handles_missing=False,
)
class cblof:
    """Cluster-based local outlier factor: how far a row lies from the nearest large cluster.

    The rows are put into `n_clusters` clusters by k-means. In the order of their size, the large clusters end
    where they hold at least the share `alpha` of the rows and the next one is at least `beta` times smaller; where that
    is nowhere, where they hold `alpha`; else at the first fall by `beta`; else all are large. The score is the
    distance to the mean of the row's cluster, or of the nearest large one if its own is small.

    The distance is not multiplied by the size of the cluster: that is PyOD's default, and the paper multiplies. k-means
    takes the place of the paper's Squeezer, as in PyOD, from one greedy start, on at most 65,536 random rows.
    Columns are divided by their standard deviation in the fit sample; a flat column counts only where a new row
    differs from it; a gap takes the column's mean, and rows without a value are not clustered.
    """

    @staticmethod
    def fit(X: Floats, params: CblofParams, seed: int) -> CblofState:
        """Cluster the rows and keep the means of the large clusters."""
        center, spread = nb.column_scales(X)
        Z, empty = nb.standardised(X, center, spread)
        found = _clusters(Z if empty.all() else Z[~empty], params.n_clusters, np.random.default_rng(seed))
        mean = found.mean[: _n_large(found.n_rows, params.alpha, params.beta)]
        return CblofState(center, spread, mean, found.start)

    @staticmethod
    def score(state: CblofState, X: Floats, _own: Flags) -> Floats:
        """Distance to the nearest large cluster, a row's own if that is large; NaN where a row has no value."""
        Z, empty = nb.standardised(X, state.center, state.spread)
        scores = np.sqrt(clusters.nearest_means(Z, state.mean)[0])
        scores[empty] = np.nan
        return scores

    @staticmethod
    def explain(state: CblofState, X: Floats) -> Floats:
        """Squared differences to the mean of the nearest large cluster by column, over the score: they sum to it."""
        Z, empty = nb.standardised(X, state.center, state.spread)
        shares = _shares(Z, state.mean, *clusters.nearest_means(Z, state.mean))
        shares[empty] = np.nan
        return shares
