"""The pages of data in Chromium: what only a browser shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pynomaly_server.pages import datasets

from .conftest import Site

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
ROWS = "id,amount,country\n" + "".join(f"{n},{n * n % 97},{'NO' if n % 3 else 'DE'}\n" for n in range(200))


def chosen(page: Any, tmp_path: Path, *names: str) -> None:
    files = [tmp_path / name for name in names]
    for file in files:
        file.write_text(ROWS, encoding="utf-8")
    page.locator("input[type=file]").set_input_files(files)


@pytest.fixture
def payments(site: Site) -> str:
    """A dataset of two columns of the site's user."""
    with site.workspace.own() as db:
        db.act_as("ada", True)
        if db.execute("select 1 from datasets() where name = 'shop'").fetchall() == []:
            db.datasets.add("shop", "select range as id, range % 7 as kind from range(500)")
    return "shop"


def test_files_are_sent_looked_at_corrected_and_committed(opened: Open, tmp_path: Path) -> None:
    page = opened("/upload")
    chosen(page, tmp_path, "first.csv", "second.csv")
    page.wait_for_url("**/upload/*")
    assert page.locator("h1").inner_text() == "second.csv"
    assert page.get_by_role("link", name="first.csv").count() == 1
    page.locator("#name").fill("sent by a browser")
    page.locator("#t0").select_option("VARCHAR")
    page.wait_for_url("**t0=VARCHAR*")
    assert page.locator("#name").input_value() == "sent by a browser", "what was typed stays"
    page.get_by_role("button", name="Make it a dataset").click()
    page.wait_for_url("**/datasets/*")
    assert page.locator("h1").inner_text() == "sent by a browser"
    assert (
        page.get_by_role("region", name="id")
        .or_(page.get_by_label("id", exact=True))
        .first.inner_text()
        .count("VARCHAR")
    )


def test_what_takes_long_comes_by_itself(opened: Open, payments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "MOST_CELLS", 1)
    monkeypatch.setattr(datasets, "PROFILES", datasets.Profiles())
    page = opened(f"/datasets/{payments}")
    page.get_by_text("middle value").first.wait_for()
    assert page.url.endswith(f"/datasets/{payments}")


def test_rows_are_filtered_in_place(opened: Open, payments: str) -> None:
    page = opened(f"/datasets/{payments}/rows")
    page.locator("#filter-column").select_option("kind")
    page.locator("#filter-value").fill("3")
    page.get_by_role("button", name="Filter").click()
    page.get_by_text("Show all rows").wait_for()
    cells = page.locator("#rows tbody td:nth-child(2)").all_inner_texts()
    assert set(cells) == {"3"}


def test_a_kind_of_rule_brings_its_form(opened: Open, payments: str) -> None:
    page = opened(f"/datasets/{payments}/rules")
    page.locator("#kind").select_option("range")
    page.locator("[name='p.max']").fill("3")
    page.locator("#columns").select_option("kind")
    page.get_by_role("button", name="Add it").click()
    page.get_by_text("of 1 rule is broken").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_are_accessible_and_fit(opened: Open, axe: str, payments: str, theme: str) -> None:
    for width, path in (
        (360, "/"), (360, "/upload"), (1280, "/datasets"), (360, f"/datasets/{payments}"),
        (1280, f"/datasets/{payments}/rules?suggest=true&kind=unique"), (360, f"/datasets/{payments}/lineage"),
        (360, f"/datasets/{payments}/sharing"), (1280, f"/datasets/{payments}/rows?filter=kind:eq:3"),
    ):  # fmt: skip
        page = opened(path, width=width, theme=theme)
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == [], path
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        page.context.close()
