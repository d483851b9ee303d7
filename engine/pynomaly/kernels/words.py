"""Words of texts, hashed to buckets."""

import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels import kernel

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int32]

BASIS, PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)  # of FNV-1a, 64 bits


@kernel
def fill_shares(data: Bytes, starts: Offsets, out: Floats) -> None:
    """Fill float64[n, buckets]: the share of each text's words in each bucket; zeros for one without words.

    A word is a run of ASCII's letters and digits and of all characters beyond ASCII; its bucket is FNV-1a of its UTF-8.
    """
    n, buckets = out.shape
    for i in range(n):
        n_words = 0
        hashed, inside = BASIS, False
        for place in range(starts[i], starts[i + 1] + 1):
            byte = data[place] if place < starts[i + 1] else np.uint8(32)
            if byte >= 128 or 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122:
                hashed = (hashed ^ np.uint64(byte)) * PRIME
                inside = True
            elif inside:
                out[i, int(hashed % np.uint64(buckets))] += 1.0
                n_words += 1
                hashed, inside = BASIS, False
        for j in range(buckets):
            out[i, j] /= max(n_words, 1)
