"""Detecting: what to look at, how, what it will cost; then how far it is."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from anyio import to_thread
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, URLEncodedBody
from litestar.response import ServerSentEvent

from pynomaly import calls
from pynomaly.engine import Engine
from pynomaly.errors import PynomalyError, UnknownAlgorithm, UnknownSource
from pynomaly_server import paging
from pynomaly_server.api.detection import detection
from pynomaly_server.jobs import ENDED, Job
from pynomaly_server.pages import detection_form, live
from pynomaly_server.pages.shown import fragment, rendered, sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.requests import request_id
from pynomaly_server.served import Caller, Db, Place

Web = Request[Any, Any, Any]
Form = URLEncodedBody[dict[str, Any]]
MOST_SOURCES = 500
SOURCES = """
select name, n_rows, n_columns, version, n_versions, 'dataset' as kind, loaded_at from datasets()
union all by name
select
    case when schema_name = current_schema() then table_name else schema_name || '.' || table_name end as name,
    estimated_size as n_rows, column_count as n_columns, 'table' as kind
from duckdb_tables()
where not internal and not temporary and schema_name <> 'pynomaly' and database_name = current_database()
union all by name
select
    case when schema_name = current_schema() then view_name else schema_name || '.' || view_name end as name,
    column_count as n_columns, 'view' as kind
from duckdb_views()
where not internal and not temporary and schema_name <> 'pynomaly' and database_name = current_database()
"""
LISTED = f"select * from ({SOURCES}) order by kind, loaded_at desc nulls last, name limit {MOST_SOURCES}"
OF_RESULT = ("anomaly_score", "is_anomaly", "reasons")


class DetectPage(Controller):
    """From data to a job that detects."""

    path = "/detect"
    include_in_schema = False

    @get("/", permission=Permission.READ, sync_to_thread=True)
    def get_detect(self, request: Web, db: Db) -> Response[str]:
        """The data to choose from; once it is chosen, everything that can be said of a detection."""
        return _page(request, db, dict(request.query_params.items()))

    @post("/", permission=Permission.DETECT, elsewhere=True, sync_to_thread=True)
    def detect(self, request: Web, db: Db, identity: Caller, workspace: Place, data: Form) -> Response[Any]:
        """Begin; or, where there are no scripts, show the same form for what was chosen in it."""
        given = _strings(data)
        if given.get("step") == "show":
            return _page(request, db, given, estimate=True)
        try:
            found = _asked(db, given)
            if not found.errors:
                paging.described(db, f"from {found.call}")  # binding it checks every value
        except PynomalyError as error:
            return _page(request, db, given, refused=error)
        if found.errors:
            return _page(request, db, given)
        asked = detection({**found.request, "save": True})
        job = workspace.jobs.submit("detect", asked, identity, None, request_id())
        return sent_to(request, f"/detect/jobs/{job}")

    @get("/estimate", permission=Permission.READ, sync_to_thread=True)
    def get_estimate(self, request: Web, db: Db) -> Response[str]:
        """What it would cost, and which columns it would use."""
        found = _asked(db, dict(request.query_params.items()))
        return fragment(request, "pages/detect_estimate.html", **_estimate(db, found))

    @get("/jobs/{id:uuid}", permission=Permission.READ, sync_to_thread=True)
    def get_job(self, request: Web, identity: Caller, workspace: Place, id: FromPath[Any]) -> Response[Any]:  # noqa: A002
        """How far a detection is; what it found once it is done."""
        job = workspace.jobs.find(str(id), identity)
        if job.status == "succeeded" and (run := _run_of(job)):
            return sent_to(request, f"/results/{run}")
        far = workspace.jobs.live(job.id)
        refresh = 2 if job.status not in ENDED else 0
        return shown(
            request, "detect_job.html", "Detecting", nav="detect", job=job, live=far, run="", refresh=refresh,
            again=again(job.request),
        )  # fmt: skip

    @get("/jobs/{id:uuid}/progress", permission=Permission.READ)
    async def get_progress(
        self,
        request: Web,
        identity: Caller,
        workspace: Place,
        id: FromPath[Any],  # noqa: A002
    ) -> ServerSentEvent:  # of the type depends what a browser is told of the answer
        """The same again and again, as a part of a page; the last part leads to the results."""
        await to_thread.run_sync(workspace.jobs.find, str(id), identity)

        def part(job: Job) -> str:
            context = {"live": workspace.jobs.live(job.id), "run": _run_of(job), "again": again(job.request)}
            return rendered(request, "pages/detect_progress.html", job=job, **context)

        return ServerSentEvent(live.parts(workspace, identity, str(id), part))

    @post("/jobs/{id:uuid}/stop", permission=Permission.DETECT, elsewhere=True, sync_to_thread=True)
    def stop(self, request: Web, identity: Caller, workspace: Place, id: FromPath[Any]) -> Response[None]:  # noqa: A002
        """Stop it."""
        job = workspace.jobs.find(str(id), identity)
        workspace.jobs.cancel(job.id)
        return sent_to(request, f"/detect/jobs/{job.id}")


def again(request: Mapping[str, Any]) -> str:
    """The address of the form that makes a request."""
    return f"/detect?{urlencode({name: value for name, value in detection_form.fields(request).items() if value})}"


def _page(
    request: Web, db: Engine, given: dict[str, str], refused: PynomalyError | None = None, estimate: bool = False
) -> Response[str]:
    sources = paging.records(db, LISTED)
    source = given.get("source", "")
    if not source:
        return shown(request, "detect_data.html", "Detect anomalies", nav="detect", sources=sources)
    columns = {
        name: kind for name, kind in paging.described(db, f"from {calls.call(source)}").items() if name not in OF_RESULT
    }
    chosen = given.get("algorithm") or "auto"
    algorithms = paging.records(db, "from algorithms() order by name")
    parameters = _listed(db, chosen)
    found = detection_form.asked(given, {row["name"]: row["type"] for row in parameters})
    address = f"{request.url.scheme}://{request.url.netloc}"
    cost: dict[str, Any] = _estimate(db, found) if estimate else {"cost": None, "uses": [], "refused": None}
    is_wrong = request.method == "POST" and (refused is not None or bool(found.errors))
    return shown(
        request, "detect.html", "Detect anomalies", nav="detect", status=422 if is_wrong else 200,
        sources=sources, source=source, at=_named(sources, source), columns=columns, algorithms=algorithms,
        algorithm=next((row for row in algorithms if row["name"] == chosen), None), parameters=parameters,
        rules=paging.records(db, "from threshold_rules()"), given=given, errors=found.errors, failed=refused,
        texts=detection_form.texts(found, address), roles=detection_form.ROLES, estimate=cost if estimate else None,
        is_open=_is_open(given),
    )  # fmt: skip


def _named(sources: list[dict[str, Any]], source: str) -> dict[str, Any]:
    """What is known of a source; a version of a dataset is known as the dataset."""
    name = source.partition("@")[0]
    return next((row for row in sources if row["name"] in (source, name)), {"name": source, "kind": "data"})


def _is_open(given: Mapping[str, str]) -> bool:
    """Whether something is said that stands behind "more"."""
    shown_first = ("source", "explain", "step", "csrf_token")
    return any(value and name not in shown_first and (name, value) != ("algorithm", "auto")
               for name, value in given.items())  # fmt: skip


def _listed(db: Engine, algorithm: str) -> list[dict[str, Any]]:
    """The parameters of an algorithm; none of one that there is not."""
    try:
        return [] if algorithm == "auto" else paging.records(db, "from algorithm_parameters(?)", [algorithm])
    except UnknownAlgorithm:
        return []


def _asked(db: Engine, given: dict[str, str]) -> detection_form.Asked:
    if not given.get("source"):
        raise UnknownSource("no data is chosen", "choose a dataset or a table")
    listed = _listed(db, given.get("algorithm") or "auto")
    return detection_form.asked(given, {row["name"]: row["type"] for row in listed})


def _estimate(db: Engine, found: detection_form.Asked) -> dict[str, Any]:
    """The row of `estimate_cost`, and what becomes of each column."""
    options = {name: value for name, value in found.options.items() if name in calls.COST_OPTIONS}
    roles = {name: value for name, value in options.items() if name in ("features", "exclude", "label", "key")}
    by = {"by": found.options["by"]} if "by" in found.options else {}
    source = found.request["source"]
    cost = f"from {calls.macro_call('estimate_cost', calls.COST_OPTIONS, (source,), options)}"
    known = (*roles, "by")
    uses = f"from {calls.macro_call('explain_features', known, (source,), {**roles, **by})}"
    try:
        return {"cost": paging.records(db, cost)[0], "uses": paging.records(db, uses), "refused": None, "sql": cost}
    except PynomalyError as error:
        return {"cost": None, "uses": [], "refused": error, "sql": cost}


def _strings(data: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a form; of one that is given twice the last."""
    return {name: str(value[-1] if isinstance(value, list) and value else value) for name, value in data.items()}


def _run_of(job: Any) -> str:
    return str(((job.result or {}).get("run") or {}).get("id") or "")
