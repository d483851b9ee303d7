"""Pipelines by the engine and the shell: versions, what runs and models keep of them, and what is in their way."""

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

import pynomaly
from databases import new_database
from pynomaly.catalog import migrations
from pynomaly.cli import main
from pynomaly.errors import BadParameter, UnknownPipeline

ROWS = "select i as id, (i * 37) % 101 / 10.0 as x, chr(97 + (i * 7 % 3)::int) as c from range(200) r(i)"


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    with pynomaly.connect(new_database(tmp_path / "team.duckdb")) as opened:
        opened.execute(f"create table t as {ROWS}").fetchall()
        yield opened


def test_the_engine_defines_suggests_and_removes(engine: pynomaly.Engine) -> None:
    assert str(engine.define_pipeline("p", "minmax(x)")) == "p version 1: minmax(x)"
    assert engine.define_pipeline("p", engine.suggest_features("t")).steps == ["robust_zscore(x)", "one_hot(c)"]
    assert engine.pinned_pipeline("p") == "p@2"
    engine.train("m", "t", algorithm="hbos", pipeline="p")
    before = engine.score("t", "m").arrow()
    assert engine.remove_pipeline("p", 2) == 1
    assert engine.pinned_pipeline("p") == "p@1"
    assert engine.remove_pipeline("p") == 1
    assert engine.score("t", "m").arrow().equals(before)
    with pytest.raises(UnknownPipeline):
        engine.remove_pipeline("p")


def test_a_frame_by_value_goes_through_a_pipeline(engine: pynomaly.Engine) -> None:
    engine.define_pipeline("p", ["rank_normal(x)", "frequency_encode(c)"])
    frame = engine.sql("from t").pl()
    assert engine.detect(frame, pipeline="p", key="id").pl().equals(engine.detect("t", pipeline="p", key="id").pl())
    assert isinstance(frame, pl.DataFrame)
    seen = engine.execute("select count(*) from detect_anomalies('frame', pipeline := 'p')").fetchall()
    assert seen == [(200,)]
    engine.define_pipeline("hot", "one_hot(c)")
    with pytest.raises(BadParameter, match="name them"):
        engine.execute("from detect_anomalies('frame', pipeline := 'hot')").fetchall()


def test_a_saved_run_is_replayed_with_the_version_that_it_had(engine: pynomaly.Engine) -> None:
    engine.define_pipeline("p", "robust_zscore(x)")
    run = engine.detect("t", pipeline="p", algorithm="hbos", key="id", save=True).run_id
    engine.define_pipeline("p", "hash_encode(c)")
    assert engine.execute(f"select is_equal from replay_run('{run}')").fetchall() == [(True,)]
    notes = engine.execute("select notes from pynomaly.runs").fetchall()[0][0]
    assert any("pipeline" in note for note in notes)


def test_a_row_that_a_model_with_a_pipeline_scored_is_explained(engine: pynomaly.Engine) -> None:
    engine.define_pipeline("p", ["robust_zscore(x) as z", "one_hot(c)"])
    engine.train("m", "t", algorithm="mad", pipeline="p")
    saved = engine.score("t", "m", key="id", save=True, explain=1)
    told = engine.explain_row(saved.run_id, 3).pl()
    assert set(told["feature"]) == {"z", "c_a", "c_b", "c_c"}
    run = engine.detect("t", pipeline="p", key="id", save=True).run_id
    with pytest.raises(pynomaly.PynomalyError, match="pipeline"):
        engine.explain_row(run, 3)


def test_groups_keys_and_features_go_with_a_pipeline(engine: pynomaly.Engine) -> None:
    engine.define_pipeline("p", ["robust_zscore(x) as z", "minmax(x)"])
    grouped = engine.detect("t", pipeline="p", by="c", key="id", algorithm="mad").pl()
    assert len(grouped) == 200
    only = engine.detect("t", pipeline="p", features=["z", "x"], algorithm="mad", explain=1).pl()
    assert {row["feature"] for reasons in only["reasons"] for row in reasons} <= {"z", "x"}
    with pytest.raises(pynomaly.PynomalyError, match="not found"):
        engine.detect("t", pipeline="p", features=["zz"])


def test_a_model_leaves_and_returns_with_its_pipeline(engine: pynomaly.Engine, tmp_path: Path) -> None:
    engine.define_pipeline("p", ["robust_zscore(x)", "group_aggregates(x, by := c)"])
    engine.train("m", "t", algorithm="hbos", pipeline="p")
    engine.export_model("m", tmp_path / "m.parquet")
    older = tmp_path / "older.parquet"
    duckdb.execute(f"copy (select * exclude (pipeline) from '{tmp_path}/m.parquet') to '{older}'")
    with pynomaly.connect() as other:
        other.execute(f"create table t as {ROWS}").fetchall()
        other.import_model(tmp_path / "m.parquet")
        assert other.score("t", "m").pl().equals(engine.score("t", "m").pl())
        other.import_model(older, name="older")
        assert other.execute("select count(*) from pynomaly.models where pipeline is null").fetchall() == [(1,)]


def test_an_attached_catalogue_of_an_older_release_still_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = tuple(one for one in migrations.migrations() if one.name != "0005_pipelines")
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migrations", lambda: older)
        pynomaly.connect(tmp_path / "older.duckdb").close()
    with pynomaly.connect() as engine:
        engine.execute(f"create table t as {ROWS}").fetchall()
        engine.train("m", "t", algorithm="hbos")
        engine.export_model("m", tmp_path / "m.parquet")
    with duckdb.connect(str(tmp_path / "older.duckdb")) as con:
        con.execute(f"create table t as {ROWS}")
        con.execute(f"insert into pynomaly.models by name select * exclude (pipeline) from '{tmp_path}/m.parquet'")
        attached = pynomaly.attach(con)
        assert attached.execute("select count(anomaly_score) from score_anomalies('t', 'm')").fetchall() == [(200,)]
        assert attached.execute("select count(anomaly_score('m', t)) from t").fetchall() == [(200,)]
        attached.close()


def test_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect() as con:
        con.execute(f"copy ({ROWS}) to '{tmp_path}/t.csv'")
    data, db = str(tmp_path / "t.csv"), ["--db", str(tmp_path / "team.duckdb")]
    assert main(["pipeline", "add", "p", "robust_zscore(x)", "one_hot(c)", *db]) == 0
    assert main(["pipeline", "add", "p", "--suggest", data, *db]) == 0
    assert main(["pipeline", "ls", "--format", "csv", *db]) == 0
    assert capsys.readouterr().out.count("p,") == 2
    assert main(["pipeline", "show", "p@1", *db]) == 0
    assert "robust_zscore(x), one_hot(c)" in capsys.readouterr().out
    assert main(["detect", data, "--pipeline", "p", "--format", "csv", *db]) == 0
    assert "x_robust_zscore" in capsys.readouterr().out.splitlines()[0]
    assert main(["model", "train", "m", data, "--pipeline", "p", "--algorithm", "hbos", *db]) == 0
    assert main(["score", data, "--model", "m", "--format", "csv", *db]) == 0
    assert main(["pipeline", "rm", "p", *db]) == 0
    assert main(["pipeline", "show", "p", *db]) == 3
    assert main(["pipeline", "add", "p", *db]) == 2
    assert main(["pipeline", "add", "p", "minmax(x)"]) == 2
