"""Who sees what of the catalogue: a restricted user sees what is theirs and what is shared with them.

Names inside strings are looked up by functions of DuckDB, in whatever thread runs the query. Each of them takes the
user as its last argument, who is at work here while the function is (`by_user`); the engine's methods act for theirs.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Hashable, Iterator
from functools import cache, wraps
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from pynomaly.errors import AccessDenied, BadParameter, Conflict, InternalFailure
from pynomaly.paths import migration_files
from pynomaly.quoting import identifier, literal

KINDS = ("dataset", "model", "detector")  # what can be shared
_BARRIER = "limit 4611686018427387903"  # a filter of the caller, which may fail and tell, stays above it
_ORDER = {"dataset": "number", "model": "version", "detector": "version", "pipeline": "version", "rules": "version"}
_TABLES = {"dataset": "datasets", "model": "models", "detector": "detectors", "pipeline": "pipelines", "rules": "rules"}
_BY_NAME = {
    "datasets": "dataset",
    "dataset_versions": "dataset",
    "live_dataset_versions": "dataset",
    "quarantine": "dataset",
    "models": "model",
    "model_stages": "model",
    "detectors": "detector",
    "pipelines": "pipeline",
    "rules": "rules",
}
_BY_PERSON = {
    "runs": "created_by",
    "validations": "created_by",
    "jobs": "created_by",
    "queries": "created_by",
    "saved_queries": "created_by",
    "audit": "who",
}
_BY_RUN = ("results", "labels")
_FOR_ALL = ("settings", "migrations")
_COLUMN = {"models": "name", "model_stages": "name", "results": "run_id", "labels": "run_id"}
_VIEW = re.compile(r"create (?:or replace )?view pynomaly\.lineage as\n(.*?);", re.DOTALL)
_SHARED = """
select 1 from pynomaly.shares where kind = ? and name = ? and grantee in (?, '*')
group by grantee having not arg_max(revoked, number)
"""
_at_work = threading.local()

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])


@contextlib.contextmanager
def acting(user: str | None) -> Iterator[None]:
    """A block in which this thread looks names up for a user; None sees everything."""
    before = getattr(_at_work, "users", ())
    if not before:
        _at_work.known = {}
    _at_work.users = (*before, user)
    try:
        yield
    finally:
        _at_work.users = before


def once(key: Hashable, look: Callable[[], T]) -> T:
    """What is looked up for the user at work, the first time that it is there within the outermost of these blocks.

    That is mostly one statement, in which several macros ask for the same name.
    """
    known: dict[Hashable, Any] = _at_work.known
    place = (user(), key)
    value: T = known[place] if place in known else look()
    if value is not None:
        known[place] = value
    return value


def user() -> str | None:
    """For whom this thread looks names up; None for somebody who sees everything."""
    users: tuple[str | None, ...] = getattr(_at_work, "users", ())
    if not users:  # whoever forgets to say is refused
        raise InternalFailure("a name is looked up for nobody", "report it with the statement")
    return users[-1]


@contextlib.contextmanager
def vouching() -> Iterator[None]:
    """A block in which this thread reads files that the caller, and not the user, has named."""
    before, _at_work.is_vouched = is_vouched(), True
    try:
        yield
    finally:
        _at_work.is_vouched = before


def is_vouched() -> bool:
    """Whether this thread is in such a block."""
    return getattr(_at_work, "is_vouched", False)


def by_user(function: Function) -> Function:
    """A function of a macro whose last argument is the user for whom it looks names up."""

    @wraps(function)
    def call(self: object, *args: pa.Array) -> pa.Array:
        with acting(args[-1][0].as_py()):
            return function(self, *args[:-1])

    call.is_by_user = True  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def refuse_restricted(what: str) -> None:
    """Raise AccessDenied unless the user at work sees everything."""
    if user() is not None:
        raise AccessDenied(what, "ask an administrator")


def visible(table: str, barrier: bool = False, value: str | None = None) -> str:
    """A table or view of the catalogue as it stands in FROM, with the rows that the user at work sees.

    With `barrier` no condition of the query is looked at before; `value` chooses a model or a run already below it.
    """
    who = user()
    if who is None:
        return f"pynomaly.{table}"
    if table == "lineage":
        rows = re.sub(r"pynomaly\.(\w+)", lambda found: f"{visible(found[1])} as {found[1]}", _lineage())
    else:
        chosen = f" and seen.{_COLUMN[table]} = {literal(value)}" if value is not None else ""
        rows = f"select * from pynomaly.{table} as seen where {_condition(table, who)}{chosen}"
    return f"({rows} {_BARRIER})" if barrier else f"({rows})"


def _condition(table: str, who: str) -> str:
    """Which rows of a table, called `seen`, a user sees; every column is qualified, as macros have parameters."""
    if table in _FOR_ALL:
        return "true"
    if table in _BY_NAME:
        return f"seen.name in ({_names(_BY_NAME[table], who)})"
    if table in _BY_RUN:
        return f"seen.run_id in (select made.id from pynomaly.runs as made where made.created_by = {literal(who)})"
    if table in _BY_PERSON:
        return f"seen.{_BY_PERSON[table]} = {literal(who)}"
    if table == "shares":
        return f"(seen.created_by = {literal(who)} or seen.grantee in ({literal(who)}, '*'))"
    return "false"


def _owners(kind: str) -> str:
    """The SELECT of the names of a kind with their owners: a name is whose first row has it, even when it is gone."""
    first = f"arg_min(held.created_by, held.{_ORDER[kind]})"
    return f"select held.name, {first} as owner from pynomaly.{_TABLES[kind]} as held group by held.name"


def _names(kind: str, who: str) -> str:
    """The SELECT of the names of a kind that a user sees."""
    own = f"select owned.name from ({_owners(kind)}) as owned where owned.owner = {literal(who)}"
    if kind not in KINDS:
        return own
    return (
        f"{own} union all select given.name from pynomaly.shares as given where given.kind = {literal(kind)} "
        f"and given.grantee in ({literal(who)}, '*') group by given.name, given.grantee "
        "having not arg_max(given.revoked, given.number)"
    )


@cache
def _lineage() -> str:
    """The SELECT of the view of lineage."""
    texts: Iterator[str] = (path.read_text(encoding="utf-8") for path in migration_files())
    return str([select for text in texts for select in _VIEW.findall(text)][-1])


def owner(con: duckdb.DuckDBPyConnection, kind: str, name: str) -> str | None:
    """Who has the name of a dataset, model, detector, pipeline or set of rules; None for a free one."""
    first = f"select arg_min(created_by, {_ORDER[kind]}) from pynomaly.{_TABLES[kind]} where name = ?"
    found: str | None = con.execute(first, [name]).fetchall()[0][0]
    return found


def is_visible(con: duckdb.DuckDBPyConnection, kind: str, name: str) -> bool:
    """Whether the user at work sees what has a name."""
    who, found = user(), owner(con, kind, name)
    if found is None or who in (None, found):
        return found is not None
    return con.execute(_SHARED, [kind, name, who]).fetchall() != []


def check_owned(con: duckdb.DuckDBPyConnection, kind: str, name: object) -> None:
    """Refuse the user at work a change under a name that is somebody else's: Conflict where they do not see it."""
    who = user()
    if who is None or not isinstance(name, str) or (found := owner(con, kind, name)) in (None, who):
        return
    if is_visible(con, kind, name):
        raise AccessDenied(f"{kind} `{name}` belongs to {found}", "keep yours under another name")
    raise Conflict(f"the name `{name}` is taken", "choose another one")


def check_kind(kind: object) -> str:
    """The kind itself; BadParameter for what cannot be shared."""
    if kind not in KINDS:
        raise BadParameter(f"{kind!r} cannot be shared", f"give one of {', '.join(f'`{name}`' for name in KINDS)}")
    return str(kind)


def qualified(*parts: str) -> str:
    """The quoted name of a table in its database and schema."""
    return ".".join(map(identifier, parts))
