"""What an upload holds: its columns, its first rows, and what is noteworthy of a sample of them."""

import contextlib
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pynomaly.datasets.text import CSV_OPTIONS
from pynomaly.engine import Engine
from pynomaly.errors import BadParameter, PynomalyError, UnknownColumn, did_you_mean
from pynomaly_server import legible
from pynomaly_server.sniffing import CODECS
from pynomaly_server.uploads import Upload, Uploads, keep_seconds
from pynomaly_server.workspace import Workspace

SHOWN_ROWS = 50
SAMPLED_ROWS = 10_000
MOST_ROWS = 5_000_000  # of the beginning of a text, which is read to its end
HEAD = "beginning"
_TEXTS = (".csv", ".json")
MOSTLY = 0.5  # share of NULLs that is noteworthy
LARGE_BYTES = 4_194_304  # of a text, of which the beginning is looked at
MOST_LINES_BACK = 100
PEEKED = 1_000  # values of a text that are looked at for numbers written with a comma
_WITH_COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?")
_IDENTIFIES = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|VARCHAR|UUID)$")
_SEPARATOR = re.compile(rb"(?:\xef\xbb\xbf)?sep=([;,|\t])\r?\n", re.IGNORECASE)  # a first line that is for Excel alone
OPTIONS = (*CSV_OPTIONS, "sheet", "path", "table", "query", "timeout")


class Column(msgspec.Struct):
    """A column with its type in SQL."""

    name: str
    type: str


class Noted(msgspec.Struct):
    """Something noteworthy of an upload: `severity` is info, warning or error."""

    kind: str
    severity: str
    detail: str
    column_name: str | None = None


class Uploaded(msgspec.Struct):
    """An upload with what is in it; `others` are the other files of one form.

    `bad_rows` are the first of those that cannot be read: line, reason and content.
    """

    upload_id: str
    filename: str
    format: str
    n_bytes: int
    uploaded_at: datetime
    expires_at: datetime
    columns: list[Column]
    rows: list[dict[str, Any]]
    n_sampled: int
    n_quarantined: int
    findings: list[Noted]
    suggested_rules: list[dict[str, Any]]
    others: list["Uploaded"] = []
    bad_rows: list[dict[str, Any]] = []


def listed(upload: Upload) -> dict[str, Any]:
    """An upload as lists have it."""
    return {
        "upload_id": upload.id,
        "filename": upload.filename,
        "format": upload.format,
        "n_bytes": upload.n_bytes,
        "uploaded_at": upload.uploaded_at,
    }


def decoded_options(text: str | None) -> dict[str, Any]:
    """The options in a JSON object; BadParameter for what is none, or has others than readers take."""
    try:
        return checked_options(msgspec.json.decode(text or "{}", type=dict[str, Any]))
    except msgspec.MsgspecError:
        raise BadParameter("`options` is no JSON object", 'write it as in {"delimiter": ";"}') from None


def checked_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options themselves; BadParameter where one is unknown."""
    for name in options:
        if name not in OPTIONS:
            raise BadParameter(f"there is no option `{name[:100]}`", did_you_mean(name, OPTIONS))
    return options


def typed(db: Engine, path: Path, options: dict[str, Any], types: dict[str, str]) -> dict[str, Any]:
    """The options by which the columns of a text are read as the types given; BadParameter for another format."""
    if not types:
        return options
    if ".csv" not in path.suffixes:
        raise BadParameter(
            "`types` are given, and the file has types of its own", "cast them in a query, or send the rows as CSV"
        )
    columns = db.datasets.sample(path, SAMPLED_ROWS, **options).columns
    for name in types:
        if name not in columns:
            raise UnknownColumn(f"column `{name}` not found", did_you_mean(name, columns))
    return {**options, "columns": {**columns, **types}}


def told(
    db: Engine,
    workspace: Workspace,
    upload: Upload,
    options: dict[str, Any],
    missing: int | None = None,
    with_rules: bool = True,
) -> Uploaded:
    """An upload with what is in it; where that cannot be read so, a finding says why and what would help.

    `missing` is the place of a column: the rows that are shown are then those that have no value in it. Rules that the
    rows keep take long to find where there are hundreds of columns.
    """
    uploads = Uploads(workspace.folder)
    found = Uploaded(
        upload.id,
        upload.filename,
        upload.format,
        upload.n_bytes,
        upload.uploaded_at,
        uploads.expiry(upload, keep_seconds(workspace)),
        *([], [], 0, 0, [], []),
    )
    path = uploads.path(upload)
    try:
        with _beginning(path) as read:
            _look(db, read, options, found, missing, with_rules)
    except PynomalyError as error:
        if error.status >= 500:
            raise
        told = named(error, upload)
        detail = f"{told.cause}; {told.mend}" if told.mend else told.cause
        found.findings = [Noted("unreadable", "error", detail)]
    return found


def named(error: PynomalyError, upload: Upload) -> PynomalyError:
    """An error that calls the file as its sender does."""
    path = rf"[^\s`']*{upload.id}[^\s`']*"
    return type(error)(*(re.sub(path, lambda _: upload.filename, text) for text in (error.cause, error.mend)))


@contextlib.contextmanager
def _beginning(path: Path) -> Iterator[Path]:
    """The file, or where it is a long text, or a packed one, its beginning: which rows are bad only the end tells."""
    packing = path.suffix[1:] if path.suffix[1:] in CODECS else ""
    kind = path.suffixes[0]
    is_long = packing or path.stat().st_size > LARGE_BYTES
    head = _head(path, packing) if is_long and kind in _TEXTS else b""
    if not head or (kind == ".json" and not head.lstrip().startswith(b"{")):  # an array is read whole
        yield path
        return
    beginning = path.with_name(f"{HEAD}{kind}")
    beginning.write_bytes(head)
    try:
        yield beginning
    finally:
        beginning.unlink(missing_ok=True)


def _head(path: Path, packing: str) -> bytes:
    """The first lines of a text; the last one ends where no quote is open."""
    with pa.CompressedInputStream(pa.OSFile(str(path)), CODECS[packing]) if packing else path.open("rb") as file:
        head = bytes(file.read(LARGE_BYTES))
    if len(head) < LARGE_BYTES:
        return head
    for _ in range(MOST_LINES_BACK):
        head = head.rpartition(b"\n")[0]
        if head.count(b'"') % 2 == 0:
            break
    return head + b"\n"


def _look(
    db: Engine, path: Path, options: dict[str, Any], found: Uploaded, missing: int | None, with_rules: bool
) -> None:
    sample = db.datasets.sample(path, MOST_ROWS if path.suffix in _TEXTS else SAMPLED_ROWS, **options)
    found.columns = [Column(name, kind) for name, kind in sample.columns.items()]
    wanted = sample.rows
    if missing is not None and 0 <= missing < wanted.num_columns:
        wanted = wanted.filter(wanted.column(missing).is_null())
    found.rows = msgspec.json.decode(legible.json_array(wanted.slice(0, SHOWN_ROWS)))
    found.bad_rows = sample.bad.to_pylist() if sample.bad is not None else []
    found.n_sampled, found.n_quarantined = len(sample.rows), sample.n_bad or 0
    if sample.n_bad:
        what = "1 row cannot be read and" if sample.n_bad == 1 else f"{sample.n_bad:,} rows cannot be read and"
        detail = f"{what} would go to the quarantine"
        found.findings.append(Noted("malformed_rows", "warning", detail))
        if any("not utf-8" in str(row["reason"]) for row in found.bad_rows):
            found.findings.append(Noted("encoding", "warning", "the file is not UTF-8: it may be of an older Windows"))
    if "skip" not in options and (separator := _separator(path)):
        found.findings.append(Noted("separator", "warning", f"the first line, sep={separator}, holds no data"))
    if not len(sample.rows):
        found.findings.append(Noted("no_rows", "warning", "there are columns and no rows"))
        return
    for name, kind in sample.columns.items():
        found.findings += _noted(name, kind, sample.rows.column(name))
    numbers = _with_commas(sample.rows)
    named = {one.column_name for one in numbers}
    others = [one for one in found.findings if one.kind != "identifier" or one.column_name not in named]
    found.findings = sorted([*others, *numbers], key=lambda one: one.severity == "info")
    if with_rules:
        found.suggested_rules = db.suggest_rules(sample.rows)


def _separator(path: Path) -> str:
    """What the first line says that fields are parted by; nothing where it is no such line."""
    with path.open("rb") as file:
        found = _SEPARATOR.match(file.read(16))
    return found[1].decode() if found and path.suffix == ".csv" else ""


def _with_commas(rows: pa.Table) -> list[Noted]:
    """Texts that are numbers where a comma is the decimal sign; where a point parts their thousands, that too."""
    found = []
    for field in (field for field in rows.schema if pa.types.is_string(field.type)):
        column = rows.column(field.name)
        values = [str(value) for value in column.slice(0, PEEKED).to_pylist() if value is not None]
        if any("," in value for value in values) and all(map(_WITH_COMMA.fullmatch, values)):
            is_grouped = any("." in value for value in values)
            detail = f"`{field.name}` looks like numbers with a decimal comma" + (" and points" if is_grouped else "")
            found.append(Noted("grouped_comma" if is_grouped else "decimal_comma", "warning", detail, field.name))
    return found


def _noted(name: str, kind: str, values: pa.ChunkedArray) -> list[Noted]:
    """What is noteworthy of a column."""
    n_rows, n_null = len(values), values.null_count
    if n_null == n_rows:
        return [Noted("no_values", "warning", f"`{name}` has no value", name)]
    if n_null > MOSTLY * n_rows:
        return [Noted("mostly_null", "warning", f"{100 * n_null / n_rows:.0f} % of `{name}` are NULL", name)]
    if n_null:
        return []
    try:
        n_different = pc.count_distinct(values).as_py()
    except pa.ArrowNotImplementedError:  # of a nested type
        return []
    if n_different == 1:
        return [Noted("constant", "info", f"`{name}` has one value alone, so no detector uses it", name)]
    if n_different == n_rows and _IDENTIFIES.match(kind):
        return [Noted("identifier", "info", f"`{name}` may identify a row: name it as `key`", name)]
    return []
