"""Databases that are read over ADBC: a table or a query of theirs, by address."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgspec
import pyarrow as pa

from pynomaly import urls
from pynomaly.datasets.opened import Asked, Opened, Opener, missing
from pynomaly.datasets.remote import breaker, patience
from pynomaly.datasets.remote.reading import Given, Reading
from pynomaly.errors import BadParameter, SourceUnreadable
from pynomaly.quoting import identifier
from pynomaly.urls import Url

OWN = ("table", "query", "timeout")  # parameters of an address that are not the database's


class Wanted(msgspec.Struct, frozen=True):
    """What is read from where: `relation` stands in FROM, and is empty where the source names none."""

    url: Url
    called: str
    relation: str
    table: str | None
    seconds: float

    def clean(self, text: str) -> str:
        """A message of the database in one line, without the password."""
        for secret in self.url.secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())


Rows = Callable[[Any, Wanted, Reading], Given]


def database(package: str, what: str, rows: Rows) -> Opener:
    """What opens a source of one kind of database; `rows` reads them by the driver in `package`."""

    @contextmanager
    def opened(asked: Asked) -> Iterator[Opened]:
        asked.known(*OWN)
        wanted = _wanted(asked)
        try:
            driver = importlib.import_module(f"{package}.dbapi")
        except ImportError:
            raise missing(package.replace("_", "-"), what) from None
        with breaker.of(f"{wanted.url.scheme}://{wanted.url.host or wanted.url.path}").guarding():

            def begun() -> tuple[Reading, pa.RecordBatchReader]:
                reading = Reading(lambda reading: rows(driver, wanted, reading), wanted.seconds, asked)
                return reading, reading.reader()

            reading, reader = patience.patiently(begun, wanted.seconds)
            with closing(reading):
                try:
                    yield Opened(reader)
                except Exception:
                    if reading.failure is not None:
                        raise reading.failure from None
                    raise

    return opened


def _wanted(asked: Asked) -> Wanted:
    """The source with its table or query, which an option or the address names."""
    url = urls.parsed(asked.address)
    own = {name: value for name, value in url.parameters if name in OWN}
    table, query = (asked.text(name) or own.get(name) for name in ("table", "query"))
    if any(name in asked.options for name in own):
        raise BadParameter(f"`{asked.source}` and an option name two things at once", "give one of them")
    if table and query:
        raise BadParameter("a table and a query are given", "give one of them")
    relation = ".".join(identifier(part) for part in parts(table)) if table else ""
    if query:
        relation = f"(\n{query.strip().rstrip(';')}\n) as rows"
    return Wanted(url, asked.source, relation, table, patience.seconds(asked, own.get("timeout")))


def parts(table: str) -> list[str]:
    """The parts of a table's name, which may be quoted: `sales.orders` has two."""
    found: list[str] = []
    rest = table
    while rest:
        quoted, _, after = rest[1:].partition('"') if rest.startswith('"') else rest.partition(".")
        found.append(quoted)
        rest = after.removeprefix(".") if rest.startswith('"') else after
    return found


def check_names(names: list[str], wanted: Wanted) -> None:
    """Refuse what cannot be a table: no column, or two of one name."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SourceUnreadable(f"two columns of `{wanted.called}` are named `{twice}`", "rename one in the query")
    if not names:
        raise SourceUnreadable(f"`{wanted.called}` has no column", "name a table that has some")
