"""The metrics are those of scikit-learn and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from pynomaly import metrics

judged = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40)


def split(rows: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = zip(*rows, strict=True)
    return np.array(truth, np.bool_), np.array(scores, np.float64)


@given(judged)
def test_as_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    truth, scores = split(rows)
    if not truth.any() or truth.all():
        assert metrics.auroc(truth, scores) is None
        return
    assert metrics.auroc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))
    assert metrics.average_precision(truth, scores) == pytest.approx(average_precision_score(truth, scores))


@given(judged)
def test_flags_as_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    truth, scores = split(rows)
    flags = scores > 0.0
    precision, recall, f1 = metrics.precision_recall(truth, flags)
    assert precision == (pytest.approx(precision_score(truth, flags)) if flags.any() else None)
    assert recall == (pytest.approx(recall_score(truth, flags)) if truth.any() else None)
    assert f1 == (pytest.approx(f1_score(truth, flags)) if truth.any() or flags.any() else None)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=40))
def test_rank_correlation_as_scipy(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, np.float64).T
    found = metrics.rank_correlation(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_without_an_anomaly_there_is_no_average_precision() -> None:
    assert metrics.average_precision(np.zeros(3, np.bool_), np.arange(3.0)) is None
