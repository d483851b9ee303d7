"""What an opened source is: rows that DuckDB reads, with what is known of them beforehand."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa

from pynomaly.errors import BadParameter, Interrupted, PackageMissing, did_you_mean


class BadRow(msgspec.Struct, frozen=True):
    """A row of a file that could not be read."""

    file: str
    line: int
    reason: str
    content: str | None


class Opened(msgspec.Struct):
    """The rows of a source: a SELECT, or a reader of Arrow batches that is read once.

    `lenient` is the SELECT that leaves out what cannot be read, where the first one would fail by it and is faster.
    `bad` is a SELECT of the rows that could not be read, as BadRow has them, for when all others have been.
    """

    rows: str | pa.RecordBatchReader
    n_bytes: int = 0
    lenient: str | None = None
    bad: str | None = None


class Asked(msgspec.Struct, frozen=True):
    """A source as it was asked for: what it is called, its options, and where it is read.

    `address` is the source with all secrets; `is_stopped` tells whether the load is to end.

    `con` belongs to the load alone, `folder` is empty and is deleted after it.
    """

    source: str
    options: dict[str, object]
    con: duckdb.DuckDBPyConnection
    folder: Path
    address: str = ""
    is_stopped: Callable[[], bool] = bool

    def check_stopped(self) -> None:
        """Raise Interrupted where the load is to end."""
        if self.is_stopped():
            raise Interrupted("the load was interrupted", "run it again")

    def known(self, *names: str) -> None:
        """Raise BadParameter for an option that is not one of these."""
        for name in self.options:
            if name not in names:
                near = did_you_mean(name, names) or "leave it out"
                raise BadParameter(f"`{name}` is no option of `{self.source}`", near)

    def text(self, name: str) -> str | None:
        """An option that is a text; None where it was not given."""
        value = self.options.get(name)
        if value is not None and not isinstance(value, str):
            raise BadParameter(f"`{name}` is {value!r}", "give a text")
        return value


Opener = Callable[[Asked], AbstractContextManager[Opened]]


def missing(package: str, what: str) -> PackageMissing:
    """The error for a package that a format needs."""
    return PackageMissing(f"{what} needs the package `{package}`", "install it: pip install 'pynomaly[sources]'")
