"""PyOD's CBLOF on rows whose clusters are all large."""

import numpy as np
from pyod.models.cblof import CBLOF as PYOD_CBLOF


class CBLOF(PYOD_CBLOF):  # type: ignore[misc]
    """Where no cluster is much smaller than the others, all are large; PyOD fails instead."""

    def _set_small_large_clusters(self, n_samples: int) -> None:
        try:
            super()._set_small_large_clusters(n_samples)
        except ValueError:
            self.small_cluster_labels_ = np.empty(0, np.int64)
            self.large_cluster_labels_ = np.arange(self.n_clusters_)
            self._large_cluster_centers = self.cluster_centers_
