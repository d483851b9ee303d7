"""Columns of doubles, as Arrow holds them, gathered into rows of a matrix without a copy in between."""

from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from pynomaly.kernels import kernel, quick_kernel

Floats = NDArray[np.float64]

BLOCK = 64  # rows whose cells stay in the first-level cache while column after column is written


@intrinsic  # type: ignore[untyped-decorator]
def _bytes_at(_typing: Any, address: Any) -> Any:
    """An address as a pointer to bytes."""
    return types.CPointer(types.uint8)(address), _generate_pointer  # type: ignore[attr-defined]


@intrinsic  # type: ignore[untyped-decorator]
def _doubles_at(_typing: Any, address: Any) -> Any:
    """An address as a pointer to doubles."""
    return types.CPointer(types.float64)(address), _generate_pointer  # type: ignore[attr-defined]


def _generate_pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.inttoptr(args[0], context.get_value_type(signature.return_type))


@kernel
def _is_known(bits: Any, at: int) -> bool:
    """Whether Arrow's validity bitmap has a bit set."""
    known: bool = (bits[at >> 3] >> (at & 7)) & 1 != 0
    return known


@quick_kernel
def gather(columns: NDArray[np.int64], X: Floats, limit: float) -> bool:
    """Fill X with cells, NaN where NULL; False when one lies beyond the limit.

    A column of `columns` has the address of its values, that of its bitmap (0: no NULL), the place of its row 0
    in both, and the column of X that it fills.
    """
    n, beyond, flat, step = X.shape[0], 0, X.reshape(-1), np.uint64(X.shape[1])
    for start in range(0, n, BLOCK):
        end = min(start + BLOCK, n)
        for c in range(columns.shape[0]):
            offset, j = columns[c, 2], columns[c, 3]
            cells = numba.carray(_doubles_at(columns[c, 0]), offset + n)[offset + start : offset + end]
            out, within = flat[start * X.shape[1] + j :], 0
            for i in range(cells.size):
                within += int(abs(cells[i]) > limit)
            for i in range(cells.size):
                out[np.uint64(i) * step] = cells[i]  # a signed place would be looked at for its sign each time
            beyond += within
            if columns[c, 1] != 0:
                bits = numba.carray(_bytes_at(columns[c, 1]), (offset + n + 7) // 8)
                for i in range(start, end):
                    if not _is_known(bits, offset + i):
                        X[i, j] = np.nan
    return beyond == 0
