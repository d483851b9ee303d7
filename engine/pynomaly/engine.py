"""The engine: owns the connection, installs functions and macros, opens cursors, runs statements."""

import contextlib
import itertools
import re
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from pynomaly import access, frames, snapshots, versions
from pynomaly.cache import Progress
from pynomaly.catalog.migrations import changed_catalog, migrate
from pynomaly.commands import Commands
from pynomaly.confined import Confined
from pynomaly.ctrl_c import held
from pynomaly.detecting import Detecting
from pynomaly.errors import BadParameter, Interrupted, InvalidSql, PynomalyError, TransactionAborted
from pynomaly.macros import Macros
from pynomaly.query_log import Ask, QueryLog, Statement, is_on, selects
from pynomaly.quoting import literal
from pynomaly.result import Query, Rows
from pynomaly.session import UPLOADS, USER_TABLES, WORKSPACE, Session
from pynomaly.source import DATA_SUFFIXES
from pynomaly.translate import translate, without_paths
from pynomaly.workers import Stop, never

T = TypeVar("T")
Parameters = Sequence[object] | dict[str, object] | None

_SPACE = r"(?:^|;)(?:\s|/\*.*?\*/|--[^\n]*\n)*"
_COMMIT = re.compile(_SPACE + r"(?:commit|end)\b", re.IGNORECASE | re.DOTALL)
_ROLLBACK = re.compile(_SPACE + r"(?:rollback|abort)\b", re.IGNORECASE | re.DOTALL)
CLOSED = (
    "python_enable_replacements",
    "autoinstall_known_extensions",
    "autoload_known_extensions",
    "allow_community_extensions",
    "enable_external_access",
)
_FRAMES = itertools.count(1)  # numbers the sources given by value: threads may detect side by side


def connect(
    path: str | Path = ":memory:",
    read_only: bool = False,
    memory_limit: str | None = None,
    threads: int | None = None,
    workspace: str | Path | None = None,
    query_log: bool | None = None,
    confined: bool = False,
) -> "Engine":
    """Open a database file, or memory, and return its engine.

    `memory_limit` is a size such as '4GB'; `threads` a number of threads; `workspace` the folder for snapshots, which
    is `<path>.files` beside a database file; `query_log` whether statements are kept in `pynomaly.queries`, by default
    as the database's setting says; `confined` is for a server that runs what its users write: nothing outside of the
    workspace can be read or written, no variable of Python is a source, and no setting can be changed.
    Raises DatabaseLocked, DatabaseUnreadable and BadParameter.
    """
    if str(path).lower().endswith(DATA_SUFFIXES):
        raise BadParameter(f"`{path}` is a data file, not a database", "connect() without it and detect it by its path")
    if not isinstance(path, str | Path):
        raise BadParameter(f"the path is {path!r}", "give a path, or nothing for a database in memory")
    folder = _folder(workspace)
    given = {"memory_limit": memory_limit, "threads": threads}
    config: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    # A log that a killed process left is replayed before DuckDB knows that it has its own functions built in: it would
    # try to fetch them, and fail.
    config |= {"python_scan_all_frames": True, "autoinstall_known_extensions": False}
    try:
        con = duckdb.connect(str(path), read_only=read_only, config=config)
        con.execute("set autoinstall_known_extensions = true")
    except duckdb.Error as error:
        raise _connect_error(error, str(path)) from None
    try:
        con.execute("set enable_progress_bar = false")  # DuckDB draws it on stdout; new cursors of a script have none
        if confined:
            _lock(con, folder or _beside(path))
        migrate(con, read_only)
    except (PynomalyError, duckdb.Error, OSError) as error:
        con.close()
        raise translate(error) from None
    session = Session(con, records=True, workspace=folder, is_confined=confined)
    engine = Engine(con, session, owns=True)
    if not read_only and (is_on(con) if query_log is None else query_log):
        session.log = QueryLog(con)
    if confined and not read_only:
        session.asked = QueryLog(con)
        if session.log is not None:  # whoever reads the table sees what either has
            session.log.beside = session.asked
    return engine


def _beside(path: str | Path) -> Path | None:
    """The workspace of a database file; None for one in memory."""
    return None if str(path).startswith(":memory:") else Path(f"{Path(path).absolute()}{WORKSPACE}")


def _lock(con: duckdb.DuckDBPyConnection, workspace: Path | None) -> None:
    """Leave nothing of the machine open but two folders of the workspace, and the settings as they are."""
    folders = [] if workspace is None else [workspace / snapshots.FOLDER, workspace / UPLOADS]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for private in (folder, folder.parent):
            private.chmod(0o700)
    con.execute(f"set allowed_directories = {literal([str(folder) for folder in folders])}")
    for setting in CLOSED:
        con.execute(f"set {setting} = false")
    con.execute("set lock_configuration = true")


def attach(con: duckdb.DuckDBPyConnection, workspace: str | Path | None = None) -> "Engine":
    """Serve a connection that the user already has; nothing is written to its file until something is stored.

    `workspace` is the folder for snapshots, as in `connect`.
    """
    if not isinstance(con, duckdb.DuckDBPyConnection):
        raise BadParameter(f"the connection is {con!r}", "give one that duckdb.connect() returned")
    try:
        return Engine(con, Session.of(con, _folder(workspace)), owns=False)
    except duckdb.Error as error:
        raise translate(error) from None


def _folder(workspace: str | Path | None) -> Path | None:
    """A workspace as a path that another working directory does not change."""
    if not isinstance(workspace, str | Path | None):
        raise BadParameter(f"the workspace is {workspace!r}", "give the path of a folder, or nothing")
    return Path(workspace).absolute() if workspace else None


def _refuse_no_text(sql: object) -> None:
    if not isinstance(sql, str):
        raise InvalidSql(f"the statement is {sql!r}", "give SQL as a string")


def _connect_error(error: duckdb.Error, path: str) -> PynomalyError:
    from pynomaly.errors import DatabaseLocked, DatabaseUnreadable

    found = translate(error)
    if isinstance(found, DatabaseLocked):
        return found
    if not isinstance(error, duckdb.IOException | duckdb.SerializationException | duckdb.ConnectionException):
        return BadParameter(found.cause, "check memory_limit, threads and the file's other connections")
    return DatabaseUnreadable(f"`{path}` cannot be opened: {found.cause}", "check the path, its rights and its format")


class Engine(Detecting, Commands, Confined):
    """A connection on which detection is a query; use it as a context manager."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, session: Session, owns: bool, parent: "Engine | None" = None
    ) -> None:
        self._con = con
        self._session = session
        self._aborted = False
        self._parent = parent
        self._progress: Progress | None = None
        self._user: str | None = None
        self._is_copying = False
        self._interrupting = threading.RLock()  # a signal may come while it is held
        session.cursors.add(self)
        self._stop = self._stoppable()
        self._macros = Macros(con, session.blindly)
        if not owns and parent is None:  # the user has a connection of their own, whose statements go past this engine
            self._macros.provide_all()
        if (owns or parent is not None) and not session.is_confined:
            con.execute("set enable_progress_bar = false")  # DuckDB draws it on stdout
        # Registered functions outlive a forgotten engine and print pages of leak notes at exit.
        self._finalizer = weakref.finalize(self, _close, con, session) if owns else None

    def __enter__(self) -> "Engine":
        """The engine itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def execute(self, sql: str, parameters: Parameters = None) -> Rows:
        """Run one or more statements now and give the rows of the last; values are bound to `?` or `$name`."""
        _refuse_no_text(sql)
        with self._watched(lambda: sql):
            if self._aborted and _COMMIT.search(sql):
                self._undo()
            try:
                self._ask(sql, lambda: self._con.execute(sql, parameters))
            except PynomalyError:
                if _COMMIT.search(sql):  # a commit that fails undoes everything
                    self._macros.forget()
                raise
        if _ROLLBACK.search(sql):
            self._aborted = False
            self._macros.forget()
        return Rows(self._con, self._guard)

    def sql(self, sql: str, parameters: Parameters = None) -> Query:
        """A SELECT as a query that runs when its rows are asked for; values are bound to `?` or `$name`.

        A statement that is no SELECT runs at once and gives a query without rows.
        """
        _refuse_no_text(sql)
        if self._aborted:  # a relation has no COMMIT of its own to check
            self.execute(sql, parameters)
        run: Callable[[Callable[[], Any]], Any] = self._guard
        with self._watched(lambda: sql, self._con.sql) as statement:
            relation = self._ask(sql, lambda: self._con.sql(sql, params=parameters))
            if statement is not None and selects(sql):  # it runs, and is logged, when its rows are asked for
                statement.is_kept = False
                run = partial(self._logged, sql)
        rows = relation if relation is not None else self._con.sql("select null where false")
        return Query(rows, self._guard, run, self._macros.provide_all)

    def _ask(self, sql: str, action: Callable[[], T]) -> T:
        """Run a statement with the macros that it needs."""
        self._guard(lambda: self._macros.provide(sql))
        try:
            return self._guard(action)
        except PynomalyError as error:
            if self._aborted or not self._macros.lacks(error):
                raise
        self._guard(self._macros.provide_all)
        return self._guard(action)

    def _relate(self, table: pa.Table) -> duckdb.DuckDBPyRelation:
        """Rows as a relation of this connection."""
        self._guard(self._macros.provide_all)
        return self._guard(lambda: self._con.from_arrow(table))

    def _watched(self, sql: Callable[[], str], ask: Ask | None = None) -> AbstractContextManager[Statement | None]:
        """A block whose statement is logged, where there is a log."""
        log = self._session.log
        return contextlib.nullcontext() if log is None else log.watching(ask or self._con.execute, sql)

    def _logged(self, sql: str, action: Callable[[], T]) -> T:
        with self._watched(lambda: sql, self._con.sql):
            return self._guard(action)

    def cursor(self) -> "Engine":
        """A connection of its own to the same database, for another thread or a parallel query."""
        made = Engine(self._guard(self._con.cursor), self._session, owns=False, parent=self)
        if self._acting is not None:
            made.act_as(*self._acting)
        return made

    def rest(self) -> None:
        """Undo what is open, so that the cursor can be handed on to other work."""
        with contextlib.suppress(duckdb.TransactionException):  # where nothing is open
            self._con.rollback()
            self._macros.forget()
        self._aborted = False

    def register(self, name: str, data: object) -> None:
        """Make a polars, pandas or Arrow object a source under a name."""
        landed = frames.landed(data)
        self._guard(lambda: self._con.register(name, landed))
        self._session.frames[name] = landed
        self._session.frame_users[name] = self._user

    def commit(self) -> None:
        """Commit the open transaction; TransactionAborted when an error has already undone it."""
        self.execute("commit")

    def interrupt(self) -> None:
        """Stop what this engine and its cursors are running."""
        for cursor in list(self._session.cursors) if self._parent is None else [self]:
            cursor._interrupt()

    def close(self) -> None:
        """Close the cursor, or the database and its cursors; an attached connection stays open and able to detect."""
        if self._parent is not None:
            self._con.close()
        elif self._finalizer is not None:
            self._finalizer()

    @contextlib.contextmanager
    def _as_name(self, source: object) -> Iterator[str]:
        """The source by name: data given by value, or found in a caller's variable, is registered meanwhile."""
        value = source if not isinstance(source, str) else self._callers_frame(source)
        if isinstance(source, str) and value is None:
            yield source
            return
        name = f"_frame_{next(_FRAMES)}"
        self.register(name, value)
        try:
            yield name
        finally:
            self._session.frames.pop(name, None)
            self._session.frame_users.pop(name, None)
            with contextlib.suppress(duckdb.Error):
                self._con.unregister(name)

    def _callers_frame(self, name: str) -> object | None:
        """The frame in a caller's variable of this name, unless a table or a registered frame has it."""
        if name in self._session.frames or name.lower() in map(str.lower, self._names()):
            return None
        if self._session.is_confined or self._user is not None:
            return None
        return frames.find(name) if name.isidentifier() else None

    def _names(self) -> list[str]:
        """The tables, views and frames that this connection sees."""
        try:
            rows = self._con.execute(USER_TABLES).fetchall()
        except duckdb.Error:
            return []
        frame_users = self._session.frame_users
        seen = (name for name in list(self._session.frames) if self._user in (None, frame_users.get(name)))
        return [str(row[0]) for row in rows] + list(seen)

    def _sources(self) -> list[str]:
        """The tables, views, frames and datasets that there are."""
        with contextlib.closing(self._session.lookup_cursor("")) as cursor:
            return self._names() + versions.names(cursor)

    def _stoppable(self) -> Stop:
        """The flag that stops this connection's fits and scores; its queries name it by a variable."""
        name = uuid.uuid4().hex
        flag = self._session.stops[name] = never()
        weakref.finalize(self, self._session.stops.pop, name, None)
        self._con.execute(f"set variable pynomaly_cursor = {literal(name)}")
        return flag

    def _interrupt(self) -> None:
        """Stop what this connection runs: the functions by the flag, DuckDB itself by its own."""
        self._stop[0] = 1
        if self._progress is not None:
            self._progress.is_stopped = True
        with self._interrupting, contextlib.suppress(duckdb.Error):
            if not self._is_copying:
                self._con.interrupt()

    def _copied(self, action: Callable[[], T]) -> T:
        """Run a COPY, which an interrupt would not end but hang now and then; what comes after it is stopped."""
        with self._interrupting:
            self._is_copying = True
        try:
            return self._guard(action)
        finally:
            self._is_copying = False

    def _guard(self, action: Callable[[], T]) -> T:
        """Run an action of DuckDB and translate what it raises."""
        if self._progress is not None and self._progress.is_stopped:  # between two statements of a run
            raise Interrupted("the run was stopped", "run it again")
        self._stop[0] = 0
        with access.acting(self._user):
            return self._done(action)

    def _done(self, action: Callable[[], T]) -> T:
        try:
            with held(self._interrupt):
                return action()
        except KeyboardInterrupt:
            self._aborted = self._is_aborted()
            raise
        except PynomalyError as error:
            raise self._fit_to_tell(error) from None
        except (duckdb.Error, MemoryError, OSError, RuntimeError) as error:  # a stream raises the last two
            found = changed_catalog(self._con, error) or translate(error, self._sources)
        self._aborted = self._is_aborted()
        raise self._fit_to_tell(found)

    def _fit_to_tell(self, error: PynomalyError) -> PynomalyError:
        """An error as the user of this engine may read it."""
        return error if self._user is None else without_paths(error, self._session.workspace)

    def _is_aborted(self) -> bool:
        """Whether the open transaction is beyond use: DuckDB's own COMMIT would report success all the same."""
        try:
            self._con.execute("select 1").fetchall()
        except duckdb.Error as error:
            return "transaction is aborted" in str(error)
        return False

    def _undo(self) -> None:
        self._con.execute("rollback")
        self._aborted = False
        self._macros.forget()
        raise TransactionAborted("an earlier error undid this transaction", "run its statements again")


def _close(con: duckdb.DuckDBPyConnection, session: Session) -> None:
    """Stop what still runs, and close every cursor; one that is busy for longer closes when its query ends."""
    for cursor in list(session.cursors):
        cursor._interrupt()
        if cursor._con is not con:  # which would take the session's own cursors with it
            with contextlib.suppress(duckdb.Error):
                cursor._con.close()
    with contextlib.suppress(duckdb.Error):
        session.close()
    with contextlib.suppress(duckdb.Error):
        con.close()
