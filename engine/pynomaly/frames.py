"""Data that lives in Python: found by variable name, or given by value."""

import sys
from types import FrameType

import numpy as np
import pyarrow as pa

from pynomaly import urls
from pynomaly.errors import SourceSingleUse, SourceUnreadable, UnknownSource

_FRAME_TYPES = {"DataFrame", "LazyFrame", "Table", "RecordBatch", "RecordBatchReader", "Dataset", "FileSystemDataset"}
_FRAME_PACKAGES = {"polars", "pandas", "pyarrow"}


def is_frame(value: object) -> bool:
    """Whether a value is a polars, pandas or Arrow object that holds rows."""
    kind = type(value)
    return kind.__name__ in _FRAME_TYPES and kind.__module__.partition(".")[0] in _FRAME_PACKAGES


def called(source: object) -> str:
    """What a source is called in the record of a run: its name, or the type of the value that was given."""
    return urls.shown(source) if isinstance(source, str) else f"({type(source).__name__})"


def is_by_value(name: str) -> bool:
    """Whether a run's source was a value, which nobody can read again by its name."""
    return name.startswith("(")


def find(name: str) -> object | None:
    """The frame that a variable of this name holds in the nearest caller outside this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] != "pynomaly":
            for scope in (frame.f_locals, frame.f_globals):
                value: object = scope.get(name)
                if is_frame(value):
                    return value
        frame = frame.f_back
    return None


def refuse_reader(name: str, value: object) -> None:
    """Fit and score each read the source, and a reader can be read once."""
    if isinstance(value, pa.RecordBatchReader):
        raise SourceSingleUse(f"`{name}` is a record-batch reader, which can be read once only", "call its read_all()")


def landed(value: object) -> object:
    """A value that DuckDB can read as often as it likes: readers and lazy frames are read here, arrays get names.

    Raises SourceUnreadable for columns that do not fit together or have no Arrow type.
    """
    try:
        return _landed(value)
    except (pa.ArrowException, TypeError) as error:
        raise SourceUnreadable(
            f"the data given cannot become columns: {error}", "give columns of one type each"
        ) from None


def _landed(value: object) -> object:
    if isinstance(value, pa.RecordBatchReader):
        return value.read_all()
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if type(value).__name__ == "LazyFrame":
        return value.collect()  # type: ignore[attr-defined]
    if isinstance(value, np.ndarray) and value.ndim == 2:
        return pa.table({f"x{j}": np.ascontiguousarray(value[:, j]) for j in range(value.shape[1])})
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return pa.Table.from_pylist(value)
    if isinstance(value, dict):
        return pa.table(value)
    if is_frame(value):
        return value
    raise UnknownSource(
        f"a value of type {type(value).__name__} is no source",
        "give a name, a polars, pandas or Arrow object, a 2-D array or records",
    )
