"""Standard input as a file: a detection reads its source twice, and a pipe can be read once."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pynomaly.errors import SourceUnreadable, TooFewRows

NAME = "standard input"
# How the kinds of data that DuckDB reads begin; anything else is CSV.
SUFFIX_OF = {b"PAR1": ".parquet", b"\x1f\x8b": ".csv.gz", b"\x28\xb5\x2f\xfd": ".csv.zst", b"{": ".json", b"[": ".json"}
ARROW = (b"\xff\xff\xff\xff", b"ARROW1")


@contextlib.contextmanager
def landed() -> Iterator[str]:
    """The path of a temporary file that holds all of standard input."""
    with tempfile.TemporaryDirectory(prefix="pynomaly-") as folder:
        stream = sys.stdin.buffer
        head = stream.read(65_536)
        path = Path(folder) / f"stdin{_suffix(head)}"
        with path.open("wb") as file:
            file.write(head)
            shutil.copyfileobj(stream, file)
        yield str(path)


def _suffix(head: bytes) -> str:
    if not head.strip():
        raise TooFewRows(f"{NAME} is empty", "give CSV, JSON or Parquet data")
    if head.startswith(ARROW):
        raise SourceUnreadable(f"{NAME} is Arrow data", "write it as Parquet: it keeps the same types")
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((suffix for magic, suffix in SUFFIX_OF.items() if begin.startswith(magic)), ".csv")
