"""Distance to the core rows of DBSCAN, all pairs at a time."""

import math

import numpy as np

from naive.knn import Floats, neighbors
from naive.subsamples import standardise, unless_empty
from pynomaly.algorithms.dbscan import DbscanParams, DbscanState


def twin(_state: DbscanState, X: Floats, new: Floats, params: DbscanParams) -> tuple[Floats, Floats]:
    fitted, k = standardise(X, X), min(params.min_samples, len(X) - 1) - 1
    reach = [float(np.sqrt(neighbors(fitted, row, True, k)[0][-1])) for row in fitted]
    ordered = sorted(reach)
    radius = max(params.eps or ordered[math.floor(0.9 * (len(X) - 1))], ordered[1])
    core = fitted[[r <= radius for r in reach]]

    def scores(given: Floats, is_own: bool) -> Floats:
        out = np.empty(len(given))
        for i, q in enumerate(standardise(X, given)):
            out[i] = np.sqrt(neighbors(core, q, is_own, 1)[0][0])
            if is_own and reach[i] <= radius:
                out[i] = min(out[i], reach[i])
        return unless_empty(given, out / (radius or 1.0))

    return scores(X, True), scores(new, False)
