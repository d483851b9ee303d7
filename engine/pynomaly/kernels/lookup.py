"""Scores of known rows by their hash, in a step or two each: hashes are even, so their first bits tell the place."""

import numpy as np
from numpy.typing import NDArray

from pynomaly.kernels import kernel

Floats = NDArray[np.float64]
Hashes = NDArray[np.uint64]
Places = NDArray[np.uint32]
Flags = NDArray[np.bool_]


def beginning_bits(n: int) -> int:
    """How many first bits of a hash tell its place among n."""
    return max(n - 1, 1).bit_length()


@kernel
def fill_first_places(hashes: Hashes, shift: np.uint64, first: Places) -> None:
    """Fill the first of the sorted hashes with each beginning, which is what `shift` leaves of a hash. O(n).

    `first` is all 0, and has an entry more than there are beginnings.
    """
    for value in hashes:
        first[(value >> shift) + np.uint64(1)] += np.uint32(1)
    for b in range(1, first.size):
        first[b] += first[b - 1]


@kernel
def fill_scores(
    hashes: Hashes,
    first: Places,
    shift: np.uint64,
    scores: Floats,
    asked: Hashes,
    out: Floats,
    known: NDArray[np.bool_],
) -> int:
    """Fill the score of each hash that is among the sorted ones, and whether it is; return how many are not."""
    missing = 0
    for i in range(asked.size):
        at, end = first[asked[i] >> shift], first[(asked[i] >> shift) + np.uint64(1)]
        while at < end and hashes[at] < asked[i]:
            at += np.uint32(1)
        known[i] = at < end and hashes[at] == asked[i]
        if known[i]:
            out[i] = scores[at]
        else:
            missing += 1
    return missing
