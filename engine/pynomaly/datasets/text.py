"""CSV and JSON: what does not parse is told row by row."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import msgspec

from pynomaly.datasets.files import paths, size
from pynomaly.datasets.opened import Asked, BadRow, Opened
from pynomaly.errors import SourceUnreadable
from pynomaly.quoting import literal
from pynomaly.source import first_line, unsplit

REJECTS, SCANS = "_pynomaly_rejects", "_pynomaly_reject_scans"
CONTENT_WIDTH = 10_000  # characters of a row that are kept
CSV_OPTIONS = ("encoding", "delimiter", "header", "columns", "nullstr", "dateformat", "timestampformat", "decimal")
_OPTION_OF = {"delimiter": "delim", "decimal": "decimal_separator"}  # as DuckDB calls it
_BAD_ROWS = f"""
select
    scans.file_path, errors.line, string_agg(errors.error_message, '; ' order by errors.column_idx),
    any_value(errors.csv_line)
from {REJECTS} as errors
join {SCANS} as scans using (scan_id, file_id)
group by all
order by all
"""
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


@contextmanager
def csv(asked: Asked) -> Iterator[Opened]:
    """CSV, TSV and other lines of fields; rows that do not fit the columns of the others are bad ones."""
    asked.known(*CSV_OPTIONS)
    files = paths(asked.source)
    given = {_OPTION_OF.get(name, name): value for name, value in asked.options.items()}
    given.setdefault("encoding", _encoding(files[0]))
    options = "".join(f", {name} = {literal(value)}" for name, value in given.items() if value is not None)
    lenient = (
        f"from read_csv({literal(files)}, store_rejects = true, rejects_limit = 0, "
        f"rejects_table = {literal(REJECTS)}, rejects_scan = {literal(SCANS)}{options})"
    )
    _check_header(asked, lenient)
    for table in (REJECTS, SCANS):
        asked.con.execute(f"drop table if exists {table}")
    fast = f"from read_csv({literal(files)}{options})" if _is_plain(asked.con, files[0], options) else lenient
    yield Opened(fast, size(files), lenient, lambda: _rejected(asked.con))


def _is_plain(con: duckdb.DuckDBPyConnection, file: str, options: str) -> bool:
    """Whether a file's beginning is read as the same columns by a reader that bears no bad row.

    That one reads on all threads.
    """
    sniffed = "select * exclude (UserArguments, Prompt) from sniff_csv({}{})"
    try:
        plain, lenient = (
            con.execute(sniffed.format(literal(file), given)).fetchall()
            for given in (options, f"{options}, ignore_errors = true")
        )
    except duckdb.Error:
        return False
    return plain == lenient


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
    except duckdb.InvalidInputException as error:
        if "Error when sniffing file" not in str(error):
            raise
        raise SourceUnreadable(
            f"`{asked.source}` cannot be read: its encoding, delimiter, quotes or header line were not recognised",
            "give `encoding` ('latin-1'), `delimiter` or `header`",
        ) from None
    if len(described) == 1 and (found := unsplit(asked.source, str(described[0][0]))) is not None:
        raise found


def _rejected(con: duckdb.DuckDBPyConnection) -> list[BadRow]:
    if not con.execute("select 1 from duckdb_tables() where table_name = ?", [REJECTS]).fetchall():
        return []
    rows = con.execute(_BAD_ROWS).fetchall()
    return [
        BadRow(file, line, " ".join(_brief(reason).split()), _shown(content)) for file, line, reason, content in rows
    ]


def _brief(reason: str) -> str:
    """The reason without the advice on DuckDB's own options."""
    return re.sub(r"Possible (?:fixes|solutions?):.*?(?=; |$)", "", reason, flags=re.DOTALL)


def _shown(content: str | None) -> str | None:
    return content[:CONTENT_WIDTH] if content is not None else None


@contextmanager
def json_lines(asked: Asked) -> Iterator[Opened]:
    """JSON: an array of objects, or objects one after another; of a file of lines those that do not parse are bad."""
    asked.known()
    files = paths(asked.source)
    if not any(Path(file).stat().st_size for file in files):
        raise SourceUnreadable(f"`{asked.source}` is empty", "give a file with objects")
    read, bad = list(files), list[BadRow]()
    if any(map(_are_lines, files)):
        read = [_good_lines(Path(file), asked.folder / f"{place}.ndjson", bad) for place, file in enumerate(files)]
    select = f"from read_json({literal(read)}, sample_size = -1, union_by_name = true, maximum_object_size = 67108864)"
    try:
        asked.con.execute(f"describe {select}")
    except duckdb.Error as error:
        raise SourceUnreadable(f"`{asked.source}` cannot be read: {first_line(error)}", "correct the file") from None
    yield Opened(select, size(files), bad=lambda: bad)


def _are_lines(file: str) -> bool:
    """Whether a file has an object a line; one that is packed, or spread over lines, is left to DuckDB."""
    with Path(file).open("rb") as stream:
        lines = stream.read(65_536).removeprefix(b"\xef\xbb\xbf").lstrip().splitlines()
    if not lines or not lines[0].startswith(b"{"):
        return False
    return _why_bad(lines[0]) is None or sum(line.startswith(b"{") for line in lines) > 1


def _good_lines(file: Path, to: Path, bad: list[BadRow]) -> str:
    """Sort the lines of a file; the file that has the good ones, which is itself where all are."""
    before = len(bad)
    with file.open("rb") as stream:
        for line, content in enumerate(stream, 1):
            if (reason := _why_bad(content)) is not None:
                bad.append(BadRow(str(file), line, reason, _shown(content.decode(errors="replace").rstrip())))
    if len(bad) == before:
        return str(file)
    lines = {row.line for row in bad[before:]}
    with file.open("rb") as stream, to.open("wb") as kept:
        kept.writelines(content for line, content in enumerate(stream, 1) if line not in lines)
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
