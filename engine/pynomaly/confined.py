"""SQL from users on an engine: one SELECT of known parts, for so many rows and seconds."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pyarrow as pa

from pynomaly import confinement, snapshots, writing
from pynomaly.catalog.migrations import is_in_transaction
from pynomaly.confinement import Checked
from pynomaly.errors import BadParameter, Interrupted, PynomalyError, QueryTooLong
from pynomaly.quoting import literal
from pynomaly.result import Found

if TYPE_CHECKING:
    from pynomaly.macros import Macros
    from pynomaly.session import Session

CHUNK = 2_048  # rows that are fetched at once


class Confined:
    """The methods of the engine that run what users write."""

    _con: duckdb.DuckDBPyConnection
    _session: "Session"
    _macros: "Macros"
    _guard: Callable[..., Any]
    _interrupt: Callable[[], None]
    _aborted: bool

    def checked(self, sql: str, may_write: bool = False) -> Checked:
        """One SELECT as it may run for the user of this engine; AccessDenied where it may not.

        With `may_write` also one CREATE TABLE or VIEW ... AS, INSERT, UPDATE, DELETE or DROP of a table of the
        workspace, which the caller executes.
        """
        if not isinstance(sql, str):
            raise BadParameter(f"the statement is {sql!r}", "give SQL as a string")
        check = writing.checked if may_write else confinement.checked
        workspace = self._session.workspace
        found: Checked = self._guard(
            lambda: check(self._con, sql, lambda version: str(snapshots.path_of(workspace, version.snapshot)))
        )
        return found

    def run_confined(
        self, sql: str, *, limit: int = 1_000, seconds: float = 30.0, request_id: str | None = None
    ) -> Found:
        """Run one SELECT that a user wrote, without a change to anything, and give its first rows.

        It may read the tables and views of the workspace, the datasets that the user sees by their names, and call
        functions that compute and the macros of Pynomaly. Raises QueryTooLong after so many seconds, AccessDenied and
        any other PynomalyError.
        """
        if type(limit) is not int or limit < 0 or not seconds > 0:
            raise BadParameter(f"`limit` is {limit!r} and `seconds` {seconds!r}", "give numbers above 0")
        with self.asking(sql, request_id) as query:
            found = self._run_checked(sql, "", limit, seconds)
            return msgspec.structs.replace(found, query=query)

    def explain_confined(self, sql: str, *, seconds: float = 30.0) -> str:
        """How DuckDB would run the SELECT that `run_confined` runs; files are named without the workspace's folder."""
        plan: str = self._run_checked(sql, "explain ", 1, seconds).rows.column(1)[0].as_py()
        folder = str(self._session.workspace)
        for path in (folder, folder.lstrip("/")):
            plan = plan.replace(path, "")
        return plan

    def _run_checked(self, sql: str, verb: str, limit: int, seconds: float) -> Found:
        """What a SELECT finds that may run, or what `verb` tells of it."""
        may_run = self.checked(sql)
        if self._guard(lambda: is_in_transaction(self._con)):
            raise BadParameter("a transaction is open", "end it first")
        self._guard(lambda: self._macros.provide(sql))
        with self._ends_after(seconds):
            return self._found_with_macros(f"{verb}{may_run.sql}", limit)

    @contextlib.contextmanager
    def asking(self, sql: str, request_id: str | None = None) -> Iterator[str | None]:
        """A block whose statement the log keeps, under the id that is given; None where there is no log."""
        log = self._session.asked or self._session.log
        with self._asked_in(request_id):
            if log is None:
                yield None
                return
            with log.watching(self._con.execute, lambda: sql) as statement:
                yield None if statement is None else statement.id

    def write_log(self) -> None:
        """Write the statements that wait to be logged."""
        for log in (self._session.asked, self._session.log):
            if log is not None:
                log.flush()

    def _found_with_macros(self, sql: str, limit: int) -> Found:
        """What a statement finds, with every macro where a view that it names needs more than were there."""
        try:
            return self._found(sql, limit)
        except PynomalyError as error:
            if not self._macros.lacks(error):
                raise
        self._guard(self._macros.provide_all)
        return self._found(sql, limit)

    def _found(self, sql: str, limit: int) -> Found:
        started = time.perf_counter()
        self._guard(lambda: self._con.execute("begin transaction read only"))
        try:
            rows, columns = self._guard(lambda: _first_rows(self._con.sql(sql), limit + 1))
        finally:
            with contextlib.suppress(duckdb.Error):
                self._con.execute("rollback")
                self._aborted = False
        return Found(rows.slice(0, limit), columns, rows.num_rows > limit, time.perf_counter() - started)

    @contextlib.contextmanager
    def _ends_after(self, seconds: float) -> Iterator[None]:
        """A block that is interrupted after so many seconds; one interrupt may miss a query that is being planned."""
        is_over, has_ended = threading.Event(), threading.Event()

        def watch() -> None:
            if has_ended.wait(seconds):
                return
            is_over.set()
            while not has_ended.wait(0.1):
                self._interrupt()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except PynomalyError as error:
            if is_over.is_set() and isinstance(error, Interrupted):
                raise QueryTooLong(f"the query took more than {seconds:g} seconds", "ask for less at once") from None
            raise
        finally:
            has_ended.set()
            watcher.join()

    @contextlib.contextmanager
    def _asked_in(self, request_id: str | None) -> Iterator[None]:
        """A block whose statement the log keeps with a request."""
        if request_id is None:
            yield
            return
        before = self._guard(lambda: self._con.execute("select getvariable('pynomaly_request')").fetchall()[0][0])
        for value in (request_id, before):
            self._guard(lambda value=value: self._con.execute(f"set variable pynomaly_request = {literal(value)}"))
            if value is request_id:
                yield


def _first_rows(query: duckdb.DuckDBPyRelation, n: int) -> tuple[pa.Table, list[tuple[str, str]]]:
    """The first rows of a query, and the types of its columns."""
    columns = list(zip(query.columns, map(str, query.types), strict=True))
    reader = query.to_arrow_reader(CHUNK)
    batches, n_rows = [], 0
    while n_rows < n:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            break
        batches.append(batch)
        n_rows += batch.num_rows
    return pa.Table.from_batches(batches, reader.schema).slice(0, n), columns
