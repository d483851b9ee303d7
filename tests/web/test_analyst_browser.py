"""What only a browser shows of the pages of runs, models and SQL."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from showcase import serving

from pynomaly_server.options import Options
from pynomaly_server.workspace import Workspace

from .analyst import Desk

pytestmark = pytest.mark.browser
SLOW = "select count(*) from range(10000000) a(x), range(10000000) b(y) where x + y = 3"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Desk]]:
    """A desk on a port of its own."""
    folder = tmp_path_factory.mktemp("analyst")
    workspace = Workspace(Options({"database": str(folder / "workspace.duckdb")}, {}))
    desk = Desk(None, workspace)
    with serving(workspace) as address:
        yield address, desk


@pytest.fixture
def open_page(served: tuple[str, Desk], chromium: Any) -> Iterator[Callable[[str], Any]]:
    """Opens an address as ada."""
    address, desk = served
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.add_cookies([{"name": "pynomaly_session", "value": desk.cookie("ada"), "url": address}])

    def opened(path: str) -> Any:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(address + path)
        return page

    yield opened
    context.close()


def test_keys_run_and_stop_a_query(open_page: Callable[[str], Any]) -> None:
    page = open_page("/sql?q=from+payments")
    page.locator(".editor .cm-content").click()
    page.keyboard.press("Control+Enter")
    page.locator("#query-rows tbody tr").first.wait_for()
    assert page.locator("#query-rows tbody tr").count() == 400
    page.locator(".editor .cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(SLOW)
    page.keyboard.press("Control+Enter")
    page.locator("#run-button[disabled]").wait_for()
    page.keyboard.press("Escape")  # closes what the editor proposes, if it does
    page.keyboard.press("Escape")
    page.get_by_text("The query was stopped").wait_for()
    assert page.url.endswith("x+%2B+y+%3D+3")


def test_the_library_of_charts_comes_with_the_first_chart(open_page: Callable[[str], Any]) -> None:
    page = open_page("/sql?q=from+payments")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Run").click()
    page.locator("#query-rows").wait_for()
    assert not [one for one in asked if "echarts" in one]
    page.locator("#chart-y").select_option("amount")
    page.get_by_role("button", name="Chart this").click()
    page.locator("#query-chart canvas").first.wait_for()
    assert [one for one in asked if "echarts" in one]


def test_a_score_follows_the_slider(open_page: Callable[[str], Any]) -> None:
    page = open_page("/models/fraud/score")
    page.get_by_text("Normal", exact=True).wait_for()
    page.get_by_label("amount", exact=True).fill("900")
    page.get_by_text("An anomaly", exact=True).wait_for()
    assert "f.amount=900" in page.url


def test_ticked_runs_are_compared_with_their_labels(open_page: Callable[[str], Any]) -> None:
    page = open_page("/runs")
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("heading", name="Compare 2 runs").wait_for()
    page.locator("#roc").wait_for()
    page.get_by_role("link", name="no longer flagged").or_(page.locator("#diff-rows")).first.wait_for()


def test_an_error_leads_to_its_place_and_a_query_is_saved(open_page: Callable[[str], Any]) -> None:
    page = open_page("/sql?q=select+id%0Afrom+payments%0Awhere+amuont+%3E+3")
    page.get_by_role("button", name="Run").click()
    page.get_by_text("Line 3, column 7 of the query").wait_for()
    page.get_by_role("button", name="Go there").click()
    page.keyboard.press("Control+Shift+ArrowRight")
    page.keyboard.insert_text("amount")
    page.keyboard.press("Escape")
    page.locator("#saved-name").fill("large ones")
    page.keyboard.press("Enter")
    page.locator("#saved-queries").get_by_text("large ones").wait_for()
    assert page.url.endswith("name=large+ones")
    page.locator("#saved-queries").get_by_text("large ones").click()
    page.locator("#editor", has_text="where amount > 3").wait_for(state="attached")


def test_algorithms_are_completed_in_quotes(open_page: Callable[[str], Any]) -> None:
    page = open_page("/sql")
    with page.expect_response("**/sql/names"):
        page.reload()
    page.locator(".editor .cm-content").click()
    page.keyboard.type("from detect_anomalies('payments', algorithm := 'maha")
    page.locator(".editor .cm-tooltip-autocomplete").get_by_text("mahalanobis").first.wait_for()
