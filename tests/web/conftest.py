"""The gallery served on a free port, and Chromium to look at it."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from chromium import launched
from showcase import serving

from pynomaly_server.workspace import Workspace
from web.gallery import gallery

from .watched import TOLD, watched

HTML = {"Accept": "text/html"}
PART = {**HTML, "HX-Request": "true"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs in Chromium runs in one process, one after another."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))
            # Playwright's own loop, at its end
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


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
    with serving(workspace, app) as address:
        yield Site(address, workspace)


@pytest.fixture
def browser(site: Site) -> Iterator[httpx.Client]:
    """A browser without scripts, signed in."""
    with httpx.Client(base_url=site.address, headers={**HTML, "Origin": site.address}, timeout=60) as client:
        client.cookies.set("pynomaly_session", site.cookie()["value"])
        yield client


def token(html: str) -> str:
    """The field that every form sends along."""
    found = re.search(r'name="csrf_token" value="(\w+)"', html)
    assert found
    return found[1]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium; skipped where it or Playwright is missing."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    with driver.sync_playwright() as running:
        browser = launched(running)
        yield browser
        browser.close()


@pytest.fixture
def opened(site: Site, chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page signed in; every word that the console says in red fails the test at its end."""
    contexts: list[Any] = []
    said: list[str] = []

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
        page = watched(context.new_page(), said)
        page.goto(site.address + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in said if not any(known in text for known in (*TOLD, "htmx:afterRequest"))] == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The script that finds what is not accessible."""
    return (Path(__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def layout() -> str:
    """The script that finds what is cut, too small, or lies on something else."""
    return (Path(__file__).parent / "layout.js").read_text(encoding="utf-8").rstrip().rstrip(";")
