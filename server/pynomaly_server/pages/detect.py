"""Detecting: what to look at, how, what it will cost; then how far it is."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from anyio import to_thread
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, URLEncodedBody
from litestar.response import ServerSentEvent

from pynomaly import calls
from pynomaly.combination import DEFAULT_RULE, RULES
from pynomaly.engine import Engine
from pynomaly.errors import PynomalyError, UnknownSource
from pynomaly.quoting import identifier, literal
from pynomaly_server import paging
from pynomaly_server.api.detection import detection
from pynomaly_server.jobs import ENDED, Job
from pynomaly_server.pages import detection_form, live
from pynomaly_server.pages.detection_form import MEMBER, OF, ROLE, SEVERAL, again
from pynomaly_server.pages.detection_texts import texts
from pynomaly_server.pages.shown import fragment, rendered, sent_to, shown
from pynomaly_server.pages.wording import FIELDS, label
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
# What a column that says the truth is called. It is offered as the label: nobody wants to find what is known already.
LABELS = re.compile(
    r"(is_|has_)?(label|class|target|outcome|diagnosis|truth|ground_truth|anomaly|anomalous|outlier|fraud|fraudulent"
    r"|attack|malicious|defect|defective|faulty|y_true)",
    re.IGNORECASE,
)
BUCKETS = {
    "algorithm": "", "name": "n_buckets", "type": "INTEGER", "minimum": 1, "choices": None, "default": None,
    "description": "Into so many groups the algorithms are dealt",
}  # fmt: skip
OF_LABELS = ("VARCHAR", "BOOLEAN", "BIGINT", "INTEGER", "TINYINT", "UTINYINT")
DIFFERENT = """
select count(distinct {column})
from query(_source({source}, null, null, null, null, null, null, null, getvariable('pynomaly_user')))
"""
OF_RESULT = ("anomaly_score", "is_anomaly", "reasons")


class DetectPage(Controller):
    """From data to a job that detects."""

    path = "/detect"
    include_in_schema = False

    @get("/", permission=Permission.DETECT, sync_to_thread=True)
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

    @get("/estimate", permission=Permission.DETECT, sync_to_thread=True)
    def get_estimate(self, request: Web, db: Db) -> Response[str]:
        """What it would cost, and which columns it would use."""
        found = _asked(db, dict(request.query_params.items()))
        return fragment(request, "pages/detect_estimate.html", **_estimate(db, found))

    @get("/jobs/{id:uuid}", permission=Permission.READ, sync_to_thread=True)
    def get_job(self, request: Web, identity: Caller, workspace: Place, id: FromPath[Any]) -> Response[Any]:  # noqa: A002
        """How far a detection is; what it found once it is done."""
        job = workspace.jobs.find(str(id), identity)
        if job.kind != "detect":
            return sent_to(request, f"/jobs/{job.id}")
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
    guessed = _label(db, source, columns) if set(given) == {"source"} else ""
    given = {**given, f"{ROLE}{guessed}": "label"} if guessed else given
    parameters, at = _parameters(db, given), _named(sources, source)
    found, versions = detection_form.asked(given, _types(parameters)), _versions(db, at)
    if chosen := next((one for one in versions if one.address == source), None):
        at = {**at, "n_rows": chosen.n_rows, "version": chosen.version}
    try:
        told = texts(found, f"{request.url.scheme}://{request.url.netloc}")
    except PynomalyError as error:  # an option that this release does not take
        told, refused = [], refused or error
    is_wrong = request.method == "POST" and (refused is not None or bool(found.errors))
    return shown(
        request, "detect.html", "Detect anomalies", nav="detect", status=422 if is_wrong else 200, is_wrong=is_wrong,
        source=source, at=at, versions=versions, columns=columns, given=given, errors=found.errors, failed=refused,
        wrong=_wrong(found.errors),
        rules=paging.records(db, "from threshold_rules()"), texts=told, roles=detection_form.ROLES, guessed=guessed,
        estimate=_estimate(db, found) if estimate else None, is_open=_is_open(given, guessed),
        called={row["name"]: label(row["name"], row["description"] or "") for row in parameters},
        **_algorithms(db, given, columns, parameters),
    )  # fmt: skip


def _wrong(errors: Mapping[str, str]) -> str:
    """What is wrong with the form, by its fields."""
    return "; ".join(f"{FIELDS[name]}: {said}" if name in FIELDS else said for name, said in errors.items()) + "."


def _algorithms(
    db: Engine, given: Mapping[str, str], columns: Mapping[str, str], parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    """The algorithms to choose from, what the chosen ones take, and what of the form has no place in all this."""
    listed = paging.records(db, "from algorithms() order by name")
    carried = detection_form.carried(given, columns, _types(parameters), [row["name"] for row in listed])
    left = {name: value for name, value in given.items() if name not in (*carried, "step", "csrf_token")}
    return {
        "algorithms": listed,
        "algorithm": next((row for row in listed if row["name"] == given.get("algorithm", "auto")), None),
        "parameters": parameters,
        "combining": RULES,
        "usual_rule": DEFAULT_RULE,
        "members": detection_form.members(given),
        "names": {"several": SEVERAL, "of": OF, "member": MEMBER},
        "carried": carried,
        "without": f"/detect?{urlencode(left)}",
    }


def _named(sources: list[dict[str, Any]], source: str) -> dict[str, Any]:
    """What is known of a source; a version of a dataset is known as the dataset."""
    name = source.partition("@")[0]
    return next((row for row in sources if row["name"] in (source, name)), {"name": source, "kind": "data"})


def _versions(db: Engine, at: Mapping[str, Any]) -> list[Any]:
    """The versions of a dataset that has several, the newest first."""
    return db.datasets.versions(at["name"])[::-1] if (at.get("n_versions") or 0) > 1 else []


def _label(db: Engine, source: str, columns: Mapping[str, str]) -> str:
    """The column that says what is true, where one is called so and has two values: as a feature it would tell all."""
    for name in (name for name, kind in columns.items() if LABELS.fullmatch(name) and kind in OF_LABELS):
        if db.execute(DIFFERENT.format(column=identifier(name), source=literal(source))).fetchall()[0][0] == 2:
            return name
    return ""


def _is_open(given: Mapping[str, str], guessed: str) -> bool:
    """Whether something is said that stands behind "more"."""
    shown_first = ("source", "explain", "step", "csrf_token", OF, f"{ROLE}{guessed}")
    usual = (("algorithm", "auto"), ("combine", DEFAULT_RULE))
    return any(value and name not in shown_first and (name, value) not in usual for name, value in given.items())


def _parameters(db: Engine, given: Mapping[str, str]) -> list[dict[str, Any]]:
    """The parameters of the algorithms that are chosen, by their field; none of one that there is not."""
    several = detection_form.members(given)
    chosen = several or [name for name in (given.get("algorithm", ""),) if name not in ("", "auto", SEVERAL)]
    if not chosen:
        return []
    listed = " union all by name ".join("select ? as algorithm, * from algorithm_parameters(?)" for _ in chosen)
    try:
        found = paging.records(db, f"from ({listed})", [name for one in chosen for name in (one, one)])
    except PynomalyError:
        return []
    if RULES.get(given.get("combine", ""), RULES[DEFAULT_RULE]).takes_buckets and several:
        found.append({**BUCKETS, "maximum": len(several)})
    for one in found:
        one["field"] = f"{one['algorithm']}.{one['name']}" if several and one["algorithm"] else one["name"]
    return found


def _types(parameters: list[dict[str, Any]]) -> dict[str, str]:
    return {row["field"]: row["type"] for row in parameters}


def _asked(db: Engine, given: dict[str, str]) -> detection_form.Asked:
    if not given.get("source"):
        raise UnknownSource("no data is chosen", "choose a dataset or a table")
    return detection_form.asked(given, _types(_parameters(db, given)))


def _estimate(db: Engine, found: detection_form.Asked) -> dict[str, Any]:
    """The row of `estimate_cost`, and what becomes of each column."""
    options = {name: value for name, value in found.options.items() if name in calls.COST_OPTIONS}
    roles = {name: value for name, value in options.items() if name in ("features", "exclude", "label", "key")}
    by = {"by": found.options["by"]} if "by" in found.options else {}
    source = found.request["source"]
    cost = f"from {calls.macro_call('estimate_cost', calls.COST_OPTIONS, (source,), options)}"
    known = (*roles, "by")
    uses = f"from {calls.macro_call('explain_features', known, (source,), {**roles, **by})}"
    told = {"sql": cost}
    try:
        return {"cost": paging.records(db, cost)[0], "uses": paging.records(db, uses), "refused": None, **told}
    except PynomalyError as error:
        return {"cost": None, "uses": [], "refused": error, **told}


def _strings(data: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a form; of one that is given twice the last."""
    return {name: str(value[-1] if isinstance(value, list) and value else value) for name, value in data.items()}


def _run_of(job: Any) -> str:
    return str(((job.result or {}).get("run") or {}).get("id") or "")
