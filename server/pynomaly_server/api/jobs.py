"""Jobs, and what is heard of them: their progress, and the runs that end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from anyio import to_thread
from litestar import Controller, Request, Response, WebSocket, delete, get, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath, FromQuery
from litestar.response import ServerSentEvent, ServerSentEventMessage

from pynomaly_server import paging
from pynomaly_server.asking import told
from pynomaly_server.errors import Forbidden
from pynomaly_server.identity import Identity
from pynomaly_server.jobs import ENDED, Change, kinds
from pynomaly_server.jobs.store import COLUMNS, encoded
from pynomaly_server.paging import Page
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Caller, Db, Place
from pynomaly_server.workspace import Workspace

PROGRESS_SECONDS = 0.25  # between two looks at how far a job is
HEARTBEAT_SECONDS = 15.0
CANCEL_SECONDS = 2.0  # that a caller waits for the end of what was cancelled
_LISTED = f"select {COLUMNS.replace('result, ', '')} from pynomaly.jobs"


class JobsController(Controller):
    """What takes longer than a request; a user sees their own, an administrator all."""

    path = "/api/v1/jobs"
    tags = ["jobs"]

    @get("/", permission=Permission.READ, cached=True, sync_to_thread=True)
    def list_jobs(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        identity: Caller,
        status: FromQuery[str | None] = None,
        kind: FromQuery[str | None] = None,
        batch: FromQuery[str | None] = None,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Page]:
        """The newest first, without their results; `status`, `kind` and `batch` choose among them."""
        wanted = {"status": status, "kind": kind, "batch::varchar": batch}
        if not identity.sees_all:
            wanted["created_by"] = identity.user
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " and ".join(f"{name} = ?" for name in given) or "true"
        found = paging.page(
            db, f"{_LISTED} where {where}", list(given.values()), ("created_at desc", "id"), limit, cursor
        )
        return found.response(request)

    @get("/{id:str}", permission=Permission.READ, sync_to_thread=True)
    def get_job(self, workspace: Place, identity: Caller, id: FromPath[str]) -> dict[str, Any]:  # noqa: A002
        """One job: its state, how far it is, and what came of it."""
        return told(workspace.jobs.find(id, identity), workspace)

    @delete("/{id:str}", permission=Permission.DETECT, status_code=200)
    async def cancel_job(self, workspace: Place, identity: Caller, id: FromPath[str]) -> dict[str, Any]:  # noqa: A002
        """Stop a job, at once where it waits, within a second where it runs; one that has ended stays as it is."""
        jobs = workspace.jobs
        await to_thread.run_sync(jobs.find, id, identity)  # which only who may see it finds
        await to_thread.run_sync(jobs.cancel, id)
        await jobs.wait(id, CANCEL_SECONDS)
        return told(await to_thread.run_sync(jobs.find, id, identity), workspace)

    @get("/{id:str}/events", permission=Permission.READ)
    async def job_events(self, workspace: Place, identity: Caller, id: FromPath[str]) -> ServerSentEvent:  # noqa: A002
        """A stream of what happens to a job: `state` first, then `progress`, and `ended` at last."""
        await to_thread.run_sync(workspace.jobs.find, id, identity)
        return ServerSentEvent(_of_job(workspace, identity, id))


class RunEventsController(Controller):
    """The runs that end, as they do: one's own, for an administrator all."""

    tags = ["runs"]

    @get("/api/v1/runs/events", permission=Permission.READ)
    async def run_events(self, workspace: Place, identity: Caller) -> ServerSentEvent:
        """A stream of an event `run` for each."""

        async def events() -> AsyncIterator[ServerSentEventMessage]:
            async for run in _runs(workspace, identity):
                yield _event("run", run, str(run["id"])) if run else ServerSentEventMessage(comment="")

        return ServerSentEvent(events())

    @websocket("/ws/results", permission=Permission.READ)
    async def results(self, socket: WebSocket[Any, Any, Any], workspace: Place) -> None:
        """The same as JSON messages of a websocket."""
        _check_origin(socket, workspace)
        await socket.accept()
        sending = asyncio.create_task(_send_runs(socket, workspace, socket.scope["user"]))
        try:
            while True:  # nothing is expected but the end
                await socket.receive_data(mode="text")
        except WebSocketDisconnect:
            return
        finally:
            sending.cancel()


async def _of_job(workspace: Workspace, identity: Identity, job: str) -> AsyncIterator[ServerSentEventMessage]:
    """The present state of a job, and what happens to it until it ends."""
    jobs, number, quiet = workspace.jobs, 0, 0.0
    last: Any = None
    with jobs.listening(lambda change: change.job == job) as listener:
        while True:
            found = await to_thread.run_sync(jobs.find, job, identity)
            number += 1
            yield _event("ended" if found.status in ENDED else "state", told(found, workspace), str(number))
            if found.status in ENDED:
                return
            change = None
            while change is None:
                change = await listener.next(PROGRESS_SECONDS)
                if workspace.is_draining or not workspace.accounts.is_still(identity):
                    return
                live, quiet = jobs.live(job), quiet + PROGRESS_SECONDS
                if live is not None and live != last:
                    last, quiet, number = live, 0.0, number + 1
                    yield _event("progress", live, str(number))
                elif quiet >= HEARTBEAT_SECONDS:
                    quiet = 0.0
                    yield ServerSentEventMessage(comment="")


async def _runs(workspace: Workspace, identity: Identity) -> AsyncIterator[dict[str, Any] | None]:
    """The runs that end while somebody listens; None now and then, so that a connection is known to live."""

    def wanted(change: Change) -> bool:
        return change.run is not None and (identity.sees_all or change.created_by == identity.user)

    def find(run: str) -> dict[str, Any]:
        with workspace.own() as db:
            return kinds.run_row(db, run)

    quiet = 0.0
    with workspace.jobs.listening(wanted) as listener:
        while True:
            change = await listener.next(PROGRESS_SECONDS)
            if workspace.is_draining or not workspace.accounts.is_still(identity):
                return
            quiet = quiet + PROGRESS_SECONDS if change is None else 0.0
            if change is not None:
                yield await to_thread.run_sync(find, str(change.run))
            elif quiet >= HEARTBEAT_SECONDS:
                quiet = 0.0
                yield None


async def _send_runs(socket: WebSocket[Any, Any, Any], workspace: Workspace, identity: Identity) -> None:
    async for run in _runs(workspace, identity):
        if run is not None:
            await socket.send_text(encoded({"event": "run", "run": run}))
    await socket.close()


def _event(name: str, data: Any, number: str) -> ServerSentEventMessage:
    return ServerSentEventMessage(data=encoded(data), event=name, id=number)


def _check_origin(socket: WebSocket[Any, Any, Any], workspace: Workspace) -> None:
    """A browser sends a cookie along for any site: only our own pages, and those that are allowed, may listen."""
    origin = socket.headers.get("origin")
    own = socket.headers.get("host")
    if origin is not None and urlsplit(origin).netloc != own and origin not in workspace.options.start.allowed_origins:
        raise Forbidden(f"pages of {origin[:200]} may not listen here", "allow them by `allowed_origins`")
