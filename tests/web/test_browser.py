"""In Chromium: what scripts add, that nothing is lost without them, and that everybody can use it."""

import re
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.browser
Opened = Callable[..., Any]
PAGES = ("/gallery", "/gallery/drawer", "/account", "/jobs", "/sign-in", "/nowhere")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_everybody_can_use_it(opened: Opened, axe: str, path: str, theme: str) -> None:
    page = opened(path, theme=theme)
    page.wait_for_timeout(400)
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    assert found["passes"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_wider_than_the_window(opened: Opened, path: str, width: int) -> None:
    page = opened(path, width)
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_charts_are_taken_over(opened: Opened) -> None:
    page = opened("/gallery")
    for name in ("scores", "values", "pairs", "cells"):
        page.wait_for_selector(f"#{name} canvas")
    assert page.locator("figure svg.plot[role=img]").count() == 0


def test_the_threshold_recounts_by_number_by_arrow_and_by_drag(opened: Opened) -> None:
    page = opened("/gallery")
    slider = page.locator("#scores [role=slider]")
    slider.wait_for()
    field, count = page.locator("#scores-threshold"), page.locator("#scores-count")
    field.fill("0.9")
    page.locator("#scores-count:has-text('12 rows')").wait_for()
    slider.press("ArrowLeft")
    assert field.input_value() == "0.895"
    box = slider.bounding_box()
    left, right = box["x"] + 36, box["x"] + box["width"] - 16
    at = left + (right - left) * 0.895
    page.mouse.move(at, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(at - 150, box["y"] + 60, steps=6)
    page.mouse.up()
    assert float(field.input_value()) < 0.7
    page.locator("#scores-count:not(:has-text('12 rows'))").wait_for()
    assert count.inner_text().endswith("rows above it")


def test_a_drawer_opens_and_closes_by_escape(opened: Opened) -> None:
    page = opened("/gallery")
    page.click("#open-drawer")
    page.wait_for_selector("dialog.drawer[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog.drawer", state="detached")
    assert page.evaluate("document.activeElement.id") == "open-drawer"
    assert page.url.endswith("/gallery")


def test_without_scripts_a_drawer_is_a_page(opened: Opened) -> None:
    page = opened("/gallery", scripts=False)
    page.click("#open-drawer")
    assert page.url.endswith("/gallery/drawer")
    assert page.locator("h1").inner_text() == "Row 17"
    assert page.locator("dialog").count() == 0


def test_without_scripts_the_charts_are_there(opened: Opened) -> None:
    page = opened("/gallery", scripts=False)
    assert page.locator("figure svg.plot[role=img]").count() == 4
    assert page.locator("figure canvas").count() == 0


def test_sorting_swaps_the_table_alone_and_changes_the_address(opened: Opened) -> None:
    page = opened("/gallery")
    page.evaluate("document.querySelector('h1').dataset.kept = 'yes'")
    page.click("#rows th >> text=Amount")
    page.wait_for_url(re.compile("sort=-amount"))
    page.wait_for_selector("#rows th[aria-sort=descending] >> text=Amount")
    assert page.get_attribute("h1", "data-kept") == "yes"


def test_the_theme_changes_at_once_and_stays(opened: Opened) -> None:
    page = opened("/gallery")
    page.click("summary >> text=ada")
    page.click("button:has-text('Dark')")
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert dark == "rgb(11, 14, 20)"
    page.reload()
    assert page.get_attribute("html", "data-theme") == "dark"


def test_an_error_within_a_page_is_a_message_and_the_page_stays(opened: Opened) -> None:
    page = opened("/gallery")
    page.evaluate("htmx.ajax('GET', '/gallery/broken', {target: '#main'})")
    page.wait_for_selector("#toasts .toast >> text=not your doing")
    assert page.locator("h1").inner_text() == "Every component"
    page.click("#toasts [data-dismiss]")
    assert page.locator("#toasts .toast").count() == 0


def test_a_dialog_asks_first(opened: Opened) -> None:
    page = opened("/gallery")
    page.click("[data-opens=sure]")
    page.wait_for_selector("dialog#sure[open]")
    page.click("text=Keep it")
    assert page.locator("dialog#sure[open]").count() == 0


def test_a_slider_and_its_number_say_the_same(opened: Opened) -> None:
    page = opened("/gallery")
    page.fill("#threshold", "0.2")
    assert page.input_value("[data-pairs=threshold]") == "0.2"


def test_the_editor_completes_and_sends(opened: Opened) -> None:
    page = opened("/gallery")
    area = page.locator(".editor .cm-content")
    area.wait_for()
    area.click()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.type("select amount from paym")
    page.wait_for_selector(".editor .cm-tooltip-autocomplete >> text=payments")
    page.wait_for_timeout(150)  # an Enter that comes with the list is still a new line
    page.keyboard.press("Enter")
    assert page.input_value("#editor") == "select amount from payments"
    assert area.evaluate("one => getComputedStyle(one).fontFamily").startswith("ui-monospace")
    page.keyboard.press("Control+Enter")
    page.wait_for_url(re.compile(r"text=select\+amount"))


def test_the_link_of_the_first_administrator_is_taken_from_the_address(opened: Opened) -> None:
    page = opened("/sign-in#link=pyl_abc", signed_in=False)
    page.locator("html.is-scripted").wait_for()
    assert page.input_value("#token") == "pyl_abc"
    assert "#" not in page.url


def test_files_that_are_chosen_are_listed(opened: Opened) -> None:
    page = opened("/gallery")
    page.set_input_files("#drop", [{"name": "<b>.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n"}])
    assert page.locator(".file-row").inner_text().replace("\n", " ") == "<b>.csv 8 bytes"
