"""Detecting by forms: the request is what was chosen, the SQL is the engine's, and the job leads to the results."""

import html
import re
import subprocess
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from pynomaly import calls
from pynomaly_server.pages import detection_form
from pynomaly_server.pages.detection_form import again
from pynomaly_server.pages.detection_texts import texts as all_texts

from .conftest import Site
from .detected import HOSTILE, PART, browser, foreign, run, token

__all__ = ["browser", "run"]
Opened = Callable[..., Any]


def test_the_data_to_choose_from_is_there(browser: httpx.Client) -> None:
    page = browser.get("/detect").text
    assert 'href="/detect?source=parcels"' in page


def test_what_is_chosen_is_the_engines_own_call(browser: httpx.Client) -> None:
    query = {"source": "parcels", "algorithm": "knn", "p.n_neighbors": "7", "top_k": "3", f"role:{HOSTILE}": "exclude"}
    page = browser.get("/detect", params=query).text
    sql = calls.call("parcels", algorithm="knn", exclude=[HOSTILE], top_k=3, parameters={"n_neighbors": 7}, explain=3)
    shown = html.unescape(page)
    assert f"select * from {sql.split('(')[0]}(" in shown
    found = detection_form.asked(query, {"n_neighbors": "INTEGER"})
    assert found.errors == {}
    assert f"select * from {found.call}" in shown
    assert foreign(page) == []


def test_a_form_and_its_request_are_the_same_thing() -> None:
    request = {
        "source": "a b",
        "algorithm": "knn",
        "exclude": ["x", HOSTILE],
        "label": "y",
        "threshold": "mad",
        "explain": 2,
        "seed": 5,
        "parameters": {"n_neighbors": 7, "method": "mean"},
    }
    given = dict(parse_qsl(urlsplit(again(request)).query))
    types = {"n_neighbors": "INTEGER", "method": "VARCHAR"}
    assert detection_form.asked(given, types).request == request


@pytest.mark.parametrize("hostile", ["it's", '"$(touch /tmp/x)"', "a\nb", "`id`", "--exclude=x"])
def test_the_texts_to_copy_hold_whatever_is_in_a_name(hostile: str) -> None:
    found = detection_form.asked({"source": hostile, f"role:{hostile}": "key"}, {})
    texts = dict(all_texts(found, "http://127.0.0.1:1"))
    told = subprocess.run(
        ["/bin/sh", "-c", texts["Command line"].replace("pynomaly", "printf '%s\\0'", 1)],
        capture_output=True,
        check=True,
    )
    assert hostile in told.stdout.decode().split("\0")
    compile(texts["Python"], "copied", "exec")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"top_k": "x"}, "Number of rows: 'x' is no whole number"),
        ({"top_k": "3", "contamination": "0.1"}, "more than one cut-off"),
        ({"algorithm": "knn", "p.n_neighbors": "-4"}, "“Number of neighbours” is -4"),
        ({"algorithm": "nope"}, "There is no algorithm"),
        ({"role:id": "features", "contamination": "0.9"}, "0.9"),
    ],
)
def test_what_cannot_be_is_refused_before_a_job(browser: httpx.Client, given: dict[str, str], told: str) -> None:
    csrf = token(browser.get("/detect?source=parcels").text)
    refused = browser.post("/detect", data={"csrf_token": csrf, "source": "parcels", **given})
    assert refused.status_code == 422
    assert told in html.unescape(refused.text)


def test_without_scripts_a_form_becomes_a_job_and_then_a_result(browser: httpx.Client, site: Site) -> None:
    csrf = token(browser.get("/detect?source=parcels").text)
    shown = browser.post("/detect", data={"csrf_token": csrf, "source": "parcels", "algorithm": "knn", "step": "show"})
    assert "Takes about" in shown.text
    assert 'name="p.n_neighbors"' in shown.text
    job = browser.post("/detect", data={"csrf_token": csrf, "source": "parcels", "algorithm": "mad", "explain": "1"})
    address = job.headers["location"]
    waiting = browser.get(address)
    assert waiting.status_code == 303 or '<meta http-equiv="refresh"' in waiting.text
    with browser.stream("GET", f"{address}/progress") as stream:
        told = [line for line in stream.iter_lines() if line.startswith("event:")]
    assert told[-1] == "event: done"
    done = browser.get(address)
    assert re.fullmatch(r"/results/[0-9a-f-]{36}", done.headers["location"])
    assert 'class="verdict' in browser.get(done.headers["location"]).text


def test_a_job_that_failed_says_why_and_leads_back(browser: httpx.Client, site: Site) -> None:
    identity = site.workspace.accounts.identify(None, site.cookie()["value"])
    assert identity is not None
    job = site.workspace.jobs.submit("detect", {"source": "parcels", "features": ["nope"]}, identity)
    with browser.stream("GET", f"/detect/jobs/{job}/progress") as stream:
        list(stream.iter_lines())
    page = html.unescape(browser.get(f"/detect/jobs/{job}").text)
    assert "Column <code><bdi>nope</bdi></code> not found" in page
    assert "/detect?source=parcels" in page


def test_a_job_of_another_kind_is_shown_by_the_page_of_jobs(browser: httpx.Client, site: Site) -> None:
    job = str(uuid.uuid4())
    made = (
        "insert into pynomaly.jobs (id, kind, request, status, created_by) values (?, 'import', '{}', 'cancelled', ?)"
    )
    identity = site.workspace.accounts.identify(None, site.cookie()["value"])
    assert identity is not None
    with site.workspace.own() as db:
        db.execute(made, [job, identity.user])
    assert browser.get(f"/detect/jobs/{job}").headers["location"] == f"/jobs/{job}"


def test_a_part_that_stands_for_a_page_marks_its_place(browser: httpx.Client) -> None:
    whole = browser.get("/runs", headers={**PART, "HX-Target": "main"}).text
    assert re.search(r'id="nav"[^>]*hx-swap-oob="true".*href="/results" aria-current="page"', whole)
    assert "hx-swap-oob" not in browser.get("/runs", headers={**PART, "HX-Target": "runs"}).text


def test_every_algorithm_that_the_engine_lists_is_offered(browser: httpx.Client) -> None:
    names = [row[0] for row in _algorithms(browser)]
    page = browser.get("/detect?source=parcels").text
    assert set(names) - {"auto"} == set(re.findall(r'<option value="(\w+)"', page.split('id="rule"')[0])) - {"auto"}


def test_a_fragment_is_asked_for_by_its_part(browser: httpx.Client) -> None:
    part = browser.get("/detect?source=parcels", headers=PART)
    assert part.text.startswith("<title>")
    estimate = browser.get("/detect/estimate?source=parcels&algorithm=mad", headers=PART)
    assert "600" in estimate.text


def _algorithms(browser: httpx.Client) -> list[tuple[str]]:
    return [(item["name"],) for item in browser.get("/api/v1/algorithms").json()["items"]]


@pytest.mark.browser
def test_a_newcomer_gets_to_explained_anomalies_in_three_clicks(opened: Opened, run: str) -> None:
    page = opened("/detect")
    page.get_by_role("link", name="parcels", exact=True).click()
    page.locator("#estimate dl").wait_for()
    page.get_by_role("button", name="Detect anomalies").first.click()
    page.locator(".verdict").wait_for()
    assert "/results/" in page.url
    page.locator("#rows tbody a.link").first.click()
    page.locator("dialog .contribution").first.wait_for()


@pytest.mark.browser
def test_the_sql_follows_the_form(opened: Opened, run: str) -> None:
    page = opened("/detect?source=parcels")
    page.locator(".more > summary").click()
    page.select_option("#algorithm", "knn")
    page.locator("#p-n_neighbors").fill("9")
    page.locator("#p-n_neighbors").blur()
    page.locator("#shown code", has_text="n_neighbors").first.wait_for()
    assert "knn" in page.locator("#shown code").first.inner_text()
