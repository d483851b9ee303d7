"""A 64-bit hash of each row of a matrix."""

import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels import kernel

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2 ** 64 over the golden ratio: the step of splitmix64
GAP = np.uint64(0x7FF8000000000000)  # the one bit pattern that stands for every NaN


@kernel
def _mix(bits: np.uint64) -> np.uint64:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014): each bit of the input moves half of the output."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@kernel
def fill_hashes(X: NDArray[np.float64], bits: NDArray[np.uint64], seed: np.uint64, out: NDArray[np.uint64]) -> None:
    """Fill `out` with the hash of each row; `bits` is X read as integers. O(n d)."""
    start = _mix(seed + GOLDEN)
    for i in range(X.shape[0]):
        mixed = start
        for j in range(X.shape[1]):
            cell = bits[i, j]
            if X[i, j] == 0.0:
                cell = np.uint64(0)  # -0.0 equals 0.0 and must not differ from it
            elif X[i, j] != X[i, j]:
                cell = GAP
            mixed = _mix((mixed ^ cell) + GOLDEN)
        out[i] = mixed
