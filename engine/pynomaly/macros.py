"""The macros of a connection, created when a statement first names one.

DuckDB binds a macro when it is created, which takes a millisecond or two, and there are many of them.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import duckdb
import msgspec

from pynomaly.paths import macro_files

_CREATED = re.compile(r"create or replace temp macro (\w+)")
_LISTINGS = frozenset({"duckdb_functions", "pragma_functions", "functions"})  # show whatever is there


class Library(msgspec.Struct, frozen=True):
    """The files of the macros: their text, the file of each macro, and all that each file needs, itself included."""

    text: dict[Path, str]
    file: dict[str, Path]
    needs: dict[Path, frozenset[Path]]


@cache
def library() -> Library:
    """The macros of this release."""
    text = {path: path.read_text(encoding="utf-8") for path in macro_files()}
    file = {name: path for path, sql in text.items() for name in _CREATED.findall(sql)}
    direct = {path: {file[word] for word in _words(sql) & file.keys()} for path, sql in text.items()}
    return Library(text, file, {path: _reachable(path, direct) for path in text})


def _words(sql: str) -> set[str]:
    return set(re.findall(r"\w+", sql.lower()))


def _reachable(path: Path, direct: dict[Path, set[Path]]) -> frozenset[Path]:
    found, new = {path}, {path}
    while new:
        new = set().union(*(direct[one] for one in new)) - found
        found |= new
    return frozenset(found)


class Macros:
    """The macros of one connection."""

    def __init__(self, con: duckdb.DuckDBPyConnection, blindly: Callable[[], AbstractContextManager[None]]) -> None:
        self._con = con
        self._blindly = blindly
        self._there: set[Path] = set()

    def provide(self, sql: str) -> None:
        """Create the macros that a statement names, and what they need."""
        known = library()
        if len(self._there) == len(known.text):
            return
        named = _words(sql)
        if named & _LISTINGS:
            self.provide_all()
            return
        files = {path for name in named & known.file.keys() for path in known.needs[known.file[name]]}
        self._create(files - self._there)

    def provide_all(self) -> None:
        """Create every macro, for statements that nobody has seen."""
        self._create(library().text.keys() - self._there)

    def forget(self) -> None:
        """Take none for created: a transaction that is rolled back takes its macros with it."""
        self._there.clear()

    def lacks(self, error: Exception) -> bool:
        """Whether an error tells of a function that may be a macro not created yet, or like one.

        A view, or a text put together, may name one; DuckDB proposes those that are there.
        """
        is_unknown = re.search(r"Function with name \"?(\w+)\"? does not exist", str(error)) is not None
        return is_unknown and len(self._there) < len(library().text)

    def _create(self, files: set[Path]) -> None:
        for path in sorted(files):
            try:
                self._con.execute(library().text[path])
            except (duckdb.BinderException, duckdb.CatalogException, duckdb.InvalidInputException):
                with self._blindly():  # the catalogue lacks a part: whoever calls what reads it is told
                    self._con.execute(library().text[path])
            self._there.add(path)
