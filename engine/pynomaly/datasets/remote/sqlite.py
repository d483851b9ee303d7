"""Rows of SQLite over ADBC.

A column of SQLite may hold values of several types, and the driver takes the first for all. So each column is looked
through before, and gets one type that holds all: integers, numbers, texts or bytes.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa

from pynomaly.datasets.files import paths
from pynomaly.datasets.remote.databases import OWN, Wanted, check_names
from pynomaly.datasets.remote.reading import Given, Reading
from pynomaly.errors import (
    BadParameter,
    PynomalyError,
    SourceUnavailable,
    SourceUnreadable,
    UnknownSource,
    did_you_mean,
)
from pynomaly.quoting import identifier

_KINDS = ("integer", "real", "text", "blob")
_TABLES = "select name from sqlite_master where type in ('table', 'view') and name not like 'sqlite_%'"


def rows(driver: Any, wanted: Wanted, reading: Reading) -> Given:
    """The schema and the rows in batches."""
    file = _file(wanted)
    with _translated(driver, wanted), closing(driver.connect(file)) as con, closing(con.cursor()) as cursor:
        reading.cancel = cursor.adbc_cancel
        tables = [name for (name,) in _fetched(cursor, _TABLES)]
        if not wanted.relation:
            raise BadParameter(
                f"`{wanted.called}` names no table", f"give `table` or `query`; {did_you_mean('', tables)}"
            )
        if wanted.table is not None and wanted.table.strip('"').lower() not in [name.lower() for name in tables]:
            near = did_you_mean(wanted.table, tables) or "it has no table"
            raise UnknownSource(f"`{wanted.called}` has no table `{wanted.table}`", near)
        cursor.execute(f"select * from {wanted.relation} limit 0")
        names = cursor.fetch_arrow_table().column_names
        check_names(names, wanted)
        cursor.execute(_statement(cursor, names, wanted))
        skipped = 1  # the row that gives the types
        reader = cursor.fetch_record_batch()
        yield reader.schema
        for batch in reader:
            _check_texts(batch, wanted)
            yield batch.slice(skipped)
            skipped = 0


def _file(wanted: Wanted) -> str:
    """The file as SQLite takes it, which must be there: it would be made."""
    for name, _ in wanted.url.parameters:
        if name not in OWN:
            raise BadParameter(f"`{name}` is no part of `{wanted.called}`", did_you_mean(name, OWN))
    if wanted.url.place or not wanted.url.path.strip("/"):
        raise BadParameter(
            f"`{wanted.called}` names no file", "write sqlite:///file.db, or sqlite:////folder/file.db from the root"
        )
    path = Path(paths(unquote(wanted.url.path[1:]))[0])
    return f"file:{quote(str(path.resolve()))}?mode=ro"


def _fetched(cursor: Any, statement: str) -> list[tuple[Any, ...]]:
    cursor.execute(statement)
    found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _statement(cursor: Any, names: list[str], wanted: Wanted) -> str:
    """The rows, each column in one type, below a row that has a value of it."""
    firsts, columns = [], []
    # SQLite has no more than 2000 columns, of which one statement gives each a number here.
    kinds = (f"max(typeof({{0}}) = '{kind}') * {2**place}" for place, kind in enumerate(_KINDS))
    template = " + ".join(kinds)
    looked = ", ".join(f"coalesce({template.format(identifier(name))}, 0)" for name in names)
    for name, bits in zip(names, _fetched(cursor, f"select {looked} from {wanted.relation}")[0], strict=True):
        first, cast = _common(int(bits))
        firsts.append(f"{first} as {identifier(name)}")
        columns.append(f"cast({identifier(name)} as {cast})" if cast else identifier(name))
    return f"select {', '.join(firsts)} union all select {', '.join(columns)} from {wanted.relation}"


def _common(bits: int) -> tuple[str, str]:
    """A value of the type that holds all, and the type to cast to where values differ in theirs."""
    if bits & 8:
        return "x''", "blob" if bits != 8 else ""
    if bits & 4:
        return "''", "text" if bits != 4 else ""
    if bits & 2:
        return "0.0", "real" if bits != 2 else ""
    return ("0", "") if bits else ("''", "")  # a column of NULL alone counts as text


def _check_texts(batch: pa.RecordBatch, wanted: Wanted) -> None:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_string(column.type):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid:
                raise SourceUnreadable(
                    f"column `{name}` of `{wanted.called}` has a text that is not UTF-8",
                    f"read it as bytes: query = 'select cast({name} as blob) as {name}, ...'",
                ) from None


@contextmanager
def _translated(driver: Any, wanted: Wanted) -> Iterator[None]:
    try:
        yield
    except (driver.Error, OSError, pa.ArrowException) as error:
        raise _problem(error, wanted) from None


def _problem(error: Exception, wanted: Wanted) -> PynomalyError:
    text = wanted.clean(str(error).partition("\nquery:")[0])
    text = text.partition("[SQLite] ")[2] or text
    cause = f"`{wanted.called}`: {text.removeprefix('Failed to prepare query: ')}"
    if "locked" in text or "busy" in text:
        return SourceUnavailable(cause, "wait for the program that writes it")
    return SourceUnreadable(cause, "check the file, the table and the query")
