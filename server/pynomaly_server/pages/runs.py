"""History: every run, the card of one, and several side by side."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery, URLEncodedBody

from pynomaly.engine import Engine
from pynomaly.errors import BadParameter, PynomalyError
from pynomaly.quoting import literal
from pynomaly_server import paging, rowsets
from pynomaly_server.pages import comparing, detection_form, plots, wording
from pynomaly_server.pages.remembered import RUNS as KEPT
from pynomaly_server.pages.shown import sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.requests import request_id
from pynomaly_server.served import Caller, Db, Place

RUNS = "from runs()"
USUAL = ["started_at desc", "id"]
PAGE_ROWS = 25
_KEEPS = {"newly flagged": " and is_anomaly_b", "no longer flagged": " and is_anomaly_a"}  # by which fewer are matched
CHANGES = ("newly flagged", "no longer flagged", "score changed", "only in a", "only in b")
_KNOWN = """
select
    coalesce(list_sort(list(distinct algorithm)), []) as algorithms,
    coalesce(list_sort(list(distinct created_by)), []) as people, count(*) as n_runs
from runs()
"""
Asked = Request[Any, Any, Any]
Wanted = FromQuery[list[str] | None]


class RunsPage(Controller):
    """What was detected and scored."""

    path = "/runs"
    include_in_schema = False

    @get("/", permission=Permission.READ, sync_to_thread=True)
    def get_runs(
        self,
        request: Asked,
        db: Db,
        status: FromQuery[str] = "",
        algorithm: FromQuery[str] = "",
        source: FromQuery[str] = "",
        who: FromQuery[str] = "",
        sort: FromQuery[str] = "",
        cursor: FromQuery[str | None] = None,
    ) -> Response[str]:
        """The newest first, or as it is asked for."""
        given = {"status": ("eq", status), "algorithm": ("eq", algorithm), "created_by": ("eq", who)}
        filters = [f"{name}:{operator}:{value}" for name, (operator, value) in given.items() if value]
        filters += [f"source:contains:{source}"] if source else []
        rows, order = rowsets.Rows(RUNS, [], "id", USUAL), USUAL
        if filters or sort:
            types = paging.described(db, RUNS)
            order = paging.sorting(sort or None, types, USUAL, "id")
            rows = rows.filtered(db, filters, types)
        found = paging.page(db, rows.select, rows.parameters, order, PAGE_ROWS, cursor)
        (known,) = paging.records(db, _KNOWN)
        return shown(
            request, "runs.html", "Results", nav="results", runs=found.items, next_cursor=found.next_cursor,
            sort=sort or "-started_at", known=known, is_filtered=bool(filters),
            chosen={"status": status, "algorithm": algorithm, "source": source, "who": who},
        )  # fmt: skip

    @get("/compare", permission=Permission.READ, sync_to_thread=True)
    def compare(self, request: Asked, db: Db, run: Wanted = None) -> Response[str]:
        """Two to four runs side by side."""
        wanted = list(dict.fromkeys(run or ()))
        if not comparing.LEAST <= len(wanted) <= comparing.MOST:
            raise BadParameter(
                f"{len(wanted)} runs are ticked", f"tick {comparing.LEAST} to {comparing.MOST} to compare"
            )
        runs = [run_of(db, one) for one in wanted]
        saved = [one for one in runs if one["saved"]]
        return shown(
            request, "runs_compare.html", "Compare runs", nav="results", runs=runs, letters=comparing.LETTERS,
            differences=comparing.differences(runs), overlap=comparing.overlap(db, saved) if len(saved) > 1 else None,
            saved=saved, query=urlencode([("run", one["id"]) for one in saved]), changes=CHANGES,
        )  # fmt: skip

    @get("/compare/rows", permission=Permission.READ, sync_to_thread=True)
    def compare_rows(
        self,
        request: Asked,
        db: Db,
        a: FromQuery[str],
        b: FromQuery[str],
        change: FromQuery[str] = CHANGES[0],
        cursor: FromQuery[str | None] = None,
    ) -> Response[str]:
        """The rows that two runs judge differently."""
        before, after = run_of(db, a), run_of(db, b)
        pair = [before["id"], after["id"]]
        context: dict[str, Any] = {"rows": [], "next_cursor": None, "error": None, "counts": {}}
        try:
            found = paging.page(
                db, f"select * from diff_runs(?, ?) where change = ?{_KEEPS.get(change, '')}", [*pair, change],
                ["score_b desc", "key"], PAGE_ROWS, cursor,
            )  # fmt: skip
            context |= {"rows": found.items, "next_cursor": found.next_cursor}
            counts = "select change, count(*) from diff_runs(?, ?) group by change"
            context["counts"] = dict(KEPT.of(("diff", *pair), lambda: db.execute(counts, pair).fetchall()))
        except PynomalyError as error:  # of other rows, or not saved: the rest of the page is right all the same
            context["error"] = error
        sql = f"select * from diff_runs({literal(pair[0])}, {literal(pair[1])})\nwhere change = {literal(change)}"
        return shown(
            request, "runs_compare_rows.html", "Rows judged differently", nav="results", a=before, b=after,
            change=change, changes=CHANGES, sql=f"{sql}\norder by score_b desc", **context,
        )  # fmt: skip

    @get("/compare/metrics", permission=Permission.READ, sync_to_thread=True)
    def compare_metrics(self, request: Asked, db: Db, run: Wanted = None) -> Response[str]:
        """How well runs agree with their labels."""
        judged = [comparing.judged(db, run_of(db, one)) for one in (run or ())[: comparing.MOST]]
        letters = [f"{letter}: " for letter in comparing.LETTERS] if len(judged) > 1 else [""]
        named = zip(letters, judged, strict=False)
        lines = [{"name": f"{letter}{one.name}", "points": one.points} for letter, one in named if one.points]
        return shown(
            request, "runs_metrics.html", "How well runs agree with labels", nav="results", judged=judged,
            metrics=comparing.METRICS,
            roc=plots.curves(lines, "false_positive_rate", "recall"), pr=plots.curves(lines, "recall", "precision"),
            has_lines=bool(lines),
            letters=comparing.LETTERS,
        )  # fmt: skip

    @get("/{id:str}", permission=Permission.READ, sync_to_thread=True)
    def get_run(self, request: Asked, db: Db, id: FromPath[str]) -> Response[str]:  # noqa: A002
        """One run."""
        run = run_of(db, id)
        again = detection_form.of_run(run) if run["kind"] == "detect" else ""
        options, parameters = comparing.asked(run)
        numbers = "select n_flagged, n_rows, threshold, algorithm, seconds"
        sql = f"{numbers}\nfrom runs()\nwhere id = {literal(str(run['id']))}"
        return shown(
            request, "run.html", f"Run of {run['source'][:100]}", nav="results", run=run, again=again, sql=sql,
            options=options, parameters=parameters,
            failure=wording.failure(run["error"], parameters),
        )  # fmt: skip

    @post("/{id:str}/replay", permission=Permission.DETECT, elsewhere=True, sync_to_thread=True)
    def replay(
        self,
        request: Asked,
        db: Db,
        identity: Caller,
        workspace: Place,
        id: FromPath[str],  # noqa: A002
        data: URLEncodedBody[dict[str, Any]],  # noqa: ARG002 - the form has its token alone
    ) -> Response[None]:
        """Run it once more and see whether all is the same, as a job."""
        run = run_of(db, id)
        job = workspace.jobs.submit("replay", {"run": run["id"]}, identity, None, request_id())
        return sent_to(request, f"/jobs/{job}")


def run_of(db: Engine, run: str) -> dict[str, Any]:
    """A run, with what is JSON in it as objects."""
    (found,) = paging.records(db, "from _run(?)", [run])
    for name in ("options", "parameters", "libraries"):
        found[name] = _object(found.get(name))
    return found


def _object(value: Any) -> dict[str, Any]:
    found = msgspec.json.decode(value) if isinstance(value, str) else value
    return found if isinstance(found, dict) else {}
