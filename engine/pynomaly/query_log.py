"""The query log: the statements of one database instance on their way into `pynomaly.queries`.

A commit for each row would cost milliseconds, so statements wait together, for a second at most: a process that is
killed loses that second's statements, which are fewer than `ROWS_AT_ONCE`. Closing the database writes what waits.
"""

import contextlib
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import duckdb
import msgspec
from duckdb import token_type

from pynomaly.catalog.models import who
from pynomaly.errors import Interrupted, without_passwords
from pynomaly.source import DATA_SUFFIXES
from pynomaly.translate import translate

Ask = Callable[[str], Any]
LOG = logging.getLogger(__name__)
WAIT_SECONDS = 1.0
ROWS_AT_ONCE = 256
MOST_CHARACTERS = 10_000
TABLE = "queries"  # a statement that reads the log sees what ran before it
HIDDEN = "create secret (not kept)"
_SECRET = re.compile(r"\bcreate\b[^;]*\bsecret\b", re.IGNORECASE)
_SETTING = """
select arg_max(changes.value, changes.number) = 'true'
from pynomaly.settings as changes
where changes.name = 'query_log'
"""
_ASKED_BY = """
select coalesce(getvariable('pynomaly_actor'), getvariable('pynomaly_user')), getvariable('pynomaly_request')
"""
_KNOWN = """
select table_name from information_schema.tables where table_catalog = current_database()
union select stored.name from pynomaly.models as stored where stored.run_id is null
"""
_INSERT = """
insert into pynomaly.queries by name
select
    unnest($id::uuid[]) as id, unnest($sql::varchar[]) as sql, unnest($objects::varchar[][]) as objects,
    unnest($seconds::double[]) as seconds, unnest($status::varchar[]) as status,
    unnest($error_code::varchar[]) as error_code, unnest($error::varchar[]) as error,
    now() - to_microseconds(unnest($age::bigint[])) as started_at, unnest($created_by::varchar[]) as created_by,
    unnest($request_id::varchar[]) as request_id
"""


class Statement(msgspec.Struct):
    """One statement, while it runs and when it has ended; `is_kept` is False for one that only was looked at."""

    sql: str
    created_by: str
    request_id: str | None
    started: float
    seconds: float = 0.0
    status: str = "succeeded"
    error_code: str | None = None
    error: str | None = None
    is_kept: bool = True
    id: str = msgspec.field(default_factory=lambda: str(uuid.uuid4()))

    def end(self, error: BaseException | None = None) -> None:
        """Stop the clock; `error` is what ended the statement, if it did not succeed."""
        self.seconds = time.monotonic() - self.started
        if error is not None:
            found = translate(error) if isinstance(error, Exception) else Interrupted("the statement was stopped")
            self.status = "cancelled" if isinstance(found, Interrupted) else "failed"
            self.error_code, self.error = found.code, str(found).partition("] ")[2]


def selects(sql: str) -> bool:
    """Whether a statement, the last of several, is one that runs when its rows are asked for."""
    with contextlib.suppress(duckdb.Error):
        return [statement.type for statement in duckdb.extract_statements(sql)][-1:] == [duckdb.StatementType.SELECT]
    return False


def is_on(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the setting of a database asks for a log."""
    with contextlib.suppress(duckdb.Error):  # a database without a catalogue has no settings
        return con.execute(_SETTING).fetchall() == [(True,)]
    return False


class QueryLog:
    """The log of one database instance, with a cursor of its own: no transaction of the user's is touched."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con.cursor()
        self._waiting: list[Statement] = []
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._timer: threading.Timer | None = None
        self._inside = threading.local()
        self.beside: QueryLog | None = None  # another log of the same table

    @contextlib.contextmanager
    def watching(self, ask: Ask, sql: Callable[[], str]) -> Iterator[Statement | None]:
        """A block in which a statement runs; the statements of a block within it are part of it.

        `ask` runs a query as the statement itself will be run, so that it disturbs no more than that does; `sql` gives
        the text when the block ends: a detection finds it out on the way.
        """
        if getattr(self._inside, "a_statement", False):
            yield None
            return
        self._inside.a_statement = True
        statement = Statement("", *_asked_by(ask), time.monotonic())
        if TABLE in sql():
            self.flush()
            if self.beside is not None:
                self.beside.flush()
        try:
            yield statement
            statement.end()
        except BaseException as error:
            statement.end(error)
            statement.is_kept = True
            raise
        finally:
            self._inside.a_statement = False
            statement.sql = _text(sql())
            if statement.is_kept and statement.sql:
                self._add(statement)

    def _add(self, statement: Statement) -> None:
        with self._lock:
            self._waiting.append(statement)
            is_full = len(self._waiting) >= ROWS_AT_ONCE
            if self._timer is None and not is_full:
                self._timer = threading.Timer(WAIT_SECONDS, self.flush)
                self._timer.daemon = True
                self._timer.start()
        if is_full:
            self.flush()

    def flush(self) -> None:
        """Write what waits; a log that cannot be written is told and never stops the work."""
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
            if waiting:
                try:
                    self._write(waiting)
                except duckdb.Error as error:
                    LOG.warning("%d statements were not logged: %s", len(waiting), translate(error))

    def _write(self, waiting: list[Statement]) -> None:
        known = {str(row[0]).lower(): str(row[0]) for row in self._con.execute(_KNOWN).fetchall()}
        columns: dict[str, list[Any]] = {
            name: [getattr(statement, name) for statement in waiting]
            for name in ("id", "sql", "seconds", "status", "error_code", "error", "created_by", "request_id")
        }
        now = time.monotonic()
        columns["age"] = [int(1e6 * (now - statement.started)) for statement in waiting]
        columns["objects"] = [objects(statement.sql, known) for statement in waiting]
        self._con.execute(_INSERT, columns)

    def close(self) -> None:
        """Write what waits and let go of the cursor."""
        self.flush()
        self._con.close()


def objects(sql: str, known: dict[str, str]) -> list[str]:
    """The tables, views and models, by their lower-case names, that a statement names, and the files."""
    found: dict[str, None] = {}
    encoded = sql.encode()
    for (start, kind), (end, _) in pairwise([*duckdb.tokenize(sql), (len(encoded), None)]):
        if kind not in (token_type.identifier, token_type.string_const):
            continue
        name = _unquoted(encoded[start:end].decode(errors="replace").strip())
        if name.lower() in known:
            found[known[name.lower()]] = None
        elif kind == token_type.string_const and name.lower().endswith(DATA_SUFFIXES):
            found[name] = None
    return sorted(found)


def _unquoted(text: str) -> str:
    quote = text[:1]
    if quote not in ("'", '"'):
        return re.split(r"[^\w$]", text, maxsplit=1)[0]
    return text[1:].rpartition(quote)[0].replace(2 * quote, quote)


def _text(sql: str) -> str:
    return HIDDEN if _SECRET.search(sql) else without_passwords(sql)[:MOST_CHARACTERS]


def _asked_by(ask: Ask) -> tuple[str, str | None]:
    """Who asks, and in which request to a server."""
    with contextlib.suppress(duckdb.Error):  # an aborted transaction answers nothing
        actor, request_id = ask(_ASKED_BY).fetchall()[0]
        return who(actor), request_id
    return who(None), None
