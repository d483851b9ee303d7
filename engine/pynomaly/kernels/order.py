"""The lexicographic order of rows."""

import numpy as np
from numpy.typing import NDArray

from pynomaly import workers


def lexicographic(Z: NDArray[np.float64]) -> NDArray[np.int64]:
    """The positions of the rows in lexicographic order, equal rows as they come: numpy's lexsort, column by column."""
    order = np.arange(len(Z))
    for j in reversed(range(Z.shape[1])):
        workers.check()
        order = order[np.argsort(Z[order, j], kind="stable")]
    return order
