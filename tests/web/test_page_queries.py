"""No page runs more than a handful of queries: every GET of the console is asked, a new one by itself."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from litestar.testing import TestClient

from pynomaly.engine import Engine
from pynomaly.samples import SAMPLE
from pynomaly_server.app import create_app
from pynomaly_server.options import Options
from pynomaly_server.requests import request_id
from pynomaly_server.workspace import Workspace

from .analyst import Desk

# A result has the most: the run, the columns of its data, what is drawn, a page of its rows, what stands in the data of
# these, and what was said of them.
HANDFUL = 6
NO_PAGES = ("/api/", "/health/", "/metrics", "/static/", "/docs")


class Watched:
    """A desk with an example of everything that a page shows."""

    def __init__(self, client: TestClient[Any], workspace: Workspace, file: Path) -> None:
        self.desk = Desk(client, workspace)
        self.ada = self.desk.as_("ada")
        self.app: Any = client.app
        assert self.ada.post("/upload/sample").status_code == 303
        csrf = re.search(r'name="csrf_token" value="(\w+)"', self.ada.get("/account").text)
        assert csrf
        given: dict[str, Any] = {"headers": self.ada.headers, "follow_redirects": False}
        given["data"], given["files"] = {"csrf_token": csrf[1]}, {"files": (file.name, file.read_bytes())}
        sent, kept = (client.post("/upload", **given).headers["location"] for _ in range(2))
        assert self.ada.post(kept, name="some").status_code == 303
        job = self.finished(self.ada.post("/detect", source="payments", algorithm="mad"))
        ((loaded,),) = self.desk.rows("select id::varchar from pynomaly.jobs where kind = 'dataset'")
        saved = self.ada.post("/sql/save", q="select 1", saved_name="mine")
        assert saved.status_code < 400, saved.text
        assert self.ada.post("/account/keys", name="mine", scopes="read", days="30").status_code < 400
        key = re.search(r"/account/keys/(\w+)/revoke", self.ada.get("/account").text)
        assert key
        a, b = self.desk.runs
        self.values = {
            "/datasets": {"name": SAMPLE}, "/models": {"name": "fraud"}, "/runs": {"id": a},
            "/results": {"run": a, "key": "97"}, "/jobs": {"id": job}, "/detect": {"id": job},
            "/upload": {"upload_id": sent.rpartition("/")[2], "job_id": loaded},
            "/account": {"id": key[1]},
        }  # fmt: skip
        two = [("run", a), ("run", b)]
        self.queries: dict[str, Any] = {
            "/detect/estimate": {"source": "payments"}, "/detect": {"source": "payments"},
            "/models/{name}/change": {"to": "staging", "version": 1}, "/runs/compare": two,
            "/runs/compare/metrics": two,
            "/runs/compare/rows": {"a": a, "b": b}, "/sql": {"sql": "select 1 as one"},
            "/sql/saved/delete": {"name": "mine"},
            **{f"/results/{{run}}/{part}": {"key": "97"} for part in ("row", "why", "nearest")},
            "/results/{run}/count": {"threshold": "1.5"},
        }  # fmt: skip

    def finished(self, begun: Any) -> str:
        """The job that an answer leads to, once it has ended."""
        job = str(begun.headers["location"].rpartition("/")[2])
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            said = self.desk.rows(f"select status from pynomaly.jobs where id = '{job}'::uuid")
            if said and said[0][0] not in ("queued", "running"):
                return job
            time.sleep(0.05)
        raise TimeoutError(job)

    @property
    def paths(self) -> list[str]:
        """The address of every page, as the routes have it."""
        return sorted(
            route.path_format
            for route in self.app.routes
            if not route.path_format.startswith(NO_PAGES)
            and any("GET" in handler.http_methods for handler in getattr(route, "route_handlers", ()))
        )

    def address(self, path: str) -> str:
        """The address of an example."""
        values = self.values.get("/" + path.split("/")[1], {})
        filled = re.sub(r"{(\w+)(:\w+)?}", lambda name: str(values[name[1]]), path)
        return f"{filled}?{urlencode(self.queries[path])}" if path in self.queries else filled


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One server for this file."""
    folder = tmp_path_factory.mktemp("queries")
    file = folder / "some.csv"
    file.write_text("a,b\n" + "".join(f"{n},{n % 7}\n" for n in range(50)), encoding="utf-8")
    workspace = Workspace(Options({"database": str(folder / "workspace.duckdb")}, {}))
    with TestClient(create_app(workspace), base_url="http://127.0.0.1") as client:
        yield Watched(client, workspace, file)


def test_every_page_runs_a_handful_of_queries(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    for name in ("execute", "sql"):
        real: Any = getattr(Engine, name)

        def counted(self: Engine, sql: str, *given: Any, real: Any = real, **more: Any) -> Any:
            if request_id():  # the audit and the jobs write at the same time
                said.append(sql)
            return real(self, sql, *given, **more)

        monkeypatch.setattr(Engine, name, counted)
    found: dict[str, list[str]] = {}
    for path in watched.paths:
        said.clear()
        answer = watched.ada.get(watched.address(path))
        assert answer.status_code < 400, f"{path} needs an example"
        found[path] = list(said)
    assert {path: texts for path, texts in found.items() if len(texts) > HANDFUL} == {}
    assert sum(map(len, found.values())) > len(found), "they are counted"
