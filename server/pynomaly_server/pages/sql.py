"""SQL: one confined SELECT, its rows, its plan, a picture of it, and what can be made of it."""

import contextlib
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
import pyarrow as pa
from litestar import Controller, Request, Response, get, post
from litestar.params import FromQuery, URLEncodedBody

from pynomaly.engine import Engine
from pynomaly.errors import BadParameter, Conflict, Interrupted, PynomalyError
from pynomaly.quoting import identifier
from pynomaly.result import Found
from pynomaly.source import RESULT_COLUMNS
from pynomaly_server import formats, legible, paging, rowsets, words
from pynomaly_server.api.queries import ASKED
from pynomaly_server.identity import Identity
from pynomaly_server.pages import plots, saved_queries
from pynomaly_server.pages.saved_queries import Saving
from pynomaly_server.pages.shown import fragment, is_part, sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.requests import request_id
from pynomaly_server.served import Caller, Db, Place
from pynomaly_server.spots import spot
from pynomaly_server.stopping import STOPPING
from pynomaly_server.workspace import Workspace

SHOWN_ROWS = 1_000
SHOWN_CELLS = 20_000  # of a grid: a wide one has fewer rows
LONGEST_ADDRESS = 6_000  # characters of a statement that an address can hold
FIRST_QUERIES = 8
HISTORY = f"select id::varchar as id, sql, status, error, seconds, started_at, created_by from ({ASKED})"
Asked = Request[Any, Any, Any]
Form = URLEncodedBody[dict[str, Any]]


class SqlPage(Controller):
    """Queries that people write."""

    path = "/sql"
    include_in_schema = False

    @get("/", permission=Permission.QUERY, sync_to_thread=True)
    def get_sql(
        self,
        request: Asked,
        db: Db,
        identity: Caller,
        workspace: Place,
        q: FromQuery[str] = "",
        name: FromQuery[str] = "",
    ) -> Response[str]:
        """The editor with the statement of the address, or a saved one, which runs when it is asked to."""
        text = saved_queries.opened(workspace, identity.user, name) if name and not q else q
        return _page(request, db, identity, workspace, text, saving=Saving(name, name))

    @get("/names", permission=Permission.QUERY, sync_to_thread=True)
    def get_names(self, db: Db) -> list[dict[str, str]]:
        """What the editor completes."""
        return words.completions(db)

    @get("/history", permission=Permission.QUERY, sync_to_thread=True)
    def get_history(self, request: Asked, db: Db, cursor: FromQuery[str | None] = None) -> Response[str]:
        """What was asked, the newest first."""
        db.write_log()
        found = paging.page(db, HISTORY, (), ("started_at desc", "id"), 50, cursor)
        return shown(
            request, "sql_history.html", "History", nav="sql", queries=found.items, next_cursor=found.next_cursor
        )

    @post("/run", permission=Permission.QUERY, changes_nothing=True, status_code=200, sync_to_thread=True)
    def run(self, request: Asked, db: Db, identity: Caller, workspace: Place, data: Form) -> Response[str]:
        """The first rows of a statement."""

        def found(sql: str, seconds: float) -> dict[str, Any]:
            ran = db.run_confined(sql, limit=_most(workspace), seconds=seconds, request_id=request_id())
            return {"grid": _grid(ran), "ran": ran}

        return _answered(request, db, identity, workspace, data, found)

    @post("/plan", permission=Permission.QUERY, changes_nothing=True, status_code=200, sync_to_thread=True)
    def plan(self, request: Asked, db: Db, identity: Caller, workspace: Place, data: Form) -> Response[str]:
        """How a statement would run."""
        return _answered(
            request, db, identity, workspace, data,
            lambda sql, seconds: {"plan": db.explain_confined(sql, seconds=seconds)},
        )  # fmt: skip

    @post("/chart", permission=Permission.QUERY, changes_nothing=True, status_code=200, sync_to_thread=True)
    def chart(self, request: Asked, db: Db, identity: Caller, workspace: Place, data: Form) -> Response[str]:
        """A picture of two columns of a statement."""

        def found(sql: str, seconds: float) -> dict[str, Any]:
            most = min(plots.MOST_POINTS, int(workspace.options["query_rows"]))
            ran = db.run_confined(sql, limit=most, seconds=seconds, request_id=request_id())
            return {"chart": plots.chart(ran, str(data.get("x", "")), str(data.get("y", "")))}

        return _answered(request, db, identity, workspace, data, found)

    @post("/count", permission=Permission.QUERY, changes_nothing=True, status_code=200, sync_to_thread=True)
    def count(self, request: Asked, db: Db, identity: Caller, workspace: Place, data: Form) -> Response[str]:
        """How many rows a statement has."""

        def found(sql: str, seconds: float) -> dict[str, Any]:
            counted = f"select count(*) from (\n{_bare(sql)}\n)"
            ran = db.run_confined(counted, limit=1, seconds=seconds, request_id=request_id())
            return {"n_total": ran.rows.column(0)[0].as_py()}

        return _answered(request, db, identity, workspace, data, found)

    @post("/stop", permission=Permission.QUERY, changes_nothing=True, status_code=204, sync_to_thread=True)
    def stop(self, identity: Caller, data: Form) -> None:
        """Stop what runs under the token of a page."""
        STOPPING.stop(identity.user, str(data.get("token", "")))

    @post(
        [f"/rows.{name}" for name in formats.FORMATS],
        permission=Permission.QUERY,
        changes_nothing=True,
        status_code=200,
    )
    @rowsets.in_thread
    def export(self, request: Asked, db: Db, workspace: Place, data: Form) -> Response[Any]:
        """The rows of a statement as a file, as many as the settings allow."""
        limit, seconds = int(workspace.options["query_rows"]), float(workspace.options["query_seconds"])
        found = db.run_confined(str(data.get("q", "")), limit=limit, seconds=seconds, request_id=request_id())
        return formats.respond(request, found.rows, "query")

    @post("/save", permission=Permission.QUERY, status_code=200, sync_to_thread=True)
    def save(self, request: Asked, db: Db, identity: Caller, workspace: Place, data: Form) -> Response[Any]:
        """Keep a statement by a name; one that was opened under another name is renamed, unless it is to be a copy."""
        before = "" if data.get("as_copy") else str(data.get("opened", ""))
        sql, name = str(data.get("q", "")), str(data.get("saved_name", "")).strip()
        saving = Saving(name, name, is_saved=True)
        try:
            saved_queries.keep(workspace, identity.user, before, name, sql)
        except (BadParameter, Conflict) as error:
            saving = Saving(str(data.get("opened", "")), name, f"{error.cause}; {error.mend}")
        if not is_part(request):
            if saving.is_saved:
                return sent_to(request, saved_queries.address_of(name))
            return _page(request, db, identity, workspace, sql, 422, saving=saving)
        given = {"saving": saving, "saved": saved_queries.listed(workspace, identity.user)}
        headers = {"HX-Push-Url": saved_queries.address_of(name)} if saving.is_saved else {}
        status = 200 if saving.is_saved else 422
        return fragment(request, "pages/sql_saved_now.html", status=status, headers=headers, **given)

    @post("/detect", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def detect(self, request: Asked, db: Db, identity: Caller, workspace: Place, data: Form) -> Response[Any]:
        """The rows of a statement as a dataset, without what an earlier detection added; then detection in it."""
        made: list[str] = []

        def keep(sql: str, seconds: float) -> dict[str, Any]:
            name = str(data.get("name", "")).strip() or f"query_{uuid.uuid4().hex[:8]}"
            with workspace.acting(identity) as reading:
                _keep(reading, db, identity, str(data.get("token", "")), sql, name, seconds)
            made.append(name)
            return {}

        answer = _answered(request, db, identity, workspace, data, keep, is_stoppable=False)
        if not made:
            return answer
        workspace.changed()
        return sent_to(request, f"/detect?{urlencode({'source': made[0]})}")


def _keep(reading: Engine, db: Engine, identity: Identity, token: str, sql: str, name: str, seconds: float) -> None:
    """Keep the rows of a statement as a dataset."""
    with STOPPING.stoppable(identity.user, token, reading, db, seconds=seconds):
        relation = reading.sql(reading.checked(sql).sql).bare_relation()
        kept = [column for column in relation.columns if column.lower() not in RESULT_COLUMNS]
        if not kept:
            raise BadParameter("the query has no column besides the results of a detection", "select more columns")
        rows = relation.project(", ".join(map(identifier, kept)))
        with rows.to_arrow_reader(formats.BATCH_ROWS) as reader:  # closed, or it hides why the rows were not kept
            db.datasets.add(name, reader, called=f"query: {sql[:200]}")


def _answered(
    request: Asked,
    db: Engine,
    identity: Identity,
    workspace: Workspace,
    data: dict[str, Any],
    find: Callable[[str, float], dict[str, Any]],
    is_stoppable: bool = True,
) -> Response[str]:
    """What came of a statement, a failure too, as a part of the page or in the page."""
    sql, token = str(data.get("q", "")), str(data.get("token", ""))
    seconds = float(workspace.options["query_seconds"])
    told: dict[str, Any] = {}
    try:
        if not sql.strip():
            raise BadParameter("there is no statement", "write one SELECT")
        with (
            STOPPING.stoppable(identity.user, token, db, seconds=seconds + 1)
            if is_stoppable
            else contextlib.nullcontext()
        ):
            told = find(sql, seconds)
    except Interrupted:
        told = {"is_stopped": True}
    except PynomalyError as error:
        told = {"error": error, "spot": spot(error, sql)}
    status = 422 if told.get("error") else 200
    opened = str(data.get("opened", ""))
    if not is_part(request):
        saving = Saving(opened, str(data.get("saved_name", "")))
        return _page(request, db, identity, workspace, sql, status, saving=saving, **told)
    pushed = urlencode({"q": sql, **({"name": opened} if opened else {})})
    headers = {"HX-Push-Url": f"/sql?{pushed}"} if len(sql) <= LONGEST_ADDRESS else {}
    given = {**_NOTHING, **told, "q": sql, "token": token, "limits": _limits(workspace), "choices": _choices(told)}
    return fragment(request, "pages/sql_result.html", status=status, headers=headers, **given)


_NOTHING: dict[str, Any] = {
    "grid": None, "ran": None, "plan": None, "chart": None, "error": None, "spot": None, "is_stopped": False,
    "n_total": None, "saving": Saving(),
}  # fmt: skip


def _page(
    request: Asked,
    db: Engine,
    identity: Identity,
    workspace: Workspace,
    q: str,
    status: int = 200,
    **told: Any,
) -> Response[str]:
    """The whole page."""
    db.write_log()
    asked = paging.page(db, HISTORY, (), ("started_at desc", "id"), 3 * FIRST_QUERIES).items
    queries = list({one["sql"]: one for one in reversed(asked)}.values())[::-1][:FIRST_QUERIES]  # each text once
    given = {**_NOTHING, **told, "limits": _limits(workspace), "choices": _choices(told)}
    address = f"/sql?{urlencode({'q': q})}" if 0 < len(q) <= LONGEST_ADDRESS else ""
    return shown(
        request, "sql.html", "SQL", nav="sql", status=status, q=q, token=uuid.uuid4().hex, objects=words.objects(db),
        macros=words.signatures(), queries=queries, address=address,
        saved=saved_queries.listed(workspace, identity.user), **given,
    )  # fmt: skip


def _limits(workspace: Workspace) -> dict[str, Any]:
    options = workspace.options
    return {"rows": _most(workspace), "export": int(options["query_rows"]), "seconds": float(options["query_seconds"])}


def _most(workspace: Workspace) -> int:
    return min(SHOWN_ROWS, int(workspace.options["query_rows"]))


def _grid(found: Found) -> dict[str, Any]:
    """Rows as objects, whose columns have names of their own."""
    names: list[str] = []
    for name, _ in found.columns:
        n, text = 1, name
        while text in names:
            n, text = n + 1, f"{name} ({n + 1})"
        names.append(text)
    most = max(1, SHOWN_CELLS // max(1, len(names)))
    documents = frozenset(name for name, (_, kind) in zip(names, found.columns, strict=True) if kind == "JSON")
    table: pa.Table = found.rows.slice(0, most).rename_columns(names)
    rows = msgspec.json.decode(legible.json_array(table, documents))
    columns = [
        {
            "name": name,
            "help": kind,
            "kind": "time" if kind.startswith("TIMESTAMP") and not kind.endswith("]") else None,
        }
        for name, (_, kind) in zip(names, found.columns, strict=True)
    ]
    flagged = next((name for name in names if name == "is_anomaly"), "")
    return {"columns": columns, "rows": rows, "has_more": found.has_more or found.n_rows > most, "flagged": flagged}


def _choices(told: dict[str, Any]) -> dict[str, list[str]]:
    """The columns that a picture can have across and up."""
    ran: Found | None = told.get("ran")
    if ran is not None:
        return plots.choices(ran)
    chart: dict[str, Any] | None = told.get("chart")
    return chart["choices"] if chart else {"x": [], "y": []}


def _bare(sql: str) -> str:
    """A statement without the semicolon at its end, so that it can stand in brackets."""
    return re.sub(r"[;\s]+$", "", sql)
