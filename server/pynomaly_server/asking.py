"""What a request for a job may say, and how it is answered: with the job, or at once where the caller waits for it."""

import re
from typing import Any

import msgspec
from anyio import to_thread
from litestar import Response

from pynomaly.errors import BadParameter
from pynomaly_server.errors import BodyInvalid
from pynomaly_server.identity import Identity
from pynomaly_server.jobs import ENDED, Job
from pynomaly_server.problems import PROBLEM
from pynomaly_server.requests import request_id
from pynomaly_server.workspace import Workspace

JOB = (200, 202)  # what a request for work is answered with: what came of it, or its job
LONGEST_WAIT = 30  # seconds
_WAIT = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?\s*(?:$|[,;])', re.IGNORECASE)


def seconds_to_wait(prefer: str | None) -> int | None:
    """How long a caller prefers to wait for an answer (RFC 7240); None where nothing is said."""
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), LONGEST_WAIT) if found else None


def sourced(data: dict[str, Any], *others: str) -> dict[str, Any]:
    """A request with its source under one name, be it called `source`, `dataset` or one of the others."""
    names = [name for name in ("source", "dataset", *others) if data.get(name) is not None]
    if len(names) != 1 or not isinstance(data[names[0]], str) or not data[names[0]]:
        known = " or ".join(f"`{name}`" for name in ("source", "dataset", *others))
        place = names[1] if len(names) > 1 else names[0] if names else "source"
        raise BodyInvalid(
            "what is to be read is not named once, by a text",
            f"give {known}",
            [{"pointer": f"/{place}", "detail": f"exactly one of {known} names what is read, as a text"}],
        )
    named = ("source", "dataset", *others)
    return {"source": data[names[0]], **{name: value for name, value in data.items() if name not in named}}


def boolean(data: dict[str, Any], name: str, default: bool) -> bool:
    """A yes or no of a request."""
    value = data.get(name, default)
    if not isinstance(value, bool):
        raise BadParameter(f"`{name}` is {value!r}", "give true or false")
    return value


def told(job: Job, workspace: Workspace) -> dict[str, Any]:
    """A job as a client reads it, with how far it is while it runs."""
    place = f"/api/v1/jobs/{job.id}"
    links = {"self": place, "events": f"{place}/events"}
    if run := ((job.result or {}).get("run") or {}).get("id"):
        links["run"] = f"/api/v1/detection/results/{run}"
    live = workspace.jobs.live(job.id) if job.status not in ENDED else None
    return {**msgspec.structs.asdict(job), "progress": msgspec.to_builtins(live), "links": links}


async def answered(
    workspace: Workspace, identity: Identity, prefer: str | None, kind: str, request: dict[str, Any]
) -> Response[dict[str, Any]]:
    """Queue a job; 202 and the job, or what came of it where the caller prefers to wait and it is done in time."""
    jobs = workspace.jobs
    job = await to_thread.run_sync(lambda: jobs.submit(kind, request, identity, None, request_id()))
    seconds = seconds_to_wait(prefer)
    if seconds is not None:
        await jobs.wait(job, seconds)
    found = await to_thread.run_sync(jobs.find, job, identity)
    headers = {"Location": f"/api/v1/jobs/{job}"}
    if seconds is None or found.status not in ENDED:
        return Response(told(found, workspace), status_code=202, headers=headers)
    headers["Preference-Applied"] = f"wait={seconds}"
    if found.problem is not None:
        status = found.problem["status"] if found.problem["status"] != 499 else 409
        return Response(found.problem, status_code=status, headers=headers, media_type=PROBLEM)
    result = found.result or {}
    found.result = None
    return Response({"job": told(found, workspace), **result}, status_code=200, headers=headers)
