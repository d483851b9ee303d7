"""The README: its SQL gives the output that it shows, its Python and its commands run."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import pynomaly
from pynomaly import registry
from pynomaly.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def shown(engine: pynomaly.Engine, sql: str) -> str:
    """The rows of the last statement as DuckDB draws them."""
    *before, last = [statement.strip() for statement in sql.split(";") if statement.strip()]
    for statement in before:
        engine.execute(statement)
    if last.startswith(("create", "update", "insert")):
        engine.execute(last)
        return ""
    return str(engine.sql(last).relation())


def test_sql_gives_the_output_shown() -> None:
    blocks = [(kind, text) for kind, text in BLOCKS if kind in ("sql", "text")]
    with pynomaly.connect() as engine:
        for place, (kind, text) in enumerate(blocks):
            if kind != "sql" or text.startswith("SELECT * FROM detect_anomalies('payments') WHERE"):
                continue
            drawn = shown(engine, text)
            if place + 1 < len(blocks) and blocks[place + 1][0] == "text":
                assert drawn.strip() == blocks[place + 1][1].strip(), text
        assert engine.execute(blocks[0][1]).fetchall()


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "python"])
def test_python_runs(text: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "1 of 7 rows flagged" in done.stdout
    assert done.stderr.removeprefix("compiling kernels, once on this machine\n") == ""


def test_shell_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Those with a pipe or a pattern are a shell's."""
    monkeypatch.chdir(tmp_path)
    with pynomaly.connect() as engine:
        engine.execute(
            next(text for kind, text in BLOCKS if kind == "sql" and text.startswith("create table payments"))
        )
        engine.execute(f"copy payments to '{tmp_path}/payments.csv'; copy payments to '{tmp_path}/payments.parquet'")
    lines = next(text for kind, text in BLOCKS if kind == "sh" and "pynomaly detect" in text).splitlines()
    assert len(lines) == 7
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        if program == "pynomaly" and "*" not in line.partition("#")[0]:
            code, told = main(arguments), capsys.readouterr()
            out, wrong = told.out, told.err
        else:
            command = re.sub(r"\bpynomaly (?=detect)", f"{sys.executable} -m pynomaly ", line)
            done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
            code, out, wrong = done.returncode, done.stdout, done.stderr
        assert code == 0, (line, wrong)
        assert out or "--output" in line, line


def test_ci_runs_the_readmes_test_command() -> None:
    marked = re.search(r"<!-- test command -->\n```sh\n(.*?)\n```\n<!-- end -->", README, re.DOTALL)
    assert marked is not None
    assert "just test" in marked[1]
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_page_of_algorithms_is_what_the_registry_says() -> None:
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    page = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
    assert page == generate["page"](), "run `just docs`"
    assert all(f"| {name} |" in page for name in registry.names())


def test_the_page_of_features_is_what_the_records_and_the_examples_say() -> None:
    generate = runpy.run_path(str(ROOT / "docs" / "features.py"))
    assert (ROOT / "docs" / "features.md").read_text(encoding="utf-8") == generate["page"](), "run `just docs`"


def test_there_are_as_many_algorithms_as_the_readme_says() -> None:
    without_torch = [record.name for record in registry.records() if record.family != "neural network"]
    assert len(without_torch) > 60
    assert all(record.available for record in registry.records() if record.name in without_torch)
