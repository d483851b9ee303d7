"""The rows of `pynomaly.jobs`. Each has one writer at a time: who queues it, and then the worker that has taken it."""

import uuid
from datetime import datetime
from typing import Any

import msgspec

from pynomaly.engine import Engine

ENDED = frozenset({"succeeded", "failed", "cancelled"})
COLUMNS = (
    "id::varchar as id, kind, request, status, attempts, result, problem, batch::varchar as batch, request_id, "
    "created_at, started_at, ended_at, created_by"
)


class Job(msgspec.Struct, kw_only=True):
    """One job as its row tells it."""

    id: str
    kind: str
    request: dict[str, Any]
    status: str
    attempts: int = 0
    result: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None
    batch: str | None = None
    request_id: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    created_by: str


def new(db: Engine, kind: str, request: dict[str, Any], user: str, batch: str | None, request_id: str) -> Job:
    """Write a queued job."""
    job = Job(id=str(uuid.uuid4()), kind=kind, request=request, status="queued", batch=batch, created_by=user)
    job.request_id = request_id or None
    (job.created_at,) = db.execute(
        "insert into pynomaly.jobs (id, kind, request, status, batch, request_id, created_by) "
        "values (?, ?, ?, 'queued', ?, ?, ?) returning created_at",
        [job.id, kind, encoded(request), batch, job.request_id, user],
    ).fetchall()[0]
    return job


def start(db: Engine, job: Job) -> None:
    """Say that a job runs, once more."""
    found = db.execute(
        "update pynomaly.jobs set status = 'running', attempts = attempts + 1, started_at = now() where id = ? "
        "returning attempts, started_at",
        [job.id],
    ).fetchall()
    job.status, (job.attempts, job.started_at) = "running", found[0]


def end(db: Engine, job: Job, status: str, result: object = None, problem: object = None) -> None:
    """Say how a job ended; within the transaction that is open on the cursor, if there is one."""
    db.execute(
        "update pynomaly.jobs set status = ?, result = ?, problem = ?, ended_at = now() where id = ?",
        [status, _json(result), _json(problem), job.id],
    ).fetchall()


def requeue(db: Engine, job: Job) -> None:
    """Let a job that was interrupted wait again; the start does not count."""
    db.execute(
        "update pynomaly.jobs set status = 'queued', attempts = attempts - 1, started_at = null where id = ?", [job.id]
    ).fetchall()


def recover(db: Engine, most_attempts: int, lost: object) -> list[Job]:
    """The jobs that wait, in their order; those that a killed server was running wait again, or fail as lost."""
    db.execute(
        "update pynomaly.jobs set status = 'failed', problem = ?, ended_at = now() "
        "where status = 'running' and attempts >= ?",
        [_json(lost), most_attempts],
    ).fetchall()
    db.execute("update pynomaly.jobs set status = 'queued' where status = 'running'").fetchall()
    waiting = f"select {COLUMNS} from pynomaly.jobs where status = 'queued' order by created_at, id"
    return [decoded(row) for row in db.execute(waiting).fetchall()]


def find(db: Engine, job: str) -> Job | None:
    """A job by its id."""
    found = db.execute(f"select {COLUMNS} from pynomaly.jobs where id = try_cast(? as uuid)", [job]).fetchall()
    return decoded(found[0]) if found else None


def decoded(row: tuple[Any, ...]) -> Job:
    """A job from its row."""
    told = dict(zip(Job.__struct_fields__, row, strict=True))
    for name in ("request", "result", "problem"):
        told[name] = msgspec.json.decode(told[name]) if told[name] is not None else None
    return Job(**told)


def encoded(value: object) -> str:
    """A value as JSON; what JSON does not have is text."""
    return msgspec.json.encode(value, enc_hook=str).decode()


def _json(value: object) -> str | None:
    return None if value is None else encoded(value)
