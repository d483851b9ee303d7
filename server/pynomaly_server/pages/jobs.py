"""What takes longer than a request: how far it is, and a way to stop it."""

from collections.abc import AsyncIterator
from typing import Any

from anyio import to_thread
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import ServerSentEvent, ServerSentEventMessage

from pynomaly_server import paging
from pynomaly_server.identity import Identity
from pynomaly_server.jobs import ENDED
from pynomaly_server.pages.shown import rendered, sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Caller, Place
from pynomaly_server.workspace import Workspace

Asked = Request[Any, Any, Any]
LISTED = """
select id::varchar as id, kind, status, created_at, started_at, ended_at, created_by,
    epoch(coalesce(ended_at, now()) - started_at) as seconds, problem->>'detail' as detail
from pynomaly.jobs where (? or created_by = ?) and (? = '' or status = ?)
"""
EVERY = 0.5  # seconds between two looks at how far a job is


class JobsPage(Controller):
    """The jobs that somebody may see."""

    path = "/jobs"
    include_in_schema = False

    @get("/", permission=Permission.READ, sync_to_thread=True)
    def get_jobs(
        self,
        request: Asked,
        identity: Caller,
        workspace: Place,
        status: FromQuery[str] = "",
        cursor: FromQuery[str | None] = None,
    ) -> Response[str]:
        """The newest first."""
        asked = (identity.sees_all, identity.user, status, status)
        with workspace.own() as db:
            found = paging.page(db, LISTED, asked, ("created_at desc", "id"), 25, cursor)
        items = found.items
        return shown(
            request, "jobs.html", "Jobs", nav="jobs", jobs=items, next_cursor=found.next_cursor, status_shown=status
        )

    @get("/{id:uuid}", permission=Permission.READ, sync_to_thread=True)
    def get_job(self, request: Asked, identity: Caller, workspace: Place, id: FromPath[Any]) -> Response[str]:  # noqa: A002
        """One job."""
        job = workspace.jobs.find(str(id), identity)
        return shown(request, "job.html", f"Job {job.kind}", nav="jobs", job=job, live=workspace.jobs.live(job.id))

    @get("/{id:uuid}/progress", permission=Permission.READ)
    async def get_progress(
        self,
        request: Asked,
        identity: Caller,
        workspace: Place,
        id: FromPath[Any],  # noqa: A002
    ) -> ServerSentEvent:  # of the type depends what a browser is told of the answer
        """How far it is, again and again, as a part of a page."""
        await to_thread.run_sync(workspace.jobs.find, str(id), identity)
        return ServerSentEvent(_told(request, workspace, identity, str(id)))

    @post("/{id:uuid}/stop", permission=Permission.DETECT, elsewhere=True, sync_to_thread=True)
    def stop_job(self, request: Asked, identity: Caller, workspace: Place, id: FromPath[Any]) -> Response[None]:  # noqa: A002
        """Stop it."""
        job = workspace.jobs.find(str(id), identity)
        workspace.jobs.cancel(job.id)
        return sent_to(request, f"/jobs/{job.id}")


async def _told(
    request: Asked, workspace: Workspace, identity: Identity, job_id: str
) -> AsyncIterator[ServerSentEventMessage]:
    """A part for every change of a job and every half second while it runs; the last one says that it is done."""
    with workspace.jobs.listening(lambda change: change.job == job_id) as listener:
        while True:
            job = await to_thread.run_sync(workspace.jobs.find, job_id, identity)
            live = workspace.jobs.live(job_id)
            html = rendered(request, "pages/job_progress.html", job=job, live=live)
            yield ServerSentEventMessage(data=html, event="progress")
            if job.status in ENDED:
                yield ServerSentEventMessage(data="done", event="done")
                return
            await listener.next(EVERY)
            if workspace.is_draining or not workspace.accounts.is_still(identity):
                return
