"""The query log: what ran, on what, by whom and how it ended, written beside the work and never in its way."""

import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

import pynomaly
from databases import new_database
from pynomaly import query_log
from pynomaly.query_log import HIDDEN, ROWS_AT_ONCE

LOGGED = "select sql, objects, status, error_code from pynomaly.queries order by started_at"
ROWS = "select i as id, (i * 37) % 101 / 10.0 as amount, (i * 53) % 97 / 10.0 as hour from range(100) r(i)"

TRAINED = "train_detector('fraud', 'payments', algorithm := 'mad')"


def logged(engine: pynomaly.Engine) -> list[tuple[Any, ...]]:
    return [row for row in engine.execute(LOGGED).fetchall() if "queries" not in str(row[0])]


def log_of(engine: pynomaly.Engine) -> query_log.QueryLog:
    assert engine._session.log is not None
    return engine._session.log


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = new_database(tmp_path / "team.duckdb")
    with pynomaly.connect(path) as engine:
        engine.execute(f"create table payments as {ROWS}")
    return path


def test_what_runs_is_kept_with_what_it_names_and_how_it_ended(database: Path, tmp_path: Path) -> None:
    with pynomaly.connect(database, query_log=True) as engine:
        engine.execute(f"copy payments to '{tmp_path}/rows.csv'")
        engine.sql("select count(*) from Payments").fetchall()
        engine.sql("create table copied as from payments")
        engine.train("fraud", "payments", algorithm="mad")
        engine.detect("payments", algorithm="hbos", key="id")
        engine.score("payments", "fraud")
        for statement in (engine.execute, engine.sql):
            with pytest.raises(pynomaly.PynomalyError):
                statement("select nothing from payments")
        found = logged(engine)
        assert [(row[0].partition(" returning")[0], row[1]) for row in found] == [
            (f"copy payments to '{tmp_path}/rows.csv'", [f"{tmp_path}/rows.csv", "payments"]),
            ("select count(*) from Payments", ["payments"]),
            ("create table copied as from payments", ["copied", "payments"]),
            (f"insert into pynomaly.models by name from {TRAINED}", ["fraud", "models", "payments"]),
            ("select * from detect_anomalies('payments', algorithm := 'hbos', key := 'id')", ["payments"]),
            ("from score_anomalies('payments', 'fraud', version := 1, explain := 0)", ["fraud", "payments"]),
            ("select nothing from payments", ["payments"]),
            ("select nothing from payments", ["payments"]),
        ]
        assert [row[2:] for row in found] == [("succeeded", None)] * 6 + [("failed", "unknown_column")] * 2
        times = "select min(seconds) >= 0 and max(started_at) <= now() from pynomaly.queries"
        assert engine.execute(times).fetchall() == [(True,)]


def test_it_is_off_unless_asked_for(database: Path) -> None:
    with pynomaly.connect(database) as engine:
        engine.execute("from payments").fetchall()
        assert logged(engine) == []
        engine.change_setting("query_log", True)
    with pynomaly.connect(database) as engine:
        engine.execute("from payments").fetchall()
        assert [row[0] for row in logged(engine)] == ["from payments"]
    with pynomaly.connect(database, query_log=False) as engine:
        engine.execute("select 7").fetchall()
    with pynomaly.connect(database, read_only=True, query_log=True) as engine:
        engine.execute("select 8").fetchall()
        assert [row[0] for row in logged(engine) if row[0] in ("select 7", "select 8")] == []


def test_a_rollback_leaves_the_log(database: Path) -> None:
    with pynomaly.connect(database, query_log=True) as engine:
        engine.execute("begin").fetchall()
        engine.execute("insert into payments from payments").fetchall()
        log_of(engine).flush()
        engine.execute("rollback").fetchall()
        assert [row[0] for row in logged(engine)] == ["begin", "insert into payments from payments", "rollback"]
        assert engine.execute("select count(*) from payments").fetchall() == [(100,)]


def test_an_aborted_transaction_is_logged_to_its_end(database: Path) -> None:
    with pynomaly.connect(database, query_log=True) as engine:
        engine.execute("begin").fetchall()
        for statement in ("select error('no')", "select 2"):
            with pytest.raises(pynomaly.PynomalyError):
                engine.execute(statement)
        with pytest.raises(pynomaly.PynomalyError):
            engine.commit()
        assert [row[2:] for row in logged(engine)] == [
            ("succeeded", None),
            ("failed", "invalid_sql"),
            ("failed", "transaction_aborted"),
            ("failed", "transaction_aborted"),
        ]


def test_rows_that_are_not_fetched_are_disturbed_no_more_than_without_a_log(database: Path) -> None:
    with pynomaly.connect(database, query_log=True) as engine:
        engine.execute("set variable pynomaly_actor = 'grace'").fetchall()
        rows = engine.execute("select id from payments order by id")
        assert rows.fetchone() == (0,)
        with pytest.raises(pynomaly.PynomalyError, match="rows that were not fetched"):
            engine.sql("from payments").fetchall()
        engine.execute("select 1").fetchall()
        assert engine.execute("select created_by from pynomaly.queries where sql = 'select 1'").fetchall() == [
            ("grace",)
        ]


def test_who_it_was_is_kept(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_USER", "ada")
    with pynomaly.connect(database, query_log=True) as engine:
        engine.execute("select 1").fetchall()
        engine.execute("set variable pynomaly_actor = 'grace'").fetchall()
        engine.execute("select 2").fetchall()
        found = dict(engine.execute("select sql, created_by from pynomaly.queries").fetchall())
        assert (found["select 1"], found["select 2"]) == ("ada", "grace")


def test_secrets_and_values_are_not_kept(database: Path) -> None:
    with pynomaly.connect(database, query_log=True) as engine:
        engine.execute("select ?", ["hush"]).fetchall()
        with pytest.raises(pynomaly.PynomalyError):
            engine.execute("create secret s (type nothing, key_id 'hush')")
        assert [row[0] for row in logged(engine)] == ["select ?", HIDDEN]


def test_what_waits_is_written_in_a_second_when_there_is_much_and_at_the_end(database: Path) -> None:
    count = "select count(*) from pynomaly.queries"
    with pynomaly.connect(database, query_log=True) as engine:
        plain = engine._con.cursor()
        engine.execute("select 1").fetchall()
        assert plain.execute(count).fetchall() == [(0,)]
        until = time.monotonic() + 20
        while plain.execute(count).fetchall() == [(0,)] and time.monotonic() < until:
            time.sleep(0.05)
        assert plain.execute(count).fetchall() == [(1,)]
        for _ in range(ROWS_AT_ONCE):
            engine.execute("select 2").fetchall()
        assert plain.execute(count).fetchall()[0][0] > ROWS_AT_ONCE / 2
        plain.close()
    with duckdb.connect(str(database), read_only=True) as con:
        assert con.execute(count).fetchall() == [(1 + ROWS_AT_ONCE,)]


def test_a_log_that_cannot_be_written_stops_nothing(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", logger="pynomaly")
    with pynomaly.connect(database, query_log=True) as engine:
        engine.execute("drop table pynomaly.queries").fetchall()
        assert engine.execute("select count(*) from payments").fetchall() == [(100,)]
    assert "were not logged" in caplog.text


def test_an_interrupted_statement_is_cancelled(database: Path) -> None:
    with pynomaly.connect(database, query_log=True) as engine:
        with pytest.raises(KeyboardInterrupt), log_of(engine).watching(engine._con.execute, lambda: "select slow"):
            raise KeyboardInterrupt
        assert logged(engine) == [("select slow", [], "cancelled", "interrupted")]


def test_what_a_statement_names_is_found() -> None:
    known = {"my table": "My Table", "payments": "payments", "fraud": "fraud"}
    sql = "select 'it''s' from \"My Table\" join read_csv('a/b.csv') using (id) -- payments\nwhere x = 'FRAUD'"
    assert query_log.objects(sql, known) == ["My Table", "a/b.csv", "fraud"]
