"""The one database that a server serves, and the cursors by which requests reach it."""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec
from anyio import to_thread

import pynomaly
from pynomaly.engine import Engine
from pynomaly.errors import PynomalyError
from pynomaly_server.accounts import Accounts
from pynomaly_server.identity import Identity
from pynomaly_server.jobs import Jobs
from pynomaly_server.metrics import CURSORS
from pynomaly_server.options import Options
from pynomaly_server.permissions import ROLES, Permission

ACCOUNTS = "auth.duckdb"
IDLE_CURSORS = 16  # kept with their macros for the next request


class Workspace:
    """A database, its accounts and its jobs; one process has one."""

    def __init__(self, options: Options) -> None:
        start = options.start
        self.options = options
        self.engine = pynomaly.connect(
            start.database,
            read_only=start.read_only,
            memory_limit=start.memory_limit,
            threads=start.threads,
            confined=True,
            query_log=False,
        )
        self.folder = Path(f"{start.database}.files").absolute()
        self.generation = 0  # of what can be read: every change is another one
        self.is_ready = False
        self.is_draining = False
        self._idle: deque[Engine] = deque()
        self._lock = threading.Lock()
        self.read_settings()
        self.accounts = Accounts(self.folder / ACCOUNTS)
        self.jobs = Jobs(self, self._sees_all)

    @contextlib.contextmanager
    def acting(self, identity: Identity | None) -> Iterator[Engine]:
        """A cursor that acts as a user, given back at the end; nobody's sees what is public to all."""
        cursor = self._taken()
        CURSORS.inc()
        try:
            if identity is not None:
                cursor.act_as(identity.user, identity.sees_all)
            else:
                cursor.act_as("", False)
            yield cursor
        finally:
            CURSORS.dec()
            self._give_back(cursor)

    @contextlib.contextmanager
    def own(self) -> Iterator[Engine]:
        """A cursor for the server's own rows, which sees everything."""
        cursor = self._taken()
        try:
            cursor.act_as("server", True)
            yield cursor
        finally:
            self._give_back(cursor)

    def start(self) -> None:
        """Take up the work that was left, and be ready."""
        self.jobs.start()
        self.is_ready = True

    async def drain(self) -> None:
        """Take no more work, let what runs end or give it back to the queue."""
        self.is_draining = True
        await to_thread.run_sync(self.jobs.drain, self.options.start.drain_seconds)

    def changed(self) -> None:
        """Tell that something was written: answers that were kept are out of date."""
        self.generation += 1

    def read_settings(self) -> None:
        """Take the settings that the database's rows give."""
        rows = self.engine.execute("select name, value from settings() where changed_at is not null").fetchall()
        self.options.set_rows({name: msgspec.json.decode(value) for name, value in rows if value is not None})

    def close(self) -> None:
        """Write what is not written yet and close the database."""
        with contextlib.suppress(PynomalyError):
            if not self.options.start.read_only:
                self.engine.execute("checkpoint").fetchall()
        self.engine.close()
        self.accounts.close()

    def _sees_all(self, name: str) -> bool:
        """Whether a user sees the rows of others, now."""
        user = self.accounts.users.find(name)
        return user is not None and not user.disabled and Permission.SEE_ALL in ROLES[user.role]

    def _taken(self) -> Engine:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self.engine.cursor()

    def _give_back(self, cursor: Engine) -> None:
        try:
            cursor.rest()
        except PynomalyError:
            cursor.close()
            return
        with self._lock:
            if len(self._idle) < IDLE_CURSORS:
                self._idle.append(cursor)
                return
        cursor.close()
