"""Detections over HTTP: at once, later, many, compared, judged, run again."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from pynomaly import calls, plugins, registry
from pynomaly_server.document import document
from server.shop import PARTS
from server.team import Team

DETECT = "/api/v1/detection/detect"
NOW = {"Prefer": "wait=300"}


@pytest.fixture(scope="module", autouse=True)
def _parts(team: Team) -> None:
    team.workspace.engine.execute(PARTS)
    team.workspace.engine.execute("create table judged as select *, part = 400 as odd from parts")


def test_a_detection_is_a_job(team: Team) -> None:
    answer = team.ben.post(DETECT, json={"source": "parts", "key": "part", "explain": 1})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"] == f"/api/v1/jobs/{job['id']}"
    assert job["request"] == {"source": "parts", "key": "part", "explain": 1, "save": True}
    assert job["created_by"] == "ben"
    assert job["request_id"] == answer.headers["x-request-id"]


def test_who_waits_is_answered_at_once(team: Team) -> None:
    answer = team.ben.post(DETECT, json={"dataset": "parts", "key": "part", "explain": 1}, headers=NOW)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert answer.headers["preference-applied"] == "wait=300"
    assert told["job"]["status"] == "succeeded"
    assert told["run"]["id"] == told["job"]["id"]
    assert told["run"]["n_rows"] == 401
    assert told["rows"][0]["key"] == "400"
    assert told["rows"][0]["reasons"][0]["feature"] == "width"


def test_rows_that_are_not_saved_are_in_the_answer(team: Team) -> None:
    told = team.ben.post(DETECT, json={"source": "parts", "save": False}, headers=NOW).json()
    assert told["run"]["saved"] is False
    assert told["rows"][0]["width"] == 99.0
    assert len(told["rows"]) == 401


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "body_invalid"),
        ({"source": "parts", "dataset": "parts"}, 422, "body_invalid"),
        ({"source": 1}, 422, "body_invalid"),
        ({"source": ""}, 422, "body_invalid"),
        ({"source": "parts", "contaminatoin": 0.1}, 422, "bad_parameter"),
        ({"source": "parts", "save": "yes"}, 422, "bad_parameter"),
        ({"source": "parts", "contamination": 0.1, "top_k": 3}, 422, "bad_parameter"),
        ({"source": "prats"}, 404, "unknown_source"),
        ({"source": "parts", "algorithm": "ifores"}, 404, "unknown_algorithm"),
        ({"source": "parts", "detector": "none"}, 404, "unknown_detector"),
        ([], 422, "body_invalid"),
    ],
)
def test_what_is_wrong_is_told_with_its_status(team: Team, body: Any, status: int, code: str) -> None:
    answer = team.ada.post(DETECT, json=body, headers=NOW)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_misspelt_parameter_has_a_mend(team: Team) -> None:
    answer = team.ada.post(DETECT, json={"source": "parts", "contaminatoin": 0.1})
    assert "contamination" in answer.json()["mend"]


def test_a_batch_is_a_job_each(team: Team) -> None:
    answer = team.ben.post("/api/v1/detection/batch", json={"datasets": ["parts", "judged"], "algorithm": "mad"})
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert [item["request"]["source"] for item in told["items"]] == ["parts", "judged"]
    listed = team.ben.get(answer.headers["location"]).json()["items"]
    assert {item["id"] for item in listed} == {item["id"] for item in told["items"]}
    assert {item["batch"] for item in listed} == {told["batch"]}
    assert team.cleo.get(answer.headers["location"]).json()["items"] == []
    wrongs: list[Any] = [[], "parts", None]
    for wrong in wrongs:
        assert team.ben.post("/api/v1/detection/batch", json={"datasets": wrong}).status_code == 422
    assert team.ben.post("/api/v1/detection/batch", json={"datasets": ["parts", 1]}).status_code == 422


def test_compare_evaluate_score_and_replay(team: Team) -> None:
    compared = team.ben.post(
        "/api/v1/detection/compare",
        json={"source": "judged", "algorithms": ["mad", "iqr"], "label": "odd"},
        headers=NOW,
    ).json()
    assert {row["algorithm"] for row in compared["items"]} == {"mad", "iqr"}
    run = team.ben.post(DETECT, json={"source": "judged", "key": "part", "label": "odd"}, headers=NOW)
    run = run.json()["run"]["id"]
    judged = team.ben.post("/api/v1/detection/evaluate", json={"run": run, "label": "odd"}, headers=NOW).json()
    assert judged["evaluation"]["n_rows"] == 401
    again = team.ben.post(f"/api/v1/detection/runs/{run}/replay", headers=NOW).json()
    assert again["replay"]["is_equal"] is True
    trained = team.ben.post(
        "/api/v1/models/train", json={"name": "scorer", "source": "parts", "algorithm": "mad"}, headers=NOW
    )
    assert trained.json()["model"]["version"] == 1, trained.text
    scored = team.ben.post(
        "/api/v1/detection/score", json={"source": "parts", "model": "scorer", "key": "part"}, headers=NOW
    ).json()
    assert (scored["run"]["kind"], scored["run"]["model"], scored["rows"][0]["key"]) == ("score", "scorer", "400")
    assert team.ben.post("/api/v1/detection/score", json={"source": "parts", "modl": "x"}).status_code == 422
    assert (
        team.ben.post("/api/v1/detection/runs/11111111-1111-1111-1111-111111111111/replay", headers=NOW).status_code
        == 404
    )


def test_a_viewer_may_not_detect(team: Team) -> None:
    assert team.vera.post(DETECT, json={"source": "parts"}).json()["code"] == "forbidden"


NOON = """
from typing import Annotated
import msgspec, numpy as np
from pynomaly.algorithm import Params, State, algorithm

class NoonParams(Params, frozen=True):
    noon: Annotated[float, msgspec.Meta(ge=0.0, le=24.0, description="When noon is")] = 12.0

class NoonState(State, frozen=True):
    noon: float

@algorithm(kind="table", family="statistics", reference="the sun", complexity="O(d * n)", params=NoonParams)
class distance_from_noon:
    "Distance of the farthest column from noon."
    @staticmethod
    def fit(X, params, seed):
        return NoonState(params.noon)
    @staticmethod
    def score(state, X, own):
        return np.abs(X - state.noon).max(axis=1)
"""


@pytest.fixture
def noon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an algorithm that a package from outside adds."""
    (tmp_path / "noon.py").write_text(NOON)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("distance_from_noon", "noon:distance_from_noon", "pynomaly.algorithms")
    monkeypatch.setattr(plugins, "found", lambda: {entry.name: entry})
    yield entry.name
    for kept in (registry._record, registry._native_names):
        kept.cache_clear()


def test_an_algorithm_that_is_added_reaches_rest(noon: str, team: Team) -> None:
    answer = team.ben.post(
        DETECT, json={"source": "parts", "algorithm": noon, "parameters": {"noon": 6}, "save": False}, headers=NOW
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["run"]["algorithm"] == noon
    for path in ("detection/detect", "models/train"):
        body = document(team.app)["paths"][f"/api/v1/{path}"]["post"]["requestBody"]
        known = body["content"]["application/json"]["schema"]["properties"]
        assert noon in known["algorithm"]["oneOf"][0]["enum"]
        assert "When noon is" in known["parameters"]["properties"]["noon"]["description"]


def test_the_document_has_every_parameter_of_the_macros(team: Team) -> None:
    made = document(team.app)["paths"]
    for path, options in (
        ("detection/detect", calls.OPTIONS),
        ("detection/compare", calls.COMPARISON_OPTIONS),
        ("detection/evaluate", calls.EVALUATION_OPTIONS),
        ("models/train", calls.TRAINING_OPTIONS),
        ("detectors", calls.OPTIONS),
    ):
        schema = made[f"/api/v1/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert set(options) <= set(schema["properties"]), path
    assert (
        "application/vnd.apache.arrow.stream" in made["/api/v1/models/{name}/score"]["post"]["requestBody"]["content"]
    )
