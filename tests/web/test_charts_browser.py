"""In Chromium: charts that are dragged, brushed and zoomed on the page of a result say what the SQL says."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pynomaly_server.pages import pictures

from .conftest import Site
from .detected import HOSTILE, asked, run

__all__ = ["run"]
pytestmark = pytest.mark.browser
Opened = Callable[..., Any]
LINE = {"above": 12, "right": 12, "below": 24}  # pixels around a plot, as charts.js has them


class Plot:
    """A mounted chart: where its values are on the screen."""

    def __init__(self, page: Any, name: str, shape: Callable[[Any], dict[str, Any]]) -> None:
        canvas = page.locator(f"#{name} [data-canvas]")
        canvas.locator("canvas").first.wait_for()
        canvas.scroll_into_view_if_needed()
        self.box = canvas.bounding_box()
        shown = json.loads(page.locator(f"#{name}").get_attribute("data-shown"))
        self.axes = shown["axes"]
        self.left = 16 * (2.25 + 0.375 * (shape(shown)["gutter"] - 3))
        self.mouse = page.mouse

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a value."""
        width = self.box["width"] - self.left - LINE["right"]
        height = self.box["height"] - LINE["above"] - LINE["below"]
        share_x, share_y = (
            (value - axis["low"]) / (axis["high"] - axis["low"])
            for value, axis in ((x, self.axes["x"]), (y, self.axes["y"]))
        )
        top = self.box["y"] + LINE["above"]
        return self.box["x"] + self.left + share_x * width, top + (1 - share_y) * height

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press, move and release between two pixels."""
        self.mouse.move(*start)
        self.mouse.down()
        self.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
        self.mouse.move(*end, steps=4)
        self.mouse.up()


def test_a_dragged_threshold_counts_as_the_sql_does(opened: Opened, site: Site, run: str) -> None:
    page = opened(f"/results/{run}")
    plot = Plot(page, "scores", pictures.histogram)
    field, slider = page.locator("#scores-threshold"), page.locator("#scores [role=slider]")
    before, middle = float(field.input_value()), plot.axes["y"]["high"] / 2
    target = (before + plot.axes["x"]["low"]) / 2
    plot.drag(plot.at(before, middle), plot.at(target, middle))
    threshold = float(field.input_value())
    assert threshold == pytest.approx(target, abs=(plot.axes["x"]["high"] - plot.axes["x"]["low"]) / 50)
    assert float(slider.get_attribute("aria-valuenow")) == threshold
    sql = "select count(*) filter (anomaly_score > ?), count(*) from _run_results(?)"
    ((n_above, n_rows),) = asked(site, sql, threshold, run)
    page.locator("#scores-count", has_text=re.compile(rf"^{n_above} of {n_rows} rows")).wait_for()
    slider.press("End")
    page.locator("#scores-count", has_text=re.compile(rf"^0 of {n_rows} rows")).wait_for()


BY_COLUMNS = """
select key
from _run_results(?)
join (select _pynomaly_key, weight, columns(lambda c: starts_with(c, '<img')) as y from _run_rows(?)) as source
    on key = _pynomaly_key
where weight between ? and ? and y between ? and ?
"""
BY_AXES = """
select key from project(?) where ? != '' and components[1] between ? and ? and components[2] between ? and ?
"""
RECTANGLES = [("view=pairs&x=weight", "pairs", BY_COLUMNS), ("view=axes", "axes", BY_AXES)]


@pytest.mark.parametrize(("query", "name", "sql"), RECTANGLES, ids=["columns", "axes"])
def test_a_rectangle_shows_its_rows(opened: Opened, site: Site, run: str, query: str, name: str, sql: str) -> None:
    page = opened(f"/results/{run}?{query}")
    page.locator(f"#{name}").wait_for()
    plot = Plot(page, name, pictures.scatter)
    (x, y) = (plot.axes["x"], plot.axes["y"])
    start, end = plot.at(x["low"], y["high"]), plot.at((x["low"] + x["high"]) / 4, (y["low"] + y["high"]) / 2)
    plot.drag((start[0] + 2, start[1] + 2), end)
    page.get_by_role("heading", name="Rows in the rectangle").wait_for()
    page.wait_for_url(re.compile("x_from="))
    given = parse_qs(urlsplit(page.url).query)
    sides = [float(given[side][0]) for side in ("x_from", "x_to", "y_from", "y_to")]
    assert x["low"] <= sides[0] < sides[1] < x["high"]
    expected = {row[0] for row in asked(site, sql, run, run, *sides)}
    links = page.locator("#rows tbody a.link").all_inner_texts()
    assert set(links) <= expected
    assert len(links) == min(40, len(expected)) > 0
    assert page.locator(f"#{name}-x_from").input_value() == given["x_from"][0]
    page.reload()  # the rectangle is part of the address
    page.get_by_role("heading", name="Rows in the rectangle").wait_for()
    assert page.locator(f"#{name}-x_to").input_value() == given["x_to"][0]


def test_a_rectangle_can_be_typed_without_scripts(opened: Opened, site: Site, run: str) -> None:
    page = opened(f"/results/{run}?view=axes&draw=1", scripts=False)
    for side, value in (("x_from", -9), ("x_to", 0), ("y_from", -9), ("y_to", 9)):
        page.locator(f"#axes-{side}").fill(str(value))
    page.get_by_role("button", name="Show these rows").click()
    page.get_by_role("heading", name="Rows in the rectangle").wait_for()
    sql = "select count(*) from project(?) where components[1] between -9 and 0 and components[2] between -9 and 9"
    assert page.locator("#rows tbody tr").count() == min(40, asked(site, sql, run)[0][0])
    assert page.locator("#axes svg.plot[role=img]").count() == 1


def test_a_series_is_zoomed_by_wheel_and_by_keys(opened: Opened, run: str) -> None:
    page = opened(f"/results/{run}?view=time&value=weight")
    plot = Plot(page, "series", pictures.series)
    told = page.locator("#series-range")
    whole = "2026-01-01 00:00:00 to 2026-01-25 23:00:00"
    told.get_by_text(whole).or_(told.filter(has_text=whole)).first.wait_for()
    page.mouse.move(plot.box["x"] + plot.box["width"] / 2, plot.box["y"] + 90)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    told.filter(has_not_text=whole).wait_for()
    page.get_by_role("button", name="All", exact=True).press("Enter")
    told.filter(has_text=whole).wait_for()
    page.get_by_role("button", name="Closer").press("Enter")
    told.filter(has_text="2026-01-07 05:45:00 to 2026-01-19 17:15:00").wait_for()
    page.get_by_role("button", name="Later").press("Enter")
    told.filter(has_text="to 2026-01-25 23:00:00").wait_for()
    page.get_by_role("button", name="Farther").press("Enter")
    told.filter(has_text=whole).wait_for()


def test_a_chart_takes_the_place_of_its_picture(opened: Opened, run: str) -> None:
    """Nothing on the page moves when the library draws."""
    for view in ("scores", "pairs", "time&value=weight", "entities"):
        plain = opened(f"/results/{run}?view={view}", scripts=False)
        scripted = opened(f"/results/{run}?view={view}")
        scripted.locator("figure canvas").first.wait_for()
        boxes = [page.locator("figure [data-canvas]").first.bounding_box() for page in (plain, scripted)]
        assert [boxes[1][side] for side in ("width", "height")] == [boxes[0][side] for side in ("width", "height")]


WRITTEN = """
window.written = [];
const draw = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
  written.push(text);
  return draw.call(this, text, ...where);
};
"""


def test_what_the_pointer_is_told_is_text(opened: Opened, site: Site, run: str) -> None:
    """A tooltip is drawn: nothing of a name with markup becomes an element."""
    page = opened(f"/results/{run}?view=pairs&x=weight")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.add_init_script(WRITTEN)
    page.reload()
    plot = Plot(page, "pairs", pictures.scatter)
    sql = "select weight, columns(lambda c: starts_with(c, '<img')) from _run_rows(?) where weight > 500 limit 1"
    page.mouse.move(*plot.at(*map(float, asked(site, sql, run)[0])), steps=5)
    name = HOSTILE[:28]
    page.locator("body", has=page.locator("canvas")).wait_for()
    for _ in range(200):
        told = page.evaluate("written")
        if any(name in text and ": " in text for text in told):
            break
        page.wait_for_timeout(50)
    assert [text for text in told if name in text and ": " in text]
    assert page.locator("#main img, #main script, figure img").count() == 0
