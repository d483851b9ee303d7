"""What trees grown on random samples of the rows have in common."""

import math

import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels import kernel

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@kernel
def expected_path(size: int) -> float:
    """c(size): mean depth of an unsuccessful search in a binary tree of `size` rows (Liu, Ting & Zhou 2008)."""
    if size < 3:
        return max(size - 1.0, 0.0)
    return 2.0 * (math.log(size - 1.0) + np.euler_gamma) - 2.0 * (size - 1.0) / size


@kernel
def shuffle(order: Indices, size: int, end: int, rng: np.random.Generator) -> None:
    """Bring a random sample without replacement of the first `end` entries to the front."""
    for i in range(size):
        j = i + int(rng.random() * (end - i))
        order[i], order[j] = order[j], order[i]
