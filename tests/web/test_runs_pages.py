"""History, the card of a run, and runs side by side: what they tell is what SQL tells."""

import html
import json
import re
import uuid
from collections.abc import Iterator

import pytest

from .analyst import Desk, running, words


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One server for this file."""
    yield from running(tmp_path_factory.mktemp("runs"))


def test_runs_are_listed_filtered_and_sorted(desk: Desk) -> None:
    ada = desk.as_("ada")
    every = ada.get("/runs").text
    assert all(f'href="/runs/{run}"' in every for run in desk.runs)
    chosen = ada.get("/runs?algorithm=mad&status=succeeded&source=pay").text
    assert desk.runs[0] in chosen
    assert desk.runs[1] not in chosen
    assert "No result is like that" in ada.get("/runs?source=nothing").text
    ordered = ada.get("/runs?sort=n_flagged").text
    flagged = desk.rows("select id::varchar from runs() order by n_flagged")
    assert re.findall(r'href="/runs/([\w-]{36})"', ordered) == [row[0] for row in flagged]
    assert "No result is here yet" in desk.as_("ben").get("/runs").text


def test_a_run_has_a_card(desk: Desk) -> None:
    page = desk.as_("ada").get(f"/runs/{desk.runs[0]}").text
    ((flagged, sql),) = desk.rows(f"select n_flagged, sql from runs() where id = '{desk.runs[0]}'")
    assert f"{flagged} of 400 rows flagged" in words(page)
    assert sql.replace("'", "&#39;") in page
    shown = html.unescape(re.findall(r"<pre[^>]*><code>(.*?)</code>", page, re.DOTALL)[0])
    assert desk.rows(shown)[0][:2] == (flagged, 400), "the SQL behind the verdict"
    assert f'href="/results/{desk.runs[0]}"' in page
    again = re.search(r'href="(/detect\?[^"]+)"', page)
    assert again
    assert "algorithm=mad" in again[1]
    assert "role%3Aid=key" in again[1]
    assert desk.as_("ben").get(f"/runs/{desk.runs[0]}").status_code == 404
    assert "Replay" not in words(desk.as_("vera").get("/runs").text)


def test_overlap_and_newly_flagged_rows_are_those_of_sql(desk: Desk) -> None:
    a, b = desk.runs
    page = words(desk.as_("ada").get(f"/runs/compare?run={a}&run={b}").text)
    ((both,),) = desk.rows(
        f"select count(*) from _run_results('{a}') as one join _run_results('{b}') as two using (key) "
        "where one.is_anomaly and two.is_anomaly"
    )
    assert f"A and B {both}" in page
    assert "Share of the rows 0.02" in page
    rows = desk.as_("ada").get(f"/runs/compare/rows?a={a}&b={b}", part=True).text
    counts = desk.rows(f"select change, count(*) from diff_runs('{a}', '{b}') group by change")
    assert all(f"{change} {count}" in words(rows) for change, count in counts)
    none = desk.as_("ada").get(f"/runs/compare/rows?a={a}&b={a}").text
    assert "No row is newly flagged" in none


def test_metrics_are_those_of_evaluate(desk: Desk) -> None:
    a, b = desk.runs
    page = desk.as_("ada").get(f"/runs/compare/metrics?run={a}&run={b}").text
    ((found,),) = desk.rows(f"select recall from evaluate('{a}', label := 'fraud')")
    assert re.search(rf"Recall\s+{found:.3f}", words(page))
    assert page.count('class="curve curve-') == 8  # two pictures, two runs, each with its key


def test_one_run_alone_is_compared_with_nothing(desk: Desk) -> None:
    answer = desk.as_("ada").get(f"/runs/compare?run={desk.runs[0]}")
    assert answer.status_code == 422
    assert "Tick 2 to 4" in words(answer.text)


def test_a_replay_is_a_job(desk: Desk) -> None:
    sent = desk.as_("ada").post(f"/runs/{desk.runs[0]}/replay")
    assert sent.status_code == 303
    assert re.fullmatch(r"/jobs/[\w-]{36}", sent.headers["location"])
    assert desk.as_("vera").post(f"/runs/{desk.runs[0]}/replay").status_code == 403


@pytest.mark.parametrize(("n_changed", "wanted"), [(0, "Identical Every score"), (2, "It differs Of 400 rows, 2 have")])
def test_a_replay_tells_what_it_found(desk: Desk, n_changed: int, wanted: str) -> None:
    counts = dict.fromkeys(("n_missing", "n_new", "n_flags_changed", "n_reasons_changed"), 0)
    found = {"run_id": desk.runs[0], "is_equal": not n_changed, "n_rows": 400, "n_scores_changed": n_changed, **counts}
    text = json.dumps({"replay": found})
    job = str(uuid.uuid4())
    columns = "id, kind, request, status, created_by, result"
    desk.rows(f"insert into pynomaly.jobs ({columns}) values ('{job}', 'replay', '{{}}', 'succeeded', 'ada', '{text}')")
    assert wanted in words(desk.as_("ada").get(f"/jobs/{job}").text)


@pytest.mark.parametrize(("path", "most"), [("/runs", 4), ("/runs/{a}", 3), ("/runs/compare?run={a}&run={b}", 6)])
def test_a_page_runs_a_handful_of_queries(desk: Desk, path: str, most: int) -> None:
    ada = desk.as_("ada")
    address = path.format(a=desk.runs[0], b=desk.runs[1])
    assert 0 < desk.n_queries(lambda: ada.get(address)) <= most
