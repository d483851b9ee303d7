"""Pictures of every page of the console, in both themes and at three widths: `just screenshots [FOLDER]`.

A server is started on a workspace of its own with a year of parcels, a few of them odd, and Chromium looks at it.
"""

import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, sync_playwright

from pynomaly_server.app import create_app
from pynomaly_server.identity import Identity
from pynomaly_server.options import Options
from pynomaly_server.permissions import ROLES
from pynomaly_server.workspace import Workspace

WIDTHS = (360, 768, 1440)
THEMES = ("light", "dark")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
PARCELS = """
create table parcels as
select
    'P' || (10000 + i) as parcel, timestamp '2026-01-05 06:00:00' + interval (i * 35) minute as handed_in,
    ['Bonn', 'Lyon', 'Turin', 'Ghent', 'Graz'][1 + i % 5] as depot,
    round(case when i % 613 = 7 then 42 else 2 + 1.5 * (1 + sin(i / 41.0)) + hash(i) % 100 / 80 end, 2) as weight_kg,
    round(case when i % 613 = 7 then 1.5 else 30 + 6 * cos(i / 97.0) + hash(i, 1) % 100 / 20 end, 1) as length_cm,
    round(case when i % 701 = 3 then 97 else 4 + hash(i, 2) % 100 / 40 end, 2) as price
from range(3000) as ticks(i)
"""


def main(folder: Path) -> None:
    """Write the pictures and say where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as place,
        _served(Path(place)) as (address, cookie, pages),
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        for theme in THEMES:
            for width in WIDTHS:
                _look(chromium, address, cookie, pages, theme, width, folder)
        chromium.close()
    print(f"pictures of {len(pages)} pages in {folder}")  # noqa: T201


def _look(
    chromium: Browser, address: str, cookie: str, pages: dict[str, str], theme: str, width: int, folder: Path
) -> None:
    context = chromium.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        timezone_id="Europe/Berlin",
    )
    context.add_cookies([{"name": "pynomaly_session", "value": cookie, "url": address}])
    page = context.new_page()
    for name, path in pages.items():
        page.goto(f"{address}{path}")
        page.wait_for_timeout(600)  # charts are drawn when they are seen
        page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=True)
    context.close()


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
    """A server with something in it: its address, a session, and the addresses of the pages by their names."""
    workspace = Workspace(Options({"database": str(folder / "workspace.duckdb")}, {}))
    workspace.engine.execute(PARCELS).fetchall()
    user = workspace.accounts.users.add("ada", "admin", "ada", "Ada")
    identity = Identity("ada", "admin", ROLES["admin"], "session", "")
    with workspace.acting(identity) as db:
        db.datasets.add("parcels", db.sql("from parcels").arrow())
        first = db.detect("parcels", key="parcel", explain=3, save=True).run_id
        second = db.detect("parcels", key="parcel", algorithm="knn", explain=3, save=True).run_id
        rows = db.execute("select key from pynomaly.results where run_id = ? and is_anomaly", [first]).fetchall()
        for key, label in zip(rows, ("anomaly", "anomaly", "normal"), strict=False):
            db.label(first, key[0], label)
        db.train("odd_parcels", "parcels", exclude=["parcel"], algorithm="iforest")
    cookie = workspace.accounts.open_console(user)[1]
    pages = {
        "home": "/",
        "upload": "/upload",
        "datasets": "/datasets",
        "dataset": "/datasets/parcels",
        "detect": "/detect?source=parcels",
        "results": "/results",
        "result": f"/results/{first}",
        "row": f"/results/{first}/rows/{rows[0][0]}",
        "runs": "/runs",
        "run": f"/runs/{first}",
        "compare": f"/runs/compare?run={first}&run={second}",
        "models": "/models",
        "model": "/models/odd_parcels",
        "score": "/models/odd_parcels/score",
        "sql": "/sql?q=select%20depot%2C%20count(*)%20as%20n%20from%20parcels%20group%20by%20depot",
        "jobs": "/jobs",
        "account": "/account",
        "missing": "/nothing/is/here",
    }
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(workspace), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", cookie, pages
    finally:
        server.should_exit = True
        thread.join(30)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/screenshots"))
