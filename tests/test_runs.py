"""Runs are rows: what is recorded, what is saved, and that a saved run can be run again."""

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

import pynomaly
from databases import new_database
from pynomaly.cli import main
from pynomaly.errors import (
    BadParameter,
    CatalogChanged,
    Interrupted,
    KeyNotUnique,
    NotWritten,
    ReadOnlyDatabase,
    ResultColumnExists,
    RunNotSaved,
    RunsNotComparable,
    SourceUnreadable,
    UnknownColumn,
    UnknownModel,
    UnknownRun,
    UnknownSource,
    WorkspaceMissing,
)
from pynomaly.macros import Macros

ROWS = "select i as id, (i * 7919) % 613 / 7 as a, (i * 104729) % 97 as b, i % 3 as g from range(600) r(i)"
ONE_GOES_ONE_COMES = "delete from t where id = 18; insert into t values (600, 1, 1, 1)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_database(tmp_path / "work.duckdb")


@pytest.fixture
def engine(path: Path) -> Iterator[pynomaly.Engine]:
    with pynomaly.connect(path) as opened:
        opened.execute(f"create table t as {ROWS}")
        yield opened


def runs(engine: pynomaly.Engine) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = engine.sql("from pynomaly.runs order by started_at").arrow().to_pylist()
    return rows


def replayed(engine: pynomaly.Engine, run: str) -> dict[str, Any]:
    (row,) = engine.sql("from replay_run(?)", [run]).arrow().to_pylist()
    return dict(row)


def test_a_detection_is_a_row(engine: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_USER", "ada")
    result = engine.detect(
        "t", algorithm="iforest", exclude="id", contamination=0.02, seed=4, parameters={"n_trees": 20}
    )
    (row,) = runs(engine)
    assert (row["id"], row["kind"], row["status"], row["saved"]) == (result.run_id, "detect", "succeeded", False)
    assert (row["source"], row["algorithm"], row["seed"], row["created_by"]) == ("t", "iforest", 4, "ada")
    assert json.loads(row["parameters"]) == {"n_trees": 20, "max_samples": 256}
    assert json.loads(row["options"]) == {
        "algorithm": "iforest",
        "exclude": "id",
        "contamination": 0.02,
        "seed": 4,
        "parameters": {"n_trees": 20},
    }
    verdict = result.verdict
    assert (row["n_rows"], row["n_flagged"], row["n_unscored"]) == (600, verdict.n_flagged, 0)
    assert (row["threshold"], row["cut_off"], row["seconds"]) == (verdict.threshold, verdict.cut_off, verdict.seconds)
    assert row["rows_per_second"] == pytest.approx(600 / row["seconds"])
    assert {"pynomaly", "duckdb", "numpy", "python"} <= json.loads(row["libraries"]).keys()
    assert row["notes"] == ["`id` left out: excluded"]
    assert (row["error"], row["error_code"], row["snapshot"], row["model"]) == (None, None, None, None)
    assert engine.execute(f"select count(*) from ({row['sql']})").fetchall() == [(600,)]


def test_the_servers_user_goes_before_the_environment(engine: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_USER", "ada")
    engine.execute("set variable pynomaly_actor = 'grace'").fetchall()
    engine.detect("t")
    assert runs(engine)[0]["created_by"] == "grace"


def test_plain_sql_and_a_comparison_are_no_runs(engine: pynomaly.Engine) -> None:
    engine.execute("select count(*) from detect_anomalies('t')").fetchall()
    engine.compare("t", algorithms=["hbos", "ecod"])
    assert runs(engine) == []


@pytest.mark.parametrize(
    ("source", "options", "code"),
    [
        ("nowhere", {}, "unknown_source"),
        ("t", {"algorithm": "iforst"}, "unknown_algorithm"),
        ("t", {"features": "amount"}, "unknown_column"),
        ("t", {"key": "g"}, "key_not_unique"),
        ("t", {"sed": 1}, "bad_parameter"),
    ],
)
def test_a_run_that_fails_is_a_row(engine: pynomaly.Engine, source: str, options: dict[str, Any], code: str) -> None:
    with pytest.raises(pynomaly.PynomalyError) as raised:
        engine.detect(source, **options)
    (row,) = runs(engine)
    assert (row["status"], row["error_code"], row["source"]) == ("failed", code, source)
    assert row["error"] == f"{raised.value.cause}; {raised.value.mend}"
    assert (row["n_rows"], row["n_flagged"], row["threshold"], row["saved"]) == (None, None, None, False)


def test_a_run_that_is_stopped_is_a_row(engine: pynomaly.Engine) -> None:
    engine.execute("create table long as select hash(i) % 9973 / 7 as a, hash(i + 1) % 97 as b from range(400000) r(i)")

    def stop() -> None:
        while not engine.progress:
            time.sleep(0.001)
        time.sleep(0.2)
        engine.interrupt()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Interrupted):
        engine.detect("long", algorithm="knn", parameters={"n_neighbors": 200})
    thread.join()
    assert [(row["status"], row["error_code"]) for row in runs(engine)] == [("cancelled", "interrupted")]


def test_a_run_is_stopped_between_its_statements(engine: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    provide = Macros.provide

    def stopped(macros: Macros, sql: str) -> None:
        if "detect_anomalies" in sql:
            engine.interrupt()
        provide(macros, sql)

    monkeypatch.setattr(Macros, "provide", stopped)
    with pytest.raises(Interrupted):
        engine.detect("t")
    monkeypatch.undo()
    assert [row["status"] for row in runs(engine)] == ["cancelled"]
    assert len(engine.detect("t")) == 600


def test_a_scoring_is_a_row_with_its_model(engine: pynomaly.Engine) -> None:
    engine.train("m", "t", algorithm="ecod", exclude="id")
    engine.train("m", "t", algorithm="hbos", exclude="id")
    engine.promote("m", 1)
    engine.score("t", "m", explain=1)
    with pytest.raises(UnknownModel):
        engine.score("t", "n")
    first, second = runs(engine)
    engine.execute("create table narrow as select a from t")
    with pytest.raises(UnknownColumn):
        engine.score("narrow", "m")
    failed = runs(engine)[-1]
    assert (failed["status"], failed["algorithm"], json.loads(failed["parameters"])) == ("failed", "ecod", {})
    assert (failed["model"], failed["model_version"], second["algorithm"]) == ("m", 1, "")
    assert (first["kind"], first["model"], first["model_version"], first["algorithm"]) == ("score", "m", 1, "ecod")
    assert first["sql"] == "from score_anomalies('t', 'm', version := 1, explain := 1)"
    assert (second["status"], second["error_code"], second["model"]) == ("failed", "unknown_model", None)


def test_saved_rows_are_those_of_the_result(engine: pynomaly.Engine) -> None:
    result = engine.detect("t", algorithm="iforest", key="id", explain=2, save=True)
    kept = engine.sql(
        "select key::bigint as id, anomaly_score, is_anomaly, reasons from pynomaly.results order by 1"
    ).arrow()
    assert kept.equals(result.arrow().select(kept.column_names).sort_by("id").cast(kept.schema))
    (row,) = runs(engine)
    assert (row["saved"], row["key"], row["snapshot"]) == (True, ["id"], None)
    assert engine.execute("select distinct run_id::varchar from pynomaly.results").fetchall() == [(result.run_id,)]


def test_the_flagged_rows_of_a_run_stand_side_by_side(engine: pynomaly.Engine) -> None:
    result = engine.detect("t", algorithm="mad", key="id", contamination=0.1, save=True)
    assert result.verdict.n_flagged > 1
    rows = engine.execute("select is_anomaly, anomaly_score from pynomaly.results").fetchall()
    first = rows[: result.verdict.n_flagged]
    assert all(flag for flag, _ in first)
    assert [score for _, score in first] == sorted((score for flag, score in rows if flag), reverse=True)
    assert len(rows) == result.verdict.n_rows


def test_a_saved_run_keeps_its_model(engine: pynomaly.Engine) -> None:
    trained = engine.train("m", "t", algorithm="iforest", exclude="id")
    result = engine.detect("t", algorithm="iforest", key="id", save=True)
    (row,) = engine.sql("from pynomaly.models where run_id is not null").arrow().to_pylist()
    assert (row["name"], row["version"], str(row["run_id"])) == (result.run_id, 1, result.run_id)
    assert (row["digest"], row["threshold"], row["source_rows"]) == (trained.digest, result.verdict.threshold, 600)
    fingerprints = engine.execute("select count(distinct fingerprint) from pynomaly.models").fetchall()
    assert fingerprints == [(1,)]
    again = engine.score("t", result.run_id).pl().sort("id")["anomaly_score"]
    assert again.equals(result.pl().sort("id")["anomaly_score"])


def test_what_cannot_be_kept_of_a_run_is_told(engine: pynomaly.Engine) -> None:
    engine.detect("t", algorithm="hbos", key="id", by="g", save=True)
    engine.detect("t", algorithm="pyod_sos", key="id", save=True)
    notes = [row["notes"][-1] for row in runs(engine)]
    assert notes[0] == "the model was not kept: every group has a model of its own"
    assert notes[1].startswith("the model was not kept: [model_not_storable]")
    assert engine.execute("select count(*) from pynomaly.models").fetchall() == [(0,)]
    assert engine.execute("select count(*) from pynomaly.results").fetchall() == [(1200,)]


def test_without_a_key_the_rows_are_kept_as_a_snapshot(engine: pynomaly.Engine, path: Path) -> None:
    result = engine.detect("t", algorithm="hbos", save=True)
    assert result.arrow().column_names == ["id", "a", "b", "g", "anomaly_score", "is_anomaly", "reasons"]
    engine.detect("t", algorithm="ecod", save=True)
    (file,) = (path.parent / "work.duckdb.files" / "snapshots").iterdir()
    assert file.stem == hashlib.sha256(file.read_bytes()).hexdigest()
    assert {row["snapshot"] for row in runs(engine)} == {file.stem}
    engine.register("scored", result.arrow())
    joined = engine.execute(
        f"select count(*) from '{file}' as kept "
        "join pynomaly.results on results.key = (kept.file_row_number + 1)::varchar "
        "join scored on scored.id = kept.id and scored.anomaly_score = results.anomaly_score where run_id = ?",
        [result.run_id],
    ).fetchall()
    assert joined == [(600,)]


def test_a_frame_is_saved_by_its_snapshot(engine: pynomaly.Engine) -> None:
    frame = engine.sql("from t").pl()
    by_value = engine.detect(frame, algorithm="knn", save=True)
    keyed = engine.detect(frame, algorithm="knn", key="id", save=True)
    assert [row["source"] for row in runs(engine)] == ["(DataFrame)"] * 2
    assert replayed(engine, by_value.run_id)["is_equal"]
    with pytest.raises(RunNotSaved, match="given by value"):
        replayed(engine, keyed.run_id)


def test_a_workspace_can_be_named(tmp_path: Path) -> None:
    with pynomaly.connect(workspace=tmp_path / "here") as engine:
        engine.execute(f"create table t as {ROWS}")
        assert replayed(engine, engine.detect("t", save=True).run_id)["is_equal"]
        assert len(list((tmp_path / "here" / "snapshots").iterdir())) == 1


def test_a_workspace_stays_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with pynomaly.connect("work.duckdb", workspace="kept") as engine:
        engine.execute(f"create table t as {ROWS}")
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert replayed(engine, engine.detect("t", save=True).run_id)["is_equal"]
    assert len(list((tmp_path / "kept" / "snapshots").iterdir())) == 1
    with pytest.raises(BadParameter, match="the workspace is 5"):
        pynomaly.connect(workspace=5)  # type: ignore[arg-type]


def test_a_workspace_is_named_once(tmp_path: Path) -> None:
    with duckdb.connect() as con:
        con.execute(f"create table t as {ROWS}")
        pynomaly.attach(con)
        engine = pynomaly.attach(con, workspace=tmp_path / "one")
        assert replayed(engine, engine.detect("t", save=True).run_id)["is_equal"]
        with pytest.raises(BadParameter, match="one"):
            pynomaly.attach(con, workspace=tmp_path / "two")


@pytest.mark.parametrize("path", [":memory:", ":memory:named", ""])
def test_a_detection_in_memory_is_not_recorded_unless_saved(path: str) -> None:
    with pynomaly.connect(path) as engine:
        engine.execute(f"create table t as {ROWS}")
        engine.detect("t")
        assert runs(engine) == []


def test_numbers_of_numpy_are_numbers(engine: pynomaly.Engine) -> None:
    options = {"seed": np.int64(3), "key": np.array(["id"]), "parameters": {"n_trees": np.int32(20)}}
    for cut_off in ({"top_k": np.int64(4)}, {"contamination": np.float32(0.25)}):
        run = engine.detect("t", save=True, algorithm="iforest", **options, **cut_off).run_id
        assert replayed(engine, run)["is_equal"]
        assert json.loads(runs(engine)[-1]["options"]) == {
            "algorithm": "iforest", "seed": 3, "key": ["id"], "parameters": {"n_trees": 20},
            **{name: value.item() for name, value in cut_off.items()},
        }  # fmt: skip


@pytest.mark.parametrize(
    ("user", "told"), [(b"\xffmia", "\ufffdmia"), (b" mia ", "mia"), ("mi\u00e9".encode(), "mi\u00e9")]
)
def test_an_odd_user_is_still_one(
    engine: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch, user: bytes, told: str
) -> None:
    monkeypatch.setitem(os.environb, b"PYNOMALY_USER", user)
    engine.detect("t")
    assert runs(engine)[-1]["created_by"] == told


def test_memory_records_what_is_saved(tmp_path: Path) -> None:
    with pynomaly.connect() as engine:
        engine.execute(f"create table t as {ROWS}")
        engine.detect("t")
        with pytest.raises(WorkspaceMissing, match=r"workspace_missing.*give `key`"):
            engine.detect("t", save=True)
        assert runs(engine) == []
        engine.detect("t", key="id", save=True)
        assert len(runs(engine)) == 1


def test_an_attached_database_records_what_is_saved(tmp_path: Path) -> None:
    con = duckdb.connect(str(tmp_path / "theirs.duckdb"))
    con.execute(f"create table t as {ROWS}")
    engine = pynomaly.attach(con)
    engine.detect("t")
    assert con.execute("select count(*) from duckdb_schemas() where schema_name = 'pynomaly'").fetchall() == [(0,)]
    run = engine.detect("t", save=True).run_id
    assert replayed(engine, run)["is_equal"]
    assert con.execute("select count(*) from pynomaly.results").fetchall() == [(600,)]
    assert (tmp_path / "theirs.duckdb.files").is_dir()
    con.close()


def test_a_read_only_database_keeps_nothing(engine: pynomaly.Engine, path: Path) -> None:
    engine.close()
    with pynomaly.connect(path, read_only=True) as reader:
        assert len(reader.detect("t")) == 600
        with pytest.raises(ReadOnlyDatabase):
            reader.detect("t", key="id", save=True)
        assert runs(reader) == []


def test_the_users_transaction_is_left_alone(engine: pynomaly.Engine) -> None:
    engine.execute("begin")
    engine.execute(f"create table mine as {ROWS}")
    run = engine.detect("mine", save=True).run_id
    engine.execute("rollback")
    assert [(row["id"], row["saved"]) for row in runs(engine)] == [(run, True)]
    assert replayed(engine, run)["is_equal"]
    with pytest.raises(UnknownSource):
        engine.detect("mine")


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "iforest", "seed": 3, "explain": 3},
        {"algorithm": ["hbos", "knn"], "combine": "mean", "contamination": 0.05},
        {"algorithm": "ecod", "by": "g", "top_k": 2, "features": ["a", "b"]},
        {"algorithm": "lof", "sample_rows": 200, "parameters": {"n_neighbors": 7}},
        {"algorithm": "pyod_sos", "threshold": 0.4},
    ],
)
@pytest.mark.parametrize("key", [None, "id", ["g", "id"]])
def test_a_replay_is_equal_bit_for_bit(engine: pynomaly.Engine, options: dict[str, Any], key: Any) -> None:
    if key and options.get("by") and "g" in key:
        key = "id"
    run = engine.detect("t", save=True, key=key, **options).run_id
    found = replayed(engine, run[:8])
    assert (found["is_equal"], found["n_rows"], found["largest_change"]) == (True, 600, 0)
    assert found["changed_libraries"] == []


def test_a_replay_of_a_scoring(engine: pynomaly.Engine) -> None:
    engine.train("m", "t", algorithm="iforest", exclude="id")
    keyed, kept = (engine.score("t", "m", key=key, explain=1, save=True).run_id for key in ("id", None))
    engine.train("m", "t", algorithm="hbos", exclude="id")
    engine.promote("m", 2)
    assert replayed(engine, keyed)["is_equal"]
    assert replayed(engine, kept)["is_equal"]


def test_a_replay_says_what_differs(engine: pynomaly.Engine) -> None:
    keyed = engine.detect("t", algorithm="zscore", exclude="g", key="id", threshold=1.5, save=True).run_id
    kept = engine.detect("t", algorithm="zscore", exclude="g", threshold=1.5, save=True).run_id
    engine.execute(
        "update t set a = 1e3 where id = 17; delete from t where id = 18; insert into t values (600, 1, 1, 1)"
    )
    found = replayed(engine, keyed)
    assert not found["is_equal"]
    assert (found["n_rows"], found["n_missing"], found["n_new"]) == (601, 1, 1)
    assert found["n_scores_changed"] == 599
    assert found["largest_change"] > 1
    assert replayed(engine, kept)["is_equal"]


def test_a_difference_of_runs(engine: pynomaly.Engine) -> None:
    a = engine.detect("t", algorithm="zscore", exclude="g", key="id", top_k=3, save=True)
    engine.execute(
        "update t set b = 500 where id = 17; delete from t where id = 18; insert into t values (600, 1, 1, 1)"
    )
    b = engine.detect("t", algorithm="zscore", exclude="g", key="id", top_k=3, save=True)
    found = {
        change: set(keys)
        for change, keys in engine.execute(
            f"select change, list(key) from diff_runs('{a.run_id}', '{b.run_id}') group by all"
        ).fetchall()
    }
    flagged = [{str(row["id"]) for row in result.pl().filter("is_anomaly").to_dicts()} for result in (a, b)]
    assert found["only in a"] == {"18"}
    assert found["only in b"] == {"600"}
    assert found["newly flagged"] == flagged[1] - flagged[0] - {"600"} != set()
    assert found["no longer flagged"] == flagged[0] - flagged[1] - {"18"} != set()
    assert len(found["score changed"]) == 599 - len(found["newly flagged"]) - len(found["no longer flagged"])
    same = engine.execute(f"select count(*) from diff_runs('{a.run_id}', '{a.run_id}')").fetchall()
    assert same == [(0,)]


def test_runs_without_a_common_key_are_not_compared(engine: pynomaly.Engine) -> None:
    keyed = engine.detect("t", key="id", save=True).run_id
    kept = engine.detect("t", save=True).run_id
    engine.execute("delete from t where id = 1")
    other = engine.detect("t", save=True).run_id
    for pair in ((keyed, kept), (kept, other)):
        with pytest.raises(RunsNotComparable):
            engine.execute("from diff_runs(?, ?)", list(pair)).fetchall()


@pytest.mark.parametrize(
    ("run", "error"),
    [
        ("abc", BadParameter),
        (None, BadParameter),
        ("'; drop table t; --", BadParameter),
        ("00000000", UnknownRun),
        ("00000000-0000-0000-0000-000000000000", UnknownRun),
    ],
)
def test_a_run_that_is_not_there(engine: pynomaly.Engine, run: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        engine.execute("from replay_run(?)", [run]).fetchall()


def test_a_run_that_was_not_saved_has_no_results(engine: pynomaly.Engine) -> None:
    run = engine.detect("t").run_id
    with pytest.raises(RunNotSaved, match="save=True"):
        replayed(engine, run)


LOOKS = (
    "from replay_run($run)",
    "from diff_runs($run, $run)",
    "from label_row($run, '1', 'normal')",
    "from explain_row($run, '1')",
    "from project($run)",
    "from evaluate($run)",
    "from feature_importance($run)",
)


@pytest.mark.parametrize("look", LOOKS)
def test_results_that_were_removed_are_told(engine: pynomaly.Engine, look: str) -> None:
    run = engine.detect("t", save=True, key="id", algorithm="hbos").run_id
    engine.vacuum_catalog(keep=0, remove=True)
    with pytest.raises(RunNotSaved, match="were removed"):
        engine.execute(look, {"run": run}).fetchall()


@pytest.mark.parametrize("look", LOOKS[:3])
def test_a_transaction_that_does_not_see_the_results_yet(engine: pynomaly.Engine, look: str) -> None:
    engine.execute("begin; from t")
    run = engine.detect("t", save=True, key="id", algorithm="hbos").run_id
    with pytest.raises(RunNotSaved, match="commit or roll back"):
        engine.execute(look, {"run": run}).fetchall()
    engine.execute("rollback")
    engine.execute(look, {"run": run}).fetchall()


@pytest.mark.parametrize("odd", ["'[1]' as options", "'[]' as libraries", "[null] as key", "null as n_rows"])
def test_a_run_that_somebody_else_wrote(engine: pynomaly.Engine, odd: str) -> None:
    run = engine.detect("t", save=True, key="id", algorithm="hbos").run_id
    foreign = "11111111-1111-1111-1111-111111111111"
    select = f"select * replace ({odd}, '{foreign}' as id) from pynomaly.runs where id = '{run}'"
    engine.execute(f"insert into pynomaly.runs {select}")
    engine.execute(f"insert into pynomaly.results select * replace ('{foreign}' as run_id) from pynomaly.results")
    if "n_rows" in odd:
        assert replayed(engine, foreign)["is_equal"]
        assert len(engine.project(foreign)) == 600
    else:
        with pytest.raises(CatalogChanged, match="delete its row"):
            replayed(engine, foreign)
    assert replayed(engine, run)["is_equal"]


def test_another_column_of_the_results_is_left_alone(engine: pynomaly.Engine) -> None:
    engine.execute("alter table pynomaly.results add column seen boolean")
    assert replayed(engine, engine.detect("t", save=True, key="id", algorithm="hbos").run_id)["is_equal"]


def test_a_key_of_a_scoring_is_checked(engine: pynomaly.Engine) -> None:
    engine.train("m", "t", algorithm="ecod", exclude="id")
    with pytest.raises(KeyNotUnique, match="3 different values in 600 rows"):
        engine.score("t", "m", key="g", save=True)
    (row,) = runs(engine)
    assert (row["status"], row["saved"], row["error_code"]) == ("failed", False, "key_not_unique")
    assert engine.execute("select count(*) from pynomaly.results").fetchall() == [(0,)]


def test_a_dropped_table_is_told_before_the_work(engine: pynomaly.Engine) -> None:
    run = engine.detect("t", key="id", save=True).run_id
    engine.execute("drop table pynomaly.results")
    with pytest.raises(CatalogChanged, match=r"begin it anew: CREATE TABLE pynomaly\.results") as raised:
        engine.detect("t", key="id", save=True)
    with pytest.raises(CatalogChanged):
        replayed(engine, run)
    assert len(engine.detect("t")) == 600
    engine.execute(raised.value.mend.partition("anew: ")[2])
    assert replayed(engine, engine.detect("t", key="id", save=True).run_id)["is_equal"]


def test_a_run_that_cannot_be_recorded_is_still_a_result(
    engine: pynomaly.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "pynomaly")
    engine.execute("drop table pynomaly.labels; drop view pynomaly.lineage; drop table pynomaly.runs")
    assert len(engine.detect("t")) == 600
    assert "the run was not recorded" in caplog.text


def test_a_snapshot_is_whole_or_not_there(engine: pynomaly.Engine, path: Path) -> None:
    engine.execute("create view broken as select id, a, case when id = 500 then error('broken') else b end as b from t")
    with pytest.raises(pynomaly.PynomalyError, match="broken"):
        engine.detect("broken", save=True)
    assert list((path.parent / "work.duckdb.files" / "snapshots").iterdir()) == []


def test_a_full_disk_is_told_and_keeps_nothing_of_the_run(engine: pynomaly.Engine, path: Path) -> None:
    engine.execute("create table big as select i as id, hash(i) % 9973 / 7 as a from range(200000) r(i)")
    engine.execute("checkpoint")
    engine.close()
    script = f"""
import resource, signal, pynomaly
engine = pynomaly.connect({str(path)!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for room, key in (({path.stat().st_size + 4096}, "id"), (4096, None)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        engine.detect("big", save=True, key=key, algorithm="hbos")
    except pynomaly.PynomalyError as error:
        print(error)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    in_database, in_folder = told.splitlines()
    assert "[storage_full] " in in_database
    assert str(path) in in_database
    assert "[storage_full] " in in_folder
    assert f"{path}.files/snapshots/" in in_folder
    with pynomaly.connect(path) as again:
        assert not any(row["saved"] for row in runs(again))
        assert again.execute("select count(*) from pynomaly.results").fetchall() == [(0,)]


def test_a_workspace_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pynomaly.connect(tmp_path / "work.duckdb", workspace=tmp_path / "a file") as engine:
        engine.execute(f"create table t as {ROWS}")
        with pytest.raises(NotWritten, match="name another: connect"):
            engine.detect("t", save=True)


def test_ctrl_c_while_a_run_is_saved_keeps_nothing_and_says_so(engine: pynomaly.Engine, path: Path) -> None:
    script = f"""
import os, signal, threading, pynomaly
from pynomaly import runs
def save(cursor, run):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    cursor.execute("select max(hash(i)) from range(1000000000000) r(i)")
runs._save = save
with pynomaly.connect({str(path)!r}) as engine:
    try:
        engine.detect("t", save=True, key="id", algorithm="hbos")
    except KeyboardInterrupt:
        print("stopped")
"""
    engine.close()
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "stopped\n"
    with pynomaly.connect(path) as again:
        assert [(row["status"], row["error_code"], row["saved"]) for row in runs(again)] == [
            ("cancelled", "interrupted", False)
        ]


def test_a_snapshot_that_is_gone(engine: pynomaly.Engine, path: Path) -> None:
    run = engine.detect("t", save=True).run_id
    (file,) = (path.parent / "work.duckdb.files" / "snapshots").iterdir()
    file.unlink()
    with pytest.raises(SourceUnreadable, match="is gone"):
        replayed(engine, run)


def test_a_source_with_result_columns_is_refused_as_ever(engine: pynomaly.Engine) -> None:
    engine.execute("create table scored as select *, 0.5 as anomaly_score from t")
    with pytest.raises(ResultColumnExists):
        engine.detect("scored", save=True)
    assert runs(engine)[0]["status"] == "failed"


def test_every_run_of_many_cursors_is_a_row(engine: pynomaly.Engine) -> None:
    def work() -> None:
        with engine.cursor() as cursor:
            for _ in range(3):
                cursor.detect("t", algorithm="hbos", key="id", save=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.execute("select count(*), count(distinct id) from pynomaly.runs").fetchall() == [(12, 12)]
    assert engine.execute("select count(*) from pynomaly.results").fetchall() == [(7200,)]


def test_the_users_tables_are_not_altered(engine: pynomaly.Engine) -> None:
    before = engine.sql("from t").pl()
    engine.detect("t", save=True)
    engine.detect("t", key="id", save=True)
    assert engine.sql("from t").pl().equals(before)
    assert isinstance(before, pl.DataFrame)
    tables = engine.execute("select table_name from duckdb_tables() where schema_name <> 'pynomaly'").fetchall()
    assert tables == [("t",)]


def shell(path: Path, *arguments: str) -> int:
    return main([*arguments, "--db", str(path)])


def test_the_shell_records_and_saves(engine: pynomaly.Engine, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    engine.train("m", "t", algorithm="ecod", exclude="id")
    engine.close()
    assert shell(path, "detect", "t", "-a", "hbos", "--seed", "3", "--format", "csv") == 0
    capfd.readouterr()
    assert shell(path, "detect", "t", "--key", "id", "--save", "--format", "csv") == 0
    written, told = capfd.readouterr()
    assert shell(path, "score", "t", "-m", "m", "--save") == 0
    assert shell(path, "score", "t", "-m", "n") == 3
    with pynomaly.connect(path, read_only=True) as reader:
        found = runs(reader)
        assert [(row["kind"], row["status"], row["saved"]) for row in found] == [
            ("detect", "succeeded", False),
            ("detect", "succeeded", True),
            ("score", "succeeded", True),
            ("score", "failed", False),
        ]
        assert found[0]["seed"] == 3
        assert (found[2]["model"], found[2]["model_version"], found[2]["snapshot"] is None) == ("m", 1, False)
        assert f"saved as run {found[1]['id']}" in told
        assert len(written.splitlines()) == 601
        assert replayed(reader, found[1]["id"])["is_equal"]
        assert replayed(reader, found[2]["id"])["is_equal"]


def test_the_shell_detects_where_it_cannot_write(engine: pynomaly.Engine, path: Path) -> None:
    engine.close()
    with pynomaly.connect(path, read_only=True) as reader:
        in_another_process = [sys.executable, "-m", "pynomaly", "detect", "t", "--db", str(path), "--format", "csv"]
        done = subprocess.run(in_another_process, capture_output=True, text=True, check=False)
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 601)
        saved = subprocess.run([*in_another_process, "--save"], capture_output=True, text=True, check=False)
        assert (saved.returncode, "database_locked" in saved.stderr) == (5, True), saved.stderr
        assert runs(reader) == []


@pytest.mark.parametrize(
    ("type_", "text"), [("bit", "0000000000000001"), ("json", "1"), ("hugeint", "1"), ("timetz", "00:00:01+00")]
)
def test_a_key_is_the_text_that_the_database_has_for_it(engine: pynomaly.Engine, type_: str, text: str) -> None:
    value = (
        "('00:00:00'::time + to_seconds(id))::timetz"
        if type_ == "timetz"
        else f"id::{'smallint::' * (type_ == 'bit')}{type_}"
    )
    engine.execute(f"create table keyed as select {value} as k, a, b, g from t")
    one = engine.detect("keyed", save=True, key="k", algorithm="hbos")
    two = engine.detect("keyed", save=True, key=["g", "k"], algorithm="hbos")
    assert (text,) in engine.execute("select key from pynomaly.results where run_id = ?", [one.run_id]).fetchall()
    assert replayed(engine, one.run_id)["is_equal"]
    assert replayed(engine, two.run_id)["is_equal"]
    assert one.arrow().column_names == ["k", "a", "b", "g", "anomaly_score", "is_anomaly", "reasons"]


def test_a_column_with_a_name_that_a_snapshot_needs_is_refused(engine: pynomaly.Engine) -> None:
    engine.execute("create table clashing as select *, 1 as _pynomaly_place from t")
    engine.execute("create temp table unseen as from clashing")
    for source in ("clashing", "unseen"):
        with pytest.raises(BadParameter, match="rename that column"):
            engine.detect(source, save=True, key="id")
