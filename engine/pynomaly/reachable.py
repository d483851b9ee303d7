"""The sources that a restricted user reaches by a name: the team's tables, datasets that they see, what they saved.

Everything else is refused before DuckDB hears of it: files, addresses, variables of Python, the catalogue's tables, and
what DuckDB tells of itself. A plain name that nothing has may be a CTE of the query, and passes as an identifier.
"""

import re

import duckdb

from pynomaly import access, urls
from pynomaly.errors import AccessDenied, UnknownSource, did_you_mean

_PIECE = re.compile(r'"((?:[^"]|"")+)"|(\w+)')
_NAME = re.compile(r'(?:(?:"(?:[^"]|"")+"|\w+)\.){0,2}(?:"(?:[^"]|"")+"|\w+)')
_PLAIN = re.compile(r"[\w $-]+")
_TEAM = """
select database_name, schema_name, table_name
from (
    select database_name, schema_name, table_name, internal, temporary from duckdb_tables()
    union all
    select database_name, schema_name, view_name, internal, temporary from duckdb_views()
)
where not internal and not temporary and schema_name <> 'pynomaly' and database_name = current_database()
"""
_SAME = """
and lower(table_name) = lower($table) and (
    lower(schema_name) = lower(coalesce($schema, current_schema()))
    and lower(database_name) = lower(coalesce($database, current_database()))
    or $database is null and lower(database_name) = lower($schema) and schema_name = current_schema()
)
"""
_OWN = """
select 1 from duckdb_views() where internal and lower(view_name) = lower(?)
union all select 1 from duckdb_functions() where function_type = 'table' and lower(function_name) = lower(?)
"""
_SNAPSHOT = """
select 1 from {versions} where snapshot = $hash
union all select 1 from {runs} where snapshot = $hash
limit 1
"""
REFUSED = "datasets, and tables and views of the workspace, can be named here"


def pieces(name: str) -> list[str]:
    """The parts of a name as SQL writes it, the quotes taken away; none where it is no name."""
    if not _NAME.fullmatch(name):
        return []
    return [quoted.replace('""', '"') or plain for quoted, plain in _PIECE.findall(name)]


def team_table(cursor: duckdb.DuckDBPyConnection, parts: list[str]) -> str | None:
    """The whole name of a committed table or view outside the catalogue; None where these parts name none."""
    table, schema, database = ([*parts[::-1], None, None])[:3]
    rows = cursor.execute(f"{_TEAM} {_SAME}", {"table": table, "schema": schema, "database": database}).fetchall()
    return access.qualified(*map(str, rows[0])) if rows else None


def team_names(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """The names of the team's tables and views."""
    return [str(row[2]) for row in cursor.execute(_TEAM).fetchall()]


def named_relation(cursor: duckdb.DuckDBPyConnection, source: str) -> str | None:
    """A table or view as it stands in FROM, by its name as it is or as SQL writes it; None where there is none."""
    if team_table(cursor, [source]) is not None:
        return access.qualified(source)  # a CTE of the query goes before it
    parts = pieces(source)
    found = team_table(cursor, parts) if parts and parts != [source] else None
    return access.qualified(parts[0]) if found is not None and len(parts) == 1 else found


def check_snapshot(cursor: duckdb.DuckDBPyConnection, snapshot: str) -> None:
    """Raise UnknownSource for a snapshot that belongs to no version and no run that the user at work sees."""
    select = _SNAPSHOT.format(versions=access.visible("live_dataset_versions"), runs=access.visible("runs"))
    if not cursor.execute(select, {"hash": snapshot}).fetchall():
        raise UnknownSource("there is no such snapshot", REFUSED)


def passing(cursor: duckdb.DuckDBPyConnection, source: str, known: list[str]) -> str:
    """A name that nothing has as an identifier, for it may be a CTE; AccessDenied for what could be anything else."""
    if urls.scheme(source) is not None or re.search(r"[/\\:*?\[\]]", source):
        raise AccessDenied("files and addresses cannot be named here", REFUSED)
    parts = [part.lower() for part in pieces(source)]
    if {"pynomaly", "information_schema", "pg_catalog", "system", "temp"} & set(parts[:-1]):
        raise AccessDenied("that schema cannot be named here", REFUSED)
    name = parts[0] if len(parts) == 1 else source
    if len(parts) == 1 and cursor.execute(_OWN, [name, name]).fetchall():
        raise AccessDenied("what the database tells of itself cannot be named here", REFUSED)
    if not _PLAIN.fullmatch(name):
        raise UnknownSource(f"source `{source[:200]}` not found", did_you_mean(source, known) or REFUSED)
    return access.qualified(source if len(parts) != 1 else pieces(source)[0])
