"""The gallery served on a free port, and Chromium to look at it."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from pynomaly_server.workspace import Workspace
from web.gallery import gallery

# what a refused request is told by, and one that is cut off by leaving the page
TOLD = ("the server responded with a status of", "Response Status Error Code", "htmx:afterRequest")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Site:
    """A served gallery with somebody who is signed in."""

    def __init__(self, address: str, workspace: Workspace) -> None:
        self.address = address
        self.workspace = workspace
        self.user = workspace.accounts.users.add("ada", "admin", "test")

    def cookie(self) -> dict[str, str]:
        """A session, as a browser keeps it."""
        value = self.workspace.accounts.open_console(self.user)[1]
        return {"name": "pynomaly_session", "value": value, "url": self.address}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The gallery, served."""
    app, workspace = gallery(tmp_path_factory.mktemp("gallery"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}", workspace)
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium; skipped where it or Playwright is missing."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    with driver.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(site: Site, chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page signed in; every word that the console says in red fails the test at its end."""
    contexts, said = [], []

    def open_page(
        path: str, width: int = 1280, theme: str = "light", scripts: bool = True, signed_in: bool = True
    ) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        contexts.append(context)
        if signed_in:
            context.add_cookies([site.cookie()])
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(site.address + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in said if not any(known in text for known in TOLD)] == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The script that finds what is not accessible."""
    return (Path(__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def layout() -> str:
    """The script that finds what is cut, too small, or lies on something else."""
    return (Path(__file__).parent / "layout.js").read_text(encoding="utf-8").rstrip().rstrip(";")
