"""What was found: the saved runs, and one of them by verdict, pictures and rows."""

import base64
import hashlib
import math
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery, URLEncodedBody
from markupsafe import Markup

from pynomaly.engine import Engine
from pynomaly.errors import BadParameter, PynomalyError, UnknownKey
from pynomaly.quoting import identifier, literal
from pynomaly_server import formats, paging
from pynomaly_server.api.results import chosen_rows, with_source
from pynomaly_server.pages import expected, result_pictures
from pynomaly_server.pages.brushing import SIDES, brushed, chosen, needs_source
from pynomaly_server.pages.detection_form import of_run
from pynomaly_server.pages.filters import number
from pynomaly_server.pages.result_pictures import Of
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
N_ROWS = 40  # of a page: up to 50, DuckDB looks for these first and reads the rest of them alone
N_COLUMNS = 8  # of the source in a table
MANY = 20_000  # rows from which a table is not sorted by what stands in the source
NEAREST = 5
REPORTED = 200
OWN = ("key", "anomaly_score", "is_anomaly", "label", "reasons")
TESTS = (("ge", "at least"), ("le", "at most"), ("eq", "is"), ("ne", "is not"), ("contains", "contains"))
_PLAIN = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER", "VARCHAR", "UUID", "DATE")
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
        found = paging.page(db, select, values, order, N_ROWS, cursor)
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
        wants_rows = is_htmx(request) and request.headers.get("hx-target") == "rows"
        drawn = {} if wants_rows else _drawn(db, of, given)
        return shown(
            request, "result.html", f"Result of {told['source'][:60]}", nav="results", told=told, of=of, given=given,
            formats=list(formats.FORMATS), tests=TESTS, again=of_run(told), view=given.get("view") or "scores",
            **_table(db, of, given), **{**_NOTHING, **drawn},
        )  # fmt: skip

    @get("/{run:str}/count", permission=Permission.READ, sync_to_thread=True)
    def get_count(self, request: Web, db: Db, run: FromPath[str], threshold: FromQuery[str] = "") -> Response[Any]:
        """How many rows a threshold would flag."""
        limit = _number(threshold, "threshold")
        if not is_htmx(request):
            return sent_to(request, f"/results/{quote(run, safe='')}?{urlencode({'threshold': limit})}")
        count = result_pictures.counted(db, run, limit)
        return fragment(request, "pages/result_count.html", run=run, threshold=limit, **count)

    @get("/{run:str}/axes", permission=Permission.READ, sync_to_thread=True)
    def get_axes(self, request: Web, db: Db, run: FromPath[str]) -> Response[str]:
        """The picture that takes longest, by itself."""
        of = _of(db, _told(db, run))
        return fragment(
            request, "pages/result_axes.html", place=f"/results/{of.run}", given=dict(request.query_params.items()),
            **_tried(partial(result_pictures.axes, db, of)),
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
        """What takes longer of a row: what every feature adds, and the nearest normal rows."""
        told = _told(db, run)
        found = _result(db, told["id"], key)
        return fragment(request, "pages/result_why.html", told=told, **_why(db, told, found))

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
            request, "pages/result_report.html", styles=element, told=told, rows=_labelled(db, told["id"], found.items),
            drawn=result_pictures.histogram(db, of, told["threshold"]), n_reported=REPORTED,
        )  # fmt: skip
        headers = formats.disposition(f"{told['source']} {told['id'][:8]}", "html")
        digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
        headers["Content-Security-Policy"] = REPORT_POLICY.format(digest)
        return Response(html, media_type="text/html", headers=headers)


def address_of(run: str, key: str) -> str:
    """The address of a row."""
    if not key or key in (".", "..") or "/" in key or not key.isprintable() or len(key) > 500:
        return f"/results/{run}/row?{urlencode({'key': key})}"
    return f"/results/{run}/rows/{quote(key, safe='')}"


def mark(key: str) -> str:
    """A key as part of an id."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


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
    threshold = _number(given["threshold"], "threshold") if asked else of.told["threshold"]
    drawn = _tried(partial(result_pictures.histogram, db, of, threshold))
    return {**drawn, "count": result_pictures.counted(db, of.run, threshold) if asked else None, "threshold": threshold}


def _over_time(db: Engine, of: Of, time: str, value: str) -> dict[str, Any] | None:
    """A column over time, with the band that was expected of it where there is one."""
    drawn, band = result_pictures.series(db, of, time, value), expected.band(db, of, value)
    return {**drawn, "data": band.beside(drawn["data"]), "band_sql": band.sql} if drawn and band else drawn


def _tried(draw: Any) -> dict[str, Any]:
    try:
        return {"picture": draw(), "refused": None}
    except PynomalyError as error:
        return {"picture": None, "refused": error}


def _table(db: Engine, of: Of, given: Mapping[str, str]) -> dict[str, Any]:
    """A page of the rows, in their order and through the filters that the address holds."""
    told, sort = of.told, given.get("sort") or "-anomaly_score"
    everything = given.get("show") == "all"
    least = _number(given["min_score"], "min_score") if given.get("min_score") else None
    choice: dict[str, Any] = {"is_anomaly": None if everything else True, "reason": given.get("reason") or None}
    choice["min_score"] = least if least is not None or everything else told["threshold"]
    choice["label"] = given.get("label") or None
    filters, brush = _filters(given), _brush(given)
    asked_of = {paging.key(sort).name, *(text.partition(":")[0] for text in filters)}
    is_joined = bool(of.columns) and ((brush and needs_source(of, given)) or not asked_of <= set(OWN))
    rows = chosen_rows(of.run, choice, choice["label"] is not None, is_joined)
    types = paging.described(db, rows.select, rows.parameters)
    order = paging.sorting(sort, types, rows.usual, rows.unique)
    rows = brushed(rows, of, given, brush, types) if brush else rows
    rows = rows.filtered(db, filters, types)
    found = paging.page(db, rows.select, rows.parameters, order, N_ROWS, given.get("cursor"))
    if of.columns and not is_joined and len(found.rows):
        found = msgspec.structs.replace(found, rows=with_source(of.run, db, found.rows, _pruned(of, found.rows)))
    items = _labelled(db, of.run, found.items)
    for item in items:
        for reason in item["reasons"]:
            reason["value"] = _short(reason["value"])
        item["address"], item["mark"] = address_of(of.run, item["key"]), mark(item["key"])
    names = [name for name in (items[0] if items else ()) if name not in (*OWN, "address", "mark")]
    n_shown = len(names) if given.get("columns") == "all" else N_COLUMNS
    return {
        "rows": items, "next_cursor": found.next_cursor, "sort": sort, "columns": names[:n_shown],
        "n_more_columns": len(names) - len(names[:n_shown]), "is_brushed": brush is not None,
        "can_sort": (told["n_flagged"] if not everything else told["n_rows"]) <= MANY, "rows_sql": rows.select,
    }  # fmt: skip


def _filters(given: Mapping[str, str]) -> list[str]:
    """The one filter of the form, as the server's lists read it."""
    column, test, value = (given.get(name, "") for name in ("column", "test", "is"))
    return [f"{column}:{test or 'eq'}:{value}"] if column and value else []


def _brush(given: Mapping[str, str]) -> list[float] | None:
    if not all(given.get(name) for name in SIDES):
        return None
    return [_number(given[name], name) for name in SIDES]


def _pruned(of: Of, rows: Any) -> str:
    """A condition by the key's own column, so that whole blocks of the source are not read."""
    keys = of.told["key"]
    kind = of.columns.get(keys[0], "") if len(keys) == 1 else ""
    if kind not in _PLAIN:
        return ""
    return f"{identifier(keys[0])} in ({', '.join(map(literal, rows['key'].to_pylist()))})"


def _labelled(db: Engine, run: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with what was last said of them."""
    keys = [item["key"] for item in items]
    said = dict(
        db.execute(
            "select key, label from labels_of(?) where key in (select unnest(?::varchar[]))", [run, keys]
        ).fetchall()
    )
    return [{**item, "label": said.get(item["key"])} for item in items]


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadParameter(f"`{name}` is {text[:40]!r}", "give a number")
    return value


def _short(text: str | None) -> str | None:
    """A number, which reasons have as a text, by the digits that count."""
    try:
        return text and number(float(text))
    except ValueError:
        return text


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
    of, found = _of(db, told), _result(db, told["id"], key)
    values: dict[str, Any] = {}
    if of.columns:
        table = db.sql("select ?::varchar as key", [key]).arrow()
        values = with_source(of.run, db, table, _pruned(of, table)).drop_columns(["key"]).to_pylist()[0]
    later = is_htmx(request)
    why = {} if later else _why(db, told, found)
    return shown(
        request, "result_row.html", f"Row {key[:60]}", nav="results", told=told, found=found, key=key, run=told["id"],
        values=values, said=_said(db, told["id"], key), mark=mark(key), is_later=later, is_swap=False,
        **{"parts": [], "nearest": [], "refused": None, "why_sql": "", "is_partial": False, **why},
    )  # fmt: skip


def _why(db: Engine, told: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What every feature adds, and rows that are normal; what the run kept itself, where its model was not kept."""
    asked = [told["id"], found["key"]]
    sql = f"from explain_row('{asked[0]}', ?)"
    try:
        parts = paging.records(db, "from explain_row(?, ?)", asked)
        nearest = paging.records(db, "from nearest_normal(?, ?, k := ?)", [*asked, NEAREST])
    except PynomalyError as error:
        return {"parts": found["reasons"], "nearest": [], "refused": error, "why_sql": sql, "is_partial": True}
    for row in nearest:
        row["address"] = address_of(told["id"], row["key"])
    return {"parts": parts, "nearest": nearest, "refused": None, "why_sql": sql, "is_partial": False}
