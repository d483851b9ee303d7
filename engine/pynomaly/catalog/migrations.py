"""The catalogue's tables: numbered SQL files, each applied once; what is missing comes in one transaction."""

import hashlib
import re
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

import duckdb
import msgspec

from pynomaly.errors import CatalogChanged, CatalogNewer, CatalogOlder
from pynomaly.paths import migration_files

_LEDGER = """
create schema if not exists pynomaly;
create table if not exists pynomaly.migrations (
    number integer primary key,
    name varchar not null,
    checksum varchar not null,
    applied_at timestamptz not null default now()
);
comment on table pynomaly.migrations is 'The migrations that made this catalogue, one a row';
comment on column pynomaly.migrations.number is 'Number of the migration; they are applied in this order';
comment on column pynomaly.migrations.name is 'Name of its file';
comment on column pynomaly.migrations.checksum is 'SHA-256 of its text';
comment on column pynomaly.migrations.applied_at is 'When it was applied to this database';
"""


_THERE = """
select table_name, sql from duckdb_tables() where database_name = current_database() and schema_name = 'pynomaly'
union all
select view_name, sql from duckdb_views() where database_name = current_database() and schema_name = 'pynomaly'
"""


_COLUMNS = """
select table_name, column_name from duckdb_columns()
where database_name = current_database() and schema_name = 'pynomaly'
"""


class Migration(msgspec.Struct, frozen=True):
    """One migration: its number, the name and the text of its file, and the SHA-256 of that text."""

    number: int
    name: str
    sql: str
    checksum: str


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration of this release in its order."""
    return tuple(map(_read, migration_files()))


def _read(path: Path) -> Migration:
    sql = path.read_text(encoding="utf-8")
    return Migration(int(path.stem.partition("_")[0]), path.stem, sql, hashlib.sha256(sql.encode()).hexdigest())


def applied(con: duckdb.DuckDBPyConnection) -> dict[int, str]:
    """The checksums of the migrations that a database has, by number; none where there is no catalogue."""
    # A table that is not there would be looked for among the variables of Python.
    there = con.execute(
        "select 1 from duckdb_tables() where database_name = current_database() and schema_name = 'pynomaly' "
        "and table_name = 'migrations'"
    ).fetchall()
    if not there:
        return {}
    rows = con.execute("select number, checksum from pynomaly.migrations order by number").fetchall()
    return {int(number): str(checksum) for number, checksum in rows}


def migrate(con: duckdb.DuckDBPyConnection, read_only: bool = False) -> None:
    """Bring the catalogue up to this release.

    Raises CatalogNewer for one of a newer release, CatalogChanged where a migration was another one, and
    CatalogOlder where the database is read-only and of an older release; one without a catalogue is none of them.
    """
    there, known = applied(con), migrations()
    check(there, known)
    missing = [migration for migration in known if migration.number not in there]
    if missing and read_only and there:
        raise CatalogOlder("the catalogue is of an older release", "open the database once without read_only")
    if missing and not read_only:
        _apply(con, missing)


def check(there: dict[int, str], known: tuple[Migration, ...]) -> None:
    """Raise CatalogNewer or CatalogChanged unless what is there was made by these migrations."""
    checksums = {migration.number: migration.checksum for migration in known}
    newer = [number for number in there if number not in checksums]
    if newer:
        raise CatalogNewer(
            f"the catalogue has migration {max(newer)} and this release knows {max(checksums, default=0)}",
            "upgrade Pynomaly to the release that wrote the database",
        )
    for number, checksum in there.items():
        if checksums[number] != checksum:
            raise CatalogChanged(
                f"migration {number} of this database is not the one of this release",
                "restore the database from a copy, or export its models and import them into a new one",
            )


def _apply(con: duckdb.DuckDBPyConnection, missing: Sequence[Migration]) -> None:
    """Apply migrations, all or none: in the open transaction, or in one of their own."""
    if is_in_transaction(con):
        _run(con, missing)
        return
    con.execute("begin")
    try:
        _run(con, missing)
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise


def is_in_transaction(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the caller's transaction is open: outside of one every statement has another."""
    first, second = (con.execute("select txid_current()").fetchone() for _ in range(2))
    return first == second


def _run(con: duckdb.DuckDBPyConnection, missing: Sequence[Migration]) -> None:
    sql = _LEDGER + "\n".join(migration.sql for migration in missing)
    try:
        con.execute(_without_comments(sql) if _is_in_memory(con) else sql)
    except duckdb.CatalogException as error:
        raise CatalogChanged(
            f"the catalogue is not as its record of migrations says: {str(error).splitlines()[0]}",
            "restore the database from a copy",
        ) from None
    con.execute(
        "insert into pynomaly.migrations (number, name, checksum) "
        "select unnest(?::integer[]), unnest(?::varchar[]), unnest(?::varchar[])",
        [[getattr(migration, field) for migration in missing] for field in ("number", "name", "checksum")],
    )


def _is_in_memory(con: duckdb.DuckDBPyConnection) -> bool:
    found = con.execute("select path is null from duckdb_databases() where database_name = current_database()")
    return bool(found.fetchall()[0][0])


@cache
def _without_comments(sql: str) -> str:
    """A migration without its comments on tables and columns: they take half the time, and help who reads a file."""
    return re.sub(r"^comment on .*\n", "", sql, flags=re.MULTILINE)


@cache
def tables() -> dict[str, str]:
    """The tables and views of the catalogue with the statements that make them."""
    with duckdb.connect() as con:
        migrate(con)
        made = con.execute(_THERE).fetchall()
    return {str(name): str(sql) for name, sql in made}


def check_table(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Whether a database has a table of the catalogue; CatalogChanged where it had and somebody has dropped it."""
    try:
        con.execute(f"pragma table_info('pynomaly.{table}')").fetchall()  # a SELECT might find a variable of Python
    except duckdb.CatalogException:
        if len(applied(con)) == len(migrations()):
            raise _dropped(table) from None
        return False
    return True


def changed_catalog(con: duckdb.DuckDBPyConnection, error: Exception) -> CatalogChanged | None:
    """The error behind one of DuckDB's binder that names a table or a column of the catalogue that is gone.

    DuckDB itself may have taken a variable of Python for the table, and complain about that without a name.
    """
    if not isinstance(error, duckdb.CatalogException | duckdb.BinderException | duckdb.InvalidInputException):
        return None
    words = set(re.findall(r"\w+", str(error)))
    is_mistaken = isinstance(error, duckdb.InvalidInputException)
    with suppress(duckdb.Error), closing(con.cursor()) as cursor:
        if len(applied(cursor)) < len(migrations()):
            return None
        there = {(str(table), str(column)) for table, column in cursor.execute(_COLUMNS).fetchall()}
        intact = {table for table, _ in there}
        for table, column in sorted(known_columns() - there):
            if table not in intact and (table in words or is_mistaken):
                return _dropped(table)
            if table in intact and column in words:
                return _altered(table, column)
    return None


@cache
def known_columns() -> set[tuple[str, str]]:
    """Every column of the catalogue, after its table or view."""
    with duckdb.connect() as con:
        migrate(con)
        return {(str(table), str(column)) for table, column in con.execute(_COLUMNS).fetchall()}


def _dropped(table: str) -> CatalogChanged:
    return CatalogChanged(
        f"table pynomaly.{table} was dropped", f"restore the database from a copy, or begin it anew: {tables()[table]}"
    )


def _altered(table: str, column: str) -> CatalogChanged:
    return CatalogChanged(
        f"column `{column}` of pynomaly.{table} was dropped or renamed",
        "give it back its name, or restore the database from a copy",
    )


@cache
def columns(table: str) -> dict[str, str]:
    """The columns of a catalogue table with their types."""
    with duckdb.connect() as con:
        migrate(con)
        described = con.execute(f"describe pynomaly.{table}").fetchall()
    return {str(row[0]): str(row[1]) for row in described}


def empty_select(table: str) -> str:
    """A SELECT without rows that has the columns of a catalogue table, for a database that has no catalogue."""
    return f"select {', '.join(f'null::{kind} as {name}' for name, kind in columns(table).items())} where false"
