"""Results: what a page says is what the SQL says, in every view, and what is said of rows stays."""

import html
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pynomaly.engine import Engine
from pynomaly_server.pages import result_pictures
from pynomaly_server.pages.result_rows import address_of

from .conftest import Site
from .detected import HOSTILE, PART, asked, browser, foreign, run, token

__all__ = ["browser", "run"]
Opened = Callable[..., Any]
VIEWS = ("", "?view=pairs", "?view=axes", "?view=axes&draw=1", "?view=time", "?view=entities")
MOST_QUERIES = 7


def keys(page: str) -> list[str]:
    return re.findall(r'href="/results/[^/"]*/rows/([^"]*)"', page)


def test_the_list_leads_to_the_run(browser: httpx.Client, run: str) -> None:
    assert f'href="/results/{run}"' in browser.get("/results").text
    assert f'href="/results/{run}"' in browser.get("/results?source=PARC&sort=-n_flagged").text
    assert f'href="/results/{run}"' not in browser.get("/results?source=nothing").text


def test_the_verdict_is_the_runs_own(browser: httpx.Client, site: Site, run: str) -> None:
    ((n_flagged, n_rows),) = asked(site, "select n_flagged, n_rows from runs() where id = ?::uuid", run)
    page = browser.get(f"/results/{run}").text
    assert f"<strong>{n_flagged}</strong> of {n_rows} rows flagged" in page
    counts = asked(site, "select sum(n_rows) from score_histogram(?, bins := 60)", run)
    assert f"{counts[0][0]} rows between" in page


@pytest.mark.parametrize("view", VIEWS)
def test_every_picture_is_drawn_without_scripts(browser: httpx.Client, run: str, view: str) -> None:
    page = browser.get(f"/results/{run}{view}")
    assert page.status_code == 200
    assert "note-caution" not in page.text
    assert ("<figure" in page.text) == (view != "?view=axes")
    assert foreign(page.text) == []


def test_axes_of_some_rows_say_so(browser: httpx.Client, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "The axes are those of 100 rows"
    assert said not in browser.get(f"/results/{run}?view=axes&draw=1").text
    monkeypatch.setattr(result_pictures, "N_SAMPLED", 100)
    assert said in browser.get(f"/results/{run}?view=axes&draw=1").text


@pytest.mark.parametrize("view", ["", "?view=pairs", "?view=time", "?view=entities", "?sort=-weight&show=all"])
def test_a_page_runs_a_handful_of_queries(
    browser: httpx.Client, run: str, view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    for name in ("execute", "sql"):
        real = getattr(Engine, name)

        def counted(self: Engine, sql: str, *given: Any, real: Any = real) -> Any:
            said.append(sql)
            return real(self, sql, *given)

        monkeypatch.setattr(Engine, name, counted)
    browser.get(f"/results/{run}{view}")
    assert len(said) <= MOST_QUERIES + 2, said  # the first to look finds out what is remembered of the run
    said.clear()
    browser.get(f"/results/{run}{view}")
    assert len(said) <= MOST_QUERIES, said


def test_a_threshold_counts_what_the_sql_counts(browser: httpx.Client, site: Site, run: str) -> None:
    ((n_above,),) = asked(site, "select count(*) filter (anomaly_score > 1.5) from _run_results(?)", run)
    part = browser.get(f"/results/{run}/count?threshold=1.5", headers=PART).text
    assert f"<b>{n_above}</b> of 600 rows" in part
    plain = browser.get(f"/results/{run}/count?threshold=1.5")
    assert plain.headers["location"] == f"/results/{run}?threshold=1.5"
    assert f"<b>{n_above}</b> of 600 rows" in browser.get(plain.headers["location"]).text
    assert browser.get(f"/results/{run}/count?threshold=nan").status_code == 422


def test_pages_by_keyset_hold_every_row_once(browser: httpx.Client, run: str) -> None:
    address, found = f"/results/{run}?show=all", []
    while address:
        page = browser.get(address, headers={**PART, "HX-Target": "rows"}).text
        assert "<figure" not in page
        found += keys(page)
        following = re.search(r'rel="next" href="([^"]*)"', page)
        address = html.unescape(following[1]) if following else ""
    assert len(found) == len(set(found)) == 600


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("", "is_anomaly"),
        ("show=all&min_score=3", "anomaly_score >= 3"),
        ("column=weight&test=ge&is=511", "is_anomaly and weight >= 511"),
        ("show=all&column=depot&test=contains&is=img&sort=key", "contains(depot, 'img')"),
        ("view=pairs&x=weight&show=all&x_from=500&x_to=520&y_from=0&y_to=5", "weight between 500 and 520 and y <= 5"),
        ("reason=weight", "is_anomaly and list_contains([r.feature for r in reasons], 'weight')"),
    ],
)
def test_filters_show_the_rows_that_the_sql_finds(
    browser: httpx.Client, site: Site, run: str, query: str, where: str
) -> None:
    source = "(select _pynomaly_key, weight, depot, columns(lambda c: starts_with(c, '<img')) as y from _run_rows(?))"
    sql = f"select key from _run_results(?) join {source} as source on key = _pynomaly_key where {where}"
    expected = {row[0] for row in asked(site, sql, run, run)}
    shown = keys(browser.get(f"/results/{run}?{query}").text)
    assert set(shown) <= expected
    assert len(shown) == min(40, len(expected))


def test_a_row_says_why_and_is_labelled_in_place(browser: httpx.Client, site: Site, run: str) -> None:
    key = keys(browser.get(f"/results/{run}").text)[0]
    page = browser.get(f"/results/{run}/rows/{key}").text
    parts = asked(site, "select feature, contribution from explain_row(?, ?)", run, key)
    assert page.count('class="contribution"') == len(parts)
    assert "Nearest normal rows" in page
    data = {"csrf_token": token(page), "key": key, "label": "normal", "note": HOSTILE}
    said = browser.post(f"/results/{run}/labels", data=data, headers=PART)
    assert 'hx-swap-oob="true">normal' in said.text
    assert foreign(said.text) == []
    assert asked(site, "select label, note from labels_of(?) where key = ?", run, key) == [("normal", HOSTILE)]
    plain = browser.post(f"/results/{run}/labels", data={**data, "label": "anomaly"})
    assert plain.headers["location"] == f"/results/{run}/rows/{key}"
    assert key in keys(browser.get(f"/results/{run}?label=anomaly").text)
    assert browser.post(f"/results/{run}/labels", data={**data, "label": "perhaps"}).status_code == 422


def test_keys_that_no_path_can_hold_have_an_address() -> None:
    assert address_of("r", "a/b") == "/results/r/row?key=a%2Fb"
    assert address_of("r", "") == "/results/r/row?key="
    assert address_of("r", "a b?") == "/results/r/rows/a%20b%3F"


def test_the_report_is_one_file_without_scripts(browser: httpx.Client, run: str) -> None:
    report = browser.get(f"/results/{run}/report")
    assert report.headers["content-disposition"].startswith("attachment;")
    assert "script" not in report.headers["content-security-policy"].replace("default-src 'none'", "")
    assert foreign(report.text) == []
    assert re.findall(r"<link|url\(|@import", report.text) == []
    assert "<svg" in report.text
    assert "rows flagged" in report.text


def test_what_is_nobodys_is_not_found(browser: httpx.Client, run: str) -> None:
    assert browser.get("/results/00000000-0000-0000-0000-000000000000").status_code == 404
    assert browser.get(f"/results/{run}/rows/nope").status_code == 404


@pytest.mark.browser
def test_dragging_and_labelling_change_the_page_in_place(opened: Opened, run: str) -> None:
    page = opened(f"/results/{run}")
    slider = page.locator("#scores [role=slider]")
    slider.wait_for()
    slider.press("PageUp")
    page.locator("#scores-count b").wait_for()
    page.locator("#rows tbody a.link").nth(1).click()
    page.locator("dialog .contribution").first.wait_for()
    page.locator("dialog").get_by_role("button", name="Normal").click()
    page.locator("dialog #said li").first.wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#rows tbody tr").nth(1).locator("td").nth(2).inner_text() == "normal"


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1440])
def test_no_result_is_wider_than_the_window(opened: Opened, run: str, width: int) -> None:
    for view in ("", "?view=entities"):
        page = opened(f"/results/{run}{view}", width)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    "query",
    [
        *(
            "",
            "show=all&sort=-weight&min_score=0.1",
            "column=depot&test=contains&is=o%27r%3F",
            "show=all&label=anomaly",
        ),
        *("reason=weight", "show=all&view=pairs&x_from=0&x_to=9&y_from=0&y_to=9"),
    ],
)
def test_the_sql_beside_the_rows_finds_these_rows(browser: httpx.Client, run: str, query: str) -> None:
    page = browser.get(f"/results/{run}?{query}").text
    rows = of_sql(browser, page.partition('id="rows-title"')[2], token(page))[0]
    assert [row["key"] for row in rows][: len(keys(page))] == keys(page)


@pytest.mark.parametrize("address", [*VIEWS, "/rows/50"])
def test_all_sql_that_a_page_shows_can_be_run(browser: httpx.Client, run: str, address: str) -> None:
    page = browser.get(f"/results/{run}{address}").text
    assert all(of_sql(browser, page, token(page)))


def of_sql(browser: httpx.Client, page: str, csrf: str) -> list[list[dict[str, Any]]]:
    """What each statement finds that a page links to."""
    found = []
    for address in re.findall(r'href="(/sql\?q=[^"]*)"', page):
        sql = httpx.URL(html.unescape(address)).params["q"]
        headers = {"Accept": "application/json", "X-CSRF-Token": csrf}
        answer = browser.post("/api/v1/queries", json={"sql": sql}, headers=headers)
        assert answer.status_code == 200, (sql, answer.text)
        found.append(answer.json()["rows"])
    assert found
    return found
