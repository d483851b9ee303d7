"""Which reader opens a source: by the scheme of its address or the suffix of its name."""

import re
from pathlib import Path

from pynomaly import urls
from pynomaly.datasets import columnar, hdf5, pointers, sheets, text
from pynomaly.datasets.opened import Opener
from pynomaly.datasets.remote import objects, postgres, sqlite
from pynomaly.datasets.remote.databases import database
from pynomaly.paths import is_folder

# A source that is served from elsewhere begins with a scheme; what opens it gives Arrow batches or a SELECT.
SCHEMES: dict[str, Opener] = {}  # filled below, where what they need is there
SUFFIXES: dict[str, Opener] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), text.csv),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), text.json_lines),
    **dict.fromkeys((".parquet", ".pq"), columnar.parquet),
    **dict.fromkeys((".arrow", ".feather", ".ipc", ".arrows"), columnar.arrow),
    **dict.fromkeys((".xlsx", ".xls", ".xlsb", ".ods"), sheets.excel),
    **dict.fromkeys((".h5", ".hdf5"), hdf5.hdf5),
}
PACKED = (".gz", ".zst")  # follow the suffix of a text file that is packed
_COMMENT = r"--[^\n]*\n|/\*.*?\*/"
_STATEMENT = re.compile(
    rf"(\s|{_COMMENT})*(\(|(select|from|with|values|pivot|unpivot|describe|summarize)\s)", re.IGNORECASE | re.DOTALL
)


def opener(source: str) -> Opener | None:
    """What opens a source; None for what the database itself knows: a table, a view, a version of a dataset."""
    scheme = urls.scheme(source)
    if scheme is not None:
        return SCHEMES.get(scheme)
    if source.lower().endswith(pointers.SUFFIX):
        return pointers.pointed(opener)
    path = Path(source)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    if suffixes and suffixes[-1] in SUFFIXES:
        return SUFFIXES[suffixes[-1]]
    return columnar.folder if source and is_folder(source) else None


def is_statement(source: str) -> bool:
    """Whether a source is a SELECT rather than a name."""
    return _STATEMENT.match(source) is not None


SCHEMES |= {
    **dict.fromkeys(("postgresql", "postgres"), database("adbc_driver_postgresql", "PostgreSQL", postgres.rows)),
    "sqlite": database("adbc_driver_sqlite", "SQLite", sqlite.rows),
    "s3": objects.objects(opener),
}
