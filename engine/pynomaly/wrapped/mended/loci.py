"""PyOD's LOCI at a lower cost."""

import numpy as np
from pyod.models.loci import LOCI as PYOD_LOCI
from scipy.spatial.distance import pdist, squareform

from pynomaly.algorithm import Floats
from pynomaly.kernels import kernel

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
