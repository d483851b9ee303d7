"""What takes longer than a request: how far it is, and a way to stop it."""

from typing import Any

from anyio import to_thread
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import ServerSentEvent

from pynomaly_server import paging
from pynomaly_server.jobs import Job
from pynomaly_server.pages import job_words, live
from pynomaly_server.pages.detection_form import again
from pynomaly_server.pages.shown import rendered, sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Caller, Place

Asked = Request[Any, Any, Any]
LISTED = """
select id::varchar as id, kind, status, created_at, started_at, ended_at, created_by,
    coalesce(request->>'source', request->>'model', request->>'name', '') as subject,
    epoch(coalesce(ended_at, now()) - started_at) as seconds, problem->>'detail' as detail
from pynomaly.jobs where (? or created_by = ?) and (? = '' or status = ?)
"""


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
        return shown(
            request, "job.html", f"Job {job.kind}", nav="jobs", job=job, live=workspace.jobs.live(job.id),
            asked=job_words.asked(job.request), gave=job_words.gave(job.result or {}),
            again=again(job.request) if job.kind == "detect" and job.status in ("failed", "cancelled") else "",
        )  # fmt: skip

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

        def part(job: Job) -> str:
            return rendered(request, "pages/job_progress.html", job=job, live=workspace.jobs.live(job.id))

        return ServerSentEvent(live.parts(workspace, identity, str(id), part))

    @post("/{id:uuid}/stop", permission=Permission.DETECT, elsewhere=True, sync_to_thread=True)
    def stop_job(self, request: Asked, identity: Caller, workspace: Place, id: FromPath[Any]) -> Response[None]:  # noqa: A002
        """Stop it."""
        job = workspace.jobs.find(str(id), identity)
        workspace.jobs.cancel(job.id)
        return sent_to(request, f"/jobs/{job.id}")
