"""The training scores of fitted rows, found again by the hash of their values."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithm import Flags, Floats


class KnownRows(msgspec.Struct, frozen=True, gc=False):
    """Sorted hashes of rows with their scores, and where the hashes of each beginning are."""

    hashes: NDArray[np.uint64]
    scores: Floats
    first: NDArray[np.uint32]
    shift: np.uint64

    def look_up(self, hashes: NDArray[np.uint64]) -> tuple[Floats, Flags, int]:
        """The scores of rows by hash, which of them are known, and how many are not."""
        from pynomaly.kernels.lookup import fill_scores  # brings numba, which `import pynomaly` must not

        out, known = np.empty(len(hashes)), np.empty(len(hashes), np.bool_)
        missing = fill_scores(self.hashes, self.first, self.shift, self.scores, hashes, out, known)
        return out, known, missing

    def nbytes(self) -> int:
        """The size of the arrays."""
        return self.hashes.nbytes + self.scores.nbytes + self.first.nbytes


def known_rows(hashes: NDArray[np.uint64], scores: Floats) -> KnownRows:
    """The rows with these sorted hashes and their scores; equal rows have equal scores."""
    from pynomaly.kernels.lookup import beginning_bits, fill_first_places

    bits = beginning_bits(len(hashes))
    first, shift = np.zeros(2**bits + 1, np.uint32), np.uint64(64 - bits)
    fill_first_places(hashes, shift, first)
    return KnownRows(hashes, scores, first, shift)
