"""Results over HTTP: scored rows in every format, why a row, labels, histograms; runs, lineage and the audit."""

import csv
import io
from typing import Any

import msgspec
import pytest

from server.team import Team

RESULTS = "/api/v1/detection/results"
N = 120


class Detected(msgspec.Struct):
    """Ben's two saved runs and one that is not."""

    team: Team
    run: str
    later: str
    unsaved: str


@pytest.fixture(scope="module")
def detected(team: Team) -> Detected:
    with team.workspace.own() as db:
        db.act_as("ben", False)
        db.datasets.add(
            "payments",
            "select i as id, case when i in (17, 44) then 9000 + i else 20 + i * 37 % 50 end as amount, "
            f"['a', 'b', 'c'][1 + i % 3] as city from range({N}) t(i)",
        )
        first = db.detect("payments", key="id", explain=2, top_k=5, algorithm="mad", save=True)
        later = db.detect("payments", key="id", explain=2, top_k=9, algorithm="knn", save=True)
        unsaved = db.detect("payments", key="id")
    team.workspace.changed()
    return Detected(team, first.run_id, later.run_id, unsaved.run_id)


def walked(person: Any, path: str, **params: Any) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        told = person.get(path, params={**params, **({"cursor": cursor} if cursor else {})}).json()
        found += told["items"]
        if (cursor := told["next_cursor"]) is None:
            return found


def test_runs_with_results_are_listed(detected: Detected) -> None:
    ben = detected.team.ben
    found = ben.get(RESULTS).json()["items"]
    assert [run["id"] for run in found] == [detected.later, detected.run]
    assert found[0]["options"]["top_k"] == 9
    assert ben.get("/api/v1/runs").json()["items"][0]["id"] == detected.unsaved
    assert [run["id"] for run in ben.get(RESULTS, params={"filter": "algorithm:eq:mad"}).json()["items"]] == [
        detected.run
    ]
    assert ben.get(RESULTS, params={"sort": "n_flagged"}).json()["items"][0]["id"] == detected.run
    assert [run["id"] for run in walked(ben, "/api/v1/runs", limit=1)] == [
        detected.unsaved, detected.later, detected.run
    ]  # fmt: skip
    assert detected.team.cleo.get(RESULTS).json()["items"] == []
    assert len(detected.team.ada.get(RESULTS).json()["items"]) == 2


def test_one_run_never_changes(detected: Detected) -> None:
    ben = detected.team.ben
    found = ben.get(f"/api/v1/runs/{detected.run[:13]}")
    assert found.json()["id"] == detected.run
    etag = found.headers["etag"]
    assert ben.get(f"/api/v1/runs/{detected.run[:13]}", headers={"if-none-match": f'"x", W/{etag}'}).status_code == 304
    other = detected.team.cleo.get(f"/api/v1/runs/{detected.run}", headers={"if-none-match": etag})
    assert (other.status_code, other.json()["code"]) == (404, "unknown_run")
    assert ben.get("/api/v1/runs/nonsense").status_code == 422
    assert ben.get(f"/api/v1/runs/{'0' * 8}").status_code == 404


def test_the_highest_scores_come_first_with_reasons(detected: Detected) -> None:
    page = detected.team.ben.get(f"{RESULTS}/{detected.run}", params={"limit": 3})
    items = page.json()["items"]
    assert [item["key"] for item in items[:2]] == ["44", "17"]
    assert items[0]["reasons"][0]["feature"] == "amount"
    assert set(items[0]) == {"key", "anomaly_score", "is_anomaly", "reasons"}
    every = walked(detected.team.ben, f"{RESULTS}/{detected.run}", limit=7)
    assert len({item["key"] for item in every}) == len(every) == N
    scores = [item["anomaly_score"] for item in every]
    assert scores == sorted(scores, reverse=True)


def test_rows_are_chosen_and_have_columns(detected: Detected) -> None:
    ben, path = detected.team.ben, f"{RESULTS}/{detected.run}"
    assert len(ben.get(path, params={"is_anomaly": True}).json()["items"]) == 5
    assert len(walked(ben, path, is_anomaly=False)) == N - 5
    top = ben.get(path, params={"min_score": 100}).json()["items"]
    assert {item["key"] for item in top} == {"17", "44"}
    assert len(walked(ben, path, max_score=100)) == N - 2
    assert {item["key"] for item in ben.get(path, params={"filter": "key:eq:17"}).json()["items"]} == {"17"}
    assert all(
        "amount" in [reason["feature"] for reason in item["reasons"]]
        for item in ben.get(path, params={"reason": "amount"}).json()["items"]
    )
    assert ben.get(path, params={"reason": "nothing"}).json()["items"] == []
    rich = ben.get(path, params={"columns": True, "limit": 1}).json()["items"][0]
    assert (rich["key"], rich["id"], rich["amount"]) == ("44", 44, 9044)
    pages = walked(ben, path, columns=True, limit=11)
    assert {item["key"]: item["amount"] for item in pages} == {
        item["key"]: item["amount"] for item in walked(ben, path, columns=True, sort="city,key", limit=11)
    }
    assert [item["id"] for item in pages[:2]] == [44, 17]
    by_city = walked(ben, path, columns=True, sort="city,-amount", limit=50)
    assert [item["city"] for item in by_city] == sorted(item["city"] for item in by_city)
    assert len(by_city) == N


def test_results_in_every_format(detected: Detected) -> None:
    path = f"{RESULTS}/{detected.run}"
    for name in ("csv", "ndjson", "arrow", "parquet"):
        answer = detected.team.ben.get(f"{path}.{name}")
        assert answer.status_code == 200, answer.text
        assert f"results_{detected.run[:8]}.{name}" in answer.headers["content-disposition"]
        tag = {"if-none-match": answer.headers["etag"]}
        assert detected.team.ben.get(f"{path}.{name}", headers=tag).status_code == 304
    rows = list(csv.DictReader(io.StringIO(detected.team.ben.get(f"{path}.csv", params={"columns": True}).text)))
    assert len(rows) == N
    assert set(rows[0]) == {"key", "anomaly_score", "is_anomaly", "reasons", "id", "amount", "city"}
    assert msgspec.json.decode(rows[0]["reasons"])[0]["feature"]


def test_what_has_no_results_says_why(detected: Detected) -> None:
    answer = detected.team.ben.get(f"{RESULTS}/{detected.unsaved}")
    assert (answer.status_code, answer.json()["code"]) == (409, "run_not_saved")
    for path in ("", ".csv", "/histogram", "/rows/17/explanation", "/labels", "/rows/17/labels"):
        assert detected.team.cleo.get(f"{RESULTS}/{detected.run}{path}").status_code == 404, path
    assert (
        detected.team.vera.put(f"{RESULTS}/{detected.run}/rows/17/labels", json={"label": "normal"}).status_code == 403
    )


def test_why_a_row(detected: Detected) -> None:
    told = detected.team.ben.get(f"{RESULTS}/{detected.run}/rows/17/explanation", params={"nearest": 2}).json()
    assert told["reasons"][0]["feature"] == "amount"
    assert len(told["nearest_normal"]) == 2
    same = detected.team.ben.get(f"{RESULTS}/{detected.run}/explanation", params={"key": "17", "nearest": 2}).json()
    assert same == told
    missing = detected.team.ben.get(f"{RESULTS}/{detected.run}/rows/9999/explanation")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_key")


def test_labels_are_kept_and_the_last_counts(detected: Detected) -> None:
    ben, path = detected.team.ben, f"{RESULTS}/{detected.run}"
    assert ben.put(f"{path}/rows/17/labels", json={"label": "anomaly"}).json()["label"] == "anomaly"
    said = ben.put(f"{path}/rows/17/labels", json={"label": "normal", "note": "a refund"}).json()
    assert (said["label"], said["note"], said["number"], said["labelled_by"]) == ("normal", "a refund", 2, "ben")
    assert ben.put(f"{path}/labels", json={"key": "44", "label": "anomaly"}).json()["key"] == "44"
    assert [item["label"] for item in ben.get(f"{path}/rows/17/labels").json()["items"]] == ["normal", "anomaly"]
    assert [(item["key"], item["label"]) for item in walked(ben, f"{path}/labels", limit=1)] == [
        ("17", "normal"),
        ("44", "anomaly"),
    ]
    assert [item["key"] for item in ben.get(path, params={"label": "anomaly"}).json()["items"]] == ["44"]
    rows = {item["key"]: item["label"] for item in walked(ben, path, labels=True)}
    assert (rows["17"], rows["44"], rows["1"]) == ("normal", "anomaly", None)
    assert ben.put(f"{path}/rows/9999/labels", json={"label": "normal"}).status_code == 404
    assert ben.put(f"{path}/rows/17/labels", json={"label": "odd"}).status_code == 422


def test_the_histogram_counts_every_row(detected: Detected) -> None:
    path = f"{RESULTS}/{detected.run}/histogram"
    told = detected.team.ben.get(path, params={"bins": 20}).json()
    assert len(told["items"]) == 20
    assert sum(item["n_rows"] for item in told["items"]) == N
    assert sum(item["n_flagged"] for item in told["items"]) == told["n_flagged"] == 5
    assert [item["high"] for item in told["items"][:-1]] == [item["low"] for item in told["items"][1:]]
    for bins in (0, -1, 1001, "x"):
        assert detected.team.ben.get(path, params={"bins": bins}).status_code == 422


def test_runs_are_compared(detected: Detected) -> None:
    path = f"/api/v1/runs/{detected.run}/diff/{detected.later}"
    found = walked(detected.team.ben, path, limit=13)
    assert len({item["key"] for item in found}) == len(found)
    assert {item["change"] for item in found} >= {"newly flagged"}
    newly = detected.team.ben.get(path, params={"filter": "change:eq:newly flagged"}).json()["items"]
    assert len(newly) == sum(item["change"] == "newly flagged" for item in found)
    assert detected.team.ben.get(f"{path}.csv").headers["content-type"].startswith("text/csv")
    assert detected.team.cleo.get(path).status_code == 404


def test_lineage_by_any_name(detected: Detected) -> None:
    for name in ("payments", "dataset:payments@1", f"run:{detected.run}", detected.run):
        items = detected.team.ben.get(f"/api/v1/lineage/{name}").json()["items"]
        assert any(step["child"] == f"results:{detected.run}" for step in items), name
        assert detected.team.cleo.get(f"/api/v1/lineage/{name}").status_code == 404
    assert detected.team.ben.get("/api/v1/lineage/s3://bucket/key.csv").json()["code"] == "unknown_object"


def test_the_audit_shows_a_user_their_own(own_team: Team) -> None:
    own_team.ben.post("/api/v1/datasets", json={"name": "x", "upload_id": "nope"})
    own_team.vera.post("/api/v1/datasets", json={"name": "x", "upload_id": "nope"})
    for _ in range(100):
        if len(own_team.ada.get("/api/v1/audit").json()["items"]) >= 2:
            break
    found = own_team.ben.get("/api/v1/audit").json()["items"]
    assert [(item["who"], item["error_code"]) for item in found] == [("ben", "unknown_upload")]
    assert {item["who"] for item in walked(own_team.ada, "/api/v1/audit", limit=1)} >= {"ben", "vera"}
    refused = own_team.ada.get("/api/v1/audit", params={"filter": "status:eq:403"}).json()["items"]
    assert [item["who"] for item in refused] == ["vera"]


def test_a_new_column_of_a_run_is_there_by_itself(own_team: Team) -> None:
    with own_team.workspace.own() as db:
        db.execute("create table t as select i as id, i * 37 % 50 as amount from range(60) t(i)").fetchall()
        db.detect("t", key="id")
        db.execute("alter table pynomaly.runs add column region varchar default 'north'").fetchall()
    own_team.workspace.changed()
    assert own_team.ada.get("/api/v1/runs").json()["items"][0]["region"] == "north"
