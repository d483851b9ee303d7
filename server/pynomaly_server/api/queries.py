"""SQL from users: one SELECT at a time, confined, and its history."""

from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from pynomaly_server import formats, legible, paging
from pynomaly_server.errors import BodyInvalid, Forbidden, UnknownQuery
from pynomaly_server.paging import Page
from pynomaly_server.permissions import Permission
from pynomaly_server.requests import request_id
from pynomaly_server.served import Caller, Db, Place

ASKED = "from query(_catalog('queries', getvariable('pynomaly_user')))"


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A statement; with `writes` one that changes a table of the workspace, for who may do so."""

    sql: str
    limit: int | None = None
    writes: bool = False


class QueriesController(Controller):
    """Queries."""

    path = "/api/v1/queries"
    tags = ["queries"]

    @post("/", permission=Permission.QUERY, status_code=200, changes_nothing=True, sync_to_thread=True)
    def run_query(
        self, request: Request[Any, Any, Any], db: Db, identity: Caller, workspace: Place, data: JSONBody[Asked]
    ) -> Response[Any]:
        """Run one SELECT over the tables, the datasets that the caller sees and the macros of Pynomaly.

        JSON tells the columns with their types, the rows, whether there were more, and the seconds; every other format
        gives the rows. The settings `query_rows` and `query_seconds` are the limits.
        """
        if data.writes:
            return self._write(db, identity, workspace, data.sql)
        most = int(workspace.options["query_rows"])
        limit = most if data.limit is None else data.limit
        if not 1 <= limit <= most:
            detail = f"{limit} is not between 1 and {most}"
            raise BodyInvalid(f"`limit` is {limit}", f"give 1 to {most}", [{"pointer": "/limit", "detail": detail}])
        seconds = float(workspace.options["query_seconds"])
        found = db.run_confined(data.sql, limit=limit, seconds=seconds, request_id=request_id())
        if formats.wanted(request).name != "json":
            return formats.respond(request, found.rows, "query", headers={"X-Query-Id": found.query or ""})
        documents = frozenset(name for name, kind in found.columns if kind == "JSON")
        told = {
            "id": found.query,
            "columns": [{"name": name, "type": kind} for name, kind in found.columns],
            "rows": msgspec.Raw(legible.json_array(found.rows, documents)),
            "n_rows": found.n_rows,
            "has_more": found.has_more,
            "seconds": found.seconds,
        }
        return Response(msgspec.json.encode(told), media_type="application/json")

    @get("/", permission=Permission.QUERY, sync_to_thread=True)
    def list_queries(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Page]:
        """What the caller asked, the newest first; administrators see everybody's."""
        db.write_log()
        return paging.listed(request, db, ASKED, order=("started_at desc", "id"), limit=limit, cursor=cursor)

    @get("/{id:str}", permission=Permission.QUERY, sync_to_thread=True)
    def get_query(self, db: Db, id: FromPath[str]) -> dict[str, Any]:  # noqa: A002 - the name of the parameter
        """One statement that was asked: its text, its seconds, and how it ended."""
        db.write_log()
        found = paging.records(db, f"{ASKED} where id::varchar = ?", [id])
        if not found:
            raise UnknownQuery(f"there is no query `{id}`", "GET /api/v1/queries lists yours")
        return found[0]

    @staticmethod
    def _write(db: Db, identity: Caller, workspace: Place, sql: str) -> Response[Any]:
        """Run a statement that writes, where the flag allows it and the caller may."""
        if not identity.may(Permission.WRITE_SQL):
            raise Forbidden(f"`{identity.user}` may not write by SQL", "ask an administrator")
        if not workspace.options["allow_writing_sql"]:
            raise Forbidden("this server runs no SQL that writes", "set allow_writing_sql to true")
        with db.asking(sql, request_id()) as query:
            may_run = db.checked(sql, may_write=True)
            db.execute(may_run.sql).fetchall()
        workspace.changed()
        return Response({"id": query, "rows": [], "n_rows": 0, "has_more": False})
