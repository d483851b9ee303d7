"""Detectors over HTTP: versions are ETags."""

from server.team import Team

DETECTORS = "/api/v1/detectors"


def test_the_life_of_a_detector(team: Team) -> None:
    made = team.ben.post(DETECTORS, json={"name": "strict", "algorithm": "iforest", "contamination": 0.01})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"{DETECTORS}/strict"
    assert made.headers["etag"] == '"1"'
    assert made.json()["options"] == {"algorithm": "iforest", "contamination": 0.01}
    assert team.ben.post(DETECTORS, json={"name": "strict"}).json()["code"] == "conflict"
    again = team.ben.put(f"{DETECTORS}/strict", json={"algorithm": "mad"}, headers={"If-Match": '"1"'})
    assert (again.status_code, again.headers["etag"], again.json()["options"]) == (200, '"2"', {"algorithm": "mad"})
    missing = team.ben.put(f"{DETECTORS}/strict", json={})
    assert (missing.status_code, missing.json()["code"]) == (428, "precondition_required")
    stale = team.ben.put(f"{DETECTORS}/strict", json={}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    weak = team.ben.put(f"{DETECTORS}/strict", json={}, headers={"If-Match": 'W/"2"'})
    assert weak.status_code == 412
    assert team.ben.get(f"{DETECTORS}/strict").json()["version"] == 2
    assert [item["name"] for item in team.ben.get(DETECTORS).json()["items"]] == ["strict"]
    assert team.ben.delete(f"{DETECTORS}/strict", headers={"If-Match": '"1"'}).status_code == 412
    assert team.ben.delete(f"{DETECTORS}/strict").status_code == 204
    assert team.ben.get(f"{DETECTORS}/strict").json()["code"] == "unknown_detector"
    assert team.ben.delete(f"{DETECTORS}/strict").status_code == 404


def test_what_is_wrong_is_refused(team: Team) -> None:
    for body in ({}, {"name": ""}, {"name": 1}, {"name": "x", "algoritm": "mad"}, {"name": "x", "contamination": 2}):
        answer = team.ben.post(DETECTORS, json=body)
        assert answer.status_code == 422, (body, answer.text)
    assert team.vera.post(DETECTORS, json={"name": "x"}).json()["code"] == "forbidden"


def test_a_name_may_be_any_text(team: Team) -> None:
    made = team.ben.post(DETECTORS, json={"name": "\u0448/\u0442? %", "algorithm": "mad"})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == "/api/v1/detectors/%D1%88%2F%D1%82%3F%20%25"
