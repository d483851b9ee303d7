"""A server in this process with runs, labels and models, and people in browsers without scripts."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from pynomaly.engine import Engine
from pynomaly_server.app import create_app
from pynomaly_server.options import Options
from pynomaly_server.requests import request_id
from pynomaly_server.workspace import Workspace

HOSTILE = "<script>alert(1)</script>\u202e\"' x"
PEOPLE = {"ada": "admin", "ben": "user", "vera": "viewer"}
TABLES = (
    """create table payments as
    select i as id, 10.0 + i % 7 + case when i % 97 = 0 then 500 else 0 end as amount, 'c' || (i % 3) as channel,
        timestamp '2026-01-01' + interval 1 hour * i as paid_at, (i % 97 = 0)::integer as fraud
    from range(400) as numbers(i)""",
    """create table "<script>alert(1)</script>" as select i as "<b>x</b>" from range(3) as numbers(i)""",
)


class Desk:
    """The server, its three runs of one table, and requests of people."""

    def __init__(self, client: TestClient[Any] | None, workspace: Workspace) -> None:
        self._client = client
        self.workspace = workspace
        for name, role in PEOPLE.items():
            workspace.accounts.users.add(name, role, "test")
        with workspace.acting(self._identity("ada")) as db:
            self.runs = _filled(db)

    def _identity(self, who: str) -> Any:
        return self.workspace.accounts.identify(None, self.cookie(who))

    def cookie(self, who: str) -> str:
        """A session, as a browser keeps it."""
        accounts = self.workspace.accounts
        user = accounts.users.find(who)
        assert user is not None
        return accounts.open_console(user)[1]

    def as_(self, who: str) -> "Browser":
        assert self._client is not None
        return Browser(self._client, self.cookie(who))

    def rows(self, sql: str, who: str = "ada") -> list[Any]:
        """What SQL says, as somebody sees it."""
        with self.workspace.acting(self._identity(who)) as db:
            return list(db.execute(sql).fetchall())

    def n_queries(self, ask: Callable[[], Any]) -> int:
        """How many statements a page runs on the engine."""
        counted = [0]
        before: Any = Engine._ask

        def count(*given: Any) -> Any:
            counted[0] += bool(request_id())  # the audit writes at the same time, outside of any request
            return before(*given)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Engine, "_ask", count)
            ask()
        return counted[0]


class Browser:
    """One person without scripts; `part` asks as htmx does."""

    def __init__(self, client: TestClient[Any], cookie: str) -> None:
        self._client = client
        self.headers = {"Accept": "text/html", "Origin": "http://127.0.0.1", "Cookie": f"pynomaly_session={cookie}"}

    def get(self, path: str, part: bool = False) -> Any:
        more = {"HX-Request": "true"} if part else {}
        return self._client.get(path, headers={**self.headers, **more}, follow_redirects=False)

    def post(self, path: str, part: bool = False, files: Any = None, **data: str) -> Any:
        csrf = re.search(r'name="csrf_token" value="(\w+)"', self.get("/account").text)
        assert csrf
        more = {"HX-Request": "true"} if part else {}
        given = {"csrf_token": csrf[1], **data}
        return self._client.post(
            path, data=given, files=files, headers={**self.headers, **more}, follow_redirects=False
        )


def _filled(db: Engine) -> list[str]:
    for sql in TABLES:
        db.execute(sql).fetchall()
    given: dict[str, Any] = {"key": "id", "label": "fraud", "exclude": "paid_at"}
    first = db.detect("payments", algorithm="mad", contamination=0.02, save=True, **given).run_id
    second = db.detect("payments", algorithm="hbos", top_k=12, save=True, **given).run_id
    db.train("fraud", "payments", algorithm="mad", features=["amount", "channel"], label="fraud")
    db.train("fraud", "payments", algorithm="hbos", features=["amount", "channel"], label="fraud")
    db.promote("fraud", 1)
    return [str(first), str(second)]


def running(folder: Path) -> Iterator[Desk]:
    """A desk in a folder."""
    workspace = Workspace(Options({"database": str(folder / "workspace.duckdb")}, {}))
    with TestClient(create_app(workspace), base_url="http://127.0.0.1") as client:
        yield Desk(client, workspace)


def words(html: str) -> str:
    """The text of the content of a page."""
    content = html[html.find("<main") :].partition("<footer")[0] if "<main" in html else html
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content))
