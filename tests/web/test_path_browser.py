"""From a file to explained anomalies as a newcomer goes: every click is counted, and nothing is typed."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.accuracy import FOLDER

pytestmark = pytest.mark.browser
Opened = Callable[..., Any]
FEWER_THAN = 10
NAB = FOLDER.parent / "nab"
LONG = 60_000  # milliseconds: a loaded machine is slow, and this is no test of speed


class Clicks:
    """A page whose clicks are counted."""

    def __init__(self, page: Any) -> None:
        self.page = page
        page.set_default_timeout(LONG)
        self.n = 0

    def on(self, role: str, name: str | re.Pattern[str]) -> None:
        """Click what a person would see under this name."""
        self.page.get_by_role(role, name=name).first.click()
        self.n += 1

    def to_reasons(self) -> None:
        """From a dataset to why its most unusual row is unusual."""
        self.on("link", "Detect anomalies")
        self.page.locator("#estimate dl").wait_for()
        self.on("button", "Detect anomalies")
        self.page.locator(".verdict").wait_for()
        assert "/results/" in self.page.url
        self.page.locator("#rows tbody a.link").first.click()
        self.n += 1
        self.page.locator("dialog .contribution").first.wait_for()


def test_the_sample_takes_few_clicks(opened: Opened) -> None:
    walk = Clicks(opened("/upload"))
    walk.on("button", "Use the sample data")
    walk.page.wait_for_url("**/datasets/*")
    walk.to_reasons()
    assert walk.n < FEWER_THAN
    walk.page.keyboard.press("Escape")
    walk.page.locator("#compare-metrics table").first.wait_for()
    assert "AUROC" in walk.page.locator("#compare-metrics").inner_text()


def test_a_real_file_takes_few_clicks(opened: Opened) -> None:
    files = sorted(NAB.glob("*load_balancer_spikes.csv"))
    if not files:
        pytest.skip(f"{NAB} is missing (PYNOMALY_DATA names the folder beside it)")
    walk = Clicks(opened("/"))
    walk.on("link", re.compile("^Upload"))
    walk.page.wait_for_url("**/upload")
    walk.page.locator("input[type=file]").set_input_files(files[0])
    walk.n += 2  # the button, and the file in the system's own window
    walk.page.wait_for_url("**/upload/*")
    walk.on("button", "Make it a dataset")
    walk.page.wait_for_url("**/datasets/*")
    walk.to_reasons()
    assert walk.n < FEWER_THAN


def test_several_algorithms_are_combined_by_ticks(opened: Opened) -> None:
    page = opened("/upload")
    page.set_default_timeout(LONG)
    page.get_by_role("button", name="Use the sample data").click()
    page.wait_for_url("**/datasets/*")
    page.goto(page.url.split("/datasets/")[0] + "/detect?source=" + page.url.rpartition("/")[2])
    page.locator("#estimate dl").wait_for()
    page.locator(".more > summary").click()
    page.select_option("#algorithm", "*")
    page.locator("#estimate .note").wait_for()
    page.locator("#with-mad").check()
    page.locator("#shown code", has_text="'mad'").first.wait_for()
    page.locator("#with-hbos").check()
    page.locator("#estimate dd", has_text="hbos + mad (tail)").wait_for()
    page.select_option("#combine", "max")
    page.locator("#shown code", has_text="['hbos', 'mad'], combine := 'max'").first.wait_for()
    page.locator("#estimate dd", has_text="hbos + mad (max)").wait_for()
    page.get_by_role("button", name="Detect anomalies").first.click()
    page.locator(".verdict").wait_for()
    assert "hbos + mad (max)" in page.locator(".verdict").inner_text()
    page.get_by_role("link", name="Detect again").click()
    page.locator("#with-mad").wait_for()
    assert page.locator("#with-mad").is_checked()
    assert page.locator("#combine").input_value() == "max"
