"""Our scores beside PyOD's where formula, draws and rows are the same; `ecod`, `hbos`, `pca` and `knn` stand elsewhere.

Columns are standardised beforehand, so that our own standardising changes nothing. Two have no test, for nothing can be
aligned: `loda`, since PyOD looks a value up one bin off, and `ocsvm`, which approximates the kernel that PyOD computes.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pynomaly import registry
from pynomaly.algorithm import Floats, State

pytest.importorskip("pyod")

Peer = Callable[..., Any]


def standardised(X: Floats) -> Floats:
    """Columns of mean 0 and deviation 1."""
    Z: Floats = (X - X.mean(axis=0)) / X.std(axis=0)
    return Z


def rows(n: int, d: int, seed: int) -> Floats:
    """Skewed and correlated columns, a few rows far out."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.exponential(size=(n, d))
    X[: n // 20] *= 4.0
    return standardised(X)


def fitted(name: str, X: Floats, **given: object) -> State:
    found = registry.get(name)
    return found.fit(X, registry.parse_parameters(found, given)[0], 0)


def scores(name: str, state: State, X: Floats, own: bool) -> Floats:
    return registry.get(name).score(state, X, np.full(len(X), own))


def peer(target: str, X: Floats, **given: object) -> Any:
    """A class of PyOD, fitted."""
    module, name = target.split(".")
    with np.errstate(all="ignore"):
        return getattr(importlib.import_module(f"pyod.models.{module}"), name)(**given).fit(X)


@pytest.mark.parametrize(("n", "d"), [(400, 1), (300, 3), (3000, 1), (2000, 2)])
def test_kde_equals_pyod(n: int, d: int) -> None:
    """All rows are drawn, and our width, a multiple of Scott's, is brought to PyOD's; a tree of PyOD's is exact."""
    X, new, width = rows(n, d, 0), 1.5 * rows(50, d, 1), 0.3
    state = fitted("kde", X, max_samples=n, bandwidth=width * n ** (1.0 / (d + 4)))
    expected = peer("kde.KDE", X, bandwidth=width)
    np.testing.assert_allclose(scores("kde", state, X, own=False), expected.decision_scores_, atol=1e-6)
    np.testing.assert_allclose(scores("kde", state, new, own=False), expected.decision_function(new), atol=1e-6)


def test_kde_of_a_training_row_equals_pyod_fitted_to_the_others() -> None:
    """PyOD counts a fitted row as its own evidence, ours leaves it out."""
    X, width = rows(300, 2, 2), 0.4
    own = scores("kde", fitted("kde", X, bandwidth=width * 300 ** (1.0 / 6)), X, own=True)
    for i in range(0, 300, 30):
        others = peer("kde.KDE", np.delete(X, i, axis=0), bandwidth=width)
        np.testing.assert_allclose(own[i], others.decision_function(X[i : i + 1])[0], atol=1e-6)


def test_abod_equals_pyod() -> None:
    """Ours is log(1 + 1 / v) of PyOD's -v; PyOD counts a fitted row among its own k + 1 neighbours, and skips it."""
    X, new = rows(250, 4, 3), 1.5 * rows(40, 4, 4)
    state = fitted("abod", X, n_neighbors=6)
    variances = [
        (scores("abod", state, X, own=True), peer("abod.ABOD", X, n_neighbors=7).decision_scores_),
        (scores("abod", state, new, own=False), peer("abod.ABOD", X, n_neighbors=6).decision_function(new)),
    ]
    for ours, theirs in variances:
        np.testing.assert_allclose(1.0 / np.expm1(ours), -theirs, rtol=1e-10)


def test_cof_equals_pyod() -> None:
    """Of fitted rows, since PyOD scores a batch by itself; ours adds 1e-10 to every chaining distance."""
    X = rows(250, 4, 5)
    state = fitted("cof", X, n_neighbors=12)
    expected = peer("cof.COF", X, n_neighbors=12).decision_scores_
    np.testing.assert_allclose(scores("cof", state, X, own=True), expected, rtol=1e-8)


@pytest.mark.slow
def test_sod_equals_pyod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fitted rows whose references no tie decides: PyOD breaks ties by the order of an unstable sort.

    Nor where no column's variance is low: PyOD's 0 would be a row without a score. Its loop runs as plain Python, which
    is faster than to compile it.
    """
    counting = importlib.import_module("pyod.models.sod")._snn_imp
    monkeypatch.setattr("pyod.models.sod._snn_imp", counting.py_func)
    X, k, ref_set = rows(300, 5, 6), 20, 10
    nearest = np.argsort(np.linalg.norm(X[:, np.newaxis] - X, axis=2), axis=1)[:, 1 : k + 1]
    is_nearest = np.zeros((300, 300), np.int64)
    np.put_along_axis(is_nearest, nearest, 1, axis=1)
    shared = is_nearest @ is_nearest.T
    np.fill_diagonal(shared, -1)
    ranked = -np.sort(-shared, axis=1)
    expected = peer("sod.SOD", X, n_neighbors=k, ref_set=ref_set).decision_scores_
    same = (ranked[:, ref_set - 1] > ranked[:, ref_set]) & (expected > 0.0)
    assert same.sum() > 30
    found = scores("sod", fitted("sod", X, n_neighbors=k, ref_set=ref_set), X, own=True)
    np.testing.assert_allclose(found[same], expected[same], rtol=1e-10)


def test_copod_combines_pyods_tails_as_the_paper_does() -> None:
    """The tails are PyOD's; the largest of their three sums is the paper's score, where PyOD sums the largest."""
    X = rows(300, 5, 7)
    expected = peer("copod.COPOD", X)
    sums = [tails.sum(axis=1) for tails in (expected.U_l, expected.U_r, expected.U_skew)]
    np.testing.assert_allclose(scores("copod", fitted("copod", X), X, own=True), np.max(sums, axis=0), rtol=1e-10)


def test_mad_equals_pyod() -> None:
    """Of one column, all that PyOD takes; it rounds the constant 1 / 1.4826 to 0.6745."""
    X, new = rows(300, 1, 8), 2.0 * rows(40, 1, 9)
    state, expected = fitted("mad", X), peer("mad.MAD", X)
    np.testing.assert_allclose(scores("mad", state, X, own=True), expected.decision_scores_, rtol=2e-5)
    np.testing.assert_allclose(scores("mad", state, new, own=False), expected.decision_function(new), rtol=2e-5)


def blobs() -> Floats:
    """Three large groups and a small one, so far apart that any k-means finds them, and rows between."""
    rng = np.random.default_rng(10)
    places = np.array([[0.0, 0.0, 0.0], [30.0, 0.0, 0.0], [0.0, 30.0, 0.0], [30.0, 30.0, 30.0]])
    parts = [rng.normal(place, size=(size, 3)) for place, size in zip(places, (150, 120, 110, 12), strict=True)]
    return standardised(np.vstack(parts))


@pytest.mark.slow
def test_cblof_equals_pyod() -> None:
    """The clusters are the same, for there is one way to part the rows; neither multiplies by their sizes."""
    X = blobs()
    new = 1.2 * X[::7]
    state, expected = fitted("cblof", X, n_clusters=4), peer("cblof.CBLOF", X, n_clusters=4, random_state=0)
    assert len(expected.small_cluster_labels_) == 1
    np.testing.assert_allclose(scores("cblof", state, X, own=True), expected.decision_scores_, rtol=1e-10)
    np.testing.assert_allclose(scores("cblof", state, new, own=False), expected.decision_function(new), rtol=1e-10)


@pytest.mark.slow
def test_gmm_equals_pyod_with_the_same_mixture() -> None:
    """The mixture is ours, handed over: the fits differ, since ours has a prior; none is left out as anomalies."""
    X, new = rows(400, 3, 11), 1.5 * rows(40, 3, 12)
    state: Any = fitted("gmm", X, n_components=2, min_share=0.0)
    expected, mixture = peer("gmm.GMM", X, n_components=2, random_state=0), state.mixture
    determinants = np.log(np.diagonal(mixture.whitening, axis1=1, axis2=2)).sum(axis=1)
    expected.detector_.weights_ = np.exp(mixture.peak - determinants + 1.5 * np.log(2.0 * np.pi))
    expected.detector_.means_, expected.detector_.precisions_cholesky_ = mixture.mean, mixture.whitening
    assert abs(expected.detector_.weights_.sum() - 1.0) < 1e-9
    for given in (X, new):
        np.testing.assert_allclose(scores("gmm", state, given, own=False), expected.decision_function(given), rtol=1e-9)


def drawing(monkeypatch: pytest.MonkeyPatch, points: Floats) -> None:
    """Make the detectors that draw samples draw these."""
    monkeypatch.setattr("pynomaly.kernels.subsamples.draw", lambda *_: points.copy())


def test_inne_equals_pyod_with_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyOD's draws; it scores a row that was drawn like any other, and so do we."""
    X, new = rows(300, 4, 13), 1.5 * rows(40, 4, 14)
    expected = peer("inne.INNE", X, n_estimators=50, max_samples=16, random_state=0)
    drawing(monkeypatch, expected._centroids)
    state = fitted("inne", X, n_estimators=50, max_samples=16)
    np.testing.assert_allclose(scores("inne", state, X, own=False), expected.decision_scores_, rtol=1e-9)
    np.testing.assert_allclose(scores("inne", state, new, own=False), expected.decision_function(new), rtol=1e-9)


def test_sampling_equals_pyod_with_the_same_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyOD's draw, and all rows as new ones: PyOD compares a row that was drawn with itself, where we leave it out."""
    X, new = rows(300, 4, 15), 1.5 * rows(40, 4, 16)
    expected = peer("sampling.Sampling", X, subset_size=25, random_state=0)
    drawing(monkeypatch, expected.subset[np.newaxis])
    state = fitted("sampling", X, n_samples=25)
    np.testing.assert_allclose(
        scores("sampling", state, X, own=False), expected.decision_scores_, rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(scores("sampling", state, new, own=False), expected.decision_function(new), rtol=1e-10)
    own = scores("sampling", state, X, own=True)
    assert (own > 0.0).all()
    was_drawn = expected.decision_scores_ == 0.0
    assert was_drawn.sum() == 25
    np.testing.assert_allclose(own[~was_drawn], expected.decision_scores_[~was_drawn], rtol=1e-10)
