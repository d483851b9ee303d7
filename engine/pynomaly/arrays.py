"""numpy arrays and lists as Arrow arrays, and back.

`pyarrow.array` and `Array.to_numpy` import pandas, where it is installed, even if no series is near; that takes longer
than most queries.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pynomaly.algorithm import Flags, Floats

_WIDTHS = {"double": "float64", "float": "float32", "halffloat": "float16"}  # the rest have numpy's names


def view(array: pa.Array, dtype: type | str) -> np.ndarray:
    """The values of a fixed-width array as numpy sees them, [n]; undefined where NULL, and not to be written to."""
    width = np.dtype(dtype).itemsize
    return np.frombuffer(array.buffers()[1] or b"", dtype, len(array), array.offset * width)


def null_flags(array: pa.Array) -> Flags:
    """bool[n]: where an array is NULL."""
    if array.null_count == 0 or array.buffers()[0] is None:
        return np.full(len(array), array.null_count > 0)
    return ~_flags(array.buffers()[0], array.offset, len(array))


def doubles(array: pa.Array) -> Floats:
    """Numbers of a fixed width as float64[n], NaN where NULL; a view of a DOUBLE without NULL."""
    name = str(array.type)
    values = np.asarray(view(array, _WIDTHS.get(name, name)), dtype=np.float64)
    return values if array.null_count == 0 else np.where(null_flags(array), np.nan, values)


def _flags(bits: pa.Buffer | None, offset: int, n: int) -> Flags:
    unpacked = np.unpackbits(np.frombuffer(bits or b"", np.uint8), bitorder="little", count=offset + n)
    return unpacked[offset:].astype(np.bool_)


def floats(values: Floats, nulls: Flags | None = None) -> pa.DoubleArray:
    """float64[n] as DOUBLE, NULL where told."""
    return pa.Array.from_buffers(pa.float64(), len(values), [_valid(nulls), pa.py_buffer(np.ascontiguousarray(values))])


def flags(values: Flags, nulls: Flags | None = None) -> pa.BooleanArray:
    """bool[n] as BOOLEAN, NULL where told."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [_valid(nulls), _bits(values)])


def integers(values: np.ndarray, nulls: Flags | None = None) -> pa.Array:
    """int32[n] or int64[n] as INTEGER or BIGINT, NULL where told."""
    type_ = pa.int32() if values.dtype == np.int32 else pa.int64()
    return pa.Array.from_buffers(type_, len(values), [_valid(nulls), pa.py_buffer(np.ascontiguousarray(values))])


def texts(values: Sequence[str | None]) -> pa.StringArray:
    """Texts as VARCHAR, NULL for None."""
    encoded = [b"" if text is None else text.encode() for text in values]
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    valid = _valid(np.array([text is None for text in values], np.bool_))
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def contiguous(column: pa.Array | pa.ChunkedArray) -> Any:
    """A column in one piece, as DuckDB mostly gives it."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def constants(columns: Sequence[pa.Array]) -> list[Any]:
    """The first value of each column: constants of the query."""
    return [column[0].as_py() for column in columns]


def _valid(nulls: Flags | None) -> pa.Buffer | None:
    return None if nulls is None else _bits(~nulls)


def _bits(values: Flags) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))
