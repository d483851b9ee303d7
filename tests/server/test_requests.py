"""What every request passes: its id, its problem, the read cache, the Idempotency-Key, the audit, the document."""

import io
import json
import logging
import re
from pathlib import Path

import msgspec
import pytest
import structlog
from litestar.testing import TestClient

from pynomaly import macros
from pynomaly_server import logs
from pynomaly_server.app import create_app
from pynomaly_server.document import document
from pynomaly_server.options import Options
from pynomaly_server.read_cache import MOST, Answer, Answers
from pynomaly_server.workspace import Workspace
from server.team import Team, running_team


def test_a_request_keeps_the_id_that_it_brings_and_gets_one_otherwise(team: Team) -> None:
    given = team.nobody.get("/health/live", headers={"X-Request-Id": "from-the-client"})
    assert given.headers["x-request-id"] == "from-the-client"
    made = team.nobody.get("/health/live").headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    hostile = team.nobody.get("/health/live", headers={"X-Request-Id": "a b\tc" * 40})
    assert re.fullmatch("[0-9a-f]{32}", hostile.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("DELETE", "/api/v1/algorithms", 405, "method_not_allowed"),
        ("GET", "/api/v1/algorithms/ifores", 404, "unknown_algorithm"),
        ("PUT", "/api/v1/settings/query_row", 404, "unknown_setting"),
        ("PUT", "/api/v1/settings/host", 404, "unknown_setting"),
    ],
)
def test_a_problem_has_a_code_a_mend_and_the_request(
    team: Team, method: str, path: str, status: int, code: str
) -> None:
    answer = team.ada.request(method, path, **({"json": {"value": 1}} if method == "PUT" else {}))
    told = answer.json()
    assert (answer.status_code, told["code"], told["status"]) == (status, code, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["request_id"] == answer.headers["x-request-id"]
    assert told["mend"]
    assert told["type"] == f"urn:pynomaly:error:{code}"


def test_a_wrong_body_is_pointed_at(team: Team) -> None:
    unknown = team.ada.put("/api/v1/settings/query_rows", json={"valu": 1})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/valu")
    wrong = team.ada.put("/api/v1/settings/query_rows", json={"value": [1]})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/value")
    broken = team.ada.put("/api/v1/settings/query_rows", content=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400


@pytest.mark.parametrize("name", ["a%00.css", "a" * 300, "vendor", "icon.svg/x", "%2e%2e/%2e%2e/pyproject.toml"])
def test_a_file_that_cannot_be_is_not_found(team: Team, name: str) -> None:
    answer = team.nobody.get(f"/static/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json()["detail"] == "there is nothing at this address"  # no folder of the server is told


def test_an_answer_comes_where_it_cannot_be_kept(tmp_path: Path) -> None:
    options = {"database": str(tmp_path / "w.duckdb")}
    Workspace(Options(options, {})).close()
    workspace = Workspace(Options({**options, "read_only": True}, {}))
    with TestClient(create_app(workspace), base_url="http://127.0.0.1") as client:
        headers = {"Idempotency-Key": "never kept"}
        answer = Team(client, workspace).ben.post("/api/v1/queries", json={"sql": "select 1 as a"}, headers=headers)
        assert (answer.status_code, answer.json()["rows"]) == (200, [{"a": 1}])


def test_a_body_that_brings_no_rows_is_bounded(team: Team) -> None:
    answer = team.ben.post("/api/v1/detectors", json={"name": "long", "features": ["a" * 2_000_000]})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_read_is_answered_from_memory_until_something_is_written(own_team: Team) -> None:
    team = own_team
    first = team.ada.get("/api/v1/algorithms")
    again = team.ada.get("/api/v1/algorithms", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    before = team.workspace.generation
    assert team.ada.put("/api/v1/settings/query_rows", json={"value": 77}).status_code == 200
    assert team.workspace.generation > before
    assert team.ada.get("/api/v1/algorithms").content == first.content


def test_the_memory_of_answers_is_bounded_by_what_they_are_found_by_too() -> None:
    answers = Answers()
    for n in range(2_000):
        answers.keep(
            ("ben", "GET", "/api/v1/datasets", b"search=%d" % n + b"a" * 60_000), 0, b'"x"', Answer(200, [], b"[]")
        )
    kept = [
        n for n in range(2_000) if answers.find(("ben", "GET", "/api/v1/datasets", b"search=%d" % n + b"a" * 60_000), 0)
    ]
    assert 0 < len(kept) * 60_000 <= MOST
    assert kept[-1] == 1_999


def test_a_setting_is_in_force_as_soon_as_it_changes(own_team: Team) -> None:
    team = own_team
    assert team.ada.put("/api/v1/settings/query_rows", json={"value": 3}).json()["origin"] == "database"
    assert team.workspace.options["query_rows"] == 3
    listed = {item["name"]: item for item in team.ada.get("/api/v1/settings").json()["items"]}
    assert (listed["query_rows"]["value"], listed["port"]["origin"]) == (3, "default")
    assert team.ada.put("/api/v1/settings/query_rows", json={"value": 0}).json()["code"] == "bad_parameter"


def test_an_idempotency_key_stands_for_one_request(own_team: Team) -> None:
    team = own_team
    headers = {"Idempotency-Key": "one"}
    body = {"name": "dora", "role": "user"}
    first = team.ada.post("/api/v1/users", json=body, headers=headers)
    again = team.ada.post("/api/v1/users", json=body, headers=headers)
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    other = team.ada.post("/api/v1/users", json={**body, "name": "emil"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    without = team.ada.post("/api/v1/users", json=body)
    assert without.status_code == 409
    assert team.ada.post("/api/v1/users", json=body, headers={"Idempotency-Key": "x" * 300}).status_code == 400


def test_an_answer_that_holds_a_secret_is_not_kept(own_team: Team) -> None:
    team = own_team
    body, headers = {"name": "k", "scopes": ["read"]}, {"Idempotency-Key": "one"}
    keys = {team.ada.post("/api/v1/api-keys", json=body, headers=headers).json()["key"] for _ in range(2)}
    assert len(keys) == 2
    assert team.workspace.engine.execute("select count(*) from pynomaly.replies").fetchall() == [(0,)]


def test_changes_and_refusals_are_in_the_audit(own_team: Team) -> None:
    team = own_team
    team.ada.put("/api/v1/settings/query_rows", json={"value": 5}, headers={"X-Request-Id": "the-change"})
    team.vera.put("/api/v1/settings/query_rows", json={"value": 6}, headers={"X-Request-Id": "the-refusal"})
    team.app.state["audit"].close()
    found = team.workspace.engine.execute(
        "select action, object, status, error_code, who from pynomaly.audit where request_id in "
        "('the-change', 'the-refusal') order by request_id"
    ).fetchall()
    action = ("PUT /api/v1/settings/{name}", "/api/v1/settings/query_rows")
    assert found == [(*action, 200, None, "ada"), (*action, 403, "forbidden", "vera")]
    team.app.state["audit"] = None


def test_while_draining_nothing_new_is_begun(own_team: Team) -> None:
    team = own_team
    team.workspace.is_draining = True
    assert team.nobody.get("/health/ready").status_code == 503
    assert team.nobody.get("/health/live").status_code == 200
    assert team.ada.put("/api/v1/settings/query_rows", json={"value": 5}).json()["code"] == "draining"
    assert team.ada.get("/api/v1/algorithms").status_code == 200


def test_metrics_count_by_route_and_not_by_path(team: Team) -> None:
    for name in ("iforest", "knn", "nothing"):
        team.ada.get(f"/api/v1/algorithms/{name}")
    text = team.ada.get("/metrics").text
    assert 'route="/api/v1/algorithms/{name}"' in text
    assert "/api/v1/algorithms/knn" not in text


def test_the_document_tells_errors_examples_and_permissions(team: Team) -> None:
    found = document(team.app)
    for path, item in found["paths"].items():
        for method, operation in item.items():
            assert operation["x-permission"], (method, path)
            assert operation.get("summary") or operation.get("description"), (method, path)
    setting = found["paths"]["/api/v1/settings/{name}"]["put"]
    assert {"401", "403", "404", "422", "429", "503"} <= set(setting["responses"])
    assert found["paths"]["/health/live"]["get"]["security"] == []


def test_the_log_is_json_with_the_request(team: Team) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    written = io.StringIO()
    try:
        logs.configure("info", lambda _, __, entry: entry)
        root.handlers[0].setStream(written)  # type: ignore[attr-defined]
        logging.getLogger("pynomaly.of.the.engine").warning("told by the engine")
        structlog.get_logger("pynomaly.test").info("told by the server", n=1)
    finally:
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()
    told = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(entry["event"], entry["level"]) for entry in told] == [
        ("told by the engine", "warning"),
        ("told by the server", "info"),
    ]


def test_a_column_that_a_macro_gives_reaches_rest_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = macros.library()
    text = {
        path: sql.replace("macro runs() as table\n", "macro runs() as table\n    select 'so' as how_it_went, *\n")
        for path, sql in known.text.items()
    }
    assert text != known.text
    monkeypatch.setattr(macros, "library", lambda: msgspec.structs.replace(known, text=text))
    for team in running_team(tmp_path):
        team.workspace.engine.execute("create table parts as select range % 7 as width from range(100)").fetchall()
        sent = {"source": "parts", "algorithm": "mad"}
        done = team.ben.post("/api/v1/detection/detect", json=sent, headers={"Prefer": "wait=300"})
        assert done.status_code == 200, done.text
        assert team.ben.get("/api/v1/runs").json()["items"][0]["how_it_went"] == "so"
