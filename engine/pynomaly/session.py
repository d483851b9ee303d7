"""What all cursors of one database instance share."""

from __future__ import annotations

import contextlib
import threading
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from pynomaly import access, frames, reachable, registration, snapshots, source, versions
from pynomaly.cache import ModelCache, Progress
from pynomaly.errors import BadParameter
from pynomaly.paths import macro_files
from pynomaly.quoting import identifier
from pynomaly.workers import Stop

if TYPE_CHECKING:
    from pynomaly.engine import Engine
    from pynomaly.query_log import QueryLog

USER_TABLES = "select table_name from information_schema.tables where table_schema <> 'pynomaly'"
WORKSPACE = ".files"  # follows the name of the database file
UPLOADS = "uploads"  # the folder in a workspace for files that came from elsewhere
FEATURE_MACROS = "features_by_value"  # the file of the macros that steps call
_SESSIONS: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()


class Session:
    """What all cursors of one database instance share: the functions, the fitted models, the frames."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        records: bool = False,
        workspace: Path | None = None,
        is_confined: bool = False,
    ) -> None:
        self.read_only, beside = _place(con)
        self.records = records and beside is not None and not self.read_only  # every run, and not only the saved ones
        self.workspace = workspace or beside
        self.log: QueryLog | None = None  # of every statement
        self.asked: QueryLog | None = None  # of those that users of a server wrote
        self.id = uuid.uuid4().hex
        self.cache = ModelCache()
        self.runs: dict[str, Progress] = {}
        self.stops: dict[str, Stop] = {}
        self.frames: dict[str, object] = {}
        self.frame_users: dict[str, str | None] = {}  # who may name each frame
        self.is_confined = is_confined
        self.cursors: weakref.WeakSet[Engine] = weakref.WeakSet()
        self._creating = threading.local()
        self._con = con.cursor()
        self._macros: duckdb.DuckDBPyConnection | None = None
        self._lock = threading.Lock()
        with contextlib.suppress(duckdb.Error):  # a locked configuration keeps its own setting
            self._con.execute("set python_scan_all_frames = true")
        # The functions live as long as the connection that registers them, and hold `self`.
        registration.register(con, self)
        _SESSIONS[self.id] = self

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection, workspace: Path | None) -> Session:
        """The session of a connection's database instance; a new one where nothing is registered yet."""
        found = con.execute("select count(*) from duckdb_functions() where function_name = '_session'").fetchall()
        if found == [(0,)]:
            return cls(con, workspace=workspace)
        session = _SESSIONS[str(con.execute("select _session(null)").fetchall()[0][0])]
        session.workspace = session.workspace or workspace
        if workspace not in (None, session.workspace):
            raise BadParameter(
                f"the workspace is {str(workspace)!r}, and an engine of this database has `{session.workspace}`",
                "leave it out, or name it the first time",
            )
        return session

    @contextlib.contextmanager
    def blindly(self) -> Iterator[None]:
        """A block in which this thread creates macros that do not look at the catalogue."""
        self._creating.is_blind = True
        try:
            yield
        finally:
            self._creating.is_blind = False

    def is_blind(self) -> bool:
        """Whether this thread is in such a block."""
        return getattr(self._creating, "is_blind", False)

    def lookup_cursor(self, name: str) -> duckdb.DuckDBPyConnection:
        """A cursor that sees the database, and the frame registered under a name if there is one."""
        cursor, who = self._con.cursor(), access.user()
        if name in self.frames and who in (None, self.frame_users.get(name)):
            cursor.register(name, self.frames[name])
        return cursor

    @contextlib.contextmanager
    def macro_cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor that has the macros of features, for one user at a time."""
        with self._lock:
            if self._macros is None:
                self._macros = self._con.cursor()
                for file in macro_files():
                    if file.stem == FEATURE_MACROS:
                        self._macros.execute(file.read_text(encoding="utf-8"))
            yield self._macros

    def is_variable(self, cursor: duckdb.DuckDBPyConnection, name: str) -> bool:
        """Whether a name is a frame in a Python variable; the query may yet see an uncommitted table of that name."""
        if name in self.frames or self._variable(name) is None:
            return False
        tables = f"select count(*) from ({USER_TABLES}) where lower(table_name) = lower(?)"
        return cursor.execute(tables, [name]).fetchall() == [(0,)]

    def refuse_single_use(self, name: str) -> None:
        """Raise SourceSingleUse when a variable or a registered name holds a reader."""
        frames.refuse_reader(name, self.frames[name] if name in self.frames else self._variable(name))

    def _variable(self, name: str) -> object | None:
        """The frame in a caller's variable; none for whoever must not look into this process."""
        return None if self.is_confined or access.user() is not None else frames.find(name)

    def select(self, name: str, chosen: source.Roles) -> str:
        """The SELECT of a source, with the columns that the macros need."""
        self.refuse_single_use(name)
        return source.select_relation(*self.resolved(name), chosen, name.startswith(source.SNAPSHOT))

    def relation(self, name: str) -> str:
        """A source as it stands in FROM."""
        return self.resolved(name)[0]

    def resolved(self, name: str) -> tuple[str, dict[str, str] | None]:
        """A source as it stands in FROM, and its columns with their types (None where they cannot be seen)."""
        with contextlib.closing(self.lookup_cursor(name)) as cursor:
            if access.user() is not None and not access.is_vouched():
                return self._reached(cursor, name)
            return source.resolve(cursor, name, self.workspace, not self.is_variable(cursor, name))

    def _reached(self, cursor: duckdb.DuckDBPyConnection, name: str) -> tuple[str, dict[str, str] | None]:
        """The same for a restricted user; AccessDenied and UnknownSource where the name is not for them."""
        if name.startswith(source.SNAPSHOT):
            snapshot = name.removeprefix(source.SNAPSHOT)
            if (access.user(), snapshot) not in self._running():
                reachable.check_snapshot(cursor, snapshot)
            return source.resolve(cursor, name, self.workspace)
        relation = identifier(name) if name in self.frames else reachable.named_relation(cursor, name)
        if relation is not None and (name not in self.frames or self.frame_users.get(name) == access.user()):
            return relation, source.described(cursor, relation, name)
        if (version := versions.find(cursor, name)) is not None:
            return source.of_version(name, version, self.workspace), version.columns
        return reachable.passing(cursor, name, reachable.team_names(cursor) + versions.names(cursor)), None

    def _running(self) -> set[tuple[str | None, str | None]]:
        """The snapshots that runs in progress have made, with the users of these."""
        return {(progress.user, progress.snapshot) for progress in list(self.runs.values())}

    def _is_relation(self, cursor: duckdb.DuckDBPyConnection, name: str) -> bool:
        if access.user() is not None and not access.is_vouched():
            return name in self.frames or reachable.named_relation(cursor, name) is not None
        return source.is_relation(cursor, name)

    def version(self, name: str) -> versions.Version | None:
        """The version of a dataset that a source names; None where it is something else."""
        with contextlib.closing(self.lookup_cursor(name)) as cursor:
            if not self.is_variable(cursor, name) and (found := versions.find(cursor, name)) is not None:
                return None if self._is_relation(cursor, name) else found
        return None

    def in_order(self, name: str) -> tuple[str, str | None]:
        """A source as it stands in FROM, and the column that numbers its rows as they are stored, if it has one."""
        relation, types = self.resolved(name)
        if (version := self.version(name)) is not None:
            rows = source.numbered(snapshots.path_of(self.workspace, version.snapshot))
            return rows if versions.is_address(name) else versions.unshadowed(rows, version), source.PLACE
        if source.PLACE in (types or {}):
            return relation, source.PLACE
        with contextlib.closing(self.lookup_cursor(name)) as cursor, contextlib.suppress(duckdb.Error):
            cursor.execute(f"describe select rowid from {relation}")
            return relation, "rowid"
        return relation, None

    def scratch(self) -> Path | None:
        """The folder for what a load needs for a while; None for the system's own, closed to a confined database."""
        return self.workspace / UPLOADS if self.is_confined and self.workspace is not None else None

    def close(self) -> None:
        """Let go of the lookup connection and the models, once the log is written."""
        for log in (self.log, self.asked):
            if log is not None:
                log.close()
        self.frames.clear()
        self.frame_users.clear()
        self.runs.clear()
        self.cache = ModelCache()
        if self._macros is not None:
            self._macros.close()
        self._con.close()


def _place(con: duckdb.DuckDBPyConnection) -> tuple[bool, Path | None]:
    """Whether a connection's database is read-only, and the workspace folder beside its file, if it has one."""
    found = con.execute(
        "select readonly, path from duckdb_databases() where database_name = current_database()"
    ).fetchall()
    read_only, path = found[0] if found else (False, None)
    return bool(read_only), Path(f"{path}{WORKSPACE}") if path else None
