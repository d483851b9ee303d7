"""HDF5: the arrays of one group as columns, or one array of records or numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from pynomaly.datasets.files import paths, size
from pynomaly.datasets.opened import Asked, Opened, missing
from pynomaly.errors import BadParameter, SourceUnreadable, did_you_mean

BATCH_ROWS = 65_536


@contextmanager
def hdf5(asked: Asked) -> Iterator[Opened]:
    """What `path` names in the file, by default all: arrays of one length are columns, one of records is a table."""
    asked.known("path")
    files = paths(asked.source)
    try:
        import h5py
    except ImportError:
        raise missing("h5py", "HDF5") from None
    try:
        file = h5py.File(files[0], "r")
    except OSError as error:
        raise SourceUnreadable(f"`{asked.source}` cannot be read: {error}", "check the file") from None
    with file:
        columns = _columns(asked, _chosen(asked, file), h5py)
        yield Opened(_reader(columns), size(files))


def _chosen(asked: Asked, file: Any) -> Any:
    wanted = asked.text("path")
    if wanted is None:
        return file
    if wanted not in file:
        names: list[str] = []
        file.visit(names.append)
        raise BadParameter(f"`{asked.source}` has nothing under {wanted!r}", did_you_mean(wanted.strip("/"), names))
    return file[wanted]


def _columns(asked: Asked, chosen: Any, h5py: Any) -> dict[str, tuple[Any, Any]]:
    """The columns by name: an array, and the field or the column of it that is meant."""
    arrays = {chosen.name.rpartition("/")[2]: chosen}
    if isinstance(chosen, h5py.Group):
        arrays = {name: item for name, item in chosen.items() if isinstance(item, h5py.Dataset)}
    if len(arrays) == 1:
        (array,) = arrays.values()
        if array.dtype.names:
            return {field: (array, field) for field in array.dtype.names}
        if array.ndim == 2:
            return {f"x{place}": (array, place) for place in range(array.shape[1])}
    if not arrays or any(array.ndim != 1 or array.dtype.names for array in arrays.values()):
        raise BadParameter(f"`{asked.source}` is no single table", f"name one with `path`: {_listed(chosen, h5py)}")
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"`{name}` {len(array):,}" for name, array in arrays.items())
        raise SourceUnreadable(f"the arrays of `{asked.source}` differ in length: {lengths}", "name one with `path`")
    return {name: (array, None) for name, array in arrays.items()}


def _listed(chosen: Any, h5py: Any) -> str:
    found: list[str] = []
    if isinstance(chosen, h5py.Group):
        chosen.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return ", ".join(f"`{name}`" for name in found[:10]) or "it has no array"


def _reader(columns: dict[str, tuple[Any, Any]]) -> pa.RecordBatchReader:
    """The rows some at a time, so that a file may be larger than memory."""
    n_rows = len(next(iter(columns.values()))[0])
    first = _batch(columns, 0, min(BATCH_ROWS, n_rows))

    def batches() -> Iterator[pa.RecordBatch]:
        yield first
        for begin in range(BATCH_ROWS, n_rows, BATCH_ROWS):
            yield _batch(columns, begin, min(begin + BATCH_ROWS, n_rows))

    return pa.RecordBatchReader.from_batches(first.schema, batches())


def _batch(columns: dict[str, tuple[Any, Any]], begin: int, end: int) -> pa.RecordBatch:
    read: dict[int, Any] = {}  # an array that has several columns is read once
    found = {}
    for name, (array, part) in columns.items():
        rows = read.setdefault(id(array), array[begin:end])
        values = rows if part is None else rows[part] if isinstance(part, str) else rows[:, part]
        found[name] = _values(np.asarray(values))
    return pa.record_batch(found)


def _values(values: Any) -> pa.Array:
    """A column; texts are bytes in the file, booleans an enumeration."""
    if values.dtype.kind in "OS":
        return pa.array(
            [v.decode(errors="replace") if isinstance(v, bytes) else v for v in values.tolist()], pa.string()
        )
    return pa.array(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False)))
