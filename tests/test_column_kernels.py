"""The algorithms that look at columns and at their covariance: held to naive twins and to PyOD."""

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naive import ecod as naive_ecod
from naive import hbos as naive_hbos
from naive import iqr as naive_iqr
from naive import mad as naive_mad
from naive import mahalanobis as naive_mahalanobis
from naive import pca as naive_pca
from naive import zscore as naive_zscore
from pynomaly.algorithm import Flags, Floats, State
from pynomaly.algorithms.ecod import ecod
from pynomaly.algorithms.hbos import HbosParams, hbos
from pynomaly.algorithms.iqr import iqr
from pynomaly.algorithms.mad import mad
from pynomaly.algorithms.mahalanobis import mahalanobis
from pynomaly.algorithms.pca import pca
from pynomaly.algorithms.zscore import zscore
from pynomaly.kernels import columns

FEW = settings(deadline=None, max_examples=50)
LARGEST_OF_COLUMNS = [(mad, naive_mad), (zscore, naive_zscore), (iqr, naive_iqr)]
SUM_OF_COLUMNS = [(ecod, naive_ecod), (hbos, naive_hbos)]
COVARIANCE = [(pca, naive_pca), (mahalanobis, naive_mahalanobis)]
EVERY = [found for found, _ in [*LARGEST_OF_COLUMNS, *SUM_OF_COLUMNS, *COVARIANCE]]
every_algorithm = pytest.mark.parametrize("found", EVERY, ids=lambda found: found.name)


def twins(pairs: list[Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("found", "twin"), pairs, ids=[found.name for found, _ in pairs])


def new(X: Floats) -> Flags:
    return np.zeros(len(X), np.bool_)


def fit(found: Any, X: Floats) -> State:
    fitted: State = found.fit(X, found.params(), 0)
    return fitted


def scores(found: Any, fitted: Floats, X: Floats) -> Floats:
    out: Floats = found.score(fit(found, fitted), X, new(X))
    return out


def explained(found: Any, fitted: Floats, X: Floats) -> Floats:
    out: Floats = found.explain(fit(found, fitted), X)
    return out


def random_rows(seed: int, n: int, d: int, kinds: list[str]) -> Floats:
    """Columns of the kinds told, in turn."""
    rng = np.random.default_rng(seed)
    make: dict[str, Any] = {
        "gaussian": lambda: rng.normal(size=n),
        "tied": lambda: rng.integers(0, 4, size=n) * 1.0,
        "mostly one": lambda: np.where(rng.random(n) < 0.8, 3.0, rng.normal(size=n)),
        "gaps": lambda: np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
        "constant": lambda: np.full(n, -7.3),
        "offset": lambda: 1.7e9 + rng.normal(size=n),
        "all gaps": lambda: np.full(n, np.nan),
        "skewed": lambda: np.exp(3.0 * rng.normal(size=n)),
        "cauchy": lambda: rng.standard_cauchy(size=n),
        "tiny": lambda: 1e-300 * rng.normal(size=n),
        "huge": lambda: 1e300 * rng.normal(size=n),
    }
    return np.column_stack([make[kinds[j % len(kinds)]]() for j in range(d)])


CONTINUOUS = ["gaussian", "gaps", "constant", "offset", "all gaps", "skewed", "tiny", "huge"]
KINDS = st.lists(st.sampled_from([*CONTINUOUS, "tied", "mostly one"]), min_size=1, max_size=4)


def pairs(kinds: st.SearchStrategy[list[str]]) -> st.SearchStrategy[tuple[Floats, Floats]]:
    """Rows to fit, and others: of the same kinds, with values between and beyond the fitted ones, some gaps."""

    def build(seed: int, n: int, d: int, chosen: list[str]) -> tuple[Floats, Floats]:
        fitted, other = random_rows(seed, n, d, chosen), 1.5 * random_rows(seed + 1, 9, d, chosen)
        other[0] = np.nan
        other[1:3, 0] = 0.7 * fitted[0, 0], np.nan
        return fitted, np.concatenate([fitted, other])

    return st.builds(build, st.integers(0, 10_000), st.integers(5, 60), st.integers(1, 9), kinds)


# Naive twins


@twins(LARGEST_OF_COLUMNS)
@FEW
@given(rows=pairs(KINDS))
def test_largest_distances_equal_their_twin(found: Any, twin: Any, rows: tuple[Floats, Floats]) -> None:
    expected, empty = twin.contributions(*rows), np.isnan(rows[1]).all(axis=1)
    expected[empty] = np.nan
    # An offset of 1.7e9 leaves 2e-7 to rounding.
    np.testing.assert_allclose(explained(found, *rows), expected, rtol=1e-6, atol=3e-6)
    np.testing.assert_allclose(scores(found, *rows), expected.max(axis=1), rtol=1e-6, atol=3e-6)


@twins(SUM_OF_COLUMNS)
@FEW
@given(rows=pairs(KINDS))
def test_sums_equal_their_twin(found: Any, twin: Any, rows: tuple[Floats, Floats]) -> None:
    expected = twin.contributions(*rows)
    np.testing.assert_allclose(explained(found, *rows), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(scores(found, *rows), expected.sum(axis=1), rtol=1e-9, atol=1e-9)


@twins(COVARIANCE)
@FEW
@given(rows=pairs(st.lists(st.sampled_from(CONTINUOUS), min_size=1, max_size=4)))
def test_covariance_methods_equal_their_twin(found: Any, twin: Any, rows: tuple[Floats, Floats]) -> None:
    expected = twin.contributions(*rows)
    scale = 1.0 + np.abs(expected).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(explained(found, *rows) / scale, expected / scale, atol=1e-6)
    np.testing.assert_allclose(scores(found, *rows) / scale[:, 0], expected.sum(axis=1) / scale[:, 0], atol=1e-6)


@FEW
@given(rows=pairs(KINDS), n_bins=st.integers(2, 40), alpha=st.floats(0.01, 0.99), tol=st.floats(0.01, 0.99))
def test_histogram_parameters(rows: tuple[Floats, Floats], n_bins: int, alpha: float, tol: float) -> None:
    state = hbos.fit(rows[0], HbosParams(n_bins=n_bins, alpha=alpha, tol=tol), 0)
    expected = naive_hbos.contributions(*rows, n_bins, alpha, tol).sum(axis=1)
    np.testing.assert_allclose(hbos.score(state, rows[1], new(rows[1])), expected, rtol=1e-9, atol=1e-9)


@FEW
@given(rows=pairs(KINDS))
def test_moments_equal_extended_precision(rows: tuple[Floats, Floats]) -> None:
    means, spreads = columns.moments(rows[0])
    for values, mean, spread in zip(rows[0].T, means, spreads, strict=True):
        wide_mean, wide_spread = naive_zscore.moments(values)
        near = 1e-14 * float(wide_spread) if np.isfinite(wide_spread) else 0.0
        np.testing.assert_allclose(float(wide_mean), mean, rtol=1e-14, atol=near)
        np.testing.assert_allclose(float(wide_spread), spread, rtol=1e-12)


@pytest.mark.parametrize("n", [5, 63, 64, 65, 130])
@pytest.mark.parametrize("d", [1, 31, 33, 70])
def test_cross_products_equal_numpy(n: int, d: int) -> None:
    X = np.random.default_rng(d).normal(size=(n, d))
    products = columns.cross_products(X, np.full(d, 0.5), np.full(d, 2.0))
    Z = (X - 0.5) / 2.0
    np.testing.assert_allclose(products, Z.T @ Z, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(products, products.T)


@pytest.mark.parametrize("kind", ["gaussian", "skewed", "tied", "huge", "cauchy"])
def test_ecod_finds_ranks_in_large_columns(kind: str) -> None:
    """Large enough that some buckets hold many values and that lookups take several blocks."""
    X = random_rows(5, 20_000, 1, [kind])
    Y = np.concatenate([X, 0.7 * X, [[-1e305], [1e305]]])
    ordered = np.sort(X[:, 0])
    left = np.maximum(np.searchsorted(ordered, Y[:, 0], "right"), 0.5) / len(X)
    right = np.maximum(len(X) - np.searchsorted(ordered, Y[:, 0], "left"), 0.5) / len(X)
    np.testing.assert_allclose(scores(ecod, X, Y), -np.log(np.minimum(left, right)), rtol=1e-12)


def test_ecod_of_many_columns_stays_finite() -> None:
    """The product of so many small tails is 0 in floating point."""
    X = random_rows(7, 100, 400, ["gaussian"])
    np.testing.assert_allclose(scores(ecod, X, np.full((1, 400), 1e9)), 400 * np.log(200.0))


# PyOD


def planted(seed: int, n: int = 600, d: int = 6) -> Floats:
    """Correlated columns with 5 % of the rows far away."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    X[: n // 20] += 8.0 * rng.normal(size=(n // 20, d))
    return X


def peer(name: str, X: Floats) -> Any:
    with np.errstate(all="ignore"):
        return getattr(importlib.import_module(f"pyod.models.{name}"), name.upper())().fit(X)


def standard(X: Floats) -> Floats:
    """Standardised columns: what PyOD's users are told to give it, and what hbos makes of any columns."""
    Z: Floats = (X - X.mean(axis=0)) / X.std(axis=0)
    return Z


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("found", [ecod, hbos, pca], ids=lambda found: found.name)
def test_training_scores_equal_pyod(found: Any, seed: int) -> None:
    for X in map(standard, (planted(seed), planted(seed, n=40), planted(seed, n=300, d=40))):
        np.testing.assert_allclose(scores(found, X, X), peer(found.name, X).decision_scores_, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("found", [ecod, hbos], ids=lambda found: found.name)
def test_training_scores_equal_pyod_on_whole_numbers(found: Any) -> None:
    """With ties, symmetric columns, and values on the edges of bins."""
    rng = np.random.default_rng(3)
    X = np.column_stack([np.arange(220) % 11, rng.integers(0, 21, 220), rng.poisson(2.0, 220), np.arange(220) % 2])
    X = standard(X * 1.0) if found is hbos else X * 1.0  # rounding would decide the sign of no skewness
    np.testing.assert_allclose(scores(found, X, X), peer(found.name, X).decision_scores_, atol=1e-6)


def test_hbos_does_not_depend_on_units() -> None:
    X = planted(4)
    np.testing.assert_allclose(scores(hbos, X * 1e6, X * 1e6), scores(hbos, X, X), rtol=1e-9)


@pytest.mark.parametrize("found", [hbos, pca], ids=lambda found: found.name)
def test_scores_of_new_rows_equal_pyod(found: Any) -> None:
    X, Y = standard(planted(1)), 1.3 * planted(2)
    np.testing.assert_allclose(scores(found, X, Y), peer(found.name, X).decision_function(Y), rtol=1e-6, atol=1e-6)


def test_mahalanobis_equals_scipy() -> None:
    from scipy.spatial.distance import cdist

    X, Y = planted(1), planted(2)
    expected = cdist(Y, X.mean(axis=0, keepdims=True), "mahalanobis", VI=np.linalg.inv(np.cov(X.T)))[:, 0] ** 2
    np.testing.assert_allclose(scores(mahalanobis, X, Y), expected, rtol=1e-9)


# All of them


MIXED = ["gaussian", "gaps", "tied", "skewed", "offset", "constant", "mostly one"]


@every_algorithm
@pytest.mark.parametrize("d", [1, 7, 20])
def test_a_score_does_not_depend_on_its_batch(found: Any, d: int) -> None:
    X = random_rows(4, 700, d, MIXED)
    state = fit(found, X)
    whole = found.score(state, X, new(X))
    for size in (1, 3, 257):
        parts = [found.score(state, X[at : at + size].copy(), new(X[at : at + size])) for at in range(0, 700, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@every_algorithm
def test_rows_are_independent_of_their_order(found: Any) -> None:
    X = random_rows(6, 300, 9, MIXED)
    state, order = fit(found, X), np.random.default_rng(0).permutation(300)
    assert np.array_equal(found.score(state, X[order], new(X)), found.score(state, X, new(X))[order])


@every_algorithm
@FEW
@given(rows=pairs(KINDS))
def test_contributions_make_up_the_score(found: Any, rows: tuple[Floats, Floats]) -> None:
    total, parts = scores(found, *rows), explained(found, *rows)
    if found.name in {"mad", "zscore", "iqr"}:
        np.testing.assert_array_equal(parts.max(axis=1), total)
    else:
        size = 1.0 + np.abs(parts).sum(axis=1)
        np.testing.assert_allclose(parts.sum(axis=1) / size, total / size, atol=1e-12)


@every_algorithm
@FEW
@given(rows=pairs(KINDS))
def test_scores_are_finite_unless_all_cells_are_gaps(found: Any, rows: tuple[Floats, Floats]) -> None:
    fitted, before = rows[0], rows[1].copy()
    total, empty = scores(found, *rows), np.isnan(rows[1]).all(axis=1)
    assert np.array_equal(np.isnan(total), empty)
    assert np.isfinite(total[~empty]).all()
    np.testing.assert_array_equal(rows[1], before)
    np.testing.assert_array_equal(fitted, before[: len(fitted)])


EXTREMES = st.sampled_from(
    [0.0, -0.0, 5e-324, -5e-324, 1e-310, 2.3e-308, 1.0, 1.0 + 2.3e-16, 0.1, 1.7e9, 1e150, -1e150, 1.79e308, -1.79e308]
)


@every_algorithm
@FEW
@given(values=st.lists(EXTREMES, min_size=12, max_size=36), d=st.integers(1, 3))
def test_extreme_values_get_finite_scores(found: Any, values: list[float], d: int) -> None:
    if len(values) < 5 * d:
        d = 1
    X = np.array(values[: len(values) // d * d]).reshape(-1, d)
    Y = np.array([[value] * d for value in (0.0, 5e-324, 1.0, 1.79e308, -1.79e308)])
    for rows in (X, Y):
        assert np.isfinite(scores(found, X, rows)).all()
        assert np.isfinite(explained(found, X, rows)).all()


@every_algorithm
def test_an_offset_costs_little_precision(found: Any) -> None:
    noise = np.round(1024.0 * np.random.default_rng(0).normal(size=(500, 3))) / 1024.0  # exact beside the offset
    noise[0] = 9.0
    plain, moved = scores(found, noise, noise), scores(found, noise + 1.7e9, noise + 1.7e9)
    assert plain.argmax() == moved.argmax() == 0
    np.testing.assert_allclose(plain, moved, rtol=1e-5)


# What each promises


@pytest.mark.parametrize("found", [mad, zscore, iqr, ecod, hbos], ids=lambda found: found.name)
def test_a_new_value_in_a_flat_column_is_anomalous(found: Any) -> None:
    X = np.column_stack([np.random.default_rng(0).normal(size=50), np.full(50, 0.1)])
    equal, near, far = scores(found, X, np.array([[0.0, 0.1], [0.0, 0.1 + 1e-9], [0.0, -5.0]]))
    assert np.isfinite(far)
    assert far >= near > equal


def test_median_deviation_falls_back_to_the_mean_one() -> None:
    X = np.array([[0.0]] * 8 + [[4.0], [6.0]])
    np.testing.assert_allclose(scores(mad, X, X), np.abs(X[:, 0]) / 1.2533)


def test_distance_outside_the_quartiles() -> None:
    X = np.arange(9.0).reshape(-1, 1)  # quartiles 2 and 6
    np.testing.assert_allclose(scores(iqr, X, np.array([[2.0], [6.0], [4.0], [12.0], [0.0]])), [0, 0, 0, 1.5, 0.5])


def test_beyond_the_fitted_range_counts_half_a_row() -> None:
    X = np.array([0.0, 1.0, 2.0, 3.0, 9.0]).reshape(-1, 1)
    found = scores(ecod, X, np.array([[9.0], [10.0], [1e12], [-1.0], [2.5]]))
    np.testing.assert_allclose(found, -np.log([0.2, 0.1, 0.1, 0.1, 0.4]))


@pytest.mark.parametrize("found", [ecod, hbos], ids=lambda found: found.name)
def test_a_gap_scales_the_other_columns_up(found: Any) -> None:
    X = random_rows(8, 100, 4, ["gaussian"])
    full, gappy = X[:1], X[:1].copy()
    gappy[0, 1] = np.nan
    others = explained(found, X, full)[0, [0, 2, 3]]
    np.testing.assert_allclose(explained(found, X, gappy)[0], np.insert(others * 4 / 3, 1, 0.0))
    np.testing.assert_allclose(scores(found, X, gappy), others.sum() * 4 / 3)


@pytest.mark.parametrize("found", [pca, mahalanobis], ids=lambda found: found.name)
def test_a_gap_takes_the_mean(found: Any) -> None:
    X = planted(4)
    gap, filled = X[:1].copy(), X[:1].copy()
    gap[0, 2], filled[0, 2] = np.nan, X[:, 2].mean()
    np.testing.assert_allclose(scores(found, X, gap), scores(found, X, filled), rtol=1e-9)


@pytest.mark.parametrize("found", [pca, mahalanobis], ids=lambda found: found.name)
def test_copied_columns_do_not_blow_up(found: Any) -> None:
    """Sums and copies of columns have axes without variance but for rounding."""
    X = planted(5, d=3)
    copied = np.column_stack([X, 3.0 * X[:, 0] + 1.7e6, X[:, 1] - X[:, 2]])
    far = copied[100:101] + np.array([50.0, 0.0, 0.0, 150.0, 0.0])
    total = scores(found, copied, np.concatenate([copied, far]))
    assert total.max() < 1e6
    assert total[-1] > np.quantile(total, 0.99)


def test_mahalanobis_of_copied_columns_is_that_of_the_originals() -> None:
    X = planted(6, d=3)
    np.testing.assert_allclose(
        scores(mahalanobis, np.column_stack([X, X[:, 0]]), np.column_stack([X, X[:, 0]])),
        scores(mahalanobis, X, X),
        rtol=1e-6,
    )
