"""SQL over HTTP: its limits, its forms, its history, and who may write."""

import polars as pl
import pytest

from server.team import Team

QUERIES = "/api/v1/queries"


@pytest.fixture(autouse=True, scope="module")
def parts(team: Team) -> None:
    team.workspace.engine.execute("create table parts as select range as part from range(5000)").fetchall()


def test_rows_come_with_types_and_say_whether_there_are_more(team: Team) -> None:
    told = team.ben.post(QUERIES, json={"sql": "from parts order by part", "limit": 3}).json()
    assert told["columns"] == [{"name": "part", "type": "BIGINT"}]
    assert (told["rows"], told["n_rows"], told["has_more"]) == ([{"part": n} for n in range(3)], 3, True)
    assert team.ben.post(QUERIES, json={"sql": "select 1 as a"}).json()["has_more"] is False


def test_other_forms_are_the_rows(team: Team) -> None:
    asked = {"sql": "select 7 as n, '=1+1' as note"}
    csv = team.ben.post(QUERIES, json=asked, headers={"Accept": "text/csv"})
    assert csv.text.splitlines()[1] == """7,"'=1+1\""""
    parquet = team.ben.post(QUERIES, json=asked, headers={"Accept": "application/vnd.apache.parquet"})
    assert pl.read_parquet(parquet.content).rows() == [(7, "=1+1")]


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("from read_text('/etc/passwd')", 403, "access_denied"),
        ("select 1; select 2", 403, "access_denied"),
        ("drop table parts", 403, "access_denied"),
        ("selct 1", 422, "invalid_sql"),
        ("select prt from parts", 422, "unknown_column"),
    ],
)
def test_what_is_refused_says_why(team: Team, sql: str, status: int, code: str) -> None:
    answer = team.ben.post(QUERIES, json={"sql": sql})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_the_settings_are_the_limits(own_team: Team) -> None:
    team = own_team
    for name, value in (("query_rows", 10), ("query_seconds", 1)):
        assert team.ada.put(f"/api/v1/settings/{name}", json={"value": value}).status_code == 200
    assert team.ben.post(QUERIES, json={"sql": "from range(100)"}).json()["n_rows"] == 10
    over = team.ben.post(QUERIES, json={"sql": "from range(100)", "limit": 11})
    assert (over.status_code, over.json()["errors"][0]["pointer"]) == (422, "/limit")
    slow = "select count(*) from range(1000000) a, range(1000000) b where (a.range * b.range) % 7 = 3"
    assert team.ben.post(QUERIES, json={"sql": slow}).json()["code"] == "query_timeout"
    assert team.ben.post(QUERIES, json={"sql": "select 1 as a"}).status_code == 200


def test_a_user_sees_their_own_history_with_the_request(team: Team) -> None:
    sent = {"X-Request-Id": "the-query"}
    made = team.ben.post(QUERIES, json={"sql": "select 41 + 1 as answer"}, headers=sent).json()["id"]
    told = team.ben.get(f"{QUERIES}/{made}").json()
    assert (told["sql"], told["status"], told["created_by"]) == ("select 41 + 1 as answer", "succeeded", "ben")
    assert told["request_id"] == "the-query"
    assert team.cleo.get(f"{QUERIES}/{made}").json()["code"] == "unknown_query"
    assert made not in [item["id"] for item in team.cleo.get(QUERIES).json()["items"]]
    assert made in [item["id"] for item in team.ada.get(QUERIES, params={"limit": 1000}).json()["items"]]
    assert team.vera.post(QUERIES, json={"sql": "select 1"}).json()["code"] == "forbidden"


def test_writing_needs_the_flag_and_the_permission(own_team: Team) -> None:
    team = own_team
    write = {"sql": "create table made as select 1 as a", "writes": True}
    assert team.ada.post(QUERIES, json=write).json()["code"] == "forbidden"  # the flag is off
    assert team.ada.put("/api/v1/settings/allow_writing_sql", json={"value": True}).status_code == 200
    assert team.ben.post(QUERIES, json=write).json()["code"] == "forbidden"
    assert team.ada.post(QUERIES, json={**write, "writes": False}).json()["code"] == "access_denied"
    assert team.ada.post(QUERIES, json=write).status_code == 200
    assert team.ben.post(QUERIES, json={"sql": "from made"}).json()["rows"] == [{"a": 1}]
    for sql, status in (
        ("copy parts to '/tmp/x.csv'", 403),
        ("drop table pynomaly.runs", 404),
        ("attach '/tmp/x.db'", 403),
    ):
        assert team.ada.post(QUERIES, json={"sql": sql, "writes": True}).status_code == status, sql
