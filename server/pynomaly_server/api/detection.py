"""Detections and what is done with their runs: each is a job, answered at once where the caller prefers to wait."""

import uuid
from typing import Any

from litestar import Controller, Response, post
from litestar.params import FromHeader, FromPath, JSONBody

from pynomaly import calls
from pynomaly.errors import BadParameter
from pynomaly_server import schemas
from pynomaly_server.asking import JOB, answered, boolean, sourced, told
from pynomaly_server.errors import BodyInvalid
from pynomaly_server.permissions import Permission
from pynomaly_server.requests import request_id
from pynomaly_server.served import Caller, Place

MOST_IN_A_BATCH = 1_000
SCORE_OPTIONS = ("version", "explain", "key")
Answer = Response[dict[str, Any]]


class DetectionController(Controller):
    """Detecting, scoring and comparing in sources that the server has."""

    path = "/api/v1/detection"
    tags = ["detection"]

    @post("/detect", permission=Permission.DETECT, body=schemas.detection, answers=JOB)
    async def detect(
        self,
        workspace: Place,
        identity: Caller,
        data: JSONBody[dict[str, Any]],
        prefer: FromHeader[str | None] = None,
    ) -> Answer:
        """Detect anomalies in a dataset or another source. Every parameter of `detect_anomalies` may be given."""
        return await answered(workspace, identity, prefer, "detect", detection(data))

    @post("/batch", permission=Permission.DETECT, body=schemas.batch, status_code=202, sync_to_thread=True)
    def detect_batch(self, workspace: Place, identity: Caller, data: JSONBody[dict[str, Any]]) -> Answer:
        """Detect in many datasets with the same parameters, a job each."""
        data = dict(data)
        datasets = data.pop("datasets", None)
        if not isinstance(datasets, list) or not 1 <= len(datasets) <= MOST_IN_A_BATCH:
            detail = f"give a list of 1 to {MOST_IN_A_BATCH:,} names"
            raise BodyInvalid("`datasets` is no list of names", detail, [{"pointer": "/datasets", "detail": detail}])
        requests = [detection({**data, "source": name}) for name in datasets]
        batch = str(uuid.uuid4())
        jobs = workspace.jobs.submit_all("detect", requests, identity, batch, request_id())
        items = [told(workspace.jobs.find(job, identity), workspace) for job in jobs]
        return Response(
            {"batch": batch, "items": items}, status_code=202, headers={"Location": f"/api/v1/jobs?batch={batch}"}
        )

    @post("/score", permission=Permission.DETECT, body=schemas.scoring, answers=JOB)
    async def score(
        self,
        workspace: Place,
        identity: Caller,
        data: JSONBody[dict[str, Any]],
        prefer: FromHeader[str | None] = None,
    ) -> Answer:
        """Score a dataset or another source with a model; the run is saved unless `save` is false."""
        request = sourced(data)
        model, save = request.pop("model", None), boolean(request, "save", True)
        if not isinstance(model, str) or not model:
            raise BadParameter(f"the model is {model!r}", "give the name of a trained model")
        given = {name: value for name, value in request.items() if name not in ("source", "save")}
        calls.macro_call("score_anomalies", SCORE_OPTIONS, (request["source"], model), given)
        return await answered(workspace, identity, prefer, "score", {**request, "model": model, "save": save})

    @post("/compare", permission=Permission.DETECT, body=schemas.comparison, answers=JOB)
    async def compare(
        self,
        workspace: Place,
        identity: Caller,
        data: JSONBody[dict[str, Any]],
        prefer: FromHeader[str | None] = None,
    ) -> Answer:
        """Run several algorithms on the same rows: their costs, and how well they agree with a label."""
        request = sourced(data)
        calls.compare_call(**request)
        return await answered(workspace, identity, prefer, "compare", request)

    @post("/evaluate", permission=Permission.READ, body=schemas.evaluation, answers=JOB)
    async def evaluate(
        self,
        workspace: Place,
        identity: Caller,
        data: JSONBody[dict[str, Any]],
        prefer: FromHeader[str | None] = None,
    ) -> Answer:
        """How well scored rows, or those of a saved run, agree with a label or with what people said."""
        request = sourced(data, "run")
        calls.evaluate_call(**request)
        return await answered(workspace, identity, prefer, "evaluate", request)

    @post("/runs/{id:str}/replay", permission=Permission.DETECT, answers=JOB)
    async def replay(
        self,
        workspace: Place,
        identity: Caller,
        id: FromPath[str],  # noqa: A002
        prefer: FromHeader[str | None] = None,
    ) -> Answer:
        """Run a saved run once more, and tell whether every score and flag is the same."""
        return await answered(workspace, identity, prefer, "replay", {"run": id})


def detection(data: dict[str, Any]) -> dict[str, Any]:
    """The request of a detection; BadParameter for a parameter that `detect_anomalies` does not take."""
    request = sourced(data)
    request["save"] = boolean(request, "save", True)
    calls.call(**{name: value for name, value in request.items() if name not in ("save", "detector")})
    return request
