"""Scored rows are judged as scikit-learn judges them, ties included, from SQL, Python and the shell."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

import pynomaly
from pynomaly import metrics
from pynomaly.cli import main

Captured = pytest.CaptureFixture[str]
Judged = list[tuple[bool, float, bool]]
scores = st.one_of(st.integers(-3, 3).map(float), st.floats(allow_nan=False, allow_infinity=False))
judged = st.lists(st.tuples(st.booleans(), scores, st.booleans()), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def engine() -> Iterator[pynomaly.Engine]:
    with pynomaly.connect() as engine:
        yield engine


def arrays(rows: Judged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth, scores, flags = zip(*rows, strict=True)
    return np.array(truth, np.bool_), np.array(scores, np.float64), np.array(flags, np.bool_)


def table(rows: Judged) -> pa.Table:
    truth, scores, flags = zip(*rows, strict=True)
    return pa.table({"truth": truth, "anomaly_score": scores, "is_anomaly": flags})


@given(judged)
def test_figures_are_those_of_scikit_learn_and_of_a_comparison(engine: pynomaly.Engine, rows: Judged) -> None:
    truth, scores, flags = arrays(rows)
    found = engine.evaluate(table(rows), "truth")
    assert (found.n_rows, found.n_labelled, found.n_anomalies) == (len(rows), len(rows), truth.sum())
    (tn, fp), (fn, tp) = confusion_matrix(truth, flags, labels=[False, True])
    counts = (found.true_negatives, found.false_positives, found.false_negatives, found.true_positives)
    assert counts == (tn, fp, fn, tp)
    assert found.precision == (pytest.approx(precision_score(truth, flags)) if flags.any() else None)
    assert found.recall == (pytest.approx(recall_score(truth, flags)) if truth.any() else None)
    assert found.f1 == (pytest.approx(f1_score(truth, flags)) if truth.any() or flags.any() else None)
    assert found.average_precision == (pytest.approx(average_precision_score(truth, scores)) if truth.any() else None)
    assert found.auroc == (pytest.approx(roc_auc_score(truth, scores)) if len(set(truth)) == 2 else None)
    for name, value in metrics.judged(truth, scores, flags).items():
        assert getattr(found, name) == (None if value is None else pytest.approx(value, rel=1e-14)), name


@given(judged)
def test_curves_are_those_of_scikit_learn(engine: pynomaly.Engine, rows: Judged) -> None:
    truth, scores, _ = arrays(rows)
    points = engine.evaluation_curves(table(rows), "truth").arrow()
    found = points.to_pydict()
    if truth.all() or not truth.any():
        unknown = found["false_positive_rate"] if truth.all() else found["recall"]
        assert set(unknown) == {None}
        return
    false_positive_rate, recall, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    assert found["false_positive_rate"] == pytest.approx(false_positive_rate)
    assert found["recall"] == pytest.approx(recall)
    assert found["threshold"] == pytest.approx(thresholds)
    precision, recall, thresholds = precision_recall_curve(truth, scores)
    assert found["precision"] == pytest.approx(precision[::-1])
    assert found["recall"] == pytest.approx(recall[::-1])
    assert found["threshold"][1:] == pytest.approx(thresholds[::-1])
    for row in points.to_pylist():
        flags = scores >= row["threshold"]
        (tn, fp), (fn, tp) = confusion_matrix(truth, flags, labels=[False, True])
        counts = (row["true_negatives"], row["false_positives"], row["false_negatives"], row["true_positives"])
        assert counts == (tn, fp, fn, tp)
        assert row["f1"] == pytest.approx(f1_score(truth, flags))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=6), st.integers(1, 7))
def test_ties_at_k_count_as_in_random_order(engine: pynomaly.Engine, rows: list[tuple[bool, int]], k: int) -> None:
    found = engine.evaluate(table([(truth, float(score), False) for truth, score in rows]), "truth", k=k)
    first = min(k, len(rows))
    hits = [
        sum(truth for truth, _ in sorted(order, key=lambda row: -row[1])[:first])
        for order in itertools.permutations(rows)
    ]
    n_anomalies = sum(truth for truth, _ in rows)
    assert found.k == first
    assert found.precision_at_k == pytest.approx(np.mean(hits) / first)
    assert found.recall_at_k == (pytest.approx(np.mean(hits) / n_anomalies) if n_anomalies else None)
    assert found.f1_at_k == pytest.approx(2 * np.mean(hits) / (first + n_anomalies))


def test_a_result_is_judged_and_told_in_a_sentence(engine: pynomaly.Engine) -> None:
    rows = pa.table({"a": [*range(30), 500.0], "fraud": [0] * 29 + [1, 1]})
    detected = engine.detect(rows, algorithm="mad", label="fraud", top_k=1)
    told = str(engine.evaluate(detected, "fraud"))
    assert told == (
        "2 anomalies among 31 labelled rows; AUROC 0.974, average precision 0.750; precision 1.000, recall 0.500, "
        "F1 0.667; at k = 2 precision 0.500, recall 0.500"
    )
    few = rows.set_column(1, "fraud", pa.array([0] * 5 + [None] * 26)).rename_columns(["anomaly_score", "fraud"])
    assert str(engine.evaluate(few, "fraud")) == "0 anomalies among 5 labelled of 31 rows"
    with pytest.raises(pynomaly.PynomalyError, match="`labels` is no parameter of evaluate"):
        engine.evaluate(few, labels="fraud")


def test_a_million_rows_do_not_depend_on_order_or_threads() -> None:
    """The sum behind average precision is taken in one order, whatever the threads do."""
    with pynomaly.connect(threads=4) as engine:
        engine.execute(
            "create table scored as select hash(i) % 100003 / 7 as anomaly_score, hash(i, 1) % 9 = 0 as fraud "
            "from range(400_000) r(i)"
        ).fetchall()
        first = engine.evaluate("scored", "fraud")
        engine.execute("create table turned as from scored order by hash(anomaly_score, fraud)").fetchall()
        engine.execute("set threads = 1").fetchall()
        assert engine.evaluate("turned", "fraud") == first


def test_a_saved_run_is_judged_by_its_id(capsys: Captured, tmp_path: Path) -> None:
    with pynomaly.connect(tmp_path / "team.duckdb") as engine:
        engine.execute("create table t as select i as id, i % 10 as a, i = 7 as fraud from range(50) r(i)").fetchall()
        for options in ({"key": "id"}, {}):
            run = engine.detect("t", algorithm="mad", label="fraud", top_k=1, save=True, **options)
            assert engine.evaluate(run.run_id, "fraud") == engine.evaluate(run, "fraud")
            assert engine.evaluate(run.run_id[:10], "fraud").n_labelled == 50
            assert len(engine.evaluation_curves(run.run_id, "fraud")) == 1 + len(set(run.pl()["anomaly_score"]))
            with pytest.raises(pynomaly.PynomalyError, match="label_row") as raised:
                engine.evaluate(run.run_id)
            assert raised.value.code == "not_labelled"
    asked = ["evaluate", run.run_id, "--label", "fraud", "--db", str(tmp_path / "team.duckdb"), "--format", "csv"]
    assert main(asked) == 0
    assert capsys.readouterr().out.startswith("n_rows,n_labelled,n_anomalies,auroc,")


def write_scored(path: Path) -> None:
    with pynomaly.connect() as engine:
        engine.execute(
            "copy (select i as anomaly_score, i > 95 as is_anomaly, i % 10 = 7 as fraud from range(100) r(i)) "
            f"to '{path}'"
        ).fetchall()


def test_the_shell_judges_a_file(capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_scored(Path("scored.csv"))
    assert main(["evaluate", "scored.csv", "--label", "fraud"]) == 0
    shown = capsys.readouterr().out
    assert "auroc" in shown
    assert "0.527778" in shown
    assert main(["evaluate", "scored.csv", "--label", "fraud", "-k", "3", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["n_anomalies"], record["k"], record["true_positives"]) == (10, 3, 1)
    assert main(["evaluate", "scored.csv", "--label", "fraud", "--curves", "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 101
    assert rows[-1]["recall"] == rows[-1]["false_positive_rate"] == 1.0
    assert main(["evaluate", "scored.csv", "--label", "fraud", "--curves"]) == 0
    captured = capsys.readouterr()
    assert "shown: the 20 highest thresholds" in captured.err
    assert "recall" in captured.out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["scored.csv"], 2, "no label is named"),
        (["scored.csv", "--label", "frau"], 3, "did you mean `fraud`?"),
        (["scored.csv", "--label", "fraud", "--curves", "-k", "3"], 2, "`--curves` has every threshold"),
        (["6f9619ff-8b86-d011-b42d-00c04fc96400", "--db", "team.duckdb"], 3, "there is no run `6f9619ff"),
    ],
)
def test_the_shell_says_what_is_wrong(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scored(Path("scored.csv"))
    pynomaly.connect("team.duckdb").close()
    assert main(["evaluate", *arguments]) == code
    assert told in capsys.readouterr().err


def test_the_shell_prints_its_sql(capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "scored.csv", "--label", "fraud", "--dry-run"]) == 0
    assert capsys.readouterr().out == "from evaluate('./scored.csv', label := 'fraud');\n"
