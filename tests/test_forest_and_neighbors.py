"""Isolation forest, nearest neighbours, local outlier factor: held to naive twins, to PyOD and to scikit-learn."""

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from naive import iforest as naive_iforest
from naive import knn as naive_knn
from naive import lof as naive_lof
from pynomaly import workers
from pynomaly.algorithm import Floats, State
from pynomaly.algorithms.iforest import IforestParams, iforest
from pynomaly.algorithms.knn import KnnParams, knn
from pynomaly.algorithms.lof import LofParams, lof
from pynomaly.kernels import neighbors as nb
from pynomaly.kernels import trees
from pynomaly.kernels.kdtree import build_tree
from pynomaly.kernels.nearest import find, nearest

FEW = settings(deadline=None, max_examples=40)
EVERY = [(iforest, IforestParams(n_trees=10)), (knn, KnnParams()), (lof, LofParams(n_neighbors=4))]
every_algorithm = pytest.mark.parametrize(("found", "params"), EVERY, ids=lambda value: getattr(value, "name", ""))


def flags(n: int, value: bool) -> nb.Flags:
    return np.full(n, value)


def random_rows(seed: int, n: int, d: int, kinds: list[str]) -> Floats:
    """Columns of the kinds told, in turn, with copied rows and some gaps where a kind has them."""
    rng = np.random.default_rng(seed)
    make: dict[str, Any] = {
        "gaussian": lambda: rng.normal(size=n),
        "tied": lambda: rng.integers(0, 3, size=n) * 1.0,
        "gaps": lambda: np.where(rng.random(n) < 0.3, np.nan, rng.integers(0, 4, size=n)),
        "constant": lambda: np.full(n, -7.25),
        "offset": lambda: 1.7e9 + rng.normal(size=n),
        "all gaps": lambda: np.full(n, np.nan),
        "skewed": lambda: np.exp(3.0 * rng.normal(size=n)),
    }
    X = np.column_stack([make[kinds[j % len(kinds)]]() for j in range(d)])
    return np.ascontiguousarray(X[rng.integers(0, n, size=n)] if rng.random() < 0.5 else X)


KINDS = st.lists(
    st.sampled_from(["gaussian", "tied", "gaps", "constant", "offset", "all gaps", "skewed"]), min_size=1, max_size=3
)
ROWS = st.builds(random_rows, st.integers(0, 10_000), st.integers(5, 60), st.integers(1, 6), KINDS)
LARGE = st.builds(random_rows, st.integers(0, 10_000), st.integers(257, 600), st.integers(1, 9), KINDS)


def standardised(X: Floats, *others: Floats) -> list[Floats]:
    scales = nb.column_scales(X)
    return [nb.standardised(Y, *scales)[0] for Y in (X, *others)]


def expect_scores(scores: Floats, X: Floats, expected: Floats, rtol: float) -> None:
    expected = np.where(np.isnan(X).all(axis=1), np.nan, expected)
    np.testing.assert_allclose(scores, expected, rtol=rtol, atol=1e-12)


# Isolation forest


@FEW
@given(X=ROWS, seed=st.integers(0, 99), max_samples=st.integers(2, 64))
def test_forest_equals_its_twin(X: Floats, seed: int, max_samples: int) -> None:
    new = random_rows(seed, 20, X.shape[1], ["gaussian", "gaps"])
    state = iforest.fit(X, IforestParams(n_trees=5, max_samples=max_samples), seed)
    trees = naive_iforest.forest(X, 5, max_samples, seed)
    for Y in (X, new):
        scores, saved = naive_iforest.scores_and_saved(trees, Y)
        np.testing.assert_allclose(iforest.score(state, Y, flags(len(Y), True)), scores, rtol=1e-12)
        assert iforest.explain is not None
        np.testing.assert_allclose(iforest.explain(state, Y), saved, rtol=1e-9, atol=1e-9)


def split_points(node: naive_iforest.Node, d: int) -> list[Floats]:
    """Rows of zeros but for the point of one split each."""
    if len(node) == 1:
        return []
    here = np.zeros(d)
    here[node[1]] = node[2]
    return [here, *split_points(node[4], d), *split_points(node[5], d)]


def test_forest_puts_a_row_on_a_split_point_on_the_high_side() -> None:
    X = random_rows(8, 200, 3, ["gaussian", "skewed"])
    trees = naive_iforest.forest(X, 5, 64, 0)
    on_points = np.array([row for tree in trees for row in split_points(tree, 3)])
    state = iforest.fit(X, IforestParams(n_trees=5, max_samples=64), 0)
    expected = naive_iforest.scores_and_saved(trees, on_points)[0]
    np.testing.assert_allclose(iforest.score(state, on_points, flags(len(on_points), False)), expected, rtol=1e-12)


def test_forest_contributions_sum_to_the_splits_saved() -> None:
    X = random_rows(3, 400, 5, ["gaussian", "skewed", "gaps"])
    state = iforest.fit(X, IforestParams(), 1)
    baseline = naive_iforest.expected_path(256)
    mean_path = -np.log2(iforest.score(state, X, flags(400, True))) * baseline
    assert iforest.explain is not None
    np.testing.assert_allclose(iforest.explain(state, X).sum(axis=1), baseline - mean_path, rtol=1e-9, atol=1e-9)


def test_forest_names_the_planted_column() -> None:
    assert iforest.explain is not None
    named = 0
    for trial in range(100):
        rng = np.random.default_rng(trial)
        X = rng.normal(size=(500, 10))
        X[7, trial % 10] = 8.0 if trial % 2 else -8.0
        named += int(np.argmax(iforest.explain(iforest.fit(X, IforestParams(), trial), X[7:8])[0]) == trial % 10)
    assert named >= 95


def test_forest_keeps_the_precision_of_large_offsets() -> None:
    rng = np.random.default_rng(0)
    noise = np.round(rng.normal(size=(1000, 3)) * 1024.0) / 1024.0  # exact beside the offset
    noise[0] = 9.0
    plain, offset = (
        iforest.score(iforest.fit(X, IforestParams(), 0), X, flags(1000, True)) for X in (noise, noise + 1.7e9)
    )
    assert plain.argmax() == offset.argmax() == 0
    np.testing.assert_allclose(plain, offset, atol=1e-3)


def test_forest_finds_equal_rows_ordinary() -> None:
    X = np.full((50, 3), 4.0)
    scores = iforest.score(iforest.fit(X, IforestParams(), 0), X, flags(50, True))
    np.testing.assert_allclose(scores, 0.5, rtol=1e-12)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 99), d=st.integers(1, 6), kinds=KINDS, max_samples=st.integers(2, 256))
def test_forest_scores_equally_with_and_without_a_plan(seed: int, d: int, kinds: list[str], max_samples: int) -> None:
    X, new = random_rows(seed, 2_100, d, kinds), random_rows(seed, 700, d, ["gaps", "tied", "gaussian", "skewed"])
    state = iforest.fit(X, IforestParams(max_samples=max_samples, n_trees=30), seed)
    walked = structs.replace(state, **trees.NO_PLAN._asdict())
    assert len(state.plan.first_leaf) == 31
    for Y in (X, new, new * 1e300, X - 5e-324):
        own = flags(len(Y), False)
        np.testing.assert_array_equal(iforest.score(state, Y, own), iforest.score(walked, Y, own))


def test_forest_plan_is_exact_beside_the_split_points() -> None:
    """More thresholds in one column than a lane holds; rows on each of them and on the nearest numbers."""
    X = random_rows(2, 3_000, 1, ["offset"])
    state = iforest.fit(X, IforestParams(), 0)
    assert len(state.threshold) > 5 * trees.LANE
    rows = np.concatenate([np.nextafter(state.threshold, to) for to in (-np.inf, np.inf)] + [state.threshold])[:, None]
    walked = structs.replace(state, **trees.NO_PLAN._asdict())
    own = flags(len(rows), False)
    np.testing.assert_array_equal(iforest.score(state, rows, own), iforest.score(walked, rows, own))


def test_forest_of_large_trees_is_walked() -> None:
    X = np.random.default_rng(4).random((2_500, 3))
    X[::7, 1] = np.nan
    state = iforest.fit(X, IforestParams(n_trees=3, max_samples=2_000), 0)
    assert len(state.plan.first_leaf) == 1
    expected = naive_iforest.scores_and_saved(naive_iforest.forest(X, 3, 2_000, 0), X)[0]
    np.testing.assert_allclose(iforest.score(state, X, flags(len(X), True)), expected, rtol=1e-12)


def test_forest_scores_equally_on_several_threads() -> None:
    X = random_rows(6, 20_000, 4, ["gaussian", "gaps"])
    state = iforest.fit(X, IforestParams(), 0)
    alone = iforest.score(state, X, flags(len(X), True))
    with workers.working(3, workers.never()):
        np.testing.assert_array_equal(iforest.score(state, X, flags(len(X), True)), alone)


# Neighbours


@FEW
@given(
    X=st.one_of(ROWS, LARGE),
    k=st.integers(1, 12),
    method=st.sampled_from(["largest", "mean", "median"]),
    seed=st.integers(0, 99),
)
def test_knn_equals_its_twin(X: Floats, k: int, method: Literal["largest", "mean", "median"], seed: int) -> None:
    k = min(k, len(X) - 1)
    new = random_rows(seed, 20, X.shape[1], ["gaussian", "gaps", "tied"])
    state = knn.fit(X, KnnParams(n_neighbors=k, method=method), 0)
    Z, Z_new = standardised(X, new)
    own = naive_knn.scores(Z, Z, flags(len(X), True), k, method)
    expect_scores(knn.score(state, X, flags(len(X), True)), X, own, 1e-12)
    for Y, Z_Y in ((X, Z), (new, Z_new)):
        expected = naive_knn.scores(Z, Z_Y, flags(len(Y), False), k, method)
        expect_scores(knn.score(state, Y, flags(len(Y), False)), Y, expected, 1e-12)
    assert knn.explain is not None
    known = ~np.isnan(X).all(axis=1)
    contributions = naive_knn.contributions(Z, Z, k, own)
    np.testing.assert_allclose(knn.explain(state, X)[known], contributions[known], rtol=1e-9, atol=1e-12)


@FEW
@given(X=ROWS, k=st.integers(1, 25), seed=st.integers(0, 99))
def test_lof_equals_its_twin(X: Floats, k: int, seed: int) -> None:
    k = min(k, len(X) - 1)
    new = random_rows(seed, 20, X.shape[1], ["gaussian", "gaps", "tied"])
    state = lof.fit(X, LofParams(n_neighbors=k), 0)
    Z, Z_new = standardised(X, new)
    for Y, Z_Y, own in ((X, Z, True), (X, Z, False), (new, Z_new, False)):
        expected = naive_lof.scores(Z, Z_Y, flags(len(Y), own), k)
        expect_scores(lof.score(state, Y, flags(len(Y), own)), Y, expected, 1e-9)


@FEW
@given(X=ROWS)
def test_standardising_equals_its_twin(X: Floats) -> None:
    found, expected = standardised(X)[0], naive_knn.standardise(X, X)
    for j in range(X.shape[1]):
        known = X[~np.isnan(X[:, j]), j]
        spread = known.std() if len(known) and known.min() < known.max() else 1.0
        # A mean near 1.7e9 has a last bit, and a narrow column magnifies it.
        last_bit = float(np.spacing(np.abs(known).max())) / spread if len(known) else 0.0
        np.testing.assert_allclose(found[:, j], expected[:, j], rtol=1e-6, atol=1e-6 + 4.0 * last_bit)


@pytest.mark.parametrize("d", [1, 10, 37, 150])
def test_neighbors_are_exact_in_few_and_many_columns(d: int) -> None:
    rng = np.random.default_rng(d)
    Z, Q = rng.normal(size=(1500, d)), rng.normal(size=(30, d))
    squares, slots = nearest(tree := build_tree(Z), Q, flags(30, False), 7)
    for i, q in enumerate(Q):
        expected, at = naive_knn.neighbors(Z, q, False, 7)
        np.testing.assert_array_equal(squares[i], expected)
        np.testing.assert_array_equal(tree.rows[slots[i]], Z[at])


def clustered(width: float) -> Floats:
    """Rows close together at the corners of a cube: their differences are lost in single precision."""
    rng = np.random.default_rng(4)
    return rng.integers(0, 2, size=(900, 3)) * 1.0 + width * rng.normal(size=(900, 3))


@pytest.mark.parametrize("far", [0.0, 1e5, 1e9, 1e30, 1e140])
@pytest.mark.parametrize("width", [1e-3, 1e-9, 1e-15, 0.0])
def test_neighbors_are_exact_where_single_precision_is_not(width: float, far: float) -> None:
    Z = clustered(width)
    Q = Z[::30] + far * np.random.default_rng(5).normal(size=(30, 3))
    squares, slots = nearest(tree := build_tree(Z), Q, flags(30, False), 7)
    for i, q in enumerate(Q):
        expected, at = naive_knn.neighbors(Z, q, False, 7)
        np.testing.assert_array_equal(squares[i], expected)
        np.testing.assert_array_equal(tree.rows[slots[i]], Z[at])


@pytest.mark.parametrize("scale", [1e-12, 1e-19, 1e-30, 1e-170, 5e-324])
def test_neighbors_are_exact_among_tiny_differences(scale: float) -> None:
    Z = np.asarray(np.random.default_rng(6).integers(-9, 9, size=(400, 2)) * scale, np.float64)
    squares, slots = nearest(tree := build_tree(Z), Z[:20], flags(20, True), 5)
    for i, q in enumerate(Z[:20]):
        expected, at = naive_knn.neighbors(Z, q, True, 5)
        np.testing.assert_array_equal(squares[i], expected)
        if scale > 1e-150:  # below, squares are 0, and the first of the rows at distance 0 is taken for the row itself
            np.testing.assert_array_equal(tree.rows[slots[i]], Z[at])


def test_neighbors_are_the_same_on_two_threads() -> None:
    Z = np.random.default_rng(7).normal(size=(6000, 5))
    alone = nearest(tree := build_tree(Z), Z, flags(6000, True), 5)
    with workers.working(2, workers.never()):
        together = nearest(tree, Z, flags(6000, True), 5)
    np.testing.assert_array_equal(alone[0], together[0])
    np.testing.assert_array_equal(alone[1], together[1])


def test_every_fitted_row_is_found_and_no_other() -> None:
    Z = clustered(1e-9)
    slots = find(tree := build_tree(Z), Z)
    np.testing.assert_array_equal(tree.rows[slots], Z)
    assert tree.copies[slots].min() > 0
    np.testing.assert_array_equal(find(tree, Z + np.spacing(Z)), -1)


@pytest.mark.parametrize("seed", range(5))
def test_ties_go_to_the_lexicographically_smaller_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    Z, Q = (rng.integers(0, 7, size=(n, 3)).astype(np.float64) for n in (600, 50))
    _, slots = nearest(tree := build_tree(Z), Q, flags(50, False), 6)
    for i, q in enumerate(Q):
        np.testing.assert_array_equal(tree.rows[slots[i]], Z[naive_knn.neighbors(Z, q, False, 6)[1]])


def test_copies_count_as_neighbors() -> None:
    X = np.repeat([[0.0, 1.0], [2.0, 3.0], [9.0, 9.0]], [40_000, 40_000, 3], axis=0)
    scores = knn.score(knn.fit(X, KnnParams(), 0), X, flags(len(X), True))
    np.testing.assert_array_equal(scores[:80_000], 0.0)
    assert scores[80_000:].min() > 1.0  # each has only two copies beside it


def test_an_own_row_leaves_out_one_copy_of_itself() -> None:
    X = np.array([[0.0], [0.0], [1.0], [3.0], [7.0]])
    state = knn.fit(X, KnnParams(n_neighbors=2), 0)
    spread = X.std()
    np.testing.assert_allclose(knn.score(state, X[:1], flags(1, True)), 1.0 / spread)
    np.testing.assert_allclose(knn.score(state, X[:1], flags(1, False)), 0.0)


def test_a_flat_column_counts_where_a_new_row_differs() -> None:
    X = np.column_stack([np.arange(20.0), np.full(20, 0.1)])
    alone = knn.fit(np.ascontiguousarray(X[:, :1]), KnnParams(), 0)
    both = knn.fit(X, KnnParams(), 0)
    own = flags(20, True)
    np.testing.assert_array_equal(knn.score(both, X, own), knn.score(alone, np.ascontiguousarray(X[:, :1]), own))
    same, moved = knn.score(both, np.array([[5.0, 0.1], [5.0, 50.1]]), flags(2, False))
    assert moved > 49.0 > same


@pytest.mark.parametrize(("offset", "unit"), [(1e15, 1.0), (4e15, 1.0), (-1e15, 1.0), (0.0, 1e-310), (0.0, 1e300)])
@pytest.mark.parametrize("reach", [2, 10, 1000])
def test_distances_keep_their_precision_far_from_zero_and_near_it(offset: float, unit: float, reach: int) -> None:
    """Differences of whole numbers of a unit are exact: so must be the spread that they are divided by."""
    whole = np.random.default_rng(0).integers(0, reach, size=(400, 2)).astype(np.float64)
    X = np.asarray(offset + whole * unit, np.float64)
    found = knn.score(knn.fit(X, KnnParams(), 0), X, flags(400, True))
    plain = knn.score(knn.fit(whole, KnnParams(), 0), whole, flags(400, True))
    np.testing.assert_allclose(found, plain, rtol=1e-9)
    np.testing.assert_allclose(nb.column_scales(X)[1], [spread * unit for spread in whole.std(axis=0)], rtol=1e-9)


def test_a_gap_takes_the_mean() -> None:
    X = random_rows(5, 80, 2, ["gaussian"])
    state = knn.fit(X, KnnParams(), 0)
    filled = np.array([[0.3, X[:, 1].mean()]])
    np.testing.assert_allclose(
        knn.score(state, np.array([[0.3, np.nan]]), flags(1, False)), knn.score(state, filled, flags(1, False))
    )


@pytest.mark.parametrize("method", ["largest", "mean", "median"])
def test_knn_equals_pyod(method: Literal["largest", "mean", "median"]) -> None:
    from pyod.models.knn import KNN

    X = np.random.default_rng(0).normal(size=(700, 6))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    scores = knn.score(knn.fit(X, KnnParams(method=method), 0), X, flags(700, True))
    np.testing.assert_allclose(scores, KNN(n_neighbors=5, method=method).fit(X).decision_scores_, atol=1e-6)


def test_lof_equals_sklearn() -> None:
    from sklearn.neighbors import LocalOutlierFactor

    rng = np.random.default_rng(1)
    X, new = rng.normal(size=(900, 4)) * [1.0, 20.0, 0.01, 5.0], rng.normal(size=(50, 4))
    state = lof.fit(X, LofParams(), 0)
    Z, Z_new = (X - X.mean(axis=0)) / X.std(axis=0), (new - X.mean(axis=0)) / X.std(axis=0)
    peer = LocalOutlierFactor(n_neighbors=20).fit(Z)
    np.testing.assert_allclose(lof.score(state, X, flags(900, True)), -peer.negative_outlier_factor_, rtol=1e-5)
    novelty = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(Z)
    np.testing.assert_allclose(lof.score(state, new, flags(50, False)), -novelty.score_samples(Z_new), rtol=1e-5)


@pytest.mark.parametrize(("found", "params"), EVERY[1:], ids=["knn", "lof"])
def test_neighbor_contributions_sum_to_the_score(found: Any, params: Any) -> None:
    X = random_rows(9, 300, 4, ["gaussian", "skewed", "tied"])
    state = found.fit(X, params, 0)
    X[0, 1] += 1000.0
    contributions = found.explain(state, X[:1])
    np.testing.assert_allclose(contributions.sum(), found.score(state, X[:1], flags(1, False))[0], rtol=1e-12)
    assert contributions[0].argmax() == 1


# All three


def scored(found: Any, state: State, X: Floats, own: nb.Flags, size: int) -> Floats:
    return np.concatenate([found.score(state, X[i : i + size], own[i : i + size]) for i in range(0, len(X), size)])


@every_algorithm
def test_a_score_does_not_depend_on_its_batch(found: Any, params: Any) -> None:
    X = random_rows(11, 500, 5, ["gaussian", "tied", "gaps", "skewed"])
    own = np.arange(500) % 3 > 0
    state = found.fit(X, params, 0)
    whole = found.score(state, X, own)
    for size in (1, 7, 130):
        np.testing.assert_array_equal(scored(found, state, X, own, size), whole)


@every_algorithm
def test_a_row_of_gaps_gets_no_opinion(found: Any, params: Any) -> None:
    X = random_rows(12, 100, 3, ["gaps", "gaussian"])
    X[4] = np.nan
    scores = found.score(found.fit(X, params, 0), X, flags(100, True))
    np.testing.assert_array_equal(np.isnan(scores), np.arange(100) == 4)


@every_algorithm
def test_extreme_values_get_finite_scores(found: Any, params: Any) -> None:
    rng = np.random.default_rng(13)
    X = rng.normal(size=(60, 5)) * [1e300, 5e-324, 1e-310, 1.0, 1.0] + [0.0, 0.0, 0.0, 1.7e9, 0.0]
    X[:2, 0] = 1.7e308, -1.7e308
    X[:, 4] = 3.0
    new = np.array([[1.7e308, 1e308, -1e308, 1e308, 1e308], [0.0, 0.0, 0.0, 0.0, 0.0]])
    before = X.copy()
    state = found.fit(X, params, 0)
    for Y, own in ((X, True), (X, False), (new, False)):
        assert np.isfinite(found.score(state, Y, flags(len(Y), own))).all()
        assert np.isfinite(found.explain(state, Y)).all()
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("found", "params"),
    [(iforest, IforestParams(max_samples=5)), (knn, KnnParams(n_neighbors=4)), (lof, LofParams(n_neighbors=4))],
    ids=["iforest", "knn", "lof"],
)
def test_too_large_defaults_are_lowered_to_the_rows(found: Any, params: Any) -> None:
    X = np.array([[0.0, 2.0], [0.1, 2.5], [0.2, 2.0], [0.3, 1.5], [50.0, 2.0]])
    default, lowered = (
        found.score(found.fit(X, given_params, 0), X, flags(5, True)) for given_params in (type(params)(), params)
    )
    np.testing.assert_array_equal(default, lowered)
