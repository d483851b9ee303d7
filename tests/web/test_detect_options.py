"""Detect, beyond the defaults: several algorithms, versions, labels, what a run carries on, and texts that run."""

import html
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

import pynomaly
from pynomaly import calls
from pynomaly.cli import main
from pynomaly.combination import RULES
from pynomaly.samples import LABEL, N_MALIGNANT, measurements
from pynomaly_server.pages import detection_form
from pynomaly_server.pages.detection_form import SEVERAL, again, of_run
from pynomaly_server.pages.detection_texts import texts

from .conftest import Site
from .detected import HOSTILE, ROWS, browser, run, token

__all__ = ["browser", "run"]
COMBINED = {
    "source": "parcels", "algorithm": SEVERAL, "with:ecod": "on", "with:knn": "on", "combine": "max",
    "p.knn.n_neighbors": "4", "p.knn.method": "mean", "p.lof.n_neighbors": "9", "role:id": "exclude",
    f"role:{HOSTILE}": "exclude", "top_k": "7", "explain": "2",
}  # fmt: skip
TYPES = {"knn.n_neighbors": "INTEGER", "knn.method": "VARCHAR"}


def form(address: str) -> dict[str, str]:
    """The fields of an address of the form."""
    return dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))


@pytest.fixture(scope="module")
def versions(site: Site, run: str) -> str:
    """A dataset of two versions with a label."""
    with site.workspace.own() as db:
        db.act_as("ada", True)
        for n in (60, 80):
            db.datasets.add("cases", f"select range % 7 as x, range % 11 as y, range % 20 = 0 as fraud from range({n})")
    return "cases"


def test_several_algorithms_are_ticked_and_combined(browser: httpx.Client) -> None:
    page = html.unescape(browser.get("/detect", params=COMBINED).text)
    found = detection_form.asked(COMBINED, TYPES)
    assert found.request["algorithm"] == ["ecod", "knn"]
    assert found.request["parameters"] == {"knn": {"n_neighbors": 4, "method": "mean"}}, "lof is not ticked"
    assert f"select * from {found.call.split(', exclude')[0]}" in page
    assert all(f'<option value="{rule}"' in page for rule in RULES)
    assert page.count('type="checkbox" id="with-') > 20
    csrf = token(page)
    one = browser.post(
        "/detect", data={"csrf_token": csrf, "source": "parcels", "algorithm": SEVERAL, "with:knn": "on"}
    )
    assert one.status_code == 422
    assert "Tick two algorithms or more" in one.text


def test_every_text_finds_the_same_anomalies(
    browser: httpx.Client,
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PYNOMALY_")]:
        monkeypatch.delenv(name)
    told = dict(texts(detection_form.asked(COMBINED, TYPES), site.address))
    with pynomaly.connect("workspace.duckdb") as db:
        db.execute(ROWS)
        flagged = f"select id from ({told['SQL']}) where is_anomaly order by id"
        wanted = [row[0] for row in db.execute(flagged).fetchall()]
    assert len(wanted) == 7
    names: dict[str, Any] = {}
    exec(told["Python"], names)
    with names["pynomaly"].connect("workspace.duckdb"):
        pass
    rows = names["result"].arrow().to_pylist()
    assert sorted(row["id"] for row in rows if row["is_anomaly"]) == wanted
    capsys.readouterr()
    assert main([*shlex.split(told["Command line"])[1:], "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert sorted(row["id"] for row in printed if row["is_anomaly"]) == wanted
    body = json.loads(shlex.split(told["curl"].replace("\\\n", ""))[-1])
    _, key = site.workspace.accounts.keys.make("ada", "a test", ["read", "detect"], None)
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=60"}
    done = httpx.post(f"{site.address}/api/v1/detection/detect", json=body, headers=headers, timeout=120).json()
    with site.workspace.own() as db:
        query = "select key from _run_results(?) where is_anomaly"
        assert len(db.execute(query, [done["run"]["id"]]).fetchall()) == 7


@pytest.mark.parametrize(
    "request_",
    [
        {"algorithm": ["knn", "ecod"], "combine": "aom", "parameters": {"knn": {"n_neighbors": 3}, "n_buckets": 2}},
        {"pipeline": "p@2", "seed": 7, "sample_rows": 100, "key": ["a", "b"], "by": ["b"], "top_k": 3},
        {"features": ["x"], "label": "y", "threshold": -1.5, "explain": 0, "novel": {"some": ["thing"]}},
        {"contamination": 0.02, "threshold": None, "exclude": ["it's", 'a"b', "c,d"], "explain": 12},
    ],
)  # fmt: skip
def test_nothing_that_a_run_had_is_dropped(request_: dict[str, Any]) -> None:
    whole = {name: value for name, value in {"source": "s", "explain": 0, **request_}.items() if value is not None}
    types = {"knn.n_neighbors": "INTEGER", "n_buckets": "INTEGER"}
    assert detection_form.asked(form(again({"source": "s", **request_})), types).request == whole
    told = {"kind": "detect", "source": "s", "options": request_}
    assert form(of_run(told)) == form(again({"source": "s", **request_}))
    assert set(form(of_run({**told, "kind": "score"}))) == {"source", "explain"}


def test_every_option_of_the_engine_comes_back() -> None:
    several = {"algorithm": ["knn", "mad"], "parameters": {"knn": {"n_neighbors": 2}}}
    given = {"source": "s", **dict.fromkeys(calls.OPTIONS, "1"), **several}
    assert set(detection_form.asked(form(again(given)), {}).request) == {"source", *calls.OPTIONS}


def test_what_the_form_has_no_field_for_is_kept_and_told(browser: httpx.Client) -> None:
    asked = {"source": "parcels", "role:gone": "exclude", "p.stranger": "3", "algorithm": "mad", "explain": "1"}
    page = html.unescape(browser.get("/detect", params=asked).text)
    assert '<input type="hidden" name="role:gone" value="exclude">' in page
    assert '<input type="hidden" name="p.stranger" value="3">' in page
    assert "Kept from before" in page
    left = re.search(r'href="(/detect\?[^"]+)">Leave it out', page)
    assert left
    assert "gone" not in left[1]
    changed = html.unescape(browser.get("/detect", params={**asked, "of": "mad", "algorithm": "knn"}).text)
    assert 'name="p.stranger"' not in changed, "what another algorithm took is forgotten"
    unknown = browser.get("/detect", params={"source": "parcels", "o.novel": "3", "explain": "1"})
    assert unknown.status_code == 200
    assert "<code><bdi>novel</bdi></code> is no parameter" in unknown.text


def test_a_version_is_picked_and_the_newest_is_usual(browser: httpx.Client, versions: str) -> None:
    newest, first = (browser.get("/detect", params={"source": one}).text for one in (versions, f"{versions}@1"))
    choices = re.findall(r'<option value="([^"]*)"', newest.split('id="version"')[1].split("</select>")[0])
    assert choices == ["cases", "cases@2", "cases@1"]
    assert "80 rows, 3 columns" in re.sub(r"\s+", " ", newest)
    assert '<option value="cases@1" selected>' in first
    assert "detect_anomalies('cases@1'" in html.unescape(first)
    assert "60 rows, 3 columns" in re.sub(r"\s+", " ", first)


def test_a_label_is_found_left_out_and_measured_by(browser: httpx.Client, versions: str, site: Site) -> None:
    page = html.unescape(browser.get("/detect", params={"source": versions}).text)
    assert "fraud</bdi> seems to say what is true" in page
    assert "label := 'fraud'" in page
    chosen = browser.get("/detect", params={"source": versions, "explain": "3"}).text
    assert "seems to say what is true" not in chosen, "somebody who wants it as a column has it"
    assert "label :=" not in chosen
    sent = {"csrf_token": token(page), "source": versions, "role:fraud": "label", "algorithm": "mad", "explain": "1"}
    job = browser.post("/detect", data=sent).headers["location"]
    with browser.stream("GET", f"{job}/progress") as stream:
        list(stream.iter_lines())
    result = browser.get(browser.get(job).headers["location"]).text
    address = re.search(r'hx-get="(/runs/compare/metrics\?run=[^"]+)"', result)
    assert address
    measured = browser.get(html.unescape(address[1])).text
    assert "the column <code><bdi>fraud</bdi></code>" in measured
    assert "auroc" in measured.lower()


def test_the_label_of_the_sample_is_found(site: Site, browser: httpx.Client) -> None:
    with site.workspace.own() as db:
        db.act_as("ada", True)
        db.datasets.add("tumours", measurements())
        run = db.detect("tumours", algorithm="mad", label=LABEL, save=True).run_id
    page = html.unescape(browser.get("/detect", params={"source": "tumours"}).text)
    assert f"label := '{LABEL}'" in page
    estimate = browser.get("/detect/estimate", params={"source": "tumours", f"role:{LABEL}": "label"}).text
    assert "30 of 31 columns are used" in estimate
    assert "it says what is true" in estimate
    measured = html.unescape(browser.get(f"/runs/compare/metrics?run={run}").text)
    assert "where malignant is an anomaly" in measured
    assert re.search(rf"Anomalies</th>\s*<td[^>]*>{N_MALIGNANT}<", measured)


def test_what_is_left_out_says_why(browser: httpx.Client, site: Site) -> None:
    with site.workspace.own() as db:
        db.execute(
            "create or replace table mixed as select range as id, 1 as same, 'note ' || range || ' of many' as note, "
            "range % 7 as x, range % 5 as y from range(100)"
        )
    told = browser.get("/detect/estimate", params={"source": "mixed", "role:y": "exclude"}).text
    shown = re.sub(r"<[^>]+>", "", told)
    for words in (
        "id: every value is different",
        "same: every row has the same",
        "note: every value",
        "y: you leave it",
    ):
        assert words in shown
    assert "1 of 5 columns are used" in shown
