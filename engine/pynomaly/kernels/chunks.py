"""What a chunk of rows needs besides its scores, in one step each."""

import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels import quick_kernel

Floats = NDArray[np.float64]


@quick_kernel
def are_equal(values: NDArray[np.int64]) -> bool:
    """Whether all values are the first one."""
    differing = 0
    for value in values:
        differing += int(value != values[0])
    return differing == 0


@quick_kernel
def tally(scores: Floats, threshold: float) -> tuple[int, int]:
    """How many scores are NaN, and how many lie above the threshold."""
    n_unknown, n_flagged = 0, 0
    for score in scores:
        n_unknown += int(score != score)
        n_flagged += int(score > threshold)
    return n_unknown, n_flagged
