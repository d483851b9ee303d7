"""The rows of a query in any format, to a file or to standard output, in constant memory."""

import contextlib
import csv
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import msgspec
import pyarrow as pa

from pynomaly.cli import lines
from pynomaly.cli.settings import Format, Settings, Written
from pynomaly.errors import BadParameter, UnknownSource
from pynomaly.result import Query
from pynomaly.translate import translate

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "table": (".txt",),
    "json": (".json",),
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv",),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".feather", ".ipc"),
}
FORMAT_OF = {suffix: name for name, suffixes in SUFFIXES.items() for suffix in suffixes}
BATCH_ROWS = 32_768
RESULT = "_pynomaly_result"  # the name of a query's rows inside the query that turns them into text
_UNFINISHED: set[Path] = set()


class Target(msgspec.Struct, frozen=True):
    """Where rows go and how: `path` is None for standard output, `rows` the most that a table shows."""

    format: Format
    path: Path | None
    rows: int


class Shown(msgspec.Struct, frozen=True):
    """The first rows of a query, for a table; `more` tells whether there are others."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    more: bool


def target(written: Written, settings: Settings, rows: int) -> Target:
    """The target of a verb that writes one result; BadParameter or UnknownSource where it cannot be written."""
    path = written.asked_output()
    chosen = written.asked_format() or (format_of(path) if path else settings.format) or "table"
    found = Target(chosen, Path(path) if path else None, written.n_rows(rows))
    check(found)
    return found


def format_of(path: str) -> Format:
    """The format that a file's suffix names."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMAT_OF:
        raise BadParameter(
            f"the suffix of `{path}` names no format", f"give --format, or one of {', '.join(FORMAT_OF)}"
        )
    return FORMAT_OF[suffix]


def check(target: Target) -> None:
    """Refuse what would fail only after the work is done."""
    if target.path is None:
        if target.format in ("parquet", "arrow") and sys.stdout.isatty():
            raise BadParameter(f"{target.format} is not for a terminal", "give --output FILE or a pipe")
        return
    if target.path.is_dir():
        raise BadParameter(f"`{target.path}` is a folder", "name a file in it")
    if not target.path.parent.is_dir():
        raise UnknownSource(f"folder `{target.path.parent}` does not exist", "create it, or write somewhere else")


def write(query: Query, target: Target, limited: bool = False) -> Shown | None:
    """Write the rows of a query; those of a table for standard output are handed back, for `table.show`.

    `limited` says that the query itself gives no more rows than a table shows.
    """
    try:
        return _write(query, target, limited)
    except duckdb.Error as error:
        raise translate(error) from error


def _write(query: Query, target: Target, limited: bool) -> Shown | None:
    if target.format == "table":
        shown = _first_rows(query, None if limited else target.rows)
        if target.path is None:
            return shown
        from pynomaly.cli import table

        with replacing(target.path) as path, path.open("w", encoding="utf-8") as stream:
            table.show(shown, stream)
    elif target.path is None:
        _to_stdout(query, target.format)
    else:
        with replacing(target.path) as path:
            _to_path(query, target.format, path)
    return None


def _first_rows(query: Query, n: int | None) -> Shown:
    """The first n rows, or all; every relation made of another binds the whole query once more."""
    relation: Any = query.bare_relation()
    types = relation.types
    if any(lines.has_zone(type_) for type_ in types):
        cells = ", ".join(lines.shown_cell(place, type_) for place, type_ in enumerate(types))
        relation = relation.query(RESULT, lines.select(query.columns, cells, RESULT))
    rows = relation.fetchall() if n is None else relation.limit(n + 1).fetchall()
    return Shown(query.columns, rows[:n], n is not None and len(rows) > n)


def _to_stdout(query: Query, format_: Format) -> None:
    stream = sys.stdout.buffer
    if format_ == "parquet":  # written from both ends, so not into a pipe
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            _to_path(query, format_, path)
            with path.open("rb") as written:
                shutil.copyfileobj(written, stream)
    elif format_ == "arrow":
        _arrow(query, stream, pa.ipc.new_stream)
    else:
        _WRITERS[format_](query, stream)
    stream.flush()


def _to_path(query: Query, format_: Format, path: Path) -> None:
    if format_ == "parquet":
        query.bare_relation().write_parquet(str(path))
        return
    with path.open("wb") as stream:
        if format_ == "arrow":
            _arrow(query, stream, pa.ipc.new_file)
        else:
            _WRITERS[format_](query, stream)


def _arrow(query: Query, stream: BinaryIO, opened: Callable[[BinaryIO, pa.Schema], Any]) -> None:
    reader = query.bare_relation().to_arrow_reader(BATCH_ROWS)
    with opened(stream, reader.schema) as writer:
        for batch in _batches(reader):
            writer.write_batch(batch)


def _csv(query: Query, stream: BinaryIO) -> None:
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(query.columns)
    stream.write(header.getvalue().encode())
    for chunk in _lines(query, lines.csv_line(query.bare_relation().types)):
        stream.write("\n".join(chunk).encode() + b"\n")


def _jsonl(query: Query, stream: BinaryIO) -> None:
    for chunk in _lines(query, lines.json_line(query.columns, query.bare_relation().types)):
        stream.write("\n".join(chunk).encode() + b"\n")


def _json(query: Query, stream: BinaryIO) -> None:
    before = "[\n"
    for chunk in _lines(query, lines.json_line(query.columns, query.bare_relation().types)):
        stream.write((before + ",\n".join(chunk)).encode())
        before = ",\n"
    stream.write(b"[]\n" if before == "[\n" else b"\n]\n")


_WRITERS: dict[Format, Callable[[Query, BinaryIO], None]] = {"csv": _csv, "jsonl": _jsonl, "json": _json}


def _lines(query: Query, line: str) -> Iterator[list[str]]:
    """The rows as lines of text, some thousands at a time."""
    relation: Any = query.bare_relation().query(RESULT, lines.select(query.columns, f"{line} as line", RESULT))
    for batch in _batches(relation.to_arrow_reader(BATCH_ROWS)):
        if batch.num_rows:
            yield batch.column(0).to_pylist()


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches of a reader; what DuckDB raises meanwhile comes out of Arrow as an OSError."""
    try:
        yield from reader
    except (OSError, pa.ArrowException, duckdb.Error) as error:
        raise translate(error) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to that takes the place of `path` when the block ends, and is deleted when it fails."""
    if path.exists() and not path.is_file():  # a device or a named pipe
        yield path
        return
    final = path.resolve()
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    _UNFINISHED.add(temporary)
    try:
        yield temporary
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
        _UNFINISHED.discard(temporary)


def discard_unfinished() -> None:
    """Delete the files that are being written, for a process that must end at once."""
    for path in list(_UNFINISHED):
        path.unlink(missing_ok=True)


def leaves_terminal_free(target: Target) -> bool:
    """Whether rows are not streamed to the terminal, so that a moving line may be drawn there meanwhile."""
    return target.format == "table" or target.path is not None or not sys.stdout.isatty()
