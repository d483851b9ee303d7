"""numpy arrays as Arrow arrays over the same memory.

`pyarrow.array` imports pandas, where it is installed, to see whether it was given a series; that takes longer than
most queries.
"""

import numpy as np
import pyarrow as pa

from pynomaly.algorithm import Flags, Floats


def floats(values: Floats, nulls: Flags | None = None) -> pa.DoubleArray:
    """float64[n] as DOUBLE, NULL where told."""
    return pa.Array.from_buffers(pa.float64(), len(values), [_valid(nulls), pa.py_buffer(np.ascontiguousarray(values))])


def flags(values: Flags, nulls: Flags | None = None) -> pa.BooleanArray:
    """bool[n] as BOOLEAN, NULL where told."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [_valid(nulls), _bits(values)])


def integers(values: np.ndarray) -> pa.Array:
    """int32[n] or int64[n] as INTEGER or BIGINT."""
    type_ = pa.int32() if values.dtype == np.int32 else pa.int64()
    return pa.Array.from_buffers(type_, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _valid(nulls: Flags | None) -> pa.Buffer | None:
    return None if nulls is None else _bits(~nulls)


def _bits(values: Flags) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))
