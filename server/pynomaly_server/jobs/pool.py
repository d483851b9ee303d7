"""The workers: they take jobs off the queue, do them as the user who asked, and write how they ended."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, Any

import structlog

from pynomaly.errors import Interrupted, PynomalyError, ReadOnlyDatabase
from pynomaly_server.errors import BodyTooLarge, Draining, JobLost, UnknownJob
from pynomaly_server.identity import Identity
from pynomaly_server.jobs import kinds, store
from pynomaly_server.jobs.listeners import Change, Listener, Listeners
from pynomaly_server.jobs.store import ENDED, Job
from pynomaly_server.jobs.waiting import Waiting
from pynomaly_server.jobs.work import Live, Work
from pynomaly_server.metrics import JOBS, JOBS_ENDED
from pynomaly_server.problems import problem, translated
from pynomaly_server.requests import set_request_id

if TYPE_CHECKING:
    from pynomaly_server.workspace import Workspace

LOG = structlog.get_logger("pynomaly.jobs")
MOST_ATTEMPTS = 3
LARGEST_REQUEST = 262_144  # bytes of a job's request, which is kept and told for as long as the job's row is
LARGEST_TOGETHER = 16_777_216  # bytes of those that are queued at once


class Jobs:
    """The jobs of one workspace. `sees_all` tells of a user, by name, whether everybody's rows are seen."""

    def __init__(self, workspace: "Workspace", sees_all: Callable[[str], bool] = lambda _: False) -> None:
        self._workspace = workspace
        self._sees_all = sees_all
        self._waiting = Waiting()
        self._works: dict[str, Work] = {}  # those that wait or run, by the id of their job
        self._changed = threading.Condition()
        self._threads: dict[int, threading.Thread] = {}
        self._is_stopping = False
        self._listeners = Listeners()

    def start(self) -> None:
        """Queue what a killed or stopped server left, and begin to work."""
        if self._workspace.options.start.read_only:
            return
        lost = problem(JobLost(f"the server stopped {MOST_ATTEMPTS} times while the job ran", "submit it again"))
        with self._workspace.own() as db:
            left = store.recover(db, MOST_ATTEMPTS, lost)
        with self._changed:
            for job in left:
                if job.id in self._works:  # submitted meanwhile
                    continue
                self._add(Work(job, self._sees_all(job.created_by)))
            self._staff()

    def submit(
        self, kind: str, request: dict[str, Any], identity: Identity, batch: str | None = None, request_id: str = ""
    ) -> str:
        """Queue a job and return its id; TooManyJobs where the queue is full."""
        return self.submit_all(kind, [request], identity, batch, request_id)[0]

    def submit_all(
        self,
        kind: str,
        requests: Sequence[dict[str, Any]],
        identity: Identity,
        batch: str | None = None,
        request_id: str = "",
    ) -> list[str]:
        """Queue a job for each request, all or none; BodyTooLarge where they are too long to be kept."""
        kinds.get(kind)
        _check_size(requests)
        if self._workspace.options.start.read_only:
            raise ReadOnlyDatabase("the database is served read-only", "serve it without --read-only")
        with self._changed:
            if self._is_stopping:
                raise Draining("the server is being stopped", "ask again in a moment")
            self._waiting.check(identity.user, len(requests), self._workspace.options["jobs_per_user"])
            with self._workspace.own() as db:
                db.execute("begin").fetchall()
                jobs = [store.new(db, kind, request, identity.user, batch, request_id) for request in requests]
                db.commit()
            for job in jobs:
                self._add(Work(job, identity.sees_all))
            self._staff()
        for job in jobs:
            self._tell(job, "queued")
        return [job.id for job in jobs]

    def cancel(self, job: str) -> None:
        """Stop a job: at once where it waits, within a second where it runs; one that has ended stays as it is."""
        with self._changed:
            work = self._works.get(job)
            if work is None:
                return
            work.is_cancelled = True
            is_waiting = self._waiting.remove(work)
        if is_waiting:
            JOBS.labels("queued").dec()
            self._end(work, "cancelled")
        else:
            threading.Thread(target=work.interrupt, name=f"cancel {job}", daemon=True).start()

    def find(self, job: str, identity: Identity) -> Job:
        """A job that somebody may see; UnknownJob for another."""
        with self._workspace.own() as db:
            found = store.find(db, job)
        if found is None or not (identity.sees_all or found.created_by == identity.user):
            raise UnknownJob(f"there is no job `{job}`", "GET /api/v1/jobs lists yours")
        return found

    def counts(self) -> dict[str, int]:
        """How many jobs wait and run."""
        with self._changed:
            n_waiting = len(self._waiting)
            return {"queued": n_waiting, "running": len(self._works) - n_waiting}

    def live(self, job: str) -> Live | None:
        """How far a job is; None where it does not run."""
        work = self._works.get(job)
        return work.live() if work is not None else None

    async def wait(self, job: str, seconds: float) -> bool:
        """Whether a job ends within so many seconds."""
        until = time.monotonic() + seconds
        with self.listening(lambda change: change.job == job and change.status in ENDED) as listener:
            if job not in self._works:
                return True
            return await listener.next(max(until - time.monotonic(), 0.0)) is not None or job not in self._works

    def listening(self, wanted: Callable[[Change], bool]) -> AbstractContextManager[Listener]:
        """A listener to changes of jobs, for a coroutine."""
        return self._listeners.listening(wanted)

    def drain(self, seconds: float) -> None:
        """Start nothing more; what runs gets so many seconds, and is put back into the queue then."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
            threads, running = list(self._threads.values()), [w for w in self._works.values() if w.is_taken]
        until = time.monotonic() + seconds
        for work in running:
            if not work.has_ended.wait(max(until - time.monotonic(), 0.0)):
                work.is_put_back = True
                threading.Thread(target=work.interrupt, daemon=True).start()
        for thread in threads:
            thread.join(10.0)

    def _add(self, work: Work) -> None:
        self._works[work.job.id] = work
        self._waiting.add(work)
        JOBS.labels("queued").inc()
        self._changed.notify_all()  # one alone may be a worker that the setting takes away

    def _staff(self) -> None:
        """Have as many workers as the setting says."""
        for number in range(self._workspace.options["job_workers"]):
            if number not in self._threads:
                thread = threading.Thread(target=self._work, args=(number,), name=f"job worker {number}", daemon=True)
                self._threads[number] = thread
                thread.start()

    def _work(self, number: int) -> None:
        while (work := self._next(number)) is not None:
            try:
                self._run(work)
            except Exception as error:
                LOG.error("the end of a job was not written", job=work.job.id, exc_info=error)
            finally:
                self._forget(work)

    def _next(self, number: int) -> Work | None:
        """The next job; None when this worker is to go."""
        with self._changed:
            while not self._is_stopping and number < self._workspace.options["job_workers"]:
                if (work := self._waiting.take()) is not None:
                    work.is_taken = True
                    JOBS.labels("queued").dec()
                    JOBS.labels("running").inc()
                    return work
                self._changed.wait()
            del self._threads[number]
        return None

    def _forget(self, work: Work) -> None:
        JOBS.labels("running").dec()
        with self._changed:
            self._works.pop(work.job.id, None)
            self._waiting.end(work)
        work.has_ended.set()

    def _run(self, work: Work) -> None:
        structlog.contextvars.clear_contextvars()
        set_request_id(work.job.request_id or "")
        structlog.contextvars.bind_contextvars(job=work.job.id, kind=work.job.kind, user=work.job.created_by)
        with self._workspace.own() as db:
            store.start(db, work.job)
        LOG.info("job started", attempt=work.job.attempts)
        self._tell(work.job, "running")
        try:
            result = self._perform(work)
        except Exception as error:  # noqa: BLE001 - told in the job's row
            self._fail(work, translated(error))
        else:
            self._end(work, "succeeded", result=result)

    def _perform(self, work: Work) -> dict[str, Any]:
        with closing(self._workspace.engine.cursor()) as cursor:
            cursor.act_as(work.job.created_by, work.sees_all)
            work.begin(cursor)
            try:
                if work.is_cancelled or work.is_put_back:
                    raise Interrupted("the job was stopped", "submit it again")
                return kinds.get(work.job.kind)(cursor, work.job.request, work)
            finally:
                work.cursor = None

    def _fail(self, work: Work, error: PynomalyError) -> None:
        if isinstance(error, Interrupted) and work.is_cancelled:
            self._end(work, "cancelled")
        elif isinstance(error, Interrupted) and work.is_put_back:
            with self._workspace.own() as db:
                store.requeue(db, work.job)
            LOG.info("job put back", seconds=round(work.seconds, 3))
            self._tell(work.job, "queued")
        else:
            self._end(work, "failed", problem=problem(error))

    def _end(self, work: Work, status: str, result: dict[str, Any] | None = None, problem: Any = None) -> None:
        if not work.is_written:
            with self._workspace.own() as db:
                store.end(db, work.job, status, result, problem)
        JOBS_ENDED.labels(work.job.kind, status).inc()
        code = problem.code if problem is not None else None
        LOG.info("job ended", status=status, seconds=round(work.seconds, 3), code=code, sql=work.sql or None)
        self._works.pop(work.job.id, None)
        self._tell(work.job, status, (result or {}).get("run", {}).get("id"))

    def _tell(self, job: Job, status: str, run: str | None = None) -> None:
        self._workspace.changed()
        self._listeners.tell(Change(job.id, job.kind, status, job.created_by, run))


def _check_size(requests: Sequence[dict[str, Any]]) -> None:
    n_bytes = 0
    for request in requests:
        n_bytes += (one := len(store.encoded(request)))
        if one > LARGEST_REQUEST or n_bytes > LARGEST_TOGETHER:
            raise BodyTooLarge(
                f"the request of a job has {one:,} bytes",
                f"send at most {LARGEST_REQUEST:,}, and in a batch {LARGEST_TOGETHER:,} for all its jobs",
            )
