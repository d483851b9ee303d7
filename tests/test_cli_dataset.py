"""`pynomaly dataset`: the verbs over datasets, run in this process through `main`."""

import json
import os
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import pynomaly
from pynomaly.cli import console, main

Captured = pytest.CaptureFixture[str]
GOOD = [f"p{i},{i * 7 % 23},{i % 5}" for i in range(50)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with one CSV that has a bad row, and a database by setting."""
    for name in [name for name in os.environ if name.startswith("PYNOMALY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYNOMALY_DB", "team.duckdb")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    Path("messy.csv").write_text("\n".join(["id,amount,kind", *GOOD, "p50,1"]), encoding="utf-8")
    return tmp_path


def rows(capsys: Captured, *arguments: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_from_a_messy_file_to_a_detection(capsys: Captured) -> None:
    assert main(["dataset", "add", "payments", "messy.csv"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("payments@1: 50 rows, 3 columns; 1 in quarantine\n")
    bad = rows(capsys, "dataset", "quarantine", "payments")
    assert [(row["file"], row["line"], row["content"]) for row in bad] == [("messy.csv", 52, "p50,1")]
    assert len(rows(capsys, "detect", "payments@1", "--db", "team.duckdb")) == 50


def test_the_same_file_again(capsys: Captured) -> None:
    main(["dataset", "add", "payments", "messy.csv"])
    assert main(["dataset", "add", "payments", "messy.csv"]) == 0
    assert "no new version" in capsys.readouterr().err
    assert [row["version"] for row in rows(capsys, "dataset", "show", "payments")] == [1]


def test_strict_loads_nothing(capsys: Captured) -> None:
    assert main(["dataset", "add", "payments", "messy.csv", "--strict"]) == 1
    assert "messy.csv line 52" in capsys.readouterr().err
    assert rows(capsys, "dataset", "ls") == []


def test_listing_showing_and_comparing(capsys: Captured) -> None:
    main(["dataset", "add", "payments", "messy.csv"])
    main(["dataset", "add", "payments", "select id, amount from 'payments.parquet'"])
    assert "does not exist" in capsys.readouterr().err
    main(["dataset", "export", "payments", "payments.parquet"])
    main(["dataset", "add", "payments", "select id, amount from 'payments.parquet'"])
    listed = [(row["name"], row["version"], row["n_columns"]) for row in rows(capsys, "dataset", "ls")]
    assert listed == [("payments", 2, 2)]
    changes = rows(capsys, "dataset", "diff", "payments@1", "payments@2", "--key", "id")
    assert [(row["change"], row["column"]) for row in changes] == [("column removed", "kind")]
    assert main(["dataset", "ls"]) == 0
    assert main(["dataset", "show", "payments"]) == 0
    assert main(["dataset", "show", "payments@1"]) == 0
    assert "id VARCHAR" in capsys.readouterr().out


def test_export_with_a_pointer() -> None:
    main(["dataset", "add", "payments", "messy.csv"])
    assert main(["dataset", "export", "payments@1", "out.csv"]) == 0
    assert len(Path("out.csv").read_text(encoding="utf-8").splitlines()) == 51
    assert main(["dataset", "export", "payments@1", "out.parquet", "--dvc"]) == 0
    assert pq.read_table("out.parquet").num_rows == 50
    assert main(["dataset", "add", "again", "out.parquet.dvc"]) == 0


def test_removal(capsys: Captured) -> None:
    main(["dataset", "add", "payments", "messy.csv"])
    main(["model", "train", "fraud", "payments", "--algorithm", "hbos"])
    assert main(["dataset", "rm", "payments"]) == 1
    assert "model:fraud@1 depend on `payments`" in " ".join(capsys.readouterr().err.split())
    assert main(["dataset", "rm", "payments", "--force"]) == 0
    assert main(["dataset", "rm", "payments"]) == 3


def test_standard_input_is_a_source(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"a,b\n1,2\n3,4\n"), encoding="utf-8"))
    assert main(["dataset", "add", "piped", "-"]) == 0
    assert [row["source"] for row in rows(capsys, "dataset", "ls")] == ["standard input"]


def test_without_a_database(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.delenv("PYNOMALY_DB")
    assert main(["dataset", "add", "payments", "messy.csv"]) == 2
    assert "--db" in capsys.readouterr().err


def test_a_terminal_sees_rows_and_bytes(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    Path("large.csv").write_text("a,b\n" + "12345,67890.5\n" * 1_500_000, encoding="utf-8")
    told: list[tuple[int, float]] = []
    with pynomaly.connect("team.duckdb") as engine:
        share = type(engine.datasets).share_loaded

        def seen(datasets: object) -> float:
            found = share(datasets)  # type: ignore[arg-type]
            if engine.progress is not None:
                told.append((engine.progress.n_rows, found))
            return found

        monkeypatch.setattr(type(engine.datasets), "share_loaded", seen)
        with console.loading(console.Voice(), engine, "large.csv"):
            assert engine.datasets.add("large", "large.csv").n_rows == 1_500_000
    assert told == sorted(told)
    assert any(0 < n_rows <= 1_500_000 for n_rows, _ in told)
    assert engine.progress is None
