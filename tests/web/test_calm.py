"""Nothing flickers: pages stay while they load, themes do not flash, what is swapped keeps the focus and the place."""

from collections.abc import Iterator
from typing import Any

import pytest
from showcase import Site, showcase

from .watched import watched

pytestmark = pytest.mark.browser
SHIFTS = """() => new Promise((told) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) sum += one.hadRecentInput ? 0 : one.value;
  }).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => told(sum), 300);
})"""
MOST_SHIFT = 0.05


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with showcase(tmp_path_factory.mktemp("calm")) as made:
        yield made


@pytest.fixture
def page(site: Site, chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.add_cookies([site.cookie("ada")])
    red: list[str] = []
    yield watched(context.new_page(), red)
    context.close()
    assert red == []


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_moves_while_a_page_loads(site: Site, page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    result = f"/results/{site.objects['run']}"
    for path in ("/", "/upload", "/detect?source=parcels", result, f"{result}?view=time", "/sql", "/runs"):
        page.goto(site.address + path)
        for figure in page.locator("figure[data-chart]").all():
            figure.locator("canvas").wait_for()
        shift = page.evaluate(SHIFTS)
        assert shift < MOST_SHIFT, path


def test_a_chosen_theme_is_there_with_the_first_byte(site: Site) -> None:
    with site.client("ada") as browser:
        browser.cookies.set("pynomaly_theme", "dark")
        assert '<html lang="en" data-theme="dark">' in browser.get("/").text


def test_a_swap_keeps_the_focus_and_the_place(site: Site, page: Any) -> None:
    page.goto(f"{site.address}/results/{site.objects['run']}")
    page.locator("#scores canvas").wait_for()
    score = page.locator("#rows th").first.get_by_role("link")
    score.scroll_into_view_if_needed()
    score.focus()
    before = page.evaluate("scrollY")
    page.keyboard.press("Enter")
    page.locator("#rows th[aria-sort=ascending]").wait_for()
    assert score.evaluate("(one) => one === document.activeElement")
    assert page.evaluate("scrollY") == pytest.approx(before, abs=2)
    page.locator("#show").select_option("all")
    page.locator("#rows-filter").press("Enter")
    page.locator("#rows td.is-short .flag, #rows th >> text=Flag").first.wait_for()
    assert page.evaluate("document.activeElement.id") == "rows-filter"
