"""What the catalogue keeps of runs: what is said of them, what they came from, and when they go."""

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import pynomaly
from databases import new_database
from pynomaly.cli import main

RUN = "11111111-1111-1111-1111-111111111111"
OTHER = "22222222-2222-2222-2222-222222222222"
RECORD = """
insert into pynomaly.runs by name
select
    $id::uuid as id, $kind as kind, 'from t' as sql, $source as source, $snapshot as snapshot, []::varchar[] as key,
    '{}' as options, 'mad' as algorithm, '{}' as parameters, 0 as seed, $model as model, 1 as model_version,
    '{}' as libraries, 5 as n_rows, 1 as n_flagged, []::varchar[] as notes, 0.1 as seconds, $status as status,
    $saved as saved, now() - to_days($days) as started_at, 'ada' as created_by
"""
RESULTS = "insert into pynomaly.results select ?, i, i / 10, i = 4, [] from range(5) r(i)"


def record(engine: pynomaly.Engine, id_: str, days: int = 0, **given: object) -> None:
    """Write a run of five rows into the catalogue."""
    defaults = {"kind": "detect", "source": "t", "snapshot": None, "model": None, "status": "succeeded", "saved": True}
    engine.execute(RECORD, {"id": id_, "days": days, **defaults, **given})
    if {**defaults, **given}["saved"]:
        engine.execute(RESULTS, [id_])


@pytest.fixture
def engine() -> Iterator[pynomaly.Engine]:
    with pynomaly.connect() as engine:
        yield engine


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = str(new_database(tmp_path / "team.duckdb"))
    with pynomaly.connect(path) as engine:
        record(engine, RUN, days=1)
        record(engine, OTHER, status="failed", saved=False, source="u")
    return path


def test_of_two_labels_at_once_one_is_refused_and_nothing_is_lost(engine: pynomaly.Engine) -> None:
    record(engine, RUN)
    first, second = engine.cursor(), engine.cursor()
    for cursor in (first, second):
        cursor.execute("begin").fetchall()
    first.label(RUN, 3, "anomaly")
    second.label(RUN, 4, "anomaly")
    second.label(RUN, 3, "normal")
    first.commit()
    with pytest.raises(pynomaly.PynomalyError) as raised:
        second.commit()
    assert raised.value.code == "conflict"
    assert [row[:2] for row in engine.execute(f"from labels_of('{RUN}')").fetchall()] == [("3", "anomaly")]
    engine.label(RUN, 3, "normal", note="seen again")
    assert [row[:4] for row in engine.execute(f"from labels_of('{RUN}')").fetchall()] == [
        ("3", "normal", "seen again", 2)
    ]


def test_a_key_of_several_columns_is_a_list(engine: pynomaly.Engine) -> None:
    engine.execute("create table pairs as select i % 2 as a, i // 2 as b, hash(i) % 97 as x from range(20) r(i)")
    run = engine.detect("pairs", save=True, key=["a", "b"], algorithm="hbos").run_id
    engine.label(run, [1, 3], "anomaly")
    assert engine.execute("select key, label from labels_of(?)", [run]).fetchall() == [("[1,3]", "anomaly")]


def test_a_label_tells_who_gave_it(engine: pynomaly.Engine) -> None:
    record(engine, RUN)
    engine.execute("set variable pynomaly_actor = 'grace'").fetchall()
    engine.label(RUN, "3", "anomaly")
    said = engine.execute("select labelled_by, labelled_at <= now() from pynomaly.labels").fetchall()
    assert said == [("grace", True)]


def test_nothing_is_labelled_in_a_read_only_database(database: str) -> None:
    with pynomaly.connect(database, read_only=True) as engine, pytest.raises(pynomaly.PynomalyError) as raised:
        engine.label(RUN, "3", "anomaly")
    assert raised.value.code == "read_only_database"


def test_without_a_catalogue_there_is_nothing_and_nothing_is_made() -> None:
    with duckdb.connect() as con:
        engine = pynomaly.attach(con)
        for call, code in (("lineage('t')", "unknown_object"), (f"labels_of('{RUN}')", "unknown_run")):
            with pytest.raises(pynomaly.PynomalyError) as raised:
                engine.execute(f"from {call}").fetchall()
            assert raised.value.code == code
        for listing in ("runs()", "models()"):
            assert engine.execute(f"from {listing}").fetchall() == []
        assert con.execute("select count(*) from duckdb_tables()").fetchall() == [(0,)]


def shell(capsys: pytest.CaptureFixture[str], database: str, line: str) -> tuple[int, str]:
    """The exit code of a command and what it wrote on standard output."""
    code = main([*line.split(), "--db", database])
    return code, capsys.readouterr().out


def test_the_shell_lists_shows_and_labels_runs(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = shell(capsys, database, "run ls --json")
    assert (code, [row["id"] for row in json.loads(out)]) == (0, [OTHER, RUN])
    for option, found in (("--status failed", OTHER), ("--source t", RUN), ("--saved", RUN), ("--limit 1", OTHER)):
        assert [row["id"] for row in json.loads(shell(capsys, database, f"run ls {option} --json")[1])] == [found]
    assert "failed" in shell(capsys, database, "run ls")[1]
    assert shell(capsys, database, "run ls --source none") == (0, "")
    assert shell(capsys, database, "run ls --limit 0")[0] == 2
    assert shell(capsys, database, "run show best")[0] == 2
    assert "mad" in shell(capsys, database, f"run show {RUN}")[1]
    assert json.loads(shell(capsys, database, f"run show {RUN} --json")[1])[0]["n_flagged"] == 1
    assert shell(capsys, database, f"run label {RUN} 3 anomaly --note odd")[0] == 0
    assert json.loads(shell(capsys, database, f"run labels {RUN} --json")[1])[0]["note"] == "odd"
    assert "odd" in shell(capsys, database, f"run labels {RUN}")[1]
    assert "results:" in shell(capsys, database, "lineage t")[1]
    assert len(json.loads(shell(capsys, database, f"lineage {RUN} --json")[1])) == 3


def test_a_run_is_named_by_its_first_characters(engine: pynomaly.Engine) -> None:
    record(engine, RUN)
    record(engine, OTHER)
    record(engine, OTHER.replace("22222222-2", "22222222-9"))
    engine.label(RUN[:8], "3", "anomaly")
    engine.label(RUN[:12].upper(), "3", "normal")
    assert engine.execute("select count(*) from labels_of(?)", [RUN[:8]]).fetchall() == [(1,)]
    with pytest.raises(pynomaly.PynomalyError, match="several runs have an id"):
        engine.label(OTHER[:8], "3", "normal")
    with pytest.raises(pynomaly.PynomalyError, match="unknown_run"):
        engine.label("33333333", "3", "normal")
    with pytest.raises(pynomaly.PynomalyError, match="first eight digits"):
        engine.label(RUN[:7], "3", "normal")


def test_a_detector_runs_with_its_options_and_with_others_in_their_place(engine: pynomaly.Engine) -> None:
    engine.execute("create table t as select i, i % 7 as a, i % 11 as b, i % 2 as c from range(100) r(i)")
    engine.define_detector("strict", algorithm="hbos", contamination=0.05, exclude="i", parameters={"n_bins": 5})
    for given, called in (
        ({}, "algorithm := 'hbos', exclude := 'i', contamination := 0.05, parameters := {'n_bins': 5}"),
        ({"top_k": 3}, "algorithm := 'hbos', exclude := 'i', parameters := {'n_bins': 5}, top_k := 3"),
        ({"algorithm": "mad"}, "algorithm := 'mad', exclude := 'i', contamination := 0.05"),
    ):
        told = engine.detect("t", detector="strict", **given).verdict.sql
        assert told == f"select * from detect_anomalies('t', {called})"
    engine.remove_detector("strict")
    for act in (lambda: engine.detect("t", detector="strict"), lambda: engine.remove_detector("strict")):
        with pytest.raises(pynomaly.PynomalyError, match="unknown_detector"):
            act()


def test_of_two_detectors_at_once_one_is_refused(engine: pynomaly.Engine) -> None:
    first, second = engine.cursor(), engine.cursor()
    for cursor in (first, second):
        cursor.execute("begin").fetchall()
        cursor.define_detector("strict", top_k=3)
    first.commit()
    with pytest.raises(pynomaly.PynomalyError) as raised:
        second.commit()
    assert raised.value.code == "conflict"
    assert engine.execute("select version from detectors()").fetchall() == [(1,)]


def test_the_shell_defines_shows_uses_and_ends_a_detector(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pynomaly.connect(database) as engine:
        engine.execute("create table rows as select i as id, i % 7 as a, i % 11 as b from range(100) r(i)")
    for line in ("detector add strict -a hbos --key id --top-k 4", "detector add other"):
        assert shell(capsys, database, line)[0] == 0
    assert [row["name"] for row in json.loads(shell(capsys, database, "detector ls --json")[1])] == ["other", "strict"]
    assert "hbos" in shell(capsys, database, "detector show strict")[1]
    assert json.loads(shell(capsys, database, "detector show strict --json")[1])[0]["options"]["top_k"] == 4
    found = json.loads(shell(capsys, database, "detect rows --detector strict --json")[1])
    assert sum(row["is_anomaly"] for row in found) == 4
    assert "top_k := 2" in shell(capsys, database, "detect rows --detector strict -k 2 --dry-run")[1]
    assert "id" in shell(capsys, database, "detect rows --detector strict")[1]
    assert shell(capsys, database, "detector rm strict")[0] == 0
    assert shell(capsys, database, "detector show strict")[0] == 3


def test_the_engine_tells_a_lineage_the_nearest_first(engine: pynomaly.Engine) -> None:
    record(engine, RUN, snapshot="c0ffee")
    steps = engine.lineage(RUN)
    assert [(step.direction, step.depth, step.relation) for step in steps] == [
        ("back", 1, "read"),
        ("back", 2, "copied"),
        ("forward", 1, "saved"),
    ]
    assert steps[1].parent == "source:t"


@pytest.mark.parametrize(
    "line",
    [
        "run show {none}",
        "run show {none} --json",
        "run label {run} 9 normal",
        "run labels {none}",
        "lineage tt",
    ],
)
def test_the_shell_tells_what_it_did_not_find(database: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*line.format(run=RUN, none=RUN.replace("1", "9")).split(), "--db", database]) == 3
