"""Classes of PyOD with a fault mended; each says which."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyod.models.cblof import CBLOF as PYOD_CBLOF
from pyod.models.cd import CD as PYOD_CD
from pyod.models.loci import LOCI as PYOD_LOCI
from pyod.models.mad import MAD as PYOD_MAD
from pyod.models.rod import ROD as PYOD_ROD
from pyod.models.sod import SOD as PYOD_SOD
from scipy.spatial.distance import pdist, squareform
from sklearn.neighbors import NearestNeighbors

from pynomaly.algorithm import Floats
from pynomaly.kernels import kernel


class CBLOF(PYOD_CBLOF):  # type: ignore[misc]
    """Where no cluster is much smaller than the others, all are large; PyOD fails instead."""

    def _set_small_large_clusters(self, n_samples: int) -> None:
        try:
            super()._set_small_large_clusters(n_samples)
        except ValueError:
            self.small_cluster_labels_ = np.empty(0, np.int64)
            self.large_cluster_labels_ = np.arange(self.n_clusters_)
            self._large_cluster_centers = self.cluster_centers_


class CD(PYOD_CD):  # type: ignore[misc]
    """A single column is compared with its mean; PyOD has no other column to predict it from, and fails."""

    def fit(self, X: Floats, y: Any = None) -> "CD":
        """Fit to the rows, beside a column of ones where they have one column."""
        super().fit(np.insert(X, 0, 1.0, axis=1) if X.shape[1] == 1 else X, y)
        return self


LEAST = 20  # neighbours of neighbours, on average


@kernel
def _emptiness(row: int, distances: Floats, ordered: Floats, alpha: float, k: float) -> float:
    """How many deviations emptier the surroundings of a row are than those of its neighbours, as PyOD's LOCI has it.

    `ordered` is `distances` with each row in ascending order. The radii are the distances from the row and
    those over alpha; the first that finds the row out by more than k deviations ends the search, and the last
    with 20 neighbours of neighbours counts.
    """
    near = distances[row]
    counts = np.zeros(len(near), np.int64)  # neighbours of each row; they only grow, as the radii do
    found = 0.0
    for radius in np.sort(np.concatenate((near[near > 0.0], near[near > 0.0] / alpha))):
        total, squares, n = 0.0, 0.0, 0
        for other in range(len(near)):
            if near[other] <= radius:
                while counts[other] < len(near) and ordered[other, counts[other]] < radius * alpha:
                    counts[other] += 1
                count = float(counts[other])
                total, squares, n = total + count, squares + count * count, n + 1
        if total < LEAST * n:
            continue
        deviation = np.sqrt(max(0.0, squares * n - total * total)) / total
        excess = 1.0 - counts[row] * n / total
        found = excess / deviation if deviation > 0.0 else 0.0
        if excess > k * deviation:
            break
    return found


class LOCI(PYOD_LOCI):  # type: ignore[misc]
    """Neighbours are counted in sorted distances, where PyOD compares all of them for each row at each radius.

    A row among as many neighbours as each of them has stands out by 0; PyOD divides 0 by 0.
    """

    def _calculate_decision_score(self, X: Floats) -> Floats:
        distances = squareform(pdist(X))
        ordered = np.sort(distances, axis=1)
        return np.array([_emptiness(i, distances, ordered, self.alpha, self.k) for i in range(len(X))])


MEAN_TO_MEDIAN = 0.6745 * 1.2533  # under a normal law, the median absolute deviation over the mean one


class MAD(PYOD_MAD):  # type: ignore[misc]
    """Each column has a detector of its own, and a row the largest score of its columns; PyOD takes one column.

    Where more than half of a column is one value, the mean absolute deviation serves; PyOD divides by 0.
    """

    def fit(self, X: Floats, y: Any = None) -> "MAD":  # noqa: ARG002 - the signature of the library
        """Fit one detector a column."""
        self._of_columns = [self._fitted(column) for column in X.T]
        self.decision_scores_ = self.decision_function(X)
        return self

    def _fitted(self, column: Floats) -> Any:
        found = PYOD_MAD(self.threshold).fit(column[:, None])
        if found.median_diff_ == 0.0:
            found.median_diff_ = MEAN_TO_MEDIAN * np.mean(np.abs(column - found.median_))
        return found

    def decision_function(self, X: Floats) -> Floats:
        """The largest score of each row's columns."""
        scores = [found.decision_function(X[:, [j]]) for j, found in enumerate(self._of_columns)]
        return np.asarray(np.max(scores, axis=0))


LARGEST = 2.0**20


class ROD(PYOD_ROD):  # type: ignore[misc]
    """Large values are scaled down: PyOD searches the geometric median to 1e-5, which rounding may never reach."""

    def fit(self, X: Floats, y: Any = None) -> "ROD":
        """Fit to the rows, divided by a power of two that leaves no large value."""
        largest = float(np.abs(X).max())
        exponent = max(0, math.frexp(largest / LARGEST)[1])
        super().fit(np.ldexp(X, -exponent), y)
        return self


@kernel
def _most_alike(neighbors: NDArray[np.int64], n_alike: int) -> NDArray[np.int64]:
    """int64[n, n_alike]: the rows that share most neighbours with each, itself left out."""
    n = len(neighbors)
    out = np.empty((n, n_alike), np.int64)
    marked = np.zeros(n, np.bool_)
    shared = np.empty(n, np.uint32)
    for i in range(n):
        marked[neighbors[i]] = True
        for j in range(n):
            shared[j] = 0
            for near in neighbors[j]:
                shared[j] += marked[near]
        shared[i] = n  # first, and so left out
        out[i] = np.argsort(shared)[::-1][1 : n_alike + 1]
        marked[neighbors[i]] = False
    return out


class SOD(PYOD_SOD):  # type: ignore[misc]
    """Shared neighbours are counted by marks, where PyOD intersects sets, compiled anew in each process."""

    def _snn(self, X: Floats) -> NDArray[np.int64]:
        search = NearestNeighbors(n_neighbors=self.n_neighbors, metric=self.metric, p=self.p).fit(X)
        return _most_alike(search.kneighbors(return_distance=False), self.ref_set)
