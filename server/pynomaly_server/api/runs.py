"""Runs: every detection and scoring, failed ones included; where things came from, and who did what."""

from typing import Any

from litestar import Controller, Request, Response, get
from litestar.params import FromPath, FromQuery

from pynomaly_server import formats, paging, rowsets
from pynomaly_server.api.results import recorded, runs_page
from pynomaly_server.paging import Page
from pynomaly_server.permissions import Permission
from pynomaly_server.rowsets import Asked, Rows
from pynomaly_server.served import Caller, Db, Place


class RunsController(Controller):
    """Recorded runs."""

    path = "/api/v1"
    tags = ("runs",)

    @get("/runs", permission=Permission.READ, cached=True, sync_to_thread=True)
    def list_runs(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        filter: FromQuery[list[str] | None] = None,  # noqa: A002 - the name of the parameter
        sort: FromQuery[str | None] = None,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Page]:
        """The caller's runs, the newest first, such as `filter=status:eq:failed`."""
        return runs_page(request, db, "from runs()", Asked(filter or (), sort, limit, cursor))

    @get("/runs/{run:str}", permission=Permission.READ, sync_to_thread=True)
    def get_run(self, request: Request[Any, Any, Any], db: Db, run: FromPath[str]) -> Response[dict[str, Any]]:
        """One run, by its id or the first eight digits or more of it; it never changes."""
        (found,) = paging.records(db, "from _run(?)", [run])
        etag = rowsets.tag(request, "run", found["id"])
        return rowsets.unchanged(request, etag) or Response(found, headers=rowsets.cached(etag))

    @get("/runs/{a:str}/diff/{b:str}", permission=Permission.READ, sync_to_thread=True)
    def diff_runs(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        identity: Caller,
        workspace: Place,
        a: FromPath[str],
        b: FromPath[str],
        filter: FromQuery[list[str] | None] = None,  # noqa: A002 - the name of the parameter
        sort: FromQuery[str | None] = None,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Any]:
        """The rows that two saved runs judge differently, matched by their key."""
        pair = [recorded(db, a), recorded(db, formats.without_suffix(b))]
        rows = Rows("from diff_runs(?, ?)", list(pair), "key", ["key"], name="diff")
        return rowsets.answer(request, db, workspace, identity, rows, Asked(filter or (), sort, limit, cursor))

    @get("/lineage/{name:path}", permission=Permission.READ, sync_to_thread=True)
    def get_lineage(self, db: Db, name: FromPath[str]) -> dict[str, Any]:
        """All that an object came from and all that came from it, the nearest first.

        An object is a source, a dataset, a model, a version of one such as `fraud@2`, a run by its id, or a snapshot.
        """
        select = "from lineage(?) order by direction, depth, parent, child, relation"
        return {"items": paging.records(db, select, [str(name).removeprefix("/")]), "next_cursor": None}

    @get("/audit", permission=Permission.READ, sync_to_thread=True)
    def list_audit(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        filter: FromQuery[list[str] | None] = None,  # noqa: A002 - the name of the parameter
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Page]:
        """What the caller changed and was refused, the newest first; administrators see everybody's."""
        select = "from query(_catalog('audit', getvariable('pynomaly_user')))"
        order = ["answered_at desc", "request_id", "action"]
        rows = Rows(select, [], "request_id", order)
        if filter:
            rows = rows.filtered(db, filter, paging.described(db, select))
        return paging.listed(
            request, db, rows.select, parameters=rows.parameters, order=order, limit=limit, cursor=cursor
        )
