"""Pages over HTTP: the frame and the part, signing in and out, keys, errors for people."""

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pynomaly.errors import Interrupted
from pynomaly_server.jobs import Work, kinds
from pynomaly_server.pages.shown import own_address

from .conftest import HTML, PART, Site, token

PASSWORD = "correct horse battery"


def test_a_page_is_a_frame_with_a_part(browser: httpx.Client) -> None:
    page, part = browser.get("/gallery"), browser.get("/gallery", headers=PART)
    assert page.text.startswith("<!doctype html>")
    assert part.text.startswith("<title>Gallery")
    assert "<html" not in part.text
    assert page.headers["vary"] == part.headers["vary"] == "HX-Request" or "HX-Request" in page.headers["vary"]


@pytest.mark.parametrize("header", ["HX-Boosted", "HX-History-Restore-Request"])
def test_htmx_gets_whole_pages_where_it_wants_them(browser: httpx.Client, header: str) -> None:
    assert browser.get("/gallery", headers={**PART, header: "true"}).text.startswith("<!doctype html>")


def test_a_page_that_needs_somebody_asks_who_it_is(site: Site) -> None:
    plain = httpx.get(f"{site.address}/jobs?status=failed", headers=HTML)
    assert plain.status_code == 303
    assert plain.headers["location"] == "/sign-in?next=%2Fjobs%3Fstatus%3Dfailed"
    part = httpx.get(f"{site.address}/jobs", headers=PART)
    assert (part.status_code, part.headers["hx-redirect"]) == (204, "/sign-in?next=%2Fjobs")


def test_signing_in_goes_where_one_wanted(site: Site) -> None:
    accounts = site.workspace.accounts
    if accounts.users.find("eve") is None:
        accounts.users.add("eve", "user", "test")
        accounts.redeem(accounts.user_link("eve", "test")[1], PASSWORD)
    with httpx.Client(base_url=site.address, headers={**HTML, "Origin": site.address}) as client:
        wrong = client.post("/sign-in", data={"user": "eve", "password": "no", "next": "/jobs"})
        assert wrong.status_code == 422
        assert "wrong" in wrong.text
        assert 'value="eve"' in wrong.text
        right = client.post("/sign-in", data={"user": "eve", "password": PASSWORD, "next": "/jobs"})
        assert (right.status_code, right.headers["location"]) == (303, "/jobs")
        page = client.get("/jobs")
        assert page.status_code == 200
        out = client.post("/sign-out", data={"csrf_token": token(page.text)})
        assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
        assert client.get("/jobs").status_code == 303


def test_a_form_that_a_session_did_not_outlive_leads_back_to_its_page(site: Site) -> None:
    with httpx.Client(base_url=site.address, headers={"Accept": "text/html", "Origin": site.address}) as client:
        page = f"{site.address}/detect?source=x"
        for headers, wanted in (
            ({"Referer": page}, "%2Fdetect%3Fsource%3Dx"),
            ({"Referer": "http://evil.test/a"}, "%2F"),
            ({"Referer": f"{site.address}//evil.test"}, "%2F"),
            ({}, "%2F"),
        ):
            sent = client.post("/account/settings", headers=headers)
            assert (sent.status_code, sent.headers["location"]) == (303, f"/sign-in?next={wanted}")
        part = client.get("/detect/estimate?source=x", headers={"HX-Request": "true", "HX-Current-URL": page})
        assert part.headers["HX-Redirect"] == "/sign-in?next=%2Fdetect%3Fsource%3Dx"


@pytest.mark.parametrize(
    "address",
    [
        *("//evil.test", "///evil.test", "////evil.test", "/\\/evil.test", "\\\\evil.test", "/\t/evil.test"),
        *("https://evil.test", "/\\evil.test", "javascript:alert(1)", "", None, "/a\n"),
    ],
)
def test_nobody_is_sent_elsewhere(address: str | None) -> None:
    assert own_address(address) == "/"


def test_a_form_without_the_token_changes_nothing(browser: httpx.Client) -> None:
    assert browser.post("/account/keys", data={"name": "x", "scopes": "read", "days": "30"}).status_code == 403


def test_a_key_is_made_shown_once_and_revoked(browser: httpx.Client) -> None:
    csrf = token(browser.get("/account").text)
    made = browser.post("/account/keys", data={"csrf_token": csrf, "name": "<i>", "scopes": "read", "days": "30"})
    key = re.search(r"pyn_\w+", made.text)
    assert key
    assert "<i>" not in made.text
    listed = browser.get("/account").text
    assert key[0] not in listed
    address = re.search(r"&lt;i&gt;.*?(/account/keys/\w+/revoke)", listed, re.DOTALL)
    assert address
    assert "Revoke “&lt;i&gt;”?" in browser.get(address[1]).text
    assert browser.post(address[1], data={"csrf_token": csrf}).status_code == 303
    assert address[1] not in browser.get("/account").text


def test_a_key_without_a_name_is_refused_beside_the_form(browser: httpx.Client) -> None:
    csrf = token(browser.get("/account").text)
    refused = browser.post("/account/keys", data={"csrf_token": csrf, "name": " ", "scopes": "read", "days": "30"})
    assert refused.status_code == 422
    assert "No key was made" in refused.text


def test_a_link_that_opens_nothing_is_told_in_words(site: Site) -> None:
    with httpx.Client(base_url=site.address) as nobody:
        told = nobody.post("/sign-in/link", data={"token": "none", "password": "long enough for a password"})
    assert "This link opens nothing" in told.text
    assert "is over" not in told.text


def test_theme_and_zone_are_kept(browser: httpx.Client) -> None:
    csrf = token(browser.get("/account").text)
    wrong = browser.post("/account/settings", data={"csrf_token": csrf, "theme": "dark", "time_zone": "Nowhere"})
    assert wrong.status_code == 422
    done = browser.post("/account/settings", data={"csrf_token": csrf, "theme": "dark", "time_zone": "Asia/Tokyo"})
    assert done.status_code == 303
    assert '<html lang="en" data-theme="dark">' in browser.get("/account").text
    assert browser.post("/theme", data={"theme": "", "next": "/jobs"}).headers["location"] == "/jobs"
    assert '<html lang="en">' in browser.get("/account").text


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/gallery/broken", 500)])
def test_errors_are_pages_for_people_and_problems_for_programs(browser: httpx.Client, path: str, status: int) -> None:
    page = browser.get(path)
    assert page.status_code == status
    assert page.headers["x-request-id"] in page.text
    assert page.headers["content-type"].startswith("text/html")
    assert "Signed in as" in page.text  # a wrong address does not end a session
    problem = browser.get(path, headers={"Accept": "application/json"})
    assert problem.headers["content-type"].startswith("application/problem+json")


def test_an_error_within_a_page_is_a_message(browser: httpx.Client) -> None:
    told = browser.get("/gallery/broken", headers=PART)
    assert told.headers["hx-retarget"] == "#toasts"
    assert told.text.count('class="note toast') == 1
    assert "a test" not in told.text


def test_pages_keep_the_policy(browser: httpx.Client) -> None:
    for path in ("/gallery", "/account", "/jobs", "/sign-in"):
        page = browser.get(path)
        assert re.findall(r"<[^>]*\s(?:style|on\w+)=|<style|<script(?![^>]*\ssrc=)", page.text) == []
        assert "script-src 'self'" in page.headers["content-security-policy"]


@pytest.fixture(scope="module")
def slow_kind() -> Iterator[str]:
    """A kind of job that runs until it is stopped."""

    @kinds.register("wait")
    def wait(cursor: Any, request: dict[str, Any], work: Work) -> dict[str, Any]:
        while not work.is_cancelled:
            time.sleep(0.02)
        raise Interrupted("the job was stopped", "submit it again")

    yield "wait"
    kinds._KINDS.pop("wait", None)


def test_a_job_tells_how_far_it_is_and_is_stopped(site: Site, browser: httpx.Client, slow_kind: str) -> None:
    identity = site.workspace.accounts.identify(None, site.cookie()["value"])
    assert identity is not None
    job = site.workspace.jobs.submit(slow_kind, {"source": "<b>"}, identity)
    listed = browser.get("/jobs")
    assert f'href="/jobs/{job}"' in listed.text
    shown = browser.get(f"/jobs/{job}").text
    assert "<b>" not in shown
    assert f'sse-connect="/jobs/{job}/progress"' in shown
    told = []
    with browser.stream("GET", f"/jobs/{job}/progress") as stream:
        for line in stream.iter_lines():
            if line.startswith("event:"):
                told.append(line.split()[1])
                if told == ["progress", "progress"]:
                    stop = browser.post(f"/jobs/{job}/stop", data={"csrf_token": token(shown)})
                    assert stop.headers["location"] == f"/jobs/{job}"
    assert told[-1] == "done"
    assert "Stopped" in browser.get(f"/jobs/{job}").text
    assert job in browser.get("/jobs?status=cancelled").text
    assert job not in browser.get("/jobs?status=failed").text


def test_a_job_of_nobody_is_not_found(browser: httpx.Client) -> None:
    assert browser.get("/jobs/00000000-0000-0000-0000-000000000000").status_code == 404
