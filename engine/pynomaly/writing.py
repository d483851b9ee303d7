"""Statements that change a table of the workspace: what follows their head is checked like a SELECT."""

import re

import duckdb

from pynomaly import reachable, versions
from pynomaly.confinement import Checked, PathOf, parsed
from pynomaly.confinement import checked as checked_select
from pynomaly.errors import AccessDenied, InvalidSql, UnknownSource
from pynomaly.source import first_line

_NAME = r'(?P<name>(?:(?:"(?:[^"]|"")+"|\w+)\.){0,2}(?:"(?:[^"]|"")+"|\w+))'
_COLUMNS = r'(?:\s*\(\s*(?:"(?:[^"]|"")+"|\w+)(?:\s*,\s*(?:"(?:[^"]|"")+"|\w+))*\s*\))?'
_CREATE = re.compile(
    rf"\s*create\s+(?:or\s+replace\s+)?(?:table|view)\s+(?:if\s+not\s+exists\s+)?{_NAME}{_COLUMNS}\s+as\b",
    re.IGNORECASE,
)
_INSERT = re.compile(rf"\s*insert\s+into\s+{_NAME}{_COLUMNS}(?:\s+by\s+(?:name|position))?(?=[\s(])", re.IGNORECASE)
_UPDATE = re.compile(rf"\s*update\s+{_NAME}\s+set\b", re.IGNORECASE)
_DELETE = re.compile(rf"\s*delete\s+from\s+{_NAME}(?=\s|;|$)", re.IGNORECASE)
_DROP = re.compile(rf"\s*drop\s+(?:table|view)\s+(?:if\s+exists\s+)?{_NAME}\s*;?\s*", re.IGNORECASE)
_KINDS = duckdb.StatementType


def checked(con: duckdb.DuckDBPyConnection, sql: str, path_of: PathOf) -> Checked:
    """One SELECT, or one change of a table of the workspace, that may run; AccessDenied for anything else."""
    try:
        found = con.extract_statements(sql)
    except (duckdb.Error, UnicodeError) as error:
        raise InvalidSql(first_line(error), "correct the statement") from None
    kind = found[0].type if len(found) == 1 else None
    if kind in (_KINDS.CREATE, _KINDS.INSERT):
        return _from_select(con, sql, _CREATE if kind == _KINDS.CREATE else _INSERT, path_of)
    if kind in (_KINDS.UPDATE, _KINDS.DELETE):
        return _in_place(con, sql, _UPDATE if kind == _KINDS.UPDATE else _DELETE, path_of)
    if kind == _KINDS.DROP and (head := _DROP.fullmatch(sql)) is not None:
        _check_table(con, head["name"])
        return Checked(sql, [])
    return checked_select(con, sql, path_of)


def _from_select(con: duckdb.DuckDBPyConnection, sql: str, shape: re.Pattern[str], path_of: PathOf) -> Checked:
    """CREATE ... AS and INSERT: a head, and a SELECT."""
    head = _head(sql, shape)
    if shape is _CREATE:
        _check_new(con, head["name"])
    else:
        _check_table(con, head["name"])
    rows = checked_select(con, sql[head.end() :], path_of)
    return Checked(f"{head[0]} {rows.sql}", rows.datasets)


def _in_place(con: duckdb.DuckDBPyConnection, sql: str, shape: re.Pattern[str], path_of: PathOf) -> Checked:
    """UPDATE and DELETE: what follows their head reads as the end of a SELECT."""
    head = _head(sql, shape)
    _check_table(con, head["name"])
    rest = sql[head.end() :]
    select = f"select {rest}" if shape is _UPDATE else f"select 1 from {head['name']} {rest}"
    parsed(con, select)
    if checked_select(con, select, path_of).datasets:
        raise AccessDenied("a change in place reads no dataset", "make a table of it first")
    return Checked(sql, [])


def _head(sql: str, shape: re.Pattern[str]) -> re.Match[str]:
    head = shape.match(sql)
    if head is None:
        raise AccessDenied(
            "this change cannot be made here", "write CREATE TABLE or VIEW ... AS, INSERT, UPDATE, DELETE or DROP"
        )
    return head


def _check_table(con: duckdb.DuckDBPyConnection, name: str) -> None:
    if reachable.team_table(con, reachable.pieces(name)) is None:
        raise UnknownSource(f"there is no table `{name}` in the workspace", reachable.REFUSED)


def _check_new(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Refuse a name that belongs to the catalogue or to DuckDB, or that a dataset has."""
    *schemas, table = reachable.pieces(name)
    if schemas not in ([], ["main"]):
        raise AccessDenied("tables and views are made in the main schema", "leave the schema out")
    reachable.passing(con, f'"{table}"', [])
    if table in versions.names(con):
        raise AccessDenied(f"`{table}` is a dataset", "choose another name")
