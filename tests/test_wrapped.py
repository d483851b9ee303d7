"""The adapter of PyOD and scikit-learn: what a library cannot do is told, and what it does to the process is undone."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest

from pynomaly import registry, wrapped
from pynomaly.errors import AlgorithmUnavailable, FitFailed


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_scores_that_are_all_infinite_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrapped, "_training_scores", lambda detector, X: np.full(len(X), np.inf))
    found, X = registry.get("pyod_knn"), column(*np.arange(10.0))
    with pytest.raises(FitFailed, match=r"`pyod_knn` finds no finite score for any of 10 rows; leave out"):
        found.fit(X, found.params(), 0)


def test_an_error_of_the_library_is_one_of_ours() -> None:
    found, X = registry.get("pyod_pca"), np.random.default_rng(0).normal(size=(20, 3))
    params, _ = registry.parse_parameters(found, {"n_components": 9})
    with pytest.raises(FitFailed, match=r"`pyod_pca` cannot work with these rows: .*n_components=9"):
        found.fit(X, params, 0)


def test_a_class_that_cannot_be_imported_is_told() -> None:
    row = msgspec.structs.replace(wrapped.TABLE[0], name="pyod_nothing", target="pyod.models.nothing.Nothing")
    found = wrapped.record(row)
    with pytest.raises(AlgorithmUnavailable, match="`pyod_nothing` cannot be imported: No module named"):
        found.fit(column(1.0, 2.0, 3.0), found.params(), 0)


def test_a_gap_counts_as_the_median() -> None:
    found, X = registry.get("pyod_knn"), column(0.0, 1.0, 2.0, 3.0, 10.0, np.nan)
    params, _ = registry.parse_parameters(found, {"n_neighbors": 1})
    state = found.fit(X, params, 0)
    assert found.score(state, X, np.ones(6, np.bool_))[:5].tolist() == [1.0, 1.0, 1.0, 1.0, 7.0]
    assert np.isnan(found.score(state, X, np.ones(6, np.bool_))[5])


def test_copies_share_the_mean_of_their_training_scores() -> None:
    found, X = registry.get("pyod_knn"), column(0.0, 0.0, 0.0, 5.0, 9.0)
    params, _ = registry.parse_parameters(found, {"n_neighbors": 3})
    scores = found.score(found.fit(X, params, 0), X, np.ones(5, np.bool_))
    assert scores.tolist() == [5.0, 5.0, 5.0, 5.0, 9.0]


def test_a_fitted_row_that_counts_as_new_is_its_own_neighbour() -> None:
    found, X = registry.get("pyod_knn"), column(0.0, 1.0, 3.0, 7.0)
    params, _ = registry.parse_parameters(found, {"n_neighbors": 1})
    state = found.fit(X, params, 0)
    own = np.array([True, False, True, False])
    assert found.score(state, X, own).tolist() == [1.0, 0.0, 2.0, 0.0]


def test_filters_of_warnings_come_back_when_the_last_thread_leaves() -> None:
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_fit_mixture, range(8)))
    assert list(warnings.filters) == before


def _fit_mixture(seed: int) -> None:
    """Two distinct rows and three Gaussians: scikit-learn warns each time."""
    found = registry.get("pyod_gmm")
    params, _ = registry.parse_parameters(found, {"n_components": 3})
    found.fit(column(0.0, 0.0, 0.0, 1.0, 1.0), params, seed)
