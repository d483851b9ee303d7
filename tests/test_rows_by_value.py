"""Rows given by value score by themselves, a run may be given its id, and a killed process leaves a file that opens."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import pynomaly

ROW = {"width": 99.0, "height": 2.5, "made_at": "2026-03-05T22:00:00Z"}


@pytest.fixture(autouse=True)
def _trained(db: pynomaly.Engine) -> None:
    db.execute(
        "create table parts as select 5 + hash(i) % 100 / 100 as width, 2 + hash(i, 1) % 100 / 100 as height, "
        "timestamp '2026-03-02 08:00:00' + interval (i * 13) minute as made_at from range(400) r(i)"
    )
    db.train("watch", "parts", algorithm="mad")


def test_many_rows_score_as_a_source_does(db: pynomaly.Engine) -> None:
    rows = db.sql("from parts").arrow()
    expected = db.sql("from score_anomalies('parts', 'watch', explain := 2)").arrow()
    found = db.score_rows(rows, "watch", explain=2)
    assert not isinstance(found, dict)
    assert found.sort_by("made_at").equals(expected.sort_by("made_at"))
    assert db.execute("select count(*) from pynomaly.runs").fetchall() == [(0,)]


def test_one_row_is_a_dictionary_whose_times_may_be_text(db: pynomaly.Engine) -> None:
    found = db.score_rows(ROW, "watch", explain=1)
    assert {name: found[name] for name in ROW} == ROW
    assert found["is_anomaly"] is True
    assert found["reasons"][0]["feature"] == "width"
    (same,) = db.execute("select scored_row('watch', $row).anomaly_score", {"row": ROW}).fetchall()[0]
    assert same == found["anomaly_score"]
    assert db.score_rows({**ROW, "made_at": "2026-03-05 22:00:00"}, "watch") == db.score_rows(ROW, "watch") | {
        "made_at": "2026-03-05 22:00:00"
    }


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({}, "bad_parameter"),
        ({"width": 1.0}, "unknown_column"),
        ({**ROW, "made_at": "soon"}, "unknown_column"),
        ({**ROW, "Reasons": 1}, "result_column_exists"),
    ],
)
def test_rows_that_cannot_be_scored(db: pynomaly.Engine, row: dict[str, object], code: str) -> None:
    with pytest.raises(pynomaly.PynomalyError) as raised:
        db.score_rows(row, "watch")
    assert raised.value.code == code


def test_a_run_has_the_id_that_it_is_given(db: pynomaly.Engine) -> None:
    run = "11111111-1111-4111-8111-111111111111"
    assert db.detect("parts", save=True, run_id=run).run_id == run
    with pytest.raises(pynomaly.PynomalyError):
        db.detect("parts", save=True, run_id=run)
    assert db.execute("select id::varchar, status from pynomaly.runs").fetchall() == [(run, "succeeded")]


def test_a_killed_process_leaves_a_readable_file(tmp_path: Path) -> None:
    kill = "import os, pynomaly\ne = pynomaly.connect('new.duckdb')\ne.execute('create table t as select 42 as a')\n"
    done = subprocess.run([sys.executable, "-c", kill + "os.kill(os.getpid(), 9)"], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    with pynomaly.connect(tmp_path / "new.duckdb") as engine:
        assert engine.execute("from t").fetchall() == [(42,)]
        assert engine.execute("select current_setting('autoinstall_known_extensions')").fetchall() == [(True,)]


def test_a_run_that_is_stopped_while_its_rows_are_copied_ends(db: pynomaly.Engine) -> None:
    db.execute("create table long as select hash(i) % 1000 as x, hash(i, 1) % 1000 as y from range(400_000) r(i)")
    for n in range(12):
        ended = threading.Event()
        cursor = db.cursor()

        def run(cursor: pynomaly.Engine = cursor, ended: threading.Event = ended) -> None:
            with pytest.raises(pynomaly.PynomalyError):
                cursor.detect("long", save=True, algorithm="knn", parameters={"n_neighbors": 2_000})
            ended.set()

        threading.Thread(target=run, daemon=True).start()
        while cursor.progress is None:
            time.sleep(0.001)
        time.sleep(0.004 * n)
        cursor.interrupt()
        assert ended.wait(20)
        cursor.close()


def test_a_commit_that_conflicts_leaves_the_cursor_fit_for_work(db: pynomaly.Engine) -> None:
    first, second = db.cursor(), db.cursor()
    for one in (first, second):
        one.execute("begin")
        one.train("race", "parts", algorithm="mad")
    first.commit()
    with pytest.raises(pynomaly.PynomalyError) as raised:
        second.commit()
    assert raised.value.code == "conflict"
    assert second.train("race", "parts", algorithm="mad").version == 2
