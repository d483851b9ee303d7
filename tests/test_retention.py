"""What leaves a catalogue and what stays: results, models of runs, snapshots and unfinished files."""

import json
import os
import time
from pathlib import Path

import pytest

import pynomaly
from databases import new_database
from pynomaly.cli import main
from test_runs_catalog import OTHER, RUN, record

THIRD = "33333333-3333-3333-3333-333333333333"
HASHES = {name: name * 64 for name in "abcdef"}
VERSION = """
insert into pynomaly.dataset_versions by name
select
    'd' as name, 1 as version, ? as snapshot, '{}' as columns, 5 as n_rows, 9 as n_bytes, 0 as n_quarantined,
    't' as source,
    'ada' as created_by
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database whose old run has snapshot a, a younger one b, both c; d belongs to a dataset, e and f to nobody."""
    path = new_database(tmp_path / "team.duckdb")
    with pynomaly.connect(path) as engine:
        record(engine, RUN, days=60, snapshot=HASHES["a"])
        record(engine, OTHER, days=60, snapshot=HASHES["c"])
        record(engine, THIRD, days=1, snapshot=HASHES["c"])
        record(engine, THIRD.replace("3", "4"), days=1, snapshot=HASHES["b"], saved=False, status="failed")
        engine.execute(VERSION, [HASHES["d"]])
    for name, days in (("a", 60), ("b", 1), ("c", 60), ("d", 60), ("e", 60), ("f", 0)):
        write(folder_of(path) / f"{HASHES[name]}.parquet", days)
    write(folder_of(path) / ".x.parquet.1.tmp", 2)
    write(folder_of(path) / ".y.parquet.1.tmp", 0)
    write(folder_of(path) / "mine.parquet", 60)
    return path


def folder_of(path: Path) -> Path:
    return Path(f"{path}.files") / "snapshots"


def write(path: Path, days: int) -> None:
    """A file that was written so many days ago, by a run that ended a moment later."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    written = time.time() - 86_400 * days - 60
    os.utime(path, (written, written))


def left(path: Path) -> set[str]:
    return {name.name[0] if name.suffix == ".parquet" else name.name for name in folder_of(path).iterdir()}


def test_it_lists_first_and_removes_when_told(database: Path) -> None:
    with pynomaly.connect(database) as engine:
        listed = engine.vacuum_catalog("30 days")
        assert {(item.kind, item.object.partition(":")[2][0]) for item in listed} == {
            ("results", "1"),
            ("results", "2"),
            ("snapshot", "a"),
            ("snapshot", "e"),
            ("unfinished", "."),
        }
        assert left(database) == {*"abcdefm", ".x.parquet.1.tmp", ".y.parquet.1.tmp"}
        assert engine.execute("select count(*) from pynomaly.results").fetchall() == [(15,)]
        assert engine.vacuum_catalog("30 days", remove=True) == listed
        assert left(database) == {*"bcdfm", ".y.parquet.1.tmp"}
        assert engine.execute("select distinct run_id::varchar from pynomaly.results").fetchall() == [(THIRD,)]
        assert engine.execute("select count(*) from pynomaly.runs").fetchall() == [(4,)]
        assert engine.vacuum_catalog("30 days", remove=True) == []


def test_without_an_age_only_what_nobody_needs_is_listed(database: Path) -> None:
    with pynomaly.connect(database) as engine:
        assert [item.kind for item in engine.vacuum_catalog()] == ["snapshot", "unfinished"]
        engine.change_setting("keep_results", 30)
        assert len(engine.vacuum_catalog()) == 5


def test_a_labelled_run_keeps_its_snapshot(database: Path) -> None:
    with pynomaly.connect(database) as engine:
        engine.label(RUN, "3", "anomaly")
        engine.vacuum_catalog("30 days", remove=True)
        assert "a" in left(database)
        assert engine.execute("select count(distinct run_id) from pynomaly.results").fetchall() == [(2,)]


def test_it_leaves_the_open_transaction_alone(database: Path) -> None:
    with pynomaly.connect(database) as engine:
        engine.execute("begin; create table t (x integer)").fetchall()
        engine.vacuum_catalog("30 days", remove=True)
        engine.execute("rollback").fetchall()
        assert engine.execute("select count(*) from pynomaly.results").fetchall() == [(5,)]
        assert engine.execute("select count(*) from duckdb_tables() where table_name = 't'").fetchall() == [(0,)]


def test_what_another_connection_removes_meanwhile_is_a_conflict_and_no_file_goes(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pynomaly.connect(database) as engine:
        other = engine.cursor()
        other.execute("begin; delete from pynomaly.results").fetchall()
        with pytest.raises(pynomaly.PynomalyError) as raised:
            engine.vacuum_catalog("30 days", remove=True)
        assert raised.value.code == "conflict"
        other.execute("rollback").fetchall()
        assert left(database) == {*"abcdefm", ".x.parquet.1.tmp", ".y.parquet.1.tmp"}
        assert engine.execute("select count(*) from pynomaly.results").fetchall() == [(15,)]


def test_a_read_only_database_lists_and_keeps(database: Path) -> None:
    with pynomaly.connect(database, read_only=True) as engine:
        assert len(engine.vacuum_catalog("30 days")) == 5
        with pytest.raises(pynomaly.PynomalyError) as raised:
            engine.vacuum_catalog("30 days", remove=True)
        assert raised.value.code == "read_only_database"
    assert "a" in left(database)


def test_a_database_in_memory_has_no_files() -> None:
    with pynomaly.connect() as engine:
        record(engine, RUN, days=60)
        assert [item.kind for item in engine.vacuum_catalog(30, remove=True)] == ["results"]


def test_the_shell_lists_and_needs_a_yes(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vacuum = ["catalog", "vacuum", "--keep", "30 days", "--db", str(database)]
    assert main([*vacuum, "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)) == 5
    assert "--yes removes" in err
    assert "a" in left(database)
    assert main([*vacuum, "--yes"]) == 0
    out, err = capsys.readouterr()
    assert "snapshot" in out
    assert "removed 5 objects" in err
    assert "a" not in left(database)
    assert main(vacuum) == 0
    assert "nothing to remove" in capsys.readouterr().err


def test_the_shell_changes_settings(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--db", str(database)]
    assert main(["catalog", "set", "keep_results", "30 days", *given]) == 0
    assert main(["catalog", "settings", "--json", *given]) == 0
    values = {row["name"]: row["value"] for row in json.loads(capsys.readouterr().out)}
    assert {"keep_results": "30 days", "query_log": False}.items() <= values.items()
    assert main(["catalog", "set", "keep_results", "null", *given]) == 0
    assert main(["catalog", "settings", *given]) == 0
    assert "keep_results" in capsys.readouterr().out
    assert main(["catalog", "set", "keep", "1", *given]) == 3
    assert main(["catalog", "set", "query_log", "often", *given]) == 2
