"""Arrow columns as arrays and as words, whichever of their many types they come in.

A column belongs to a family: `number`, `boolean`, `duration`, `clock` (a time of day), `time` (a date or a
timestamp), `text`, or `nothing` (every value is NULL). SQL casts what it can see before it sends it; what it
cannot see arrives raw, and is brought here to the same values.
"""

import hashlib
import re
import uuid
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pynomaly import arrays
from pynomaly.algorithm import Flags, Floats
from pynomaly.errors import UnknownColumn

Ints = NDArray[np.int64]

TEXT_WIDTH = 64  # longer text is its beginning and a digest

_DAY = 86_400
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MONTHS = np.dtype([("months", np.int32), ("days", np.int32), ("nanoseconds", np.int64)])
_DOUBLE = pa.float64()
_FAMILIES = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_integer, "number"),
    (pa.types.is_floating, "number"),
    (pa.types.is_decimal, "number"),
    (pa.types.is_timestamp, "time"),
    (pa.types.is_date, "time"),
    (pa.types.is_time, "clock"),
    (pa.types.is_duration, "duration"),
    (pa.types.is_interval, "duration"),
    (pa.types.is_string, "text"),
    (pa.types.is_large_string, "text"),
    (pa.types.is_string_view, "text"),
    (pa.types.is_null, "nothing"),
)
_SHORTENED = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)


class Moments(NamedTuple):
    """Points in time: whole seconds since 1970 (UTC), microseconds within the second, and where there is none."""

    seconds: Ints
    micros: Ints
    gaps: Flags


@lru_cache(maxsize=1_024)  # a query asks for every column of every group
def family(type_: pa.DataType) -> str | None:
    """The family of a type; None when no feature can be made of it."""
    if pa.types.is_dictionary(type_):
        return family(type_.value_type)
    if isinstance(type_, pa.UuidType):
        return "text"
    if isinstance(type_, pa.OpaqueType):
        return None
    if isinstance(type_, pa.BaseExtensionType):
        return family(type_.storage_type)
    return next((name for belongs, name in _FAMILIES if belongs(type_)), None)


def why_unusable(type_: pa.DataType) -> str:
    """Why no feature can be made of a type that has no family."""
    nested = pa.types.is_nested(type_)
    text = str(type_)
    return f"{'nested type' if nested else 'type'} {text if len(text) <= 40 else text[:40] + '...'}"


def numbers(array: pa.Array) -> Floats:
    """A number, boolean, duration or time of day as float64[n], NaN where NULL; the last two in seconds.

    The array may be a view of Arrow's own buffer and must not be written to.
    """
    if array.type != _DOUBLE:
        return _converted(plain(array))
    return arrays.doubles(array)


def _converted(array: pa.Array) -> Floats:
    type_ = array.type
    if pa.types.is_interval(type_):
        return _interval_seconds(array)
    per_second = 1
    if pa.types.is_time(type_) or pa.types.is_duration(type_):
        per_second = _PER_SECOND[type_.unit]
        array = array.view(pa.int32() if type_.bit_width == 32 else pa.int64())
    elif pa.types.is_decimal(type_):
        array = array.cast(pa.string()).cast(_DOUBLE)  # the direct cast is off by a unit in the last place
    elif not pa.types.is_integer(type_):
        array = array.cast(_DOUBLE)
    # numpy rounds whole numbers beyond 2**53 to the nearest double, where Arrow's cast refuses them
    return arrays.doubles(array) / per_second


def _interval_seconds(array: pa.Array) -> Floats:
    """Seconds as DuckDB's `epoch(interval)` counts them: a year has 365.25 days, a further month 30."""
    parts = np.frombuffer(array.buffers()[1], _MONTHS, len(array), array.offset * _MONTHS.itemsize)
    years = np.fix(parts["months"] / 12.0)
    days = years * 365.25 + (parts["months"] - 12.0 * years) * 30.0 + parts["days"]
    return np.where(arrays.null_flags(array), np.nan, days * _DAY + parts["nanoseconds"] / 1e9)


def moments(array: pa.Array) -> Moments:
    """A date or timestamp; an infinite one is a gap, nanoseconds are rounded to microseconds as DuckDB does.

    A timestamp with time zone is read in UTC, so that a model means the same in every session.
    """
    array = plain(array)
    if pa.types.is_null(array.type):
        array = array.cast(pa.timestamp("us"))
    stored = pa.int32() if pa.types.is_date32(array.type) else pa.int64()
    values = arrays.view(array.view(stored), str(stored))
    gaps = arrays.null_flags(array) | (np.abs(values) == np.iinfo(values.dtype).max)
    whole = np.where(gaps, 0, values).astype(np.int64)
    if pa.types.is_date32(array.type):
        return Moments(whole * _DAY, np.zeros_like(whole), gaps)
    unit = "ms" if pa.types.is_date64(array.type) else array.type.unit
    if unit == "ns":
        whole, unit = np.sign(whole) * ((np.abs(whole) + 500) // 1_000), "us"
    seconds = whole // _PER_SECOND[unit]
    return Moments(seconds, (whole - seconds * _PER_SECOND[unit]) * 1_000_000 // _PER_SECOND[unit], gaps)


def codes(array: pa.Array) -> tuple[Ints, list[str | None]]:
    """A column of any family as texts: for each row the place of its text among the texts that occur (int64[n]).

    NULL has a place too, where it occurs. Long text is shortened.
    """
    if family(array.type) != "text":
        array = arrays.texts(words(array))
    encoded = _texts(array).dictionary_encode(null_encoding="encode")
    found: list[str | None] = encoded.dictionary.to_pylist()
    # counting bytes first is cheap, and no text has more characters than bytes
    if (pc.max(pc.binary_length(encoded.dictionary)).as_py() or 0) > TEXT_WIDTH:
        found = [shortened(text) if text is not None else None for text in found]
    return arrays.view(encoded.indices, str(encoded.indices.type)), found


def shortened(text: str) -> str:
    """The text as SQL sends it: its first 64 characters, and DuckDB's `md5_number_lower` of it when longer.

    Text that is 64 characters and a whole number counts as shortened by SQL already.
    """
    if len(text) <= TEXT_WIDTH or _is_shortened(text):
        return text
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return f"{text[:TEXT_WIDTH]}{int.from_bytes(digest[8:], 'little')}"


def _is_shortened(text: str) -> bool:
    tail = text[TEXT_WIDTH:]
    return _SHORTENED.fullmatch(tail) is not None and int(tail) < 2**64


def shown(text: str) -> str:
    """A text for people: the beginning of a long one."""
    return text if len(text) <= TEXT_WIDTH else text[:TEXT_WIDTH] + "…"


def taken(array: pa.Array, places: Ints) -> pa.Array:
    """The values at some places."""
    return _sized(array).take(arrays.integers(places))


def words(array: pa.Array) -> list[str | None]:
    """The values of a column for people, None for NULL."""
    kind = family(array.type)
    if kind == "text":
        return [None if text is None else shown(text) for text in _texts(array).to_pylist()]
    if kind == "time":
        return _moment_words(array)
    nulls = arrays.null_flags(plain(array))
    spell = {"boolean": boolean_text, "clock": clock_text}.get(kind or "", number_text)
    return [None if null else spell(value) for null, value in zip(nulls, numbers(array).tolist(), strict=True)]


def _moment_words(array: pa.Array) -> list[str | None]:
    seconds, micros, gaps = moments(array)
    texts = [moment_text(s, m) for s, m in zip(seconds.tolist(), micros.tolist(), strict=True)]
    return [None if gap else text for gap, text in zip(gaps, texts, strict=True)]


def as_moments(texts: pa.Array, name: str) -> pa.Array:
    """Times written as ISO 8601, with an offset or without one; UnknownColumn where a text is none."""
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return _texts(texts).cast(kind)
        except pa.ArrowInvalid:
            continue
    raise UnknownColumn(
        f"column `{name}` has a text that is no time, and was a time when the model was fitted",
        "write times as 2026-11-21T09:30:00Z, all of them with an offset or none",
    )


def number_text(value: float) -> str:
    """A number without a needless decimal point: `3`, `12.5`, `1e+300`, `nan`, `inf`."""
    if value == np.trunc(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value))


def boolean_text(value: float) -> str:
    """`true` or `false`."""
    return "true" if value else "false"


def clock_text(seconds: float) -> str:
    """A time of day, with decimals only where there are any: `18:30:00`."""
    micros = round(seconds * 1_000_000)
    minutes, second = divmod(micros // 1_000_000, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{_decimals(micros % 1_000_000)}"


def moment_text(seconds: int, micros: int = 0) -> str:
    """A point in time, or the date alone at midnight."""
    date, _, clock = str(np.datetime64(seconds, "s")).partition("T")
    return date if clock == "00:00:00" and not micros else f"{date} {clock}{_decimals(micros)}"


def _decimals(micros: int) -> str:
    return f".{micros:06}".rstrip("0") if micros else ""


def plain(array: pa.Array) -> pa.Array:
    """The column without the wrapping of a dictionary or an extension type."""
    if pa.types.is_dictionary(array.type):
        return plain(pa.DictionaryArray.from_arrays(array.indices, _sized(plain(array.dictionary))).dictionary_decode())
    if isinstance(array.type, pa.UuidType):
        raw = array.storage.to_pylist()
        return pa.array([None if value is None else str(uuid.UUID(bytes=value)) for value in raw], pa.string())
    return plain(array.storage) if isinstance(array.type, pa.BaseExtensionType) else array


def _texts(array: pa.Array) -> pa.Array:
    return _sized(plain(array))


def _sized(array: pa.Array) -> pa.Array:
    """Strings whose kernels are complete: Arrow cannot yet gather or measure string views."""
    return array.cast(pa.large_string()) if pa.types.is_string_view(array.type) else array
