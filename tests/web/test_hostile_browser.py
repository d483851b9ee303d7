"""In Chromium: nothing of hostile content runs, and nothing of it is wider than the window."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from showcase import serving

from pynomaly_server.options import Options
from pynomaly_server.workspace import Workspace

from .hostile import JOB, LONG, MARK, MODEL, NAME, World

pytestmark = pytest.mark.browser
WIDE = """[...document.querySelectorAll("main *")].filter(one => one.getBoundingClientRect().right > 361
    && !one.closest(".table-frame, pre, .plot")).slice(0, 4).map(one => one.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, World]]:
    """The hostile world on a port of its own."""
    workspace = Workspace(Options({"database": str(tmp_path_factory.mktemp("hostile") / "workspace.duckdb")}, {}))
    with (
        serving(workspace) as address,
        httpx.Client(base_url=address, timeout=60, headers={"Origin": address}) as client,
    ):
        yield address, World(client, workspace)


def test_nothing_hostile_runs_or_is_wider_than_the_window(served: tuple[str, World], chromium: Any) -> None:
    address, world = served
    run, other = world.runs
    name, model = quote(NAME, safe=""), quote(MODEL, safe="")
    asked = urlencode({"q": f'from "{NAME}"'})
    pages = [
        "/", "/datasets", f"/datasets/{name}", f"/datasets/{name}/rows", f"/datasets/{name}/rules?suggest=true",
        f"/datasets/{name}/lineage", f"/datasets/{name}/versions?a=1&b=2", f"/upload/{world.upload}",
        f"/detect?{urlencode({'source': NAME})}", f"/results/{run}", f"/results/{run}/rows/97", "/runs",
        f"/runs/{run}", f"/runs/compare?run={run}&run={other}", "/models", f"/models/{model}", f"/models/{model}/score",
        f"/sql?{asked}", f"/sql?{urlencode({'q': LONG})}", "/sql/history", "/sql/saved", "/jobs", f"/jobs/{JOB}",
        "/account", f"/runs?{urlencode({'sort': MARK})}",
    ]  # fmt: skip
    context = chromium.new_context(viewport={"width": 360, "height": 900}, reduced_motion="reduce")
    cookie = world.ada.headers["Cookie"].partition("=")[2]
    context.add_cookies([{"name": "pynomaly_session", "value": cookie, "url": address}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    ran: list[str] = []
    page.on("dialog", lambda dialog: ran.append(dialog.message))  # which stays open: the page would hang, and fail
    page.on("pageerror", lambda error: ran.append(str(error)))
    wide = {}
    for path in pages:
        page.goto(address + path)
        page.wait_for_load_state("networkidle")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 360:
            wide[path[:80]] = page.evaluate(WIDE)
        assert page.locator("img[src=x], svg[onload], script:not([src])").count() == 0, path
    context.close()
    assert ran == []
    assert wide == {}
