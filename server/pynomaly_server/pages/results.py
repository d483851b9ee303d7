"""What was found: the saved runs, and one of them by verdict, pictures and rows."""

import base64
import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery, URLEncodedBody
from markupsafe import Markup

from pynomaly.engine import Engine
from pynomaly.errors import PynomalyError, UnknownKey
from pynomaly.quoting import literal
from pynomaly_server import formats, paging
from pynomaly_server.api.results import chosen_rows
from pynomaly_server.pages import expected, result_pictures, result_rows
from pynomaly_server.pages.brushing import chosen
from pynomaly_server.pages.detection_form import of_run
from pynomaly_server.pages.remembered import RUNS as KEPT
from pynomaly_server.pages.result_pictures import Of
from pynomaly_server.pages.result_rows import address_of, mark, number_of
from pynomaly_server.pages.shown import fragment, is_htmx, rendered, sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.places import web_folder
from pynomaly_server.served import Db

Web = Request[Any, Any, Any]
RUNS = """
select
    id::varchar as id, kind, source, source_version, algorithm, model, n_rows, n_flagged, seconds, started_at,
    created_by
from runs() where saved
"""
NEAREST, NEAREST_AMONG = 5, 20_000
REPORTED = 200
TESTS = (("ge", "at least"), ("le", "at most"), ("eq", "is"), ("ne", "is not"), ("contains", "contains"))
_NOTHING = dict.fromkeys(("picture", "refused", "count", "threshold", "x", "y", "time", "value", "entity"))
REPORT_POLICY = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"


class ResultsPage(Controller):
    """Saved runs."""

    path = "/results"
    include_in_schema = False

    @get("/", permission=Permission.READ, sync_to_thread=True)
    def get_runs(
        self, request: Web, db: Db, sort: FromQuery[str] = "-started_at", cursor: FromQuery[str | None] = None,
        source: FromQuery[str] = "",
    ) -> Response[str]:  # fmt: skip
        """The newest first."""
        select, values = (f"{RUNS} and contains(lower(source), lower(?))", [source]) if source else (RUNS, [])
        order = paging.sorting(sort, paging.described(db, select, values), ["started_at desc", "id"], "id")
        found = paging.page(db, select, values, order, result_rows.N_ROWS, cursor)
        return shown(
            request, "results.html", "Results", nav="results", runs=found.items, next_cursor=found.next_cursor,
            sort=sort, source=source,
        )  # fmt: skip

    @get("/{run:str}", permission=Permission.READ, sync_to_thread=True)
    def get_run(self, request: Web, db: Db, run: FromPath[str]) -> Response[str]:
        """The verdict, a picture, the rows."""
        told = _told(db, run)
        if not told["saved"]:
            return shown(request, "result_missing.html", "Result", nav="results", told=told, again=of_run(told))
        given = dict(request.query_params.items())
        of = _of(db, told)
        wanted = request.headers.get("hx-target") if is_htmx(request) else None  # what of the page is swapped in
        drawn = {} if wanted == "rows" else _drawn(db, of, given)
        listed = result_rows.unread(of, given) if wanted == "picture" else result_rows.table(db, of, given)
        return shown(
            request, "result.html", f"Result of {told['source'][:60]}", nav="results", told=told, of=of, given=given,
            tests=TESTS, again=of_run(told), view=given.get("view") or "scores",
            **listed, **{**_NOTHING, **drawn},
        )  # fmt: skip

    @get("/{run:str}/count", permission=Permission.READ, sync_to_thread=True)
    def get_count(self, request: Web, db: Db, run: FromPath[str], threshold: FromQuery[str] = "") -> Response[Any]:
        """How many rows a threshold would flag."""
        limit = number_of(threshold, "threshold")
        if not is_htmx(request):
            return sent_to(request, f"/results/{quote(run, safe='')}?{urlencode({'threshold': limit})}")
        count = result_pictures.counted(db, run, limit)
        return fragment(request, "pages/result_count.html", run=run, threshold=limit, **count)

    @get("/{run:str}/axes", permission=Permission.READ, sync_to_thread=True)
    def get_axes(self, request: Web, db: Db, run: FromPath[str]) -> Response[str]:
        """The picture that takes longest, by itself."""
        of = _of(db, _told(db, run))
        return fragment(
            request, "pages/result_axes.html", place=f"/results/{of.run}", n_rows=of.told["n_rows"],
            given=dict(request.query_params.items()), **_tried(partial(result_pictures.axes, db, of)),
        )  # fmt: skip

    @get("/{run:str}/row", permission=Permission.READ, sync_to_thread=True)
    def get_row_of(self, request: Web, db: Db, run: FromPath[str], key: FromQuery[str]) -> Response[str]:
        """The row of a key that cannot be part of a path."""
        return _row(request, db, run, key)

    @get("/{run:str}/rows/{key:str}", permission=Permission.READ, sync_to_thread=True)
    def get_row(self, request: Web, db: Db, run: FromPath[str], key: FromPath[str]) -> Response[str]:
        """One row: why it has its score, and what people say of it."""
        return _row(request, db, run, key)

    @get("/{run:str}/why", permission=Permission.READ, sync_to_thread=True)
    def get_why(self, request: Web, db: Db, run: FromPath[str], key: FromQuery[str]) -> Response[str]:
        """What every feature adds to the score of a row."""
        told = _told(db, run)
        found = _result(db, told["id"], key)
        return fragment(
            request, "pages/result_why.html", told=told, key=key, is_later=True, **_why(db, told, found)
        )  # fmt: skip

    @get("/{run:str}/nearest", permission=Permission.READ, sync_to_thread=True)
    def get_nearest(self, request: Web, db: Db, run: FromPath[str], key: FromQuery[str]) -> Response[str]:
        """The nearest normal rows of a row, which take longer."""
        told = _told(db, run)
        return fragment(request, "pages/result_nearest.html", told=told, **_nearest(db, told, key))

    @post("/{run:str}/labels", permission=Permission.LABEL, elsewhere=True, sync_to_thread=True)
    def say(self, request: Web, db: Db, run: FromPath[str], data: URLEncodedBody[dict[str, Any]]) -> Response[Any]:
        """Say of a row that it is an anomaly or normal."""
        key, note = str(data.get("key", "")), str(data.get("note", "")).strip()
        db.label(run, key, str(data.get("label", "")), note or None)
        told = _told(db, run)
        if not is_htmx(request):
            return sent_to(request, address_of(told["id"], key))
        return fragment(request, "pages/result_said.html", run=told["id"], key=key, mark=mark(key), is_swap=True,
                        said=_said(db, told["id"], key))  # fmt: skip

    @get("/{run:str}/report", permission=Permission.READ, sync_to_thread=True)
    def get_report(self, request: Web, db: Db, run: FromPath[str]) -> Response[str]:
        """The result as one file that needs nothing else: no script, no picture from elsewhere."""
        told = _told(db, run)
        of = _of(db, told)
        rows = chosen_rows(told["id"], {"is_anomaly": True, "min_score": told["threshold"]}, False, False)
        found = paging.page(db, rows.select, rows.parameters, rows.usual, REPORTED)
        styles = (web_folder() / "templates" / "pages" / "result_report.css").read_text(encoding="utf-8")
        element = Markup(f"<style>{styles}</style>")  # noqa: S704 - a file of ours
        html = rendered(
            request, "pages/result_report.html", styles=element, told=told,
            rows=result_rows.labelled(db, told["id"], found.items),
            drawn=result_pictures.histogram(db, of, told["threshold"]), n_reported=REPORTED,
        )  # fmt: skip
        headers = formats.disposition(f"{told['source']} {told['id'][:8]}", "html")
        digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
        headers["Content-Security-Policy"] = REPORT_POLICY.format(digest)
        return Response(html, media_type="text/html", headers=headers)


def _told(db: Engine, run: str) -> dict[str, Any]:
    (found,) = paging.records(db, "from _run(?)", [run])
    return found


def _of(db: Engine, told: Mapping[str, Any]) -> Of:
    """The run with the columns of its source; without them where its rows are not there any more."""
    try:
        columns = paging.described(db, "select * exclude (_pynomaly_key) from _run_rows(?)", [told["id"]])
    except PynomalyError:
        columns = {}
    return Of(told, columns)


def _drawn(db: Engine, of: Of, given: Mapping[str, str]) -> dict[str, Any]:
    """The picture that is looked at; what cannot be drawn says why."""
    view = given.get("view") or "scores"
    if view == "pairs" and len(of.numbers) > 1:
        x, y = chosen(given.get("x"), of.numbers), chosen(given.get("y"), of.numbers, 1)
        return {**_tried(partial(result_pictures.pairs, db, of, x, y)), "x": x, "y": y}
    if view == "time" and of.times and of.numbers:
        time, value = chosen(given.get("time"), of.times), chosen(given.get("value"), of.numbers)
        return {**_tried(partial(_over_time, db, of, time, value)), "time": time, "value": value}
    if view == "entities" and of.times and of.entities:
        time, entity = chosen(given.get("time"), of.times), chosen(given.get("entity"), of.entities)
        return {**_tried(partial(result_pictures.heatmap, db, of, time, entity)), "time": time, "entity": entity}
    if view == "axes":
        return _tried(partial(result_pictures.axes, db, of)) if given.get("draw") else {}
    asked = bool(given.get("threshold"))
    threshold = number_of(given["threshold"], "threshold") if asked else of.told["threshold"]
    drawn = _tried(partial(result_pictures.histogram, db, of, threshold))
    return {**drawn, "count": result_pictures.counted(db, of.run, threshold) if asked else None, "threshold": threshold}


def _over_time(db: Engine, of: Of, time: str, value: str) -> dict[str, Any] | None:
    """A column over time, with the band that was expected of it where there is one."""
    drawn = result_pictures.series(db, of, time, value)
    band = KEPT.of(("band", of.run, value), lambda: expected.band(db, of, value))
    return {**drawn, "data": band.beside(drawn["data"]), "band_sql": band.sql} if drawn and band else drawn


def _tried(draw: Any) -> dict[str, Any]:
    try:
        return {"picture": draw(), "refused": None}
    except PynomalyError as error:
        return {"picture": None, "refused": error}


def _result(db: Engine, run: str, key: str) -> dict[str, Any]:
    found = paging.records(db, "from _run_results(?) where key = ?", [run, key])
    if not found:
        raise UnknownKey(f"the run has no row `{key[:100]}`", "take a key from its rows")
    return found[0]


def _said(db: Engine, run: str, key: str) -> list[dict[str, Any]]:
    """All that was said of a row, the last first."""
    select = (
        "select label, note, labelled_at, labelled_by from query(_catalog('labels', getvariable('pynomaly_user'))) "
        "where run_id = ?::uuid and key = ? order by number desc limit 20"
    )
    return paging.records(db, select, [run, key])


def _row(request: Web, db: Engine, run: str, key: str) -> Response[str]:
    told = _told(db, run)
    found = _result(db, told["id"], key)
    later = is_htmx(request)
    why = {} if later else {**_why(db, told, found), **_nearest(db, told, key)}
    return shown(
        request, "result_row.html", f"Row {key[:60]}", nav="results", told=told, found=found, key=key, run=told["id"],
        values=_values(db, told["id"], key), said=_said(db, told["id"], key), mark=mark(key), is_later=later,
        is_swap=False,
        **{"parts": [], "nearest": [], "among": 0, "refused": None, "why_sql": "", "is_partial": False, **why},
    )  # fmt: skip


def _values(db: Engine, run: str, key: str) -> dict[str, Any]:
    """What stands in the source of a row; nothing where its rows are not there any more."""
    try:
        rows = db.sql("select * exclude (_pynomaly_key) from _run_rows_of(?, ?)", [run, [key]]).arrow().to_pylist()
    except PynomalyError:
        return {}
    return rows[0] if rows else {}


def _why(db: Engine, told: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What every feature adds; what the run kept itself, where its model was not kept."""
    asked = [told["id"], found["key"]]
    sql = f"from explain_row({literal(asked[0])}, {literal(asked[1])})"
    try:
        parts = paging.records(db, "from explain_row(?, ?)", asked)
    except PynomalyError as error:
        return {"parts": found["reasons"], "refused": error, "why_sql": sql, "is_partial": True}
    return {"parts": parts, "refused": None, "why_sql": sql, "is_partial": False}


def _nearest(db: Engine, told: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Rows that were not flagged and are most like a row; of a long run among a sample, always the same."""
    n_rows = told["n_rows"] or 0
    among = NEAREST_AMONG if n_rows > NEAREST_AMONG else None
    select = "from nearest_normal(?, ?, k := ?, sample_rows := ?)"
    try:
        nearest = paging.records(db, select, [told["id"], key, NEAREST, among])
    except PynomalyError:  # what is left of the row says why
        nearest = []
    for row in nearest:
        row["address"] = address_of(told["id"], row["key"])
    return {"nearest": nearest, "among": among or 0}
