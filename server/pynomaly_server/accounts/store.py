"""The file of the accounts: one DuckDB instance of its own, one connection, one lock."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import msgspec

from pynomaly.catalog.migrations import Migration, check
from pynomaly.quoting import identifier
from pynomaly_server.accounts.records import TABLES

Record = TypeVar("Record", bound=msgspec.Struct)

_CONFIG: dict[str, Any] = {
    "threads": 1,
    "memory_limit": "64MB",
    "enable_external_access": False,
    "python_enable_replacements": False,
    "lock_configuration": True,
}
_LEDGER = """
create table if not exists main.migrations (number integer primary key, checksum varchar not null);
comment on table main.migrations is 'The migrations that made this file, one a row';
comment on column main.migrations.number is 'Number of the migration; they are applied in this order';
comment on column main.migrations.checksum is 'SHA-256 of its text';
"""


class Store:
    """What the accounts keep; every call is safe from any thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)  # before anything is in it: the log beside the file has no mode of its own
        self.lock = threading.RLock()
        self._con = duckdb.connect(str(path), config=_CONFIG)
        try:
            path.chmod(0o600)
            self._migrate()
        except BaseException:
            self._con.close()
            raise

    def close(self) -> None:
        """Write everything into the file and let go of it."""
        with self.lock:
            self._con.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is saved inside; no other thread saves meanwhile."""
        with self.lock:
            self._con.execute("begin")
            try:
                yield
            except BaseException:
                self._con.execute("rollback")
                raise
            self._con.execute("commit")

    def load(self, kind: type[Record], where: str = "true", values: tuple[object, ...] = ()) -> list[Record]:
        """The rows of a table as records."""
        columns = ", ".join(map(identifier, kind.__struct_fields__))
        with self.lock:
            rows = self._con.execute(f"select {columns} from {_table(kind)} where {where}", list(values)).fetchall()
        return [kind(*map(_read, kind.__struct_fields__, row)) for row in rows]

    def save(self, *records: msgspec.Struct) -> None:
        """Write records of one kind, new ones or in the place of those with the same key."""
        kind = type(records[0])
        fields = kind.__struct_fields__
        row = "(" + ", ".join("?" * len(fields)) + ")"
        columns, rows = ", ".join(map(identifier, fields)), ", ".join([row] * len(records))
        values = [_written(name, getattr(record, name)) for record in records for name in fields]
        with self.lock:
            self._con.execute(f"insert or replace into {_table(kind)} ({columns}) values {rows}", values)

    @contextlib.contextmanager
    def if_free(self) -> Iterator[bool]:
        """Whether nobody else is writing: what a request only notes must not keep it waiting."""
        is_free = self.lock.acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                self.lock.release()

    def note(self, record: msgspec.Struct) -> None:
        """Write a record that nothing depends on: a full disk keeps nobody out."""
        with contextlib.suppress(duckdb.Error):
            self.save(record)

    def delete(self, kind: type[Record], where: str, values: tuple[object, ...] = ()) -> None:
        """Remove rows of a table."""
        with self.lock:
            self._con.execute(f"delete from {_table(kind)} where {where}", list(values))

    def _migrate(self) -> None:
        with self.transaction():
            self._con.execute(_LEDGER)
            there = dict(self._con.execute("select number, checksum from main.migrations").fetchall())
            known = _migrations()
            check(there, known)
            for migration in known:
                if migration.number not in there:
                    self._con.execute(migration.sql)
                    row = [migration.number, migration.checksum]
                    self._con.execute("insert into main.migrations values (?, ?)", row)


def _table(kind: type[msgspec.Struct]) -> str:
    return f"accounts.{identifier(TABLES[kind])}"


def _migrations() -> tuple[Migration, ...]:
    found = []
    for path in sorted((Path(__file__).parent / "migrations").glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        checksum = hashlib.sha256(sql.encode()).hexdigest()
        found.append(Migration(int(path.stem.partition("_")[0]), path.stem, sql, checksum))
    return tuple(found)


def _written(name: str, value: Any) -> Any:
    return msgspec.json.encode(value).decode() if name == "settings" else value


def _read(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return msgspec.json.decode(value) if name == "settings" else value
