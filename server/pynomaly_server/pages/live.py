"""How far a job is, again and again, as a part of the page that shows it."""

from collections.abc import AsyncIterator, Callable

from anyio import to_thread
from litestar.response import ServerSentEventMessage

from pynomaly_server.identity import Identity
from pynomaly_server.jobs import ENDED, Job
from pynomaly_server.workspace import Workspace

EVERY = 0.5  # seconds between two looks


async def parts(
    workspace: Workspace, identity: Identity, job_id: str, part: Callable[[Job], str]
) -> AsyncIterator[ServerSentEventMessage]:
    """A part for every change of a job and every half second while it runs; the last one says that it is done.

    It ends when the server does, and when the credential is no longer one.
    """
    with workspace.jobs.listening(lambda change: change.job == job_id) as listener:
        while True:
            job = await to_thread.run_sync(workspace.jobs.find, job_id, identity)
            yield ServerSentEventMessage(data=part(job), event="progress")
            if job.status in ENDED:
                yield ServerSentEventMessage(data="done", event="done")
                return
            await listener.next(EVERY)
            if workspace.is_draining or not workspace.accounts.is_still(identity):
                return
