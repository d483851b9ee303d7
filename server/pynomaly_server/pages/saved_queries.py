"""Queries that somebody keeps by name: their own alone, found again beside the editor."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromQuery, URLEncodedBody

from pynomaly.errors import BadParameter, Conflict
from pynomaly_server import paging
from pynomaly_server.errors import UnknownQuery
from pynomaly_server.pages.shown import sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Caller, Place
from pynomaly_server.workspace import Workspace

LONGEST_NAME = 100  # characters
LISTED = 12  # beside the editor
SAVED = "select name, sql, saved_at from pynomaly.saved_queries where created_by = ?"
_SAVE = """
insert into pynomaly.saved_queries (created_by, name, sql) values (?, ?, ?)
on conflict do update set sql = excluded.sql, saved_at = now()
"""
_RENAME = "update pynomaly.saved_queries set name = ?, sql = ?, saved_at = now() where created_by = ? and name = ?"
Asked = Request[Any, Any, Any]
Form = URLEncodedBody[dict[str, Any]]


class Saving(msgspec.Struct):
    """What the form that saves a query shows: its name now, the name that is typed, and what came of it."""

    opened: str = ""
    name: str = ""
    error: str = ""
    is_saved: bool = False


class SavedQueriesPage(Controller):
    """The queries that somebody keeps."""

    path = "/sql/saved"
    include_in_schema = False

    @get("/", permission=Permission.QUERY, sync_to_thread=True)
    def get_saved(
        self, request: Asked, identity: Caller, workspace: Place, cursor: FromQuery[str | None] = None
    ) -> Response[str]:
        """All of them by name."""
        with workspace.own() as db:
            found = paging.page(db, SAVED, (identity.user,), ("name",), 50, cursor)
        return shown(
            request, "sql_saved.html", "Saved queries", nav="sql", queries=found.items, next_cursor=found.next_cursor
        )

    @get("/delete", permission=Permission.QUERY, sync_to_thread=True)
    def ask_delete(self, request: Asked, identity: Caller, workspace: Place, name: FromQuery[str]) -> Response[str]:
        """The question."""
        opened(workspace, identity.user, name)
        return shown(request, "sql_saved_delete.html", "Delete a query", nav="sql", name=name)

    @post("/delete", permission=Permission.QUERY, sync_to_thread=True)
    def delete(self, identity: Caller, request: Asked, workspace: Place, data: Form) -> Response[None]:
        """Let one go."""
        with workspace.own() as db:
            given = [identity.user, str(data.get("name", ""))]
            db.execute("delete from pynomaly.saved_queries where created_by = ? and name = ?", given).fetchall()
        return sent_to(request, "/sql/saved")


def address_of(name: str) -> str:
    """Where a query is opened."""
    return f"/sql?{urlencode({'name': name})}"


def listed(workspace: Workspace, user: str) -> list[dict[str, Any]]:
    """The last ones that somebody saved."""
    with workspace.own() as db:
        return paging.page(db, SAVED, (user,), ("saved_at desc", "name"), LISTED, None).items


def opened(workspace: Workspace, user: str, name: str) -> str:
    """The statement that somebody keeps by a name."""
    with workspace.own() as db:
        found = db.execute(f"{SAVED} and name = ?", [user, name]).fetchall()
    if not found:
        raise UnknownQuery("you have no saved query of this name", "your list of them is at /sql/saved")
    return str(found[0][1])


def keep(workspace: Workspace, user: str, before: str, name: str, sql: str) -> None:
    """Save under a name, which replaces what the query was called before; BadParameter and Conflict."""
    if not name or len(name) > LONGEST_NAME:
        raise BadParameter("a query needs a name", f"give one of up to {LONGEST_NAME} characters")
    if not sql.strip():
        raise BadParameter("there is no statement", "write one SELECT")
    with workspace.own() as db:
        known = db.execute("select name from pynomaly.saved_queries where created_by = ?", [user]).fetchall()
        if name != before and (name,) in known:
            raise Conflict("you have another query of this name", "choose another one, or open that one and change it")
        if before and before != name and (before,) in known:
            db.execute(_RENAME, [name, sql, user, before]).fetchall()
        else:
            db.execute(_SAVE, [user, name, sql]).fetchall()
