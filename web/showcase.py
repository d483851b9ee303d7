"""A console with something in it, served: what the pictures and the tests in a browser look at.

Parcels, a few of them odd, are detected in, labelled, trained on and compared; a file waits, jobs are in every state.
"""

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import uvicorn
from litestar import Litestar, get
from litestar.routes import HTTPRoute

from pynomaly.engine import Engine
from pynomaly.errors import PynomalyError
from pynomaly_server.app import create_app
from pynomaly_server.identity import Identity
from pynomaly_server.jobs.work import Live
from pynomaly_server.options import Options
from pynomaly_server.pages import saved_queries
from pynomaly_server.permissions import ROLES, Permission
from pynomaly_server.workspace import Workspace

PEOPLE = {"ada": "admin", "nia": "user", "vera": "viewer"}  # nia is new here and has nothing; vera may only look
PARCELS = """
select
    'P' || (10000 + i) as parcel, timestamp '2026-01-05 06:00:00' + interval (i * 35) minute as handed_in,
    ['Bonn', 'Lyon', 'Turin', 'Ghent', 'Graz'][1 + i % 5] as depot,
    round(case when i % 613 = 7 then 42 else 2 + 1.5 * (1 + sin(i / 41.0)) + hash(i) % 100 / 80 end, 2) as weight_kg,
    round(case when i % 613 = 7 then 1.5 else 30 + 6 * cos(i / 97.0) + hash(i, 1) % 100 / 20 end, 1) as length_cm,
    round(case when i % 701 = 3 then 97 else 4 + hash(i, 2) % 100 / 40 end, 2) as price,
    (i % 613 = 7 or i % 701 = 3)::integer as is_lost
from range(3000) as ticks(i)
"""
RETURNS = "parcel,returned_on,zone,refund\n" + "".join(
    f"P{10000 + 7 * n},2026-{1 + n % 6:02d}-{1 + n % 28:02d},{n % 9:03d},{3 + n * 37 % 53 / 10}\n" for n in range(180)
)
BAD_LINES = "P19999,2026-04-31,007,4.5\nP20000,2026-05-02\n"
QUERY = """select handed_in::date as day, round(sum(price), 2) as price, count(*) as n
from parcels
where handed_in < date '2026-03-19'
group by day
order by day"""
IMPOSSIBLE: dict[str, Any] = {"algorithm": "knn", "parameters": {"n_neighbors": 9_999}}  # of 3,000 rows
IDS = {state: str(uuid.uuid5(uuid.NAMESPACE_URL, state)) for state in ("running", "queued", "loading")}
HTML = {"Accept": "text/html"}


class Site(NamedTuple):
    """A served console."""

    address: str
    workspace: Workspace
    app: Litestar
    objects: dict[str, str]  # what a name in braces stands for in an address, by itself or after the first segment

    def cookie(self, who: str) -> dict[str, str]:
        """A session of somebody, as a browser keeps it."""
        value = self.workspace.accounts.open_console(self.workspace.accounts.users.get(who))[1]
        return {"name": "pynomaly_session", "value": value, "url": self.address}

    def identity(self, who: str) -> Identity:
        """Somebody who is signed in."""
        role = self.workspace.accounts.users.get(who).role
        return Identity(who, role, ROLES[role], "session", "")

    def client(self, who: str) -> httpx.Client:
        """A browser without scripts, signed in."""
        headers = {**HTML, "Origin": self.address}
        return httpx.Client(
            base_url=self.address, headers=headers, timeout=60, cookies={"pynomaly_session": self.cookie(who)["value"]}
        )

    def rows(self, sql: str, *given: Any) -> list[tuple[Any, ...]]:
        """What SQL says itself."""
        with self.workspace.own() as db:
            return db.execute(sql, list(given)).fetchall()

    @contextmanager
    def acting(self, who: str) -> Iterator[Engine]:
        """The engine, as somebody sees it."""
        with self.workspace.acting(self.identity(who)) as db:
            yield db


@contextmanager
def serving(workspace: Workspace, app: Litestar | None = None) -> Iterator[str]:
    """A workspace on a free port of this machine, closed at the end: its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app or create_app(workspace), log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


@get("/broken", permission=Permission.PUBLIC, include_in_schema=False, sync_to_thread=False)
def broken() -> str:
    """What fails unforeseen."""
    raise RuntimeError("it is broken on purpose")


@contextmanager
def showcase(folder: Path) -> Iterator[Site]:
    """The console of the parcels."""
    workspace = Workspace(Options({"database": str(folder / "workspace.duckdb")}, {}))
    for name, role in PEOPLE.items():
        workspace.accounts.users.add(
            name, role, "ada", name.capitalize(), "what only they know" if role == "admin" else None
        )
    app = create_app(workspace)
    app.register(broken)
    with serving(workspace, app) as address:
        site = Site(address, workspace, app, {})
        with site.acting("ada") as db:
            site.objects.update(_detected(db))
        site.objects.update(_uploaded(site))
        key = workspace.accounts.make_key(site.identity("ada"), "nightly report", ["read"], None)[0]
        site.objects["account/id"] = key.id
        saved_queries.keep(workspace, "ada", "", "parcels by day", QUERY)
        site.objects.update(_jobs(site))
        yield site


def _detected(db: Engine) -> dict[str, str]:
    """Runs, labels, rules and two versions of a model; what they are called."""
    db.datasets.add("parcels", PARCELS)
    given: dict[str, Any] = {"key": "parcel", "label": "is_lost", "explain": 3, "save": True}
    first = str(db.detect("parcels", **given).run_id)
    second = str(db.detect("parcels", algorithm="knn", top_k=12, **given).run_id)
    calm = str(db.detect("parcels", algorithm="mad", threshold=1e6, key="parcel", save=True).run_id)
    keys = db.execute(
        "select key from pynomaly.results where run_id = ? and is_anomaly order by anomaly_score desc", [first]
    ).fetchall()
    for (key,), label in zip(keys, ("anomaly", "anomaly", "normal"), strict=False):
        db.label(first, key, label)
    for algorithm in ("iforest", "mad"):
        db.train("odd_parcels", "parcels", exclude=["parcel"], label="is_lost", algorithm=algorithm)
    db.promote("odd_parcels", 1)
    with contextlib.suppress(PynomalyError):
        db.detect("parcels", **IMPOSSIBLE, save=True)
    failed = db.execute("select id::varchar from runs() where status = 'failed'").fetchall()
    return {
        "name": "parcels", "models/name": "odd_parcels", "run": first, "second": second, "calm": calm, "id": first,
        "key": keys[0][0], "failed": failed[0][0],
    }  # fmt: skip


def _uploaded(site: Site) -> dict[str, str]:
    """A file that is a dataset with rows set aside, and one that waits."""
    with site.client("ada") as browser:
        token = browser.get("/account").text.partition('name="csrf_token" value="')[2].partition('"')[0]

        def sent(name: str, text: str) -> str:
            files = {"files": (name, text.encode(), "text/csv")}
            return str(browser.post("/upload", data={"csrf_token": token}, files=files).headers["location"])

        first = sent("returns.csv", RETURNS + BAD_LINES)
        browser.post(first, data={"csrf_token": token, "name": "returns", "action": "commit"})
        return {"upload_id": sent("returns of june.csv", RETURNS + BAD_LINES).rpartition("/")[2]}


def _jobs(site: Site) -> dict[str, str]:
    """Jobs in every state: two are made and end, the others are rows that nobody works on, so that they stay."""
    jobs = site.workspace.jobs
    identity = site.identity("ada")
    ended = jobs.submit("detect", {"source": "parcels", "explain": 3, "save": True}, identity)
    failed = jobs.submit("detect", {"source": "parcels", **IMPOSSIBLE, "save": True}, identity)
    request = {"source": "parcels", "algorithm": "knn", "explain": 3, "save": True}
    known = [
        (IDS["running"], "detect", request, "running"), (IDS["queued"], "detect", request, "queued"),
        (str(uuid.uuid4()), "detect", request, "cancelled"),
        (IDS["loading"], "import", {"name": "orders", "url": "https://example.org/orders.parquet"}, "running"),
    ]  # fmt: skip
    for id_, kind, asked, status in known:
        site.rows(
            "insert into pynomaly.jobs (id, kind, request, status, created_by, started_at, ended_at) values "
            "(?, ?, ?, ?, 'ada', case when ?4 = 'running' then now() end, case when ?4 = 'cancelled' then now() end)",
            id_, kind, json.dumps(asked), status,
        )  # fmt: skip
    real, shown = jobs.live, (IDS["running"], IDS["loading"])
    half = Live(3.2, rows_scored=1_380, rows=3_000, fraction=0.46, rows_per_second=431.0, doing="score")
    jobs.live = lambda job: half if job in shown else real(job)  # type: ignore[method-assign]
    deadline = time.monotonic() + 120
    while jobs.find(failed, identity).status != "failed" or jobs.find(ended, identity).status != "succeeded":
        if time.monotonic() > deadline:
            raise TimeoutError("the jobs of the showcase do not end")
        time.sleep(0.05)
    cancelled = site.rows("select id::varchar from pynomaly.jobs where status = 'cancelled'")[0][0]
    return {
        "jobs/id": ended, "detect/id": IDS["running"], "job_id": IDS["loading"], "failed_job": failed,
        "cancelled_job": cancelled,
    }  # fmt: skip


class Exhibit(NamedTuple):
    """A page, or a state of one."""

    name: str
    path: str
    who: str = "ada"  # "" for nobody
    act: Callable[[Any], Any] | None = None  # what brings a Playwright page into the state
    status: int = 200


QUERIES = {  # what a page needs beside its path
    "/results/{run}/row": "key={key}",
    "/runs/compare": "run={run}&run={second}",
    "/runs/compare/rows": "a={run}&b={second}",
    "/runs/compare/metrics": "run={run}&run={second}",
    "/results/{run}/count": "threshold=0.5",
    "/results/{run}/why": "key={key}",
    "/results/{run}/nearest": "key={key}",
    "/detect/estimate": "source=parcels",
    "/sql/saved/delete": "name=parcels%20by%20day",
    "/models/{name}/change": "to=champion&version=2",
}


def pages(site: Site) -> list[Exhibit]:
    """Every page that the application has, with an object that is there: what answers with a whole document."""
    found = []
    with site.client("ada") as browser:
        for route in site.app.routes:
            path = _filled(site, route) if isinstance(route, HTTPRoute) else ""
            if not path:
                continue
            answer = browser.get(path)
            if answer.is_client_error:
                raise ValueError(f"{route.path_format} needs an object or a query: see QUERIES, {answer.text[-300:]}")
            if "<html" in answer.text and "content-disposition" not in answer.headers:
                found.append(Exhibit(route.path_format.strip("/").replace("/", "-") or "home", path))
    return found


def _filled(site: Site, route: HTTPRoute) -> str:
    """The address of an example; empty for what is no page of the console."""
    handler = next((one for one in route.route_handlers if "GET" in one.http_methods), None)
    if (
        handler is None
        or not str(handler).startswith("pynomaly_server.pages.")
        or route.path_format.endswith("/progress")
    ):
        return ""
    first = route.path_format.split("/")[1]
    path = route.path_format
    if query := QUERIES.get(path):
        path = f"{path}?{query}"
    for name in route.path_parameters:
        path = path.replace(f"{{{name}}}", site.objects.get(f"{first}/{name}") or site.objects[name])
    return path.format(**{key: value for key, value in site.objects.items() if "/" not in key})
