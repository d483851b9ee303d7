"""Local outlier factor from its definition, on standardised rows; a density is worked out wherever one is needed."""

import numpy as np

from naive.knn import Flags, Floats, neighbors


def scores(fitted: Floats, Q: Floats, own: Flags, k: int) -> Floats:
    reach = np.array([neighbors(fitted, row, True, k)[0][-1] ** 0.5 for row in fitted])

    def density(q: Floats, is_own: bool) -> float:
        squares, at = neighbors(fitted, q, is_own, k)
        return float(1.0 / (np.maximum(np.sqrt(squares), reach[at]).mean() + 1e-10))

    fitted_density = np.array([density(row, True) for row in fitted])
    return np.array(
        [
            fitted_density[neighbors(fitted, q, is_own, k)[1]].mean() / density(q, is_own)
            for q, is_own in zip(Q, own, strict=True)
        ]
    )
