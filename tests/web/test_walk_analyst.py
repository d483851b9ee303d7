"""Somebody who knows it walks: compares runs, replays one, labels, writes SQL, promotes a model; every way to go."""

import re
import time
from typing import Any

import pytest
from showcase import PARCELS, Site, pages

from .walker import Walker
from .walks import (
    ANALYST,
    ASKED_IN_DIALOGS,
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
ELSEWHERE = {"/upload/loading/{job_id}", "/results/{run}/row"}  # loads that take long; keys that no path can hold


def test_between_them_they_see_every_page(site: Site) -> None:
    names = {f"/{one.name}".replace("/home", "/") for one in pages(site)}
    named = {
        path: path.replace("/", "-").replace("-", "/", 1) for path in NEWCOMER | ANALYST | ASKED_IN_DIALOGS | ELSEWHERE
    }
    assert names == set(named.values())


@every_way
def test_an_analyst_compares_and_decides(site: Site, walks: Walks, way: Way) -> None:
    who = somebody(site)
    data, runs = _worked_on(site, who)
    walker = walks(who, way)
    walker.look()
    _compare(walker, site, who, runs)
    _replay(walker, site, who, runs[0])
    run = _run_again(walker, site, runs[0])
    _look_and_label(walker, site, run)
    sql = _ask(walker, site, data)
    _save(walker, sql, f"depots of {who}")
    address = _chart(walker, site, sql)
    _share(walks(somebody(site), way), site, address, sql)
    _detect_on(walker, site, sql, data)
    _promote(walker, site, f"model of {who}")
    _what_if(walker, site, who)
    wanted = ANALYST if walker.is_scripted else ANALYST | ASKED_IN_DIALOGS - {"/account/keys/{id}/revoke"}
    assert unvisited(site, walker, wanted) == set()


def _worked_on(site: Site, who: str) -> tuple[str, list[str]]:
    """A dataset of somebody, which all may see, with two runs and a model of two versions: its name, and the runs."""
    data = f"parcels of {who}"
    with site.acting(who) as db:
        db.datasets.add(data, f"select * from ({PARCELS}) limit 600")
        db.share("dataset", data)
        given: dict[str, Any] = {"key": "parcel", "label": "is_lost", "explain": 1, "save": True}
        runs = [str(db.detect(data, algorithm=name, top_k=6, **given).run_id) for name in ("mad", "hbos")]
        for name in ("mad", "hbos"):
            db.train(f"model of {who}", data, features=["weight_kg", "price"], algorithm=name)
        db.promote(f"model of {who}", 1)
    return data, runs


def _compare(walker: Walker, site: Site, who: str, runs: list[str]) -> None:
    page = walker.page
    walker.follow("/runs")
    walker.look()
    for run in runs:
        walker.press(page.locator(f"input[name=run][value='{run}']"))
    walker.press(page.locator("form[action='/runs/compare'] button"))
    walker.arrive("/runs/compare?")
    overlap = page.locator("section", has=page.locator("#overlap-title"))
    said = [row["n_rows"] for row in sql_says(site, who, overlap)]
    assert [shown_number(one) for one in column_of(overlap.locator("table").first, 2)] == said
    ((n_any, n_all),) = site.rows(
        "select count(*), count(*) filter (n = 2) from (select key, count(*) as n from pynomaly.results "
        "where run_id in (?::uuid, ?::uuid) and is_anomaly group by key)", *runs
    )  # fmt: skip
    told = page.locator(".page-head p").first.inner_text()
    assert [int(one) for one in re.findall(r"\d+", told)] == [n_any, n_all]
    _compare_rows(walker, site, who)
    _compare_metrics(walker, site, runs)
    walker.follow(f"/runs/{runs[0]}")


def _compare_rows(walker: Walker, site: Site, who: str) -> None:
    """Which rows are judged otherwise; a page of its own without scripts."""
    page = walker.page
    if not walker.is_scripted:
        walker.look()
        walker.follow("/runs/compare/rows")
    rows = page.locator("#compare-rows")
    rows.locator(".behind").wait_for()
    tab = rows.locator(".tab[aria-current] .count")
    assert len(sql_says(site, who, rows)) == shown_number(tab.inner_text())
    walker.look()
    if not walker.is_scripted:
        walker.follow("/runs/compare?", ".crumbs")


def _compare_metrics(walker: Walker, site: Site, runs: list[str]) -> None:
    page = walker.page
    if not walker.is_scripted:
        walker.follow("/runs/compare/metrics")
    row = page.locator("#compare-metrics tr", has=page.get_by_role("rowheader", name="AUROC"))
    row.wait_for()
    shown = [float(one) for one in row.locator("td").all_inner_texts()]
    with site.acting("ada") as db:
        said = [db.execute("select auroc from evaluate(?, label := 'is_lost')", [run]).fetchall()[0][0] for run in runs]
    assert sorted(shown) == pytest.approx(sorted(said), abs=5e-4)
    walker.look()
    if not walker.is_scripted:
        page.go_back()


def _replay(walker: Walker, site: Site, who: str, run: str) -> None:
    """The job says that all is the same, and its SQL says so too."""
    page = walker.page
    walker.look()
    walker.press(page.locator(f"form[action='/runs/{run}/replay'] button"))
    walker.arrive("/jobs/")
    job = page.url.rpartition("/")[2]
    _until_ended(site, job)
    walker.go("/jobs")
    walker.look()
    walker.follow(f"/jobs/{job}")
    page.locator(".note-good", has_text="Identical").wait_for()
    (said,) = sql_says(site, who, page.locator("main"))
    assert said["is_equal"] is True
    told = page.locator(".note-good", has_text="Identical").inner_text()
    assert shown_number(told) == said["n_rows"] == 600
    walker.look()
    walker.follow(f"/runs/{run}")


def _until_ended(site: Site, job: str) -> None:
    for _ in range(1_800):
        ((status,),) = site.rows("select status from pynomaly.jobs where id = ?", job)
        if status in ("succeeded", "failed", "cancelled"):
            break
        time.sleep(0.1)
    assert status == "succeeded"


def _run_again(walker: Walker, site: Site, run: str) -> str:
    """Another run, which is set up as the first was and finds the same."""
    made = detected(walker)
    assert made != run
    same = "select algorithm, seed, parameters, cut_off, n_rows, n_flagged, threshold from runs() where id = ?"
    assert site.rows(same, made) == site.rows(same, run)
    scores = "select key, anomaly_score, is_anomaly from pynomaly.results where run_id = ? order by key"
    assert site.rows(scores, made) == site.rows(scores, run)
    return made


def _look_and_label(walker: Walker, site: Site, run: str) -> None:
    """Every picture of a result; its first row is said to be normal."""
    page = walker.page
    for view in ("pairs", "axes", "time", "entities"):
        walker.press(page.locator(f"#picture .tab[href*='view={view}']"))
        page.wait_for_url(re.compile(f"view={view}"))
        if view == "axes" and not walker.is_scripted:
            walker.press(page.locator("#picture a[href*='draw=1']"))
        chart = page.locator("#picture figure")
        (chart.locator("canvas") if walker.is_scripted else chart.locator("svg.plot")).first.wait_for()
        walker.look()
    link = page.locator("#rows tbody a").first
    key = link.inner_text()
    walker.press(link)
    walker.press(page.locator("#said button[name=label][value=normal]"))
    page.locator("#said button[value=normal][aria-pressed=true]").wait_for()
    assert site.rows("select label from pynomaly.labels where run_id = ? and key = ?", run, key) == [("normal",)]
    if walker.is_scripted:
        page.keyboard.press("Escape")
        page.locator("dialog").wait_for(state="detached")


def _ask(walker: Walker, site: Site, data: str) -> str:
    """A query finds what the engine finds: its text."""
    sql = f"select depot, count(*) as n, sum(price) as price from dataset_rows('{data}') group by depot order by depot"
    walker.go("/sql")
    walker.look()
    walker.query(sql)
    _finds(walker, site, sql)
    walker.look()
    return sql


def _finds(walker: Walker, site: Site, sql: str) -> None:
    """The page shows the rows of the query."""
    rows = walker.page.locator("#query-rows tbody tr")
    rows.first.wait_for()
    shown = [row.locator("td").all_inner_texts() for row in rows.all()]
    said = site.rows(sql)
    assert [(row[0], int(row[1])) for row in shown] == [row[:2] for row in said]
    assert [float(row[2].replace(",", "")) for row in shown] == pytest.approx([row[2] for row in said], rel=1e-4)


def _save(walker: Walker, sql: str, name: str) -> None:
    """Saved under a name, found in the list and in the history, opened, run; and another one is deleted."""
    page = walker.page
    for one in (name, f"{name}, again"):
        walker.write(page.locator("#saved-name"), one)
        walker.press(page.locator("#save-button"))
        page.locator("#saved-queries").get_by_text(one, exact=True).wait_for()
        walker.go("/sql")
        walker.query(sql) if one == name else None
    walker.follow("/sql/saved")
    walker.look()
    walker.press(page.locator("#queries a[href^='/sql/saved/delete?'][href$='again']"))
    walker.arrive("/sql/saved/delete")
    walker.look()
    walker.press(page.locator("main form button.button-danger"))
    page.locator("#queries").wait_for()
    assert column_of(page.locator("#queries"), 1) == [name]
    walker.go("/sql")
    walker.follow("/sql/history")
    walker.look()
    walker.go("/sql")
    walker.follow("/sql/saved")
    walker.follow("/sql?name=")
    _holds(walker, sql)
    walker.press(page.locator("#run-button"))


def _holds(walker: Walker, sql: str) -> None:
    """The editor has the query."""
    if walker.is_scripted:
        walker.page.locator(".editor .cm-content").wait_for()
    assert walker.page.locator("#editor").input_value() == sql


def _chart(walker: Walker, site: Site, sql: str) -> str:
    """The picture of the query has its numbers; the link to it is returned."""
    page = walker.page
    _finds(walker, site, sql)
    walker.choose(page.locator("#chart-y"), "price")
    walker.press(page.locator("form[action='/sql/chart'] button"))
    page.locator("button[form=sql-form]").wait_for()
    bars = page.locator("#result .contribution .is-number").all_inner_texts()
    said = sorted(row[2] for row in site.rows(sql))
    assert sorted(float(one.replace(",", "")) for one in bars) == pytest.approx(said, rel=1e-4)
    walker.look()
    walker.press(page.locator("button[form=sql-form]"))
    page.locator("#query-rows").wait_for()
    return str(page.locator("#result a[href^='/sql?q=']").get_attribute("href"))


def _share(colleague: Walker, site: Site, address: str, sql: str) -> None:
    """Somebody else opens the link that they were sent, reads the query, and runs it."""
    colleague.page.goto(site.address + address)
    _holds(colleague, sql)
    colleague.look()
    colleague.press(colleague.page.locator("#run-button"))
    _finds(colleague, site, sql)


def _detect_on(walker: Walker, site: Site, sql: str, data: str) -> None:
    page = walker.page
    kept = f"depots of {data}"
    walker.write(page.locator("#dataset-name"), kept)
    walker.press(page.locator("form[action='/sql/detect'] button"))
    walker.arrive("/detect?")
    assert site.rows("select n_rows from datasets() where name = ?", kept) == [(len(site.rows(sql)),)]
    walker.look()


def _promote(walker: Walker, site: Site, model: str) -> None:
    page = walker.page
    walker.go("/models")
    walker.look()
    walker.follow(f"/models/{model.replace(' ', '%20')}")
    _importance(walker)
    walker.press(page.locator("#versions a[href$='version=2']"))
    page.wait_for_url(re.compile("version=2"))
    _importance(walker)
    walker.look()
    walker.press(page.locator("main .page-head a[href*='to=champion']"))
    asked = page.locator("dialog[open]") if walker.is_scripted else page.locator("main")
    walker.look()
    walker.press(asked.locator("form[action*='to=champion'] button:not([type=button])"))
    page.locator(".page-head", has_text="champion").wait_for()
    assert site.rows("select version from models() where name = ? and stage = 'champion'", model) == [(2,)]


def _importance(walker: Walker) -> None:
    """What drives the anomalies: a part that comes afterwards, or a page of its own."""
    page = walker.page
    if walker.is_scripted:
        page.locator("#importance .skeleton").wait_for(state="detached")
        return
    before = page.url
    walker.press(page.locator("#importance a"))
    page.wait_for_url("**/importance?*")
    walker.look()
    page.go_back()
    page.wait_for_url(before)


def _what_if(walker: Walker, site: Site, who: str) -> None:
    page = walker.page
    walker.press(page.locator("main .page-head a[href*='/score']"))
    page.wait_for_url("**/score?*")
    walker.write(page.get_by_label("weight_kg", exact=True), "41")
    if not walker.is_scripted:
        walker.press(page.locator("form[action$='/score'] button"))
    behind = page.locator("#scored .behind code", has_text="41")
    behind.wait_for(state="attached")  # the SQL of the row that was made up
    with site.acting(who) as db:
        ((said,),) = db.execute(behind.text_content()).fetchall()
    shown = page.locator("#scored .verdict-facts b").first.inner_text()
    assert float(shown.replace(",", "")) == pytest.approx(said["anomaly_score"], rel=1e-3)
    walker.look()
