"""The rows in the body of a request, in any of the formats that answers have, as one Arrow table.

What a body unpacks to is bounded, and what it says of itself is checked before anything trusts it.
"""

import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import csv, parquet, types

from pynomaly_server import formats, ipc
from pynomaly_server.errors import BodyInvalid, BodyTooLarge, UnsupportedMediaType

MOST_BYTES = 268_435_456  # of rows once they are unpacked
MOST_CELLS = 50_000_000
DEEPEST = 32  # levels of a value: what reads it recurses
_JSON = msgspec.json.Decoder()
LONG = 1_000  # characters from which a repeated text is taken for a bomb
Read = Callable[[bytes], pa.Table]


def read_body(content_type: str | None, body: bytes) -> pa.Table:
    """The rows of a body.

    JSON is an array of objects, one object, or `{"columns": {name: [values]}}`. Raises UnsupportedMediaType,
    BodyInvalid with pointers to what is wrong, and BodyTooLarge.
    """
    media_type = (content_type or "application/json").partition(";")[0].strip().lower()
    known = formats.OF_MEDIA_TYPE.get(media_type)
    if known is None:
        raise UnsupportedMediaType(
            f"rows cannot be read from {media_type[:100]!r}", f"send one of {', '.join(formats.MEDIA_TYPES)}"
        )
    try:
        return _READERS[known.name](body)
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError, OverflowError) as error:
        cause = " ".join(str(error).split())[:300]
        raise _invalid(f"the body is not readable as {known.name}: {cause}", "", cause) from None


def _invalid(cause: str, pointer: str, detail: str) -> BodyInvalid:
    return BodyInvalid(cause, "correct what `errors` names", [{"pointer": pointer, "detail": detail}])


def _json(body: bytes) -> pa.Table:
    found = _decoded(body, "")
    if isinstance(found, dict) and set(found) == {"columns"} and isinstance(found["columns"], dict):
        return _of_columns(found["columns"])
    if isinstance(found, dict):
        return _of_rows([found], lambda _: "")
    if not isinstance(found, list):
        raise _invalid("the body is no rows", "", "this is neither an array of objects nor an object")
    return _of_rows(found, lambda row: f"/{row}")


def _ndjson(body: bytes) -> pa.Table:
    lines = [line for line in body.split(b"\n") if line.strip()]
    return _of_rows([_decoded(line, f"/{row}") for row, line in enumerate(lines)], lambda row: f"/{row}")


def _decoded(text: bytes, pointer: str) -> Any:
    try:
        return _JSON.decode(text.decode("utf-8-sig"))  # of bytes, the decoder would not look into the texts
    except RecursionError:
        raise _invalid("the body is nested too deeply", pointer, "it has too many levels") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _invalid("the body is no JSON", pointer, str(error)) from None


def _of_rows(rows: list[Any], pointer: Callable[[int], str]) -> pa.Table:
    """Rows as columns; a row may leave out what it does not know."""
    wrong = next((place for place, row in enumerate(rows) if type(row) is not dict), None)
    if wrong is not None:
        raise _invalid("a row is no object", pointer(wrong), f"this is {_kind(rows[wrong])}")
    names = dict.fromkeys(name for row in rows for name in row)
    if len(names) * len(rows) > MOST_CELLS:
        raise BodyTooLarge(f"the rows have {len(names):,} columns together", "send rows of the same columns")
    columns = {name: [row.get(name) for row in rows] for name in names}
    return _table(columns, lambda row, name: f"{pointer(row)}/{_escaped(name)}")


def _of_columns(columns: dict[str, Any]) -> pa.Table:
    for name, values in columns.items():
        if not isinstance(values, list):
            raise _invalid("a column is no array", f"/columns/{_escaped(name)}", f"this is {_kind(values)}")
    lengths = {name: len(values) for name, values in columns.items()}
    short = next((name for name in lengths if lengths[name] != max(lengths.values())), None)
    if short is not None:
        detail = f"it has {lengths[short]} values, another column {max(lengths.values())}"
        raise _invalid("the columns differ in length", f"/columns/{_escaped(short)}", detail)
    return _table(columns, lambda row, name: f"/columns/{_escaped(name)}/{row}")


def _table(columns: dict[str, list[Any]], pointer: Callable[[int, str], str]) -> pa.Table:
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowException, OverflowError):
            arrays[name] = _mixed(values, lambda row, name=name: pointer(row, name))  # type: ignore[misc]
        if _depth(arrays[name].type) > DEEPEST:
            raise _invalid("the body is nested too deeply", pointer(0, name), f"a value has more than {DEEPEST} levels")
    return pa.table(arrays)


def _depth(kind: pa.DataType) -> int:
    parts = (
        [field.type for field in kind] if types.is_struct(kind) else [kind.value_type] if types.is_list(kind) else []
    )
    return 1 + max(map(_depth, parts), default=0)


def _mixed(values: list[Any], pointer: Callable[[int], str]) -> pa.Array:
    """Values that Arrow has no one type for: large numbers are decimals or doubles, all else is an error."""
    known = [value for value in values if value is not None]
    kinds = {type(value) for value in known}
    if kinds <= {int, float}:
        if kinds == {int} and all(abs(value) < 10**38 for value in known):
            return pa.array([None if value is None else Decimal(value) for value in values], pa.decimal128(38, 0))
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    first = type(known[0])
    wrong = next((row for row, value in enumerate(values) if value is not None and type(value) is not first), None)
    if wrong is None:
        raise _invalid("a column has values of several kinds", pointer(0), "its values differ in their parts")
    detail = f"this is {_kind(values[wrong])}, and earlier values of the column are {_kind(known[0])}"
    raise _invalid("a column has values of several kinds", pointer(wrong), detail)


def _csv(body: bytes) -> pa.Table:
    if not body.strip():
        raise _invalid("the body is empty", "", "a header line is missing")
    convert = csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""])
    found = csv.read_csv(
        io.BytesIO(body), parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=convert
    )
    return _named_once(found)


def _arrow(body: bytes) -> pa.Table:
    ipc.check_size(body, MOST_BYTES)
    opening = pa.ipc.open_file if body.startswith(b"ARROW1") else pa.ipc.open_stream
    found = opening(pa.BufferReader(body)).read_all()
    found.validate(full=True)  # offsets that point elsewhere would end the process
    return _named_once(found)


def _parquet(body: bytes) -> pa.Table:
    file = parquet.ParquetFile(io.BytesIO(body))
    about = file.metadata
    groups = [about.row_group(place) for place in range(about.num_row_groups)]
    declared = sum(group.total_byte_size for group in groups)
    if declared > MOST_BYTES or about.num_rows * max(about.num_columns, 1) > MOST_CELLS:
        raise BodyTooLarge(
            f"the body holds {about.num_rows:,} rows of {declared:,} bytes",
            "send less at once, or upload it as a dataset",
        )
    texts = [field.name for field in file.schema_arrow if types.is_string(field.type) or types.is_binary(field.type)]
    # One long text that every row repeats is small as long as it is a dictionary's.
    found = parquet.ParquetFile(io.BytesIO(body), read_dictionary=texts).read()
    n_bytes = sum(_n_bytes(column) for column in found.columns)
    if n_bytes > MOST_BYTES:
        raise BodyTooLarge(f"the body unpacks to {n_bytes:,} bytes", "send less at once, or upload it as a dataset")
    found.validate(full=True)
    plain = [
        column.cast(column.type.value_type) if types.is_dictionary(column.type) else column for column in found.columns
    ]
    return _named_once(pa.table(plain, found.column_names))


def _n_bytes(column: Any) -> int:
    """The most bytes that a column can have once it is no dictionary."""
    if not types.is_dictionary(column.type):
        return int(column.nbytes)
    longest = [max(map(len, chunk.dictionary.drop_null().to_pylist()), default=0) for chunk in column.chunks]
    if max(longest, default=0) < LONG:
        return LONG * len(column) // 8  # a text's usual share
    return sum(length * len(chunk) for length, chunk in zip(longest, column.chunks, strict=True))


def _named_once(found: pa.Table) -> pa.Table:
    names = found.column_names
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise _invalid(f"two columns are named {twice!r}", f"/{_escaped(twice)}", "the name stands for two columns")
    return found


def _escaped(name: str) -> str:
    """A name as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _kind(value: object) -> str:
    """What JSON calls a value."""
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "an array", dict: "an object"}
    return kinds.get(type(value), "null")


_READERS: dict[str, Read] = {"json": _json, "ndjson": _ndjson, "csv": _csv, "arrow": _arrow, "parquet": _parquet}
