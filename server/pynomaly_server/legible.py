"""Rows as text: JSON and CSV of Arrow batches, with values as other programs read them.

In JSON, times with a zone are RFC 3339 in UTC, times without one have none, lengths of time are ISO 8601, bytes are
base64, NaN and infinities are null, integers of any size stay numbers and decimals are the nearest double.
"""

import io
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, types

if TYPE_CHECKING:
    import polars as pl

LARGEST_SHORT = 18  # digits of a decimal that fits 64 bits
_FORMULA = r"^[=+\-@\t\r\n]"
_WRAPPED = "v"  # a column of this name, alone
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_SECONDS = 1_000_000_000  # in nanoseconds
_OUTSIDE = r"^<value out of range: (-?)\d+>$"  # what Arrow writes for a time that no calendar has


def json_lines(rows: pa.Table, documents: frozenset[str] = frozenset()) -> bytes:
    """The rows as JSON objects, one a line; the texts of `documents` are JSON themselves."""
    columns = [_column(column) for column in rows.columns]
    if rows.num_columns and not documents and all(_is_known(column.type) for column in columns):
        import polars as pl  # not at the start: it takes a fifth of a second

        frame = pl.DataFrame({name: _series(column) for name, column in zip(rows.column_names, columns, strict=True)})
        return frame.write_ndjson().encode()
    named = zip(rows.column_names, columns, strict=True)
    lists = [_documents(column) if name in documents else _values(column) for name, column in named]
    records = (dict(zip(rows.column_names, row, strict=True)) for row in zip(*lists, strict=True))
    return _ENCODER.encode_lines(records)


def json_array(rows: pa.Table, documents: frozenset[str] = frozenset()) -> bytes:
    """The rows as a JSON array of objects."""
    return b"[" + json_lines(rows, documents).rstrip(b"\n").replace(b"\n", b",") + b"]"


def csv_lines(rows: pa.Table, header: bool, escape: bool = True) -> bytes:
    """The rows as CSV; nested values are JSON.

    A text that a spreadsheet would run as a formula gets an apostrophe before it, unless it is a number or `escape` is
    off.
    """
    columns = list(map(_field, rows.columns))
    names = pa.array(rows.column_names, pa.string())
    if escape:
        columns = [_harmless(column) if types.is_string(column.type) else column for column in columns]
        names = _harmless(names)
    sink = io.BytesIO()
    csv.write_csv(pa.Table.from_arrays(columns, names.to_pylist()), sink, csv.WriteOptions(include_header=header))
    return sink.getvalue()


def _harmless(texts: Any) -> Any:
    """Texts that no spreadsheet takes for a formula."""
    is_formula = pc.match_substring_regex(texts, _FORMULA)
    if not pc.any(is_formula).as_py():
        return texts
    is_formula = pc.and_not(is_formula, pc.match_substring_regex(texts, _NUMBER))
    return pc.if_else(is_formula, pc.binary_join_element_wise("'", texts, ""), texts)


def _column(column: Any) -> Any:
    """A column whose times, decimals and names are what JSON has for them."""
    kind = column.type
    if types.is_dictionary(kind):
        return _column(column.cast(kind.value_type))
    if types.is_timestamp(kind):
        return _times(column)
    if types.is_date(kind) or types.is_time(kind):
        return _texts_of_times(column)
    wanted = _with_numbers(kind)
    return column if wanted == kind else column.cast(wanted, safe=False)


def _with_numbers(kind: Any) -> Any:
    """A type with doubles and integers in the place of decimals, except those of more than 64 bits."""
    if types.is_struct(kind):
        return pa.struct([(field.name, _with_numbers(field.type)) for field in kind])
    if types.is_list(kind):
        return pa.list_(_with_numbers(kind.value_type))
    if types.is_decimal(kind) and (kind.scale or kind.precision <= LARGEST_SHORT):
        return pa.float64() if kind.scale else pa.int64()
    return kind


def _times(column: Any) -> Any:
    """Points in time as RFC 3339 has them, as short as they are exact."""
    if column.type.tz is not None:
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    for unit in ("s", "ms", "us"):
        try:
            column = column.cast(pa.timestamp(unit, column.type.tz))
            break
        except pa.ArrowInvalid:
            continue
    return _texts_of_times(column)


def _texts_of_times(column: Any) -> Any:
    texts = column.cast(pa.string())
    if pc.any(pc.starts_with(texts, "<")).as_py():
        texts = pc.replace_substring_regex(texts, _OUTSIDE, r"\1infinity")
    return pc.replace_substring(texts, " ", "T", max_replacements=1)


def _is_known(kind: Any) -> bool:
    """Whether polars writes such values as they should be."""
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_known(kind.value_type)
    if types.is_struct(kind):
        return all(_is_known(field.type) for field in kind)
    if types.is_decimal(kind):
        return bool(kind.scale == 0)
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return is_text or any(
        check(kind) for check in (types.is_integer, types.is_floating, types.is_boolean, types.is_null, types.is_binary)
    )


def _series(column: Any) -> "pl.Series":
    import polars as pl

    found = pl.Series(pl.from_arrow(column))
    if found.dtype == pl.Binary:
        return found.bin.encode("base64")
    return found.cast(pl.Int128) if found.dtype == pl.Decimal else found


def _documents(column: Any) -> list[msgspec.Raw | None]:
    return [None if text is None else msgspec.Raw(text.encode()) for text in column.to_pylist()]


def _values(column: Any) -> list[Any]:
    """The values of a column that polars does not write, one by one."""
    try:
        return list(map(_value, column.to_pylist()))
    except (OverflowError, ValueError):  # a date that Python does not have, such as infinity
        return [None if item is None else str(item) for item in column.cast(_with_text(column.type)).to_pylist()]


def _with_text(kind: Any) -> Any:
    """A type with texts in the place of times."""
    if types.is_struct(kind):
        return pa.struct([(field.name, _with_text(field.type)) for field in kind])
    if types.is_list(kind):
        return pa.list_(_with_text(kind.value_type))
    return pa.string() if types.is_temporal(kind) else kind


def _value(value: Any) -> Any:
    """A value with objects for maps and texts for lengths of time."""
    if isinstance(value, pa.MonthDayNano):
        return _duration(value.months, value.days, value.nanoseconds)
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    if isinstance(value, list):
        is_map = bool(value) and all(type(item) is tuple and len(item) == 2 for item in value)
        return {str(key): _value(item) for key, item in value} if is_map else list(map(_value, value))
    return value


def _field(column: Any) -> Any:
    """A column as CSV has it: a nested one is JSON."""
    kind = column.type
    is_rare = types.is_interval(kind) or types.is_binary(kind) or isinstance(kind, pa.BaseExtensionType)
    if not types.is_nested(kind) and not is_rare:
        return column if types.is_decimal(kind) else _column(column)
    plain = _column(column)
    if types.is_nested(kind) and _is_known(plain.type):
        import polars as pl

        whole = pl.Series(_WRAPPED, _series(plain)).to_frame().select(pl.struct(_WRAPPED).struct.json_encode())
        texts = whole.to_series().str.strip_prefix(f'{{"{_WRAPPED}":').str.strip_suffix("}")
        return texts.replace("null", None).to_arrow().cast(pa.string())
    values = [_ENCODER.encode(value).decode() for value in _values(plain)]
    return pa.array([None if text == "null" else text.strip('"') if is_rare else text for text in values], pa.string())


def _duration(months: int, days: int, nanoseconds: int) -> str:
    """A length of time as ISO 8601 has it."""
    seconds, rest = divmod(abs(nanoseconds), _SECONDS)
    sign = "-" if nanoseconds < 0 else ""
    clock = f"T{sign}{seconds}{f'.{rest:09d}'.rstrip('0') if rest else ''}S" if nanoseconds else ""
    calendar = (f"{months}M" if months else "") + (f"{days}D" if days else "")
    return f"P{calendar}{clock}" if calendar or clock else "PT0S"


_ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
encode = _ENCODER.encode
