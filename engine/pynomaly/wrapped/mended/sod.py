"""PyOD's SOD at a lower cost."""

import numpy as np
from numpy.typing import NDArray
from pyod.models.sod import SOD as PYOD_SOD
from sklearn.neighbors import NearestNeighbors

from pynomaly.algorithm import Floats
from pynomaly.kernels import kernel


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
