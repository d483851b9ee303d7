"""A 64-bit hash of a row's values: it gives rows a canonical order and finds a fitted row again by value."""

import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithm import Floats

SEED_MASK = 2**64 - 1


def hash_rows(X: Floats, seed: int) -> NDArray[np.uint64]:
    """uint64[n]: the hash of each row of float64[n, d]; rows equal in value, gaps included, hash equally.

    Columns count by position. Another seed gives another order of the same rows.
    """
    from pynomaly.kernels.hashing import fill_hashes  # brings numba, which `import pynomaly` must not

    cells = np.ascontiguousarray(X, dtype=np.float64)
    out = np.empty(len(cells), np.uint64)
    fill_hashes(cells, cells.view(np.uint64), np.uint64(seed & SEED_MASK), out)
    return out
