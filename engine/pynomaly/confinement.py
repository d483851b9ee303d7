"""What SQL from users may contain: one SELECT of known parts, over tables and functions that they may name.

The statement is taken as DuckDB parses it, and every part of the tree has to be known; strings that name something are
checked where they are looked up (`pynomaly.access`, `pynomaly.reachable`). What is checked is what runs: where datasets
stand in FROM by their names, the statement is written anew with their files in place.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import duckdb
import msgspec

from pynomaly import access, nodes, reachable, sizes, versions
from pynomaly.errors import (
    AccessDenied,
    AmbiguousSource,
    BadParameter,
    InvalidSql,
    UnknownSource,
    did_you_mean,
    shown_line,
)
from pynomaly.macros import library
from pynomaly.paths import sql_folder
from pynomaly.quoting import literal
from pynomaly.source import first_line
from pynomaly.versions import Version

MOST_CHARACTERS = 50_000
_DENIED = frozenset({"vacuum_catalog", "change_setting", "import_model", "export_model"})
OF_RUNS = frozenset({"_run_results", "_run_results_of", "_run_rows", "_run_rows_of"})  # each asks who may see the run
_TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series", "json_each", "json_tree", "regexp_split_to_table"})
_MACRO = re.compile(r"create or replace temp macro (\w+)\(")
_SCHEMAS = ("pynomaly", "information_schema", "pg_catalog", "system", "temp")
Node = dict[str, Any]
PathOf = Callable[[Version], str]


class Checked(msgspec.Struct, frozen=True):
    """A statement that may run, as it will, and the versions of datasets that it reads by bare names."""

    sql: str
    datasets: list[str]


@cache
def functions() -> frozenset[str]:
    """The functions of DuckDB that only compute: those in the list, whatever else a release brings."""
    return frozenset((sql_folder() / "confined_functions.txt").read_text(encoding="utf-8").split("\n"))


@cache
def macros() -> frozenset[str]:
    """The macros that anybody may call: all that do not begin with an underline, but for a few."""
    named = {name for text in library().text.values() for name in _MACRO.findall(text)}
    return frozenset(name for name in named if not name.startswith("_")) - _DENIED


def checked(con: duckdb.DuckDBPyConnection, sql: str, path_of: PathOf) -> Checked:
    """One SELECT that the user at work may run; AccessDenied or another error that says what is in the way.

    `con` looks names up, and `path_of` tells the file of a version. Raises InvalidSql for what is not one SELECT.
    """
    tree = parsed(con, sql)
    walk = _Walk(con, path_of)
    walk.statement(tree)
    return Checked(_written(con, tree) if walk.datasets else sql, sorted(walk.datasets))


def check_expression(con: duckdb.DuckDBPyConnection, expression: str) -> None:
    """Refuse an expression that the user at work may not have in a query of theirs."""
    checked(con, f"select ({expression}\n)", _no_path)


def parsed(con: duckdb.DuckDBPyConnection, sql: str) -> Node:
    """One SELECT as a tree."""
    if len(sql) > MOST_CHARACTERS:
        raise BadParameter(f"the statement has {len(sql):,} characters", f"give {MOST_CHARACTERS:,} at most")
    if "\0" in sql:
        raise InvalidSql("the statement has a NUL character", "leave it out")
    try:
        found = con.extract_statements(sql)
    except (duckdb.Error, UnicodeError) as error:
        refused = InvalidSql(first_line(error), "correct the statement")
        refused.at = shown_line(error)
        raise refused from None
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        raise AccessDenied(f"this is {_told(found)}", "give one SELECT") from None
    try:
        text = con.execute("select json_serialize_sql(?::varchar)", [sql]).fetchall()[0][0]
    except (duckdb.Error, UnicodeError) as error:
        raise InvalidSql(first_line(error), "correct the statement") from None
    tree: Node = _decoded(text)
    if tree.get("error") is not False or len(tree["statements"]) != 1:
        raise AccessDenied(str(tree.get("error_message", "this is no SELECT")), "give one SELECT")
    return tree


def _decoded(text: str) -> Node:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise AccessDenied("the statement is nested too deeply", "write it with fewer levels") from None


def _told(found: list[Any]) -> str:
    if len(found) != 1:
        return f"{len(found)} statements"
    return f"a statement of kind {found[0].type.name}"


def _written(con: duckdb.DuckDBPyConnection, tree: Node) -> str:
    rows = con.execute("select json_deserialize_sql(?::json)", [msgspec.json.encode(tree).decode()]).fetchall()
    return str(rows[0][0])


def _no_path(_version: Version) -> str:
    raise AccessDenied("an expression reads no dataset", "name it in a rule of kind `reference`")


class _Walk:
    """One walk through a tree, which writes the files of datasets into it."""

    def __init__(self, con: duckdb.DuckDBPyConnection, path_of: PathOf) -> None:
        self._con = con
        self._path_of = path_of
        self._ctes: set[str] = set()
        self._size = 1
        self.datasets: set[str] = set()
        self._handlers: dict[str, Callable[[Node], str | None]] = {  # which key needs no further look
            "FUNCTION": self._function,
            "WINDOW": self._function,
            "BASE_TABLE": self._table,
            "TABLE_FUNCTION": self._table_function,
            "PIVOT": self._pivot,
            "TYPE": self._type,
        }

    def statement(self, tree: Node) -> None:
        """Look at every node; the names of CTEs come first, for they may stand before their definition."""
        sizes.weight(tree["statements"], {}, macros())
        self._collect(tree["statements"])
        self._list(tree["statements"], "statements")

    def _collect(self, value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                self._collect(item)
        elif isinstance(value, dict):
            entries = value["cte_map"].get("map", []) if isinstance(value.get("cte_map"), dict) else []
            self._ctes.update(str(entry["key"]).lower() for entry in entries)
            for item in value.values():
                self._collect(item)

    def _list(self, items: list[Any], place: str) -> None:
        for item in items:
            if isinstance(item, dict):
                self._node(item, place)
            elif isinstance(item, list):
                self._list(item, place)

    def _node(self, node: Node, place: str) -> None:
        known = nodes.kind_of(node, place)
        if known is None:
            kind = str(node.get("class", node.get("type", place)))
            raise AccessDenied(f"`{kind.lower()}` cannot be part of a query here", "leave it out")
        kind, keys = known
        if not node.keys() <= keys:
            raise AccessDenied(f"`{min(node.keys() - keys)}` cannot be part of a query here", "leave it out")
        done = self._handlers[kind](node) if kind in self._handlers else None
        for key, value in node.items():
            if key == done:
                continue
            if isinstance(value, dict):
                self._node(value, key)
            elif isinstance(value, list):
                self._list(value, key)

    def _function(self, node: Node) -> str | None:
        name = _name_of(node, "function_name")
        if name not in functions() and name not in macros():
            raise AccessDenied(f"function `{name}` cannot be called here", did_you_mean(name, macros()))
        if name not in macros():
            self._size *= sizes.size(name, [argument["expression"] for argument in node["arguments"]])
        if self._size > sizes.LARGEST:
            raise AccessDenied("the values that the statement makes would be too long", "use range() in FROM")
        return None

    def _table_function(self, node: Node) -> str | None:
        function = node["function"]
        is_call = function.get("class") == "FUNCTION" and function.keys() <= nodes.EXPRESSIONS["FUNCTION"]
        if not is_call or function["filter"] or function["distinct"] or function["order_bys"]["orders"]:
            raise AccessDenied("that cannot stand in FROM here", reachable.REFUSED)
        name = _name_of(function, "function_name")
        if name not in _TABLE_FUNCTIONS | OF_RUNS | macros():
            raise AccessDenied(f"table function `{name}` cannot be called here", reachable.REFUSED)
        self._list(function["arguments"], "arguments")
        return "function"

    def _pivot(self, node: Node) -> str | None:
        if any(pivot["pivot_enum"] for pivot in node["pivots"]):
            raise AccessDenied("a pivot over a type cannot be part of a query here", "name its values with IN (...)")
        return None

    def _type(self, node: Node) -> str | None:
        if node["catalog"] or node["schema"] or len(node["qualified_name"]["path"]) != 1:
            raise AccessDenied("a type of another schema cannot be named here", "give one of DuckDB's, such as INTEGER")
        return None

    def _table(self, node: Node) -> str | None:
        if node["at_clause"] is not None:
            raise AccessDenied("`at` cannot be part of a query here", "name a version of a dataset as in payments@3")
        parts = [str(part) for part in node["qualified_name"]["path"] if part]
        if parts != [str(node[key]) for key in ("catalog_name", "schema_name", "table_name") if node[key]]:
            raise AccessDenied("that cannot stand in FROM here", reachable.REFUSED)
        *schemas, name = parts
        is_cte = name.lower() in self._ctes
        if is_cte and schemas == ["recurring"]:
            return None
        version = None if schemas else versions.find(self._con, name)
        if version is not None and is_cte:
            raise AmbiguousSource(
                f"`{name}` is a dataset and also a CTE of this query",
                f'write "{version.address}" for the dataset, or call the CTE something else',
            )
        if reachable.team_table(self._con, parts) is not None:
            return None
        if version is not None:
            self._read(node, version)
            return "function"
        if {schema.lower() for schema in schemas} & set(_SCHEMAS):
            raise AccessDenied("that schema cannot be named here", reachable.REFUSED)
        self._pass(name, is_cte and not schemas)
        return None

    def _pass(self, name: str, is_cte: bool) -> None:
        """Let the name of a CTE pass that can be nothing else where no CTE has it."""
        known = [*reachable.team_names(self._con), *versions.names(self._con)]
        reachable.passing(self._con, access.qualified(name), known)
        if not is_cte:
            raise UnknownSource(f"source `{name[:200]}` not found", did_you_mean(name, known) or reachable.REFUSED)

    def _read(self, node: Node, version: Version) -> None:
        """Write the file of a version in place of its name."""
        self.datasets.add(version.address)
        tree = self._con.execute(
            "select json_serialize_sql(?)", [f"from read_parquet({literal(self._path_of(version))})"]
        ).fetchall()[0][0]
        made = msgspec.json.decode(tree)["statements"][0]["node"]["from_table"]
        kept = {key: node[key] for key in ("sample", "column_name_alias", "query_location", "query_location_length")}
        alias = node["alias"] or version.name
        node.clear()
        node.update({**made, **kept, "alias": alias})


def _name_of(node: Node, key: str) -> str:
    """The name of a function; AccessDenied where it is qualified."""
    if node["catalog"] or node["schema"] or node["qualified_name"]["path"] != [node[key]]:
        raise AccessDenied("a function of a schema cannot be called here", "call it by its name alone")
    return str(node[key]).lower()
