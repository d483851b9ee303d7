"""Rows of PostgreSQL over ADBC.

A type that Arrow cannot carry becomes one that it can: `numeric` with a precision a DECIMAL, without one a DOUBLE;
JSON, ranges, addresses and the like their text. Times at infinity become NULL. Arrays are lists, those of several
dimensions flat ones.
"""

import difflib
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from pynomaly.datasets.remote.databases import OWN, Wanted, check_names
from pynomaly.datasets.remote.patience import CONNECT_SECONDS
from pynomaly.datasets.remote.reading import Given, Reading
from pynomaly.errors import (
    BadParameter,
    PynomalyError,
    SourceRefused,
    SourceUnavailable,
    SourceUnreadable,
    UnknownSource,
    did_you_mean,
)
from pynomaly.quoting import identifier

MOST_DIGITS = 38  # of a DECIMAL
# Equal rows should come in equal order, so that they are no new version: no scan that joins another in its middle, and
# none by several workers, whose rows come as they are done.
_SESSION = (
    "set transaction isolation level repeatable read, read only",
    "set local synchronize_seqscans = off",
    "set local max_parallel_workers_per_gather = 0",
)
_TABLES = """
select table_schema, table_name from information_schema.tables
where table_schema not in ('pg_catalog', 'information_schema')
"""
_REFUSED = re.compile("password|authentication|pg_hba|role .* does not exist|no encryption|certificate", re.IGNORECASE)
_MISSING = ("42P01", "3D000", "3F000")
_UNAVAILABLE = re.compile("08...|57P0[123]|53...|40001|XX000|58...")
_GONE = re.compile("connect|terminat|server|timed? ?out|SSL|EOF|could not (receive|send|translate)", re.IGNORECASE)
_NOISE = re.compile(
    r"^[A-Z_]+: |\[libpq\] |Failed to \w+( query)?: |could not begin COPY: |ERROR: +|FATAL: +"
    r"|Execution error \[\w+\]: |SQLSTATE: \w+$"
)


def rows(driver: Any, wanted: Wanted, reading: Reading) -> Given:
    """The schema and the rows in batches."""
    with _translated(driver, wanted), closing(driver.connect(_dsn(wanted))) as con, closing(con.cursor()) as cursor:
        reading.cancel = cursor.adbc_cancel
        for statement in _SESSION:
            cursor.execute(statement)
        if not wanted.relation:
            raise BadParameter(f"`{wanted.called}` names no table", f"give `table` or `query`; {_nearest(con, '')}")
        described = _described(driver, con, cursor, wanted)
        check_names(described.names, wanted)
        cursor.execute(f"select {', '.join(map(_expression, described))} from {wanted.relation}")
        schema = pa.schema([(field.name, _type(field)) for field in described])
        yield schema
        try:
            for batch in cursor.fetch_record_batch():
                yield _cast(batch, schema)
        except GeneratorExit:
            cursor.adbc_cancel()  # otherwise all other rows are read before it closes
            raise


def _dsn(wanted: Wanted) -> str:
    """The address as libpq takes it, which ends a connection that is dead."""
    milliseconds = round(wanted.seconds * 1000)
    given = [(name, value) for name, value in wanted.url.parameters if name not in OWN]
    own = {
        "connect_timeout": str(max(2, round(min(CONNECT_SECONDS, wanted.seconds)))),
        "tcp_user_timeout": str(milliseconds),
        "keepalives_idle": "10",
        "application_name": "pynomaly",
    }
    pairs = {**own, **dict(given)}.items()
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    return f"postgresql://{wanted.url.place}{wanted.url.path}?{query}"


def _described(driver: Any, con: Any, cursor: Any, wanted: Wanted) -> pa.Schema:
    try:
        return cursor.adbc_execute_schema(f"select * from {wanted.relation}")
    except driver.Error as error:
        if error.sqlstate != "42P01" or wanted.table is None:
            raise
        con.rollback()
        raise UnknownSource(f"`{wanted.called}` has no table `{wanted.table}`", _nearest(con, wanted.table)) from None


def _nearest(con: Any, table: str) -> str:
    """The tables that are meant perhaps; those of the schema `public` need no schema."""
    with closing(con.cursor()) as cursor:
        cursor.execute(_TABLES)
        found = [name if schema == "public" else f"{schema}.{name}" for schema, name in cursor.fetchall()]
    by_case = difflib.get_close_matches(table, found, n=1)
    return did_you_mean(table, by_case or found) or "it has no table that this user may read"


def _kind(field: pa.Field) -> str:
    metadata = field.metadata or {}
    return str(metadata.get(b"POSTGRESQL:type", b"").decode())


def _decimal(field: pa.Field) -> pa.DataType | None:
    """The DECIMAL of a `numeric` whose precision is declared and small enough."""
    modifier = int((field.metadata or {}).get(b"POSTGRESQL:typmod", b"-1")) - 4
    precision, scale = modifier >> 16 & 0xFFFF, modifier & 0x7FF
    if _kind(field) != "numeric" or modifier < 0 or not scale <= precision <= MOST_DIGITS:
        return None
    return pa.decimal128(precision, scale)


def _is_opaque(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.OpaqueType)


def _is_list(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.ListType)


def _expression(field: pa.Field) -> str:
    """What is asked for in a column's place, under its name."""
    name, kind = identifier(field.name), _kind(field)
    if _decimal(field) is not None:
        return f"nullif({name}, 'NaN') as {name}"
    if kind in ("numeric", "money"):
        return f"{name}::numeric::double precision as {name}"
    if kind in ("_numeric", "_money"):
        return f"{name}::numeric[]::double precision[] as {name}"
    if kind in ("date", "timestamp", "timestamptz"):
        return f"case when isfinite({name}) then {name} end as {name}"
    if _is_opaque(field.type):
        return f"{name}::text as {name}"
    if _is_list(field.type) and _is_opaque(field.type.value_type):
        return f"{name}::text[] as {name}"
    return name


def _type(field: pa.Field) -> pa.DataType:
    """The type in which the driver gives a column's expression, or to which it is cast here."""
    decimal = _decimal(field)
    if decimal is not None:
        return decimal
    kind = _kind(field)
    if kind in ("numeric", "money"):
        return pa.float64()
    if kind in ("_numeric", "_money"):
        return pa.list_(pa.float64())
    if _is_opaque(field.type):
        return pa.string()
    if _is_list(field.type):
        inner = field.type.value_type
        return pa.list_(pa.string() if _is_opaque(inner) else inner)
    return field.type


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(batch.columns, schema.types, strict=True)
    return pa.RecordBatch.from_arrays([_as(column, type_) for column, type_ in columns], schema=schema)


def _as(column: pa.Array, type_: pa.DataType) -> pa.Array:
    if column.type == type_:
        return column
    return pc.cast(column.storage if _is_opaque(column.type) else column, type_)


@contextmanager
def _translated(driver: Any, wanted: Wanted) -> Iterator[None]:
    try:
        yield
    except (driver.Error, OSError, pa.ArrowException) as error:
        raise _problem(error, wanted) from None


def _problem(error: Exception, wanted: Wanted) -> PynomalyError:
    """The error with a name, by the state that PostgreSQL gives, or by its text before it has one."""
    state = getattr(error, "sqlstate", None) or ""
    told = str(error).partition("\n\nQuery was")[0].partition("Is the server running")[0]
    text = _NOISE.sub("", wanted.clean(told)).strip()
    cause = f"`{wanted.called}`: {text}"
    if state.startswith("28") or state == "42501" or (not state and _REFUSED.search(text)):
        return SourceRefused(
            cause, "check user, password and rights; the password may stand in PGPASSWORD or ~/.pgpass"
        )
    if state in _MISSING or (not state and re.search('database ".*" does not exist', text)):
        return UnknownSource(cause, "check the names in its address and query")
    if not state and re.search("invalid (URI|integer|connection|percent)|invalid .* value", text):
        return BadParameter(cause, "check the address")
    if _UNAVAILABLE.fullmatch(state) if state else _GONE.search(text):
        return SourceUnavailable(cause, "nothing was loaded: load it again when the server answers")
    return SourceUnreadable(cause, "check the table or the query")
