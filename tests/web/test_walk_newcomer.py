"""Somebody who is new walks from a file to the reasons of what is odd: with scripts, without, by keys alone."""

import csv
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from showcase import Site

from .walker import Walker
from .walks import (
    NEWCOMER,
    Walks,
    Way,
    column_of,
    detected,
    every_way,
    shown_number,
    site,
    somebody,
    sql_says,
    unvisited,
    walks,
)

__all__ = ["site", "walks"]
pytestmark = pytest.mark.browser
N_ROWS, ODD = 300, (77, 191)


@every_way
def test_a_newcomer_finds_what_is_odd(site: Site, walks: Walks, tmp_path: Path, way: Way) -> None:
    who = somebody(site)
    walker = walks(who, way)
    walker.look()
    _upload(walker, _orders(tmp_path))
    _commit(walker, site, who)
    _look_around(walker, site, who)
    run = detected(walker)
    _understand(walker, site, who, run)
    _report(walker, site, run)
    _follow_the_sql(walker, site, run)
    _leave(walker)
    assert unvisited(site, walker, NEWCOMER) == set()


def _orders(folder: Path) -> Path:
    """A file of orders; a few are odd, and a line is cut off."""
    file = folder / "orders.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened)
        rows.writerow(["order", "shop", "amount", "weight"])
        for n in range(N_ROWS):
            rows.writerow([f"A{n:05}", n % 9 + 1, 9_000 + n if n in ODD else 20 + n * 7 % 31, 3 + n % 5])
        rows.writerow([f"A{N_ROWS:05}", 4])
    return file


def _upload(walker: Walker, file: Path) -> None:
    page = walker.page
    walker.follow("/upload")
    walker.look()
    walker.attach(page.locator("input[type=file]"), file)
    if not walker.is_scripted:
        walker.press(page.locator("#files button.button-primary"))
    walker.arrive("/upload/")
    assert shown_number(page.locator(".verdict-line").inner_text()) == N_ROWS


def _commit(walker: Walker, site: Site, who: str) -> None:
    """The shops are numbers that count nothing: they become text."""
    page = walker.page
    label = page.locator("#t1 option[value=VARCHAR]").inner_text()
    walker.choose(page.locator("#t1"), label)
    if not walker.is_scripted:
        walker.press(page.locator("button[name=action][value=look]").last)
    page.wait_for_url(re.compile("t1=VARCHAR"))
    walker.look()
    name = f"orders of {who}"
    walker.write(page.locator("#name"), name)
    walker.press(page.locator("button[name=action][value=commit]"))
    walker.arrive("/datasets/")
    assert unquote(page.url).endswith(name)
    types = dict(site.rows("select column_name, column_type from (describe from dataset_rows(?))", name))
    assert types["shop"] == "VARCHAR"
    ((n_rows, n_columns),) = site.rows("select n_rows, n_columns from datasets() where name = ?", name)
    assert f"{n_rows} rows, {n_columns} columns" in page.locator(".page-head").inner_text()


def _look_around(walker: Walker, site: Site, who: str) -> None:
    """All that the pages of a dataset show; the figures of its columns and its rows are those of their SQL."""
    page = walker.page
    base = urlsplit(page.url).path
    walker.look()
    said = sql_says(site, who, page.locator("#profile"))
    table = page.locator("#profile-table")
    assert column_of(table, 1) == [row["column_name"] for row in said]
    for place, figure in ((3, "n_null"), (4, "n_distinct")):
        assert [shown_number(text) for text in column_of(table, place)] == [row[figure] for row in said]
    walker.follow(f"{base}/rows", ".tabs")
    walker.look()
    rows = sql_says(site, who, page.locator("#row-list"))
    shown = column_of(page.locator("#rows"), 1)
    assert len(rows) == N_ROWS == shown_number(page.locator(".tabs a[aria-current] .count").inner_text())
    assert shown == [row["order"] for row in rows[: len(shown)]]
    for tab in ("quarantine", "rules", "versions", "lineage"):
        walker.follow(f"{base}/{tab}", ".tabs")
        walker.look()
    for thing in ("sharing", "remove"):
        walker.press(page.locator(".page-head details.menu > summary"))
        walker.follow(f"{base}/{thing}", ".page-head")
        walker.look()
        walker.go("/datasets")
        walker.look()
        walker.follow(base)


def _understand(walker: Walker, site: Site, who: str, run: str) -> None:
    """The verdict, the scores, a row, its reasons, and a word on it."""
    page = walker.page
    verdict = page.locator(".verdict-line").inner_text()
    assert [int(one.replace(",", "")) for one in re.findall(r"[\d,]+", verdict)][:2] == _counts(site, run), verdict
    if walker.is_scripted:
        page.locator("#scores canvas").wait_for()
    walker.look()
    counts = [row["n_rows"] for row in sql_says(site, who, page.locator("#scores"))]
    assert [shown_number(one) for one in column_of(page.locator("#scores .chart-table"), 2)] == counts
    assert sum(counts) == N_ROWS
    flagged = [row["key"] for row in sql_says(site, who, page.locator("#rows"))]
    assert column_of(page.locator("#rows"), 2) == flagged[: page.locator("#rows tbody tr").count()]
    assert len(flagged) == _counts(site, run)[0]
    link = page.locator("#rows tbody a").first
    key = link.inner_text()
    walker.press(link)
    place = page.locator("dialog[open]") if walker.is_scripted else page.locator("main")
    _reasons(walker, site, place, run, key)
    walker.write(place.locator("#note"), "far too much")
    walker.press(place.locator("button[name=label][value=anomaly]"))
    page.get_by_text("far too much").wait_for()
    said = site.rows("select label, note, labelled_by from pynomaly.labels where run_id = ? and key = ?", run, key)
    assert said == [("anomaly", "far too much", who)]
    if walker.is_scripted:
        page.keyboard.press("Escape")
        page.locator("dialog").wait_for(state="detached")
        assert link.evaluate("(one) => one === document.activeElement"), "the focus goes back to where it was"
        assert page.locator("#rows tbody tr").first.locator("td").nth(2).inner_text() == "anomaly"
    else:
        walker.follow(f"/results/{run}", ".crumbs")


def _counts(site: Site, run: str) -> list[int]:
    """How many rows are flagged, and how many there are."""
    sql = "select count(*) filter (is_anomaly), count(*) from pynomaly.results where run_id = ?"
    return list(site.rows(sql, run)[0])


def _reasons(walker: Walker, site: Site, place: Any, run: str, key: str) -> None:
    place.locator("#said").wait_for()
    place.locator(".contribution").first.wait_for()
    ((reasons,),) = site.rows("select len(reasons) from pynomaly.results where run_id = ? and key = ?", run, key)
    assert place.locator(".contribution").count() >= reasons > 0
    walker.look()


def _report(walker: Walker, site: Site, run: str) -> None:
    page = walker.page
    walker.press(page.locator("main details.menu > summary"))
    walker.look()
    with page.expect_download() as started:
        walker.press(page.locator("main a[href$='/report']"))
    text = started.value.path().read_text(encoding="utf-8")
    ((n_flagged,),) = site.rows("select n_flagged from runs() where id = ?", run)
    words = re.sub(r"<[^>]+>", "", text)
    assert re.search(rf"\b{n_flagged} of {N_ROWS} rows flagged", words), words[:600]


def _follow_the_sql(walker: Walker, site: Site, run: str) -> None:
    """The link beside the verdict leads to a query that finds the same numbers."""
    page = walker.page
    walker.go("/results")
    walker.look()
    walker.follow(f"/results/{run}")
    walker.press(page.locator(".verdict .behind > summary"))
    walker.follow("/sql?", ".verdict .behind")
    if walker.is_scripted:
        page.locator(".editor .cm-content").wait_for()
    walker.press(page.locator("#run-button"))
    rows = page.locator("#query-rows tbody tr")
    rows.first.wait_for()
    assert [page.locator("#query-rows tbody tr.is-flagged").count(), rows.count()] == _counts(site, run)
    walker.look()


def _leave(walker: Walker) -> None:
    page = walker.page
    menu = page.locator(".top details.menu:not(.only-narrow) > summary")
    walker.press(menu)
    walker.look()
    walker.follow("/account", ".top")
    walker.look()
    walker.press(menu)
    walker.press(page.locator("form[action='/sign-out'] button"))
    walker.arrive("/sign-in")
    walker.look()
