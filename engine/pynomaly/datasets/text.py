"""CSV and JSON: what does not parse is told row by row."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import duckdb
import msgspec

from pynomaly.datasets.files import paths, size
from pynomaly.datasets.opened import Asked, BadRow, Opened
from pynomaly.errors import SourceUnreadable
from pynomaly.quoting import literal
from pynomaly.source import csv_error, first_line, unsplit

REJECTS, SCANS = "_pynomaly_rejects", "_pynomaly_reject_scans"
CONTENT_WIDTH = 10_000  # characters of a row that are kept
CSV_OPTIONS = (
    *("encoding", "delimiter", "skip", "header", "columns"),
    *("nullstr", "dateformat", "timestampformat", "decimal", "thousands"),
)
_OPTION_OF = {"delimiter": "delim", "decimal": "decimal_separator"}  # as DuckDB calls it
_BAD_ROWS = f"""
select
    scans.file_path as file, errors.line,
    trim(regexp_replace(regexp_replace(
        string_agg(errors.error_message, '; ' order by errors.column_idx), 'Possible (fix|solution)(e?s)?:.*', '', 's'
    ), '\\s+', ' ', 'g')) as reason,
    left(any_value(errors.csv_line), {CONTENT_WIDTH}) as content
from {REJECTS} as errors
join {SCANS} as scans using (scan_id, file_id)
group by scans.file_path, errors.line
"""
_SNIFFED = "select Delimiter, SkipRows, HasHeader, Quote, Escape, len(Columns), Columns from sniff_csv({})"
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


@contextmanager
def csv(asked: Asked) -> Iterator[Opened]:
    """CSV, TSV and other lines of fields; rows that do not fit the columns of the others are bad ones."""
    asked.known(*CSV_OPTIONS)
    files = paths(asked.source)
    given = {_OPTION_OF.get(name, name): value for name, value in asked.options.items()}
    given.setdefault("encoding", _encoding(files[0]))
    options = "".join(f", {name} = {literal(value)}" for name, value in given.items() if value is not None)
    is_plain, dialect = _sniffed(asked.con, files[0], options)
    lenient = (
        f"from read_csv({literal(files)}, store_rejects = true, rejects_limit = 0, "
        f"rejects_table = {literal(REJECTS)}, rejects_scan = {literal(SCANS)}{options}{dialect})"
    )
    _check_header(asked, lenient)
    with _tables(asked.con):
        fast = f"from read_csv({literal(files)}{options})" if is_plain else lenient
        yield Opened(fast, size(files), lenient, _BAD_ROWS)


@contextmanager
def _tables(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """A block before and after which the tables are gone that DuckDB fills with the rows that it cannot read."""
    drop = f"drop table if exists {REJECTS}; drop table if exists {SCANS}"
    con.execute(drop)
    try:
        yield
    finally:
        with suppress(duckdb.Error):  # an aborted transaction drops them by itself
            con.execute(drop)


def _sniffed(con: duckdb.DuckDBPyConnection, file: str, options: str) -> tuple[bool, str]:
    """Whether a reader that bears no bad row may read a file, on all threads, and how the one that does must be told.

    Where a bad row is among the first ones the former sees fewer columns; where a title stands above them the latter.
    """
    try:
        plain, lenient = (
            con.execute(_SNIFFED.format(f"{literal(file)}{given}")).fetchall()[0]
            for given in (options, f"{options}, ignore_errors = true")
        )
    except duckdb.Error:
        return False, ""
    if lenient[5] > 1 or plain[5] == 1:
        return plain == lenient, ""
    told = dict(zip(("delim", "skip", "header"), plain, strict=False))
    return True, "".join(f", {name} = {literal(value)}" for name, value in told.items() if f" {name} = " not in options)


def _encoding(file: str) -> str | None:
    """The encoding that a file's first bytes tell; None for the usual one."""
    with Path(file).open("rb") as stream:
        head = stream.read(4)
    if not head:
        raise SourceUnreadable(f"`{file}` is empty", "give a file with a header line or rows")
    return "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else None


def _check_header(asked: Asked, select: str) -> None:
    try:
        described = asked.con.execute(f"describe {select}").fetchall()
    except duckdb.Error as error:
        if (known := csv_error(str(error))) is not None:
            raise known from None
        cause = first_line(error)
        if "Error when sniffing file" in cause:
            cause = "its encoding, delimiter, quotes or header line were not recognised"
        mend = "give `encoding` ('latin-1'), `delimiter` or `header`"
        raise SourceUnreadable(f"`{asked.source}` cannot be read: {cause}", mend) from None
    if len(described) == 1 and (found := unsplit(asked.source, str(described[0][0]))) is not None:
        raise found


@contextmanager
def json_lines(asked: Asked) -> Iterator[Opened]:
    """JSON: an array of objects, or objects one after another; of a file of lines those that do not parse are bad."""
    asked.known()
    files = paths(asked.source)
    if not any(Path(file).stat().st_size for file in files):
        raise SourceUnreadable(f"`{asked.source}` is empty", "give a file with objects")
    bad = asked.folder / "bad.ndjson"
    with bad.open("wb") as rows:
        read = [_good_lines(Path(file), asked.folder / f"{place}.ndjson", rows) for place, file in enumerate(files)]
    select = f"from read_json({literal(read)}, sample_size = -1, union_by_name = true, maximum_object_size = 67108864)"
    try:
        asked.con.execute(f"describe {select}")
    except duckdb.Error as error:
        raise SourceUnreadable(f"`{asked.source}` cannot be read: {first_line(error)}", "correct the file") from None
    columns = "columns = {file: 'varchar', line: 'bigint', reason: 'varchar', content: 'varchar'}"
    told = f"from read_json({literal(str(bad))}, format = 'newline_delimited', {columns})"
    yield Opened(select, size(files), bad=told if bad.stat().st_size else None)


def _are_lines(file: str) -> bool:
    """Whether a file has an object a line; one that is packed, or spread over lines, is left to DuckDB."""
    with Path(file).open("rb") as stream:
        lines = stream.read(65_536).removeprefix(b"\xef\xbb\xbf").lstrip().splitlines()
    if not lines or not lines[0].startswith(b"{"):
        return False
    return _why_bad(lines[0]) is None or sum(line.startswith(b"{") for line in lines) > 1


def _good_lines(file: Path, to: Path, bad: BinaryIO) -> str:
    """The file that has the good lines of a file, which is itself where all are; what is wrong with the others."""
    if not _are_lines(str(file)):
        return str(file)
    with file.open("rb") as stream:
        if all(_why_bad(content) is None for content in stream):
            return str(file)
    with file.open("rb") as stream, to.open("wb") as good:
        for line, content in enumerate(stream, 1):
            if (reason := _why_bad(content)) is None:
                good.write(content)
            else:
                shown = content.decode(errors="replace").rstrip()[:CONTENT_WIDTH]
                bad.write(msgspec.json.encode(BadRow(str(file), line, reason, shown)) + b"\n")
    return str(to)


def _why_bad(content: bytes) -> str | None:
    """Why a line is no JSON object; None for one, and for an empty line."""
    if not (text := content.removeprefix(b"\xef\xbb\xbf").strip()):
        return None
    try:
        _OBJECT.decode(text.decode())  # of bytes, the decoder would not look into the texts
    except UnicodeDecodeError:
        return "the line is not UTF-8"
    except msgspec.ValidationError:
        return "the line is no JSON object"
    except (msgspec.DecodeError, RecursionError) as error:
        return f"the line is no JSON: {error}"
    return None
