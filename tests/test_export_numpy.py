"""Exported folders score as the models do, in a process that has numpy and no pynomaly."""

import ast
import datetime as dt
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

import pynomaly
from pynomaly import export_numpy, model
from pynomaly.cli import main
from pynomaly.errors import BadParameter, NotExportable
from test_export_sql import fitted, mixed, numbers, structs

ALL = (
    *("iforest", "ecod", "copod", "hbos", "loda", "zscore", "mad", "pca", "mahalanobis"),
    *("iqr", "knn", "sampling", "cblof"),
)
# What a device does: import the folder's one module and score what it is given; nothing but numpy is to be had. One
# process takes folder after folder, and forgets the module of the one before.
DEVICE = """
import sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pynomaly", "duckdb", "numba", "pyarrow", "msgspec", "scipy", "pandas"):
            raise ImportError(name)

sys.meta_path.insert(0, Guard())
import importlib, pickle, warnings
import numpy
warnings.simplefilter("error")
known = set(sys.modules)
while True:
    try:
        folder, *given = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and "numpy" not in name:
            del sys.modules[name]
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    from score import score
    assert sys.modules["score"].__file__.startswith(folder)

    found = []
    for rows in given:
        try:
            found.append(score(rows))
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    sys.path.remove(folder)
    pickle.dump(found, sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""
_devices: list[subprocess.Popen[bytes]] = []


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    """One process for the tests of this file."""
    command = [sys.executable, "-I", "-c", DEVICE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        _devices.append(process)
        yield
        _devices.remove(process)


def device(folder: Path, *given: Any) -> list[Any]:
    """What the folder gives for each of these rows in a process without pynomaly."""
    (process,) = _devices
    assert process.stdin is not None
    assert process.stdout is not None
    pickle.dump((str(folder), *given), process.stdin)
    process.stdin.flush()
    found: list[Any] = pickle.load(process.stdout)
    return found


def written(found: model.Model, folder: Path) -> Path:
    export_numpy.write(found, folder, {"model": "it's `one`\n", "version": 1, "digest": "0"})
    return folder


def check(found: model.Model, table: pa.Table, folder: Path) -> None:
    """The folder, elsewhere, gives the scores and flags of the model, for records, for columns and row by row."""
    rows = table.to_pylist()
    want = found.score(structs(table))[0]
    columns = {name: [row[name] for row in rows] for name in table.column_names}
    by_record, by_column, *singles = device(written(found, folder), rows, columns, *rows[:5])
    for scores, flags in (by_record, by_column):
        np.testing.assert_allclose(scores, want, rtol=1e-9, atol=1e-12)
        assert flags.dtype == np.bool_
        assert flags.tolist() == found.flags(want).tolist()
    for place, (score, _) in enumerate(singles):
        assert score.tobytes() == by_record[0][place : place + 1].tobytes()  # whatever else is in the batch


@pytest.mark.parametrize("algorithm", ALL)
def test_folder_scores_as_the_model_does(algorithm: str, tmp_path: Path) -> None:
    check(fitted(algorithm, mixed(1, False)), mixed(2, True), tmp_path / "x")


@pytest.mark.parametrize(
    ("algorithm", "parameters"),
    [
        ("iforest", {"n_trees": 1_100, "max_samples": 8}),
        ("iforest", {"max_samples": 300}),
        ("hbos", {"n_bins": 2}),
        ("hbos", {"n_bins": 300}),
        ("loda", {"n_projections": 1, "n_bins": 3}),
        ("loda", {"n_projections": 600}),
        ("knn", {"n_neighbors": 4, "method": "median"}),
        ("knn", {"n_neighbors": 20, "method": "mean"}),
    ],
)
def test_parameters_change_the_folder(algorithm: str, parameters: dict[str, object], tmp_path: Path) -> None:
    check(fitted(algorithm, mixed(3, False), **parameters), mixed(4, True), tmp_path / "x")


@pytest.mark.parametrize("algorithm", ALL)
def test_a_row_without_values_has_no_score(algorithm: str, tmp_path: Path) -> None:
    folder = written(fitted(algorithm, numbers()), tmp_path / "x")
    gap, none = device(folder, [{"a": None, "b": None, "c": np.nan}, {"a": 1.0, "b": None, "c": None}], [])
    assert np.isnan(gap[0]).tolist() == [True, False]
    assert not gap[1][0]
    assert [len(part) for part in none] == [0, 0]


@pytest.mark.parametrize("algorithm", ["mad", "ecod", "knn"])
def test_rows_with_ties_and_more_rows_than_a_block(algorithm: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    table = pa.table({"id": range(3000), "a": rng.integers(0, 9, 3000), "b": rng.integers(0, 3, 3000) / 2})
    check(fitted(algorithm, table), table, tmp_path / "x")


@pytest.mark.parametrize("algorithm", ALL)
def test_a_score_that_is_the_threshold_is_not_above_it(algorithm: str, tmp_path: Path) -> None:
    found, table = fitted(algorithm, numbers()), numbers()
    scores = np.unique(found.score(structs(table))[0])
    for place in (-2, -9, len(scores) // 2):
        check(msgspec.structs.replace(found, threshold=float(scores[place])), table, tmp_path / "x")


def test_scores_may_be_tiny(tmp_path: Path) -> None:
    found, table = fitted("zscore", numbers()), numbers()
    state: Any = found.state
    found = msgspec.structs.replace(found, state=msgspec.structs.replace(state, spread=1e20 * state.spread))
    threshold = float(np.median(found.score(structs(table))[0]))
    check(msgspec.structs.replace(found, threshold=threshold), table, tmp_path / "x")


def test_equal_rows_score_nothing(tmp_path: Path) -> None:
    flat = pa.table({"id": range(6), "a": [1.0] * 6})
    check(fitted("iforest", flat), flat, tmp_path / "x")


def typed(n: int = 60) -> pa.Table:
    rng, start = np.random.default_rng(0), dt.datetime(2024, 1, 31, 22, 30)
    return pa.table(
        {
            "id": range(n),
            "amount": rng.normal(size=n).round(2),
            "at": [start + dt.timedelta(hours=float(rng.exponential() * 40)) for _ in range(n)],
            "clock": [(start + dt.timedelta(minutes=i)).time() for i in range(n)],
            "took": [dt.timedelta(milliseconds=int(rng.integers(0, 9999))) for _ in range(n)],
            "code": [str(rng.integers(1, 4)) for _ in range(n)],
            "flag": rng.random(n) < 0.3,
        }
    )


def test_values_come_in_many_types(tmp_path: Path) -> None:
    table = typed()
    folder = written(fitted("zscore", table), tmp_path / "x")
    rows = table.drop(["id"]).to_pylist()
    texts = [
        {
            **{key.upper(): row[key] for key in ("amount", "took")},
            "at": row["at"].isoformat() + "Z",
            "clock": row["clock"].isoformat(),
            "code": int(row["code"]),
            "flag": int(row["flag"]),
            "unknown": object,
        }
        for row in rows
    ]
    arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    arrays |= {"at": arrays["at"].astype("datetime64[ns]"), "took": arrays["took"].astype("timedelta64[ns]")}
    zone = dt.timezone(dt.timedelta(hours=5))
    zoned = [{**row, "at": row["at"].replace(tzinfo=dt.UTC).astimezone(zone)} for row in rows]
    wanted, *found = device(folder, rows, [row | {"unknown": 0} for row in texts], arrays, zoned)
    for scores, _ in found:
        np.testing.assert_allclose(scores, wanted[0], rtol=1e-12)


def test_rows_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    folder = written(fitted("zscore", typed()), tmp_path / "x")
    row = typed().drop(["id"]).to_pylist()[0]
    given = [
        {name: value for name, value in row.items() if name != "amount"},
        row | {"amount": "12"},
        row | {"at": 3},
        row | {"clock": 3.0},
        row | {"took": "long"},
        row | {"code": b"1"},
        row | {"amount": [1.0, 2.0]},
        {name: [value] for name, value in row.items()} | {"amount": [1.0, 2.0]},
    ]
    found = device(folder, *given)
    words = ["KeyError: \"column 'amount' not", "'amount' was a number", "'at' was a time", "'clock' was a clock"]
    words += ["'took' was a duration", "'code' was a category", "different numbers", "different numbers"]
    for told, word in zip(found, words, strict=True):
        assert isinstance(told, str), word
        assert word in told


def test_names_are_data_only(tmp_path: Path) -> None:
    names = ['"""); import os; os._exit(7) #', "__class__", "a\n'b\\", "{0}", "🙂\u2028", "../x"]
    rng = np.random.default_rng(0)
    table = pa.table({"id": range(50), **{name: rng.normal(size=50) for name in names}})
    check(fitted("pca", table), table, tmp_path / "x")
    plain = written(fitted("pca", numbers()), tmp_path / "y")
    for file in ("score.py", "README.md"):
        assert (tmp_path / "x" / file).read_text("utf-8") == (plain / file).read_text("utf-8")
    assert json.loads((tmp_path / "x" / "manifest.json").read_text("utf-8"))["features"] == names


@pytest.mark.parametrize("algorithm", ALL)
def test_the_text_is_small_and_reads_in_old_python(algorithm: str, tmp_path: Path) -> None:
    text = (written(fitted(algorithm, numbers()), tmp_path / "x") / "score.py").read_text("utf-8")
    tree = ast.parse(text, feature_version=(3, 9))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec", "compile", "__import__"}
    assert "pynomaly." not in text
    assert "import pynomaly" not in text
    assert len(text.splitlines()) < 300


def test_arrays_of_another_model_are_refused(tmp_path: Path) -> None:
    one, other = (written(fitted("mad", numbers(n)), tmp_path / str(n)) for n in (50, 60))
    (one / "model.npz").write_bytes((other / "model.npz").read_bytes())
    (told,) = device(one, {"a": 1.0, "b": 1.0, "c": 1.0})
    assert "copy the folder again" in told


def test_only_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    found = fitted("mad", numbers(50))
    first = {path.name: path.read_bytes() for path in written(found, tmp_path / "x").iterdir()}
    again = {path.name: path.read_bytes() for path in written(found, tmp_path / "x").iterdir()}
    assert first == again
    (tmp_path / "x" / "mine.txt").write_text("kept")
    (tmp_path / "file").write_text("kept")
    for place in ("x", "file"):
        with pytest.raises(BadParameter, match="something else"):
            written(found, tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "x"]


@pytest.mark.parametrize("algorithm", ["lof", "sklearn_isolation_forest"])
def test_other_algorithms_say_which_can_be_exported(algorithm: str, tmp_path: Path) -> None:
    with pytest.raises(NotExportable, match=r"not_exportable.*`mahalanobis`"):
        written(fitted(algorithm, numbers(50)), tmp_path / "x")
    found = msgspec.structs.replace(fitted("hbos", numbers(50)), state=None)
    with pytest.raises(NotExportable, match="its own rows"):
        written(found, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_engine_and_shell_write_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = str(tmp_path / "team.duckdb")
    with pynomaly.connect(database) as engine:
        engine.execute(
            "create table t as "
            "select i as id, i % 7 + i // 99 as a, chr((65 + i % 3)::integer) as b from range(100) r(i)"
        )
        for algorithm in ("hbos", "iforest"):
            engine.train("watch", "t", exclude="id", algorithm=algorithm, contamination=0.02)
        engine.export_numpy("watch", tmp_path / "x", version=1)
        scored = engine.score("t", "watch", version=1).arrow().sort_by("id")
        digest = engine.execute("select digest from pynomaly.models where version = 2").fetchall()[0][0]
    rows = scored.select(["a", "b"]).to_pylist()
    ((scores, flags),) = device(tmp_path / "x", rows)
    np.testing.assert_allclose(scores, scored["anomaly_score"].to_numpy(), rtol=1e-9)
    assert flags.tolist() == scored["is_anomaly"].to_pylist()
    assert main(["model", "export", "watch", str(tmp_path / "y"), "--format", "numpy", "--db", database]) == 0
    manifest = json.loads((tmp_path / "y" / "manifest.json").read_text("utf-8"))
    assert (manifest["model"], manifest["version"], manifest["digest"]) == ("watch", 2, digest)
    assert (manifest["algorithm"], manifest["license"][:13]) == ("iforest", "score.py: MIT")
    assert "written to" in capsys.readouterr().err
    assert main(["model", "export", "nobody", str(tmp_path / "z"), "--format", "numpy", "--db", database]) == 3
    assert not (tmp_path / "z").exists()
