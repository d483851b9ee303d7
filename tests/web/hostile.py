"""A workspace whose every name, value and text is meant to break a page, and what a page may make of it."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from litestar.testing import TestClient

from pynomaly.engine import Engine
from pynomaly.quoting import identifier, literal
from pynomaly_server.app import create_app
from pynomaly_server.options import Options
from pynomaly_server.workspace import Workspace

from .analyst import Browser

NAME = "<svg onload=x>&<img src=x onerror=x>\u202e"  # what a dataset may be called
MARK = f"\"'></script></textarea><script>x</script>{NAME}{{{{7*7}}}}"
MODEL = MARK.replace("/", "")  # a slash in a path is another address
LONG = MARK + "w" * (10_000 - len(MARK))
JOB = "00000000-0000-4000-8000-00000000000a"
COLUMN = f"{MARK} amount"
TABLE = f"""
create table {identifier(MARK)} as
select i as id, 10.0 + i % 7 + case when i % 97 = 0 then 500 else 0 end as {identifier(COLUMN)},
    {literal(LONG)} || (i % 3) as {identifier(LONG)}, i % 11 + 0.5 as {identifier(LONG + " n")},
    case when i % 5 = 0 then chr(0) else '' end || {literal(MARK)} || (i % 4) as txt,
    timestamp '2026-01-01' + interval 1 hour * i as paid_at, (i % 97 = 0)::integer as fraud
from range(300) as numbers(i)
"""
SENT = f'id,"{COLUMN.replace(chr(34), chr(34) * 2)}",txt\n' + "".join(f"{n},{n / 4},{NAME}{n % 3}\n" for n in range(40))


class World:
    """The hostile workspace as ada and vera see it, and the ids in it."""

    def __init__(self, client: Any, workspace: Workspace) -> None:
        self.app, self.workspace = getattr(client, "app", None), workspace
        users = workspace.accounts.users
        made = [users.add(name, role, "test") for name, role in (("ada", "admin"), ("vera", "viewer"))]
        users.change("ada", display_name=MARK)
        cookies = [workspace.accounts.open_console(user)[1] for user in made]
        self.ada, self.vera = (Browser(client, cookie) for cookie in cookies)
        for browser in (self.ada, self.vera):
            browser.headers["Origin"] = str(client.base_url).rstrip("/")
        identity: Any = workspace.accounts.identify(None, cookies[0])
        self.key = workspace.accounts.make_key(identity, MARK[:100], ["read"], None)[0].id
        with workspace.acting(identity) as db:
            self.runs = _filled(db)
        self.upload = self._sent()
        self._asked()

    def _sent(self) -> str:
        """A file whose name, columns, values and broken rows are hostile."""
        files = {"files": (f"{NAME}.csv", (SENT + f"1,2,3,4,{MARK}\n").encode())}
        return str(self.ada.post("/upload", files=files).headers["location"]).rpartition("/")[2]

    def _asked(self) -> None:
        """Queries, labels, rules and shares."""
        ada = self.ada
        for sql in (f"select {literal(MARK)} as {identifier(MARK)}", f"from {identifier(LONG)}", MARK, LONG):
            ada.post("/sql/run", True, q=sql, token="t")
            ada.post("/sql/save", q=sql, saved_name=f"{len(sql)} {MARK}"[:100])
        ada.post(f"/results/{self.runs[0]}/labels", key="97", label="anomaly", note=LONG)
        ada.post(f"/results/{self.runs[0]}/labels", key="194", label="normal", note=MARK)
        rule = msgspec.json.encode({"kind": "set", "columns": ["txt"], "values": [MARK, LONG]}).decode()
        added = ada.post(f"/datasets/{quote(NAME)}/rules", action="suggested", rule=rule)
        assert added.status_code == 303, added.text
        ada.post(f"/datasets/{quote(NAME)}/sharing", user="vera")
        ada.post(f"/models/{quote(MODEL)}/share", user="vera")


def _filled(db: Engine) -> list[str]:
    db.execute(TABLE).fetchall()
    for n in range(2):
        db.datasets.add(NAME, db.sql(f"select *, {n} as part from {identifier(MARK)}").arrow(), called=LONG)
    given: dict[str, Any] = {"key": "id", "features": [COLUMN, LONG + " n"], "explain": 2, "save": True}
    found = [
        db.detect(NAME, algorithm="mad", contamination=0.02, label="fraud", **given),
        db.detect(NAME, algorithm="hbos", top_k=9, **given),
    ]
    for _ in range(2):
        db.train(MODEL, NAME, algorithm="mad", features=[COLUMN, LONG + " n"], label="fraud")
    db.promote(MODEL, 1)
    problem = {"detail": LONG, "mend": MARK, "code": "x", "title": MARK, "status": 500, "request_id": MARK}
    request = {"source": MARK, "algorithm": "mad", "parameters": {MARK: LONG}, "features": [LONG]}
    told = [msgspec.json.encode(one).decode() for one in (request, problem)]
    db.execute(
        "insert into pynomaly.jobs (id, kind, request, status, problem, created_by, request_id) "
        "values (?, 'detect', ?, 'failed', ?, 'ada', ?)",
        [JOB, *told, MARK],
    )
    return [str(run.run_id) for run in found]


def running(folder: Path) -> Iterator[World]:
    """A hostile world in a folder."""
    workspace = Workspace(Options({"database": str(folder / "workspace.duckdb")}, {}))
    with TestClient(create_app(workspace), base_url="http://127.0.0.1") as client:
        yield World(client, workspace)


VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
ISOLATED = frozenset({"bdi", "code", "pre", "textarea", "option", "title", "desc", "text", "script", "style"})
FOLDED = frozenset({"details", "pre", "code", "textarea", "title", "desc", "script", "style", "option"})
LONGEST = 300  # characters in one piece that a page shows without being asked


class Page(HTMLParser):
    """What of hostile content has become of a page: markup, text that turns its surroundings, text that never ends."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        given = dict(attrs)
        is_ours = tag not in ("script", "img", "iframe") or (given.get("src") or "").startswith("/static/")
        is_odd = any(re.fullmatch(r"[a-z][a-z0-9:_-]*", name) is None or name.startswith("on") for name in given)
        leads = [given.get(name) or "" for name in ("href", "src", "action", "formaction", "hx-get", "hx-post")]
        if not is_ours or is_odd or any(re.match(r"\s*(javascript|data|//)", text, re.I) for text in leads):
            self.faults.append(f"markup: {(self.get_starttag_text() or tag)[:200]}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Look at a text."""
        if "\u202e" in data and not ISOLATED & {*self.open}:
            self.faults.append(f"not isolated in {' '.join(self.open[-4:])}: {data.strip()[:120]!r}")
        if re.search(rf"\S{{{LONGEST}}}", data) and not FOLDED & {*self.open}:
            self.faults.append(f"not folded in {' '.join(self.open[-4:])}: {data.strip()[:80]!r}")


def faults(html: str) -> list[str]:
    """What is wrong with a page."""
    page = Page()
    page.feed(html)
    page.close()
    return page.faults
