"""A package from outside adds an algorithm: it is built, installed and used, in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "noon"
version = "1.0"

[project.entry-points."pynomaly.algorithms"]
distance_from_noon = "noon:distance_from_noon"
broken = "noon.broken:anything"
misnamed = "noon:distance_from_noon"
knn = "noon:distance_from_noon"
leaving = "noon.leaving:anything"
untyped = "noon.wrong:untyped"
failing = "noon.wrong:failing"
short = "noon.wrong:short"
endless = "noon.wrong:endless"
flat_reasons = "noon.wrong:flat_reasons"
"""

MODULE = '''
"""How far a row is from twelve."""

from typing import Annotated

import msgspec
import numpy as np

from pynomaly.algorithm import Params, State, algorithm


class NoonParams(Params, frozen=True):
    noon: Annotated[float, msgspec.Meta(ge=0.0, le=24.0, description="When noon is")] = 12.0


class NoonState(State, frozen=True):
    noon: float


@algorithm(kind="table", family="statistics", reference="the sun", complexity="O(d * n)", params=NoonParams)
class distance_from_noon:
    """Distance of the farthest column from noon."""

    @staticmethod
    def fit(X, params, seed):
        return NoonState(params.noon)

    @staticmethod
    def score(state, X, own):
        return np.abs(X - state.noon).max(axis=1)
'''

WRONG = """
import numpy as np

from pynomaly.algorithm import NoParams, State, algorithm


def fails(*_):
    raise RuntimeError("no wind")


def made(name, params=NoParams, fit=lambda X, params, seed: State(), score=lambda state, X, own: X[:, 0], **more):
    functions = {key: staticmethod(value) for key, value in {"fit": fit, "score": score, **more}.items()}
    decorate = algorithm(kind="table", family="wrong", reference="", complexity="", params=params)
    return decorate(type(name, (), functions))


untyped = made("untyped", params=dict)
failing = made("failing", fit=fails)
short = made("short", score=lambda state, X, own: X[1:, 0])
endless = made("endless", score=lambda state, X, own: np.where(X[:, 0] > 20.0, np.inf, X[:, 0]))
flat_reasons = made("flat_reasons", explain=lambda state, X: X[:, 0])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed, as pip leaves it."""
    source, target = tmp_path_factory.mktemp("noon"), tmp_path_factory.mktemp("site")
    (source / "noon").mkdir()
    (source / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (source / "noon" / "__init__.py").write_text(MODULE, encoding="utf-8")
    (source / "noon" / "broken.py").write_text("import a_module_that_is_not_there\n", encoding="utf-8")
    (source / "noon" / "leaving.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    (source / "noon" / "wrong.py").write_text(WRONG, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True)
    return target


# Where the package is installed: one command after another, with what each says and its exit code.
INSTALLED = """
import contextlib, io, json, sys
from pynomaly.cli import main

for line in sys.stdin:
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(json.loads(line))
    print(json.dumps([code, *(said.buffer.getvalue().decode() for said in (out, err))]), flush=True)
"""


class Done(NamedTuple):
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


class Installed:
    """A process in which the package is installed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, *arguments: str) -> Done:
        """One command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return Done(*json.loads(self._process.stdout.readline()))


@pytest.fixture(scope="module")
def installed(site: Path) -> Iterator[Installed]:
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "120"}
    command = [sys.executable, "-c", INSTALLED]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Installed(process)


def test_it_detects_in_sql_and_explains(installed: Installed) -> None:
    sql = (
        "create table hours as select i / 10 as hours_of_day from range(240) r(i);"
        "select hours_of_day as h, anomaly_score, reasons[1].feature as why from detect_anomalies('hours', "
        "algorithm := 'distance_from_noon', top_k := 1, explain := 1, parameters := {'noon': 13}) where is_anomaly"
    )
    installed.run("sql", sql)  # where the kernels are not compiled yet, this one tells that it waits for them
    done = installed.run("sql", sql, "--format", "csv")
    assert (done.stdout, done.stderr) == ("h,anomaly_score,why\n0.0,13.0,hours_of_day\n", "")


def test_it_is_in_the_lists_and_checks_its_parameters(installed: Installed) -> None:
    listed = installed.run("sql", "select name, available, summary from algorithms() where family in ('plugin') or "
                 "name in ('knn', 'distance_from_noon') order by name", "--format", "csv").stdout  # fmt: skip
    lines = listed.splitlines()
    assert lines[1].startswith("broken,false,`broken` of the package noon cannot be loaded: ModuleNotFoundError")
    assert lines[2] == "distance_from_noon,true,Distance of the farthest column from noon"
    assert lines[3].startswith('knn,true,"Distance to the k nearest rows')
    assert lines[4].startswith("leaving,false,`leaving` of the package noon cannot be loaded: SystemExit: 3")
    assert lines[5] == "misnamed,false,`misnamed` of the package noon is no record of that name"
    assert "noon" in installed.run("algorithms", "distance_from_noon").stdout


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broken", "No module named 'a_module_that_is_not_there'; update or remove"),
        ("misnamed", "is no record"),
        ("leaving", "SystemExit: 3"),
        ("untyped", "are no `Params`"),
    ],
)
def test_one_that_cannot_be_loaded_says_why(installed: Installed, tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "t.csv").write_text("a\n" + "\n".join(map(str, range(30))), encoding="utf-8")
    done = installed.run("detect", str(tmp_path / "t.csv"), "--features", "a", "--algorithm", name)
    assert done.returncode == 1
    assert told in done.stderr
    assert "[algorithm_unavailable]" in done.stderr


def test_it_takes_part_in_combinations_and_comparisons(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n" + "\n".join(map(str, range(30))), encoding="utf-8")
    names = "distance_from_noon,zscore"
    done = installed.run(
        "detect", str(tmp_path / "t.csv"), "--features", "a", "-a", names, "-k", "1", "--format", "csv"
    )
    assert "29,4.0" in done.stdout or "29," in done.stdout
    compared = installed.run("compare", str(tmp_path / "t.csv"), "--features", "a", "-a", f"{names},broken")
    assert "distance_from_noon" in compared.stdout
    assert "broken failed: [algorithm_unavailable]" in compared.stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("failing", "`failing` of the package noon failed: RuntimeError: no wind; use another"),
        ("short", "`short` of the package noon failed: ValueError: `score` gave an array of (29,), not of (30,)"),
        ("flat_reasons", "ValueError: `explain` gave an array of (30,), not of (30, 1)"),
    ],
)
def test_one_that_fails_is_named(installed: Installed, name: str, told: str) -> None:
    sql = "create table t as select i as a from range(30) r(i); select * from detect_anomalies('t', features := 'a', "
    done = installed.run("sql", sql + f"algorithm := '{name}', explain := 1)")
    assert done.returncode == 1
    assert told in done.stderr
    assert "[fit_failed]" in done.stderr


def test_an_infinite_score_is_no_opinion(installed: Installed) -> None:
    sql = "create table t as select i as a from range(30) r(i); select count(anomaly_score), max(anomaly_score) "
    sql += "from detect_anomalies('t', features := 'a', algorithm := 'endless')"
    assert installed.run("sql", sql, "--format", "csv").stdout.splitlines()[1] == "21,20.0"
