"""Models over HTTP: trained, promoted, exported, imported, and rows that they score."""

import io
import zipfile
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from server.shop import PARTS
from server.team import Team

MODELS = "/api/v1/models"
NOW = {"Prefer": "wait=300"}
ROW = {"width": 99.0, "height": 2.5, "made_at": "2026-03-05T22:00:00Z", "part": 7}


@pytest.fixture(scope="module", autouse=True)
def _trained(team: Team) -> None:
    team.workspace.engine.execute(PARTS)
    for _ in range(2):
        train(team, "watch")


def train(team: Team, name: str, **options: Any) -> Any:
    body = {"name": name, "source": "parts", "algorithm": "mad", **options}
    answer = team.ben.post(f"{MODELS}/train", json=body, headers=NOW)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_training_is_a_job(team: Team) -> None:
    answer = team.ben.post(f"{MODELS}/train", json={"name": "later", "source": "parts"})
    assert answer.status_code == 202
    assert answer.json()["kind"] == "train"
    told = train(team, "now", contamination=0.02)
    assert told["model"]["name"] == "now"
    assert told["model"]["version"] == 1
    for wrong in ({"source": "parts"}, {"name": "", "source": "parts"}, {"name": "x", "source": "parts", "topk": 1}):
        assert team.ben.post(f"{MODELS}/train", json=wrong).status_code == 422


def test_models_are_listed_by_name(team: Team) -> None:
    train(team, "another")
    listed = team.ben.get(MODELS).json()
    watch = next(item for item in listed["items"] if item["name"] == "watch")
    assert watch["version"] >= 2
    assert "champion" in watch
    assert "state" not in watch
    first = team.ben.get(MODELS, params={"limit": 1})
    assert first.json()["next_cursor"]
    assert 'rel="next"' in first.headers["link"]


def test_one_model_and_its_versions(team: Team) -> None:
    newest = team.ben.get(f"{MODELS}/watch").json()
    assert (newest["name"], newest["version"], newest["algorithm"]) == ("watch", 2, "mad")
    assert team.ben.get(f"{MODELS}/watch?version=1").json()["version"] == 1
    assert [item["version"] for item in team.ben.get(f"{MODELS}/watch/versions").json()["items"]] == [2, 1]
    for path in ("nothing", "nothing/versions", "watch?version=9", "nothing/export"):
        assert team.ben.get(f"{MODELS}/{path}").json()["code"] == "unknown_model", path


def test_stages(team: Team) -> None:
    for _ in range(2):
        train(team, "staged")
    assert team.ben.post(f"{MODELS}/staged/promote", json={"version": 1}).json()["stage"] == "champion"
    assert team.ben.get(f"{MODELS}/staged").json()["version"] == 1
    assert team.ben.post(f"{MODELS}/staged/promote", json={"version": 2}).json()["stage"] == "champion"
    assert team.ben.post(f"{MODELS}/staged/rollback").json()["version"] == 1
    assert team.ben.post(f"{MODELS}/staged/retire", json={"version": 1}).json()["stage"] == "retired"
    assert team.ben.post(f"{MODELS}/staged/promote", json={"version": 1, "stage": "king"}).status_code == 422
    assert team.ben.post(f"{MODELS}/staged/promote", json={"version": 9}).json()["code"] == "unknown_model"
    assert team.vera.post(f"{MODELS}/staged/promote", json={"version": 1}).json()["code"] == "forbidden"


def test_a_model_leaves_and_comes_back(team: Team) -> None:
    sent = team.ben.get(f"{MODELS}/watch/export?version=1")
    assert sent.headers["content-disposition"].startswith('attachment; filename="watch-1.parquet"')
    kept = team.ben.post(f"{MODELS}/import", params={"name": "copy"}, content=sent.content)
    assert kept.status_code == 201, kept.text
    assert (kept.json()["name"], kept.json()["version"]) == ("copy", 1)
    scores = [team.ben.post(f"{MODELS}/{name}/score", json=ROW).json()["anomaly_score"] for name in ("watch", "copy")]
    assert scores[0] == scores[1]
    broken = team.ben.post(f"{MODELS}/import", content=b"PAR1 nothing")
    assert broken.json()["code"] == "source_unreadable"
    assert str(team.workspace.folder) not in broken.text
    sql = team.ben.get(f"{MODELS}/watch/export?format=sql")
    with duckdb.connect() as con:
        con.execute(sql.text)
    packed = zipfile.ZipFile(io.BytesIO(team.ben.get(f"{MODELS}/watch/export?format=numpy").content))
    assert {"score.py", "model.npz", "manifest.json"} <= set(packed.namelist())
    assert team.ben.get(f"{MODELS}/watch/export?format=pickle").status_code == 422
    assert list((team.workspace.folder / "uploads").glob("model-*")) == []


def test_a_model_belongs_to_whoever_imports_it(team: Team) -> None:
    train(team, "lent")
    file = team.ben.get(f"{MODELS}/lent/export").content
    mine = team.cleo.post(f"{MODELS}/import", params={"name": "of cleo"}, content=file)
    assert (mine.status_code, mine.json()["created_by"]) == (201, "cleo")
    for is_shared in (False, True):
        taken = team.cleo.post(f"{MODELS}/import", params={"name": "lent"}, content=file)
        assert taken.status_code == (403 if is_shared else 409)
        assert team.ben.put(f"{MODELS}/lent/shares/cleo").status_code == 204
    assert len(team.ben.get(f"{MODELS}/lent/versions").json()["items"]) == 1


def test_one_row_is_answered_as_one(team: Team) -> None:
    answer = team.ben.post(f"{MODELS}/watch/score?explain=2", json=ROW)
    assert answer.status_code == 200, answer.text
    scored = answer.json()
    assert {name: scored[name] for name in ROW} == ROW
    assert scored["is_anomaly"] is True
    assert scored["reasons"][0]["feature"] == "width"
    assert team.ben.post(f"{MODELS}/watch/score", json={**ROW, "width": None}).json()["anomaly_score"] is not None


@pytest.mark.parametrize("form", ["json", "columns", "ndjson", "csv", "arrow", "parquet"])
def test_rows_of_every_form_score_alike(team: Team, form: str) -> None:
    table = team.workspace.engine.sql("from parts limit 50").arrow()
    expected = team.workspace.engine.score_rows(table, "watch")["anomaly_score"].to_pylist()
    rows = [{**row, "made_at": row["made_at"].isoformat()} for row in table.to_pylist()]
    sink = io.BytesIO()
    if form == "arrow":
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    elif form == "parquet":
        parquet.write_table(table, sink)
    lines = {
        "csv": "part,width,height,made_at\n" + "\n".join(",".join(map(str, row.values())) for row in rows),
        "ndjson": "\n".join(__import__("json").dumps(row) for row in rows),
    }
    types = {"csv": "text/csv", "ndjson": "application/x-ndjson", "arrow": "application/vnd.apache.arrow.stream"}
    headers = {"Content-Type": types.get(form, "application/vnd.apache.parquet")}
    path = f"{MODELS}/watch/score"
    if form == "json":
        answer = team.ben.post(path, json=rows)
    elif form == "columns":
        answer = team.ben.post(path, json={"columns": {name: [row[name] for row in rows] for name in rows[0]}})
    else:
        answer = team.ben.post(path, content=lines.get(form, sink.getvalue()), headers=headers)
    assert answer.status_code == 200, answer.text
    assert [row["anomaly_score"] for row in answer.json()] == pytest.approx(expected, rel=1e-12)


def test_the_answer_comes_in_the_form_that_is_accepted(team: Team) -> None:
    accept = {"Accept": "application/vnd.apache.arrow.stream"}
    answer = team.ben.post(f"{MODELS}/watch/score?explain=1", json=[ROW, ROW], headers=accept)
    found = pa.ipc.open_stream(answer.content).read_all()
    assert found.column_names == [*ROW, "anomaly_score", "is_anomaly", "reasons"]
    assert team.ben.post(f"{MODELS}/watch/score", json=ROW, headers={"Accept": "text/csv"}).text.count("\n") == 2
    assert team.ben.post(f"{MODELS}/watch/score", json=ROW, headers={"Accept": "image/png"}).status_code == 406


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"width": 1.0}, 422, "unknown_column"),
        ({**ROW, "made_at": "soon"}, 422, "unknown_column"),
        ({**ROW, "anomaly_score": 1}, 422, "result_column_exists"),
        ({**ROW, "width": "wide"}, 422, "unknown_column"),
        ([1, 2], 422, "body_invalid"),
        ("text", 422, "body_invalid"),
        ({}, 422, None),
        ([], 422, None),
        ([{}], 422, None),
    ],
)
def test_rows_that_cannot_be_scored(team: Team, body: Any, status: int, code: str | None) -> None:
    answer = team.ben.post(f"{MODELS}/watch/score", json=body)
    assert answer.status_code == status, answer.text
    assert code in (None, answer.json()["code"])


def test_scoring_makes_no_run(team: Team) -> None:
    count = "select count(*) from pynomaly.runs"
    before = team.workspace.engine.execute(count).fetchall()
    assert team.ben.post(f"{MODELS}/watch/score", json=ROW).status_code == 200
    assert team.ben.post(f"{MODELS}/watch/score", json=[ROW]).status_code == 200
    assert team.workspace.engine.execute(count).fetchall() == before
    assert team.ben.post(f"{MODELS}/nothing/score", json=ROW).json()["code"] == "unknown_model"
    assert team.ben.post(f"{MODELS}/watch/score?explain=-1", json=ROW).status_code == 422
    assert (
        team.ben.post(f"{MODELS}/watch/score", content=b"x", headers={"Content-Type": "image/png"}).status_code == 415
    )
