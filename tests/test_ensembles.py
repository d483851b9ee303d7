"""Combined scores are those of the literature and of PyOD's `combination`; baggings fit what they say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pynomaly import combination, ensembles, registry
from pynomaly.algorithm import Floats

NAMES = ("ecod", "hbos", "iforest", "knn", "mad", "pca")
N = 300


def table(seed: int = 0) -> Floats:
    X = np.random.default_rng(seed).normal(size=(N, 4))
    X[:3, 2] += 9.0
    return X


def own_scores(name: str, X: Floats, **given: object) -> Floats:
    found = registry.get(name)
    params, _ = registry.parse_parameters(found, given)
    return found.score(found.fit(X, params, 0), X, np.ones(len(X), np.bool_))


def combined_scores(rule: str, X: Floats, **given: object) -> Floats:
    found = registry.resolve(NAMES, rule)
    params, _ = registry.parse_parameters(found, given)
    return found.score(found.fit(X, params, 0), X, np.ones(len(X), np.bool_))


def standardised(X: Floats) -> Floats:
    """What PyOD's `standardizer` makes of the scores of each algorithm."""
    scores = np.column_stack([own_scores(name, X) for name in NAMES])
    return np.asarray((scores - scores.mean(axis=0)) / scores.std(axis=0))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("rule", "theirs", "arguments"),
    [
        ("mean", "average", {}),
        ("max", "maximization", {}),
        ("median", "median", {}),
        ("aom", "aom", {"n_buckets": 3, "random_state": 0}),
        ("moa", "moa", {"n_buckets": 3, "random_state": 0}),
        ("aom", "aom", {"n_buckets": 2, "random_state": 0}),
    ],
)
def test_equal_to_pyods_combination(rule: str, theirs: str, arguments: dict[str, Any]) -> None:
    combination = pytest.importorskip("pyod.models.combination", exc_type=ImportError)
    X = table()
    given = {"n_buckets": arguments["n_buckets"]} if arguments else {}
    expected = getattr(combination, theirs)(standardised(X), **arguments)
    np.testing.assert_allclose(combined_scores(rule, X, **given), expected, rtol=1e-9, atol=1e-12)


def test_rank_is_the_mean_rank() -> None:
    X = table()
    ranks = []
    for name in NAMES:
        scores = own_scores(name, X)
        ranks.append([((scores < s).sum() + (scores <= s).sum()) / 2.0 / N for s in scores])
    np.testing.assert_allclose(combined_scores("rank", X), np.mean(ranks, axis=0), rtol=1e-12)


def test_vote_is_the_share_of_algorithms_that_flag() -> None:
    from pynomaly.cutoffs import estimated_threshold

    X = table()
    scores = [own_scores(name, X) for name in NAMES]
    votes = np.mean([s > estimated_threshold(s) for s in scores], axis=0)
    np.testing.assert_allclose(combined_scores("vote", X), votes, rtol=1e-12)


def test_tail_is_the_mean_of_log_tail_probabilities() -> None:
    X = table()
    parts = []
    for name in NAMES:
        scores = own_scores(name, X)
        parts.append([-np.log((scores >= s).sum() / (N + 1.0)) for s in scores])
    np.testing.assert_allclose(combined_scores("tail", X), np.mean(parts, axis=0), rtol=1e-12)


def test_a_tail_goes_on_beyond_the_training_scores() -> None:
    scale = combination.scale_of(np.arange(100.0))
    far = combination.tail(scale, np.array([99.0, 100.0, 200.0, 1e9]))
    assert (np.diff(far) > 0.0).all()
    assert far[0] == np.log(101.0)


@pytest.mark.parametrize("rule", sorted(combination.RULES))
def test_a_new_row_alone_has_the_score_that_it_has_among_others(rule: str) -> None:
    found, X, new = registry.resolve(NAMES, rule), table(), table(1)
    state = found.fit(X, found.params(), 0)
    together = found.score(state, new, np.zeros(N, np.bool_))
    alone = [found.score(state, new[i : i + 1], np.zeros(1, np.bool_))[0] for i in range(20)]
    assert together[:20].tolist() == alone


@pytest.mark.parametrize("rule", sorted(combination.RULES))
def test_the_deciding_column_is_named(rule: str) -> None:
    found, X = registry.resolve(NAMES, rule), table()
    assert found.explain is not None
    contributions = found.explain(found.fit(X, found.params(), 0), X)
    assert contributions[:3].argmax(axis=1).tolist() == [2, 2, 2]


def test_a_member_without_an_opinion_is_left_out() -> None:
    parts = [np.array([1.0, np.nan, 5.0]), np.array([3.0, np.nan, np.nan]), np.array([8.0, np.nan, 7.0])]
    for reduce, expected in ((combination.mean_of, [4.0, 6.0]), (combination.max_of, [8.0, 7.0])):
        assert _without_nan(reduce, parts) == expected
    assert _without_nan(combination.median_of, parts) == [3.0, 6.0]


def _without_nan(reduce: Callable[..., Floats], parts: list[Floats]) -> list[float]:
    found = reduce(parts)
    assert np.isnan(found[1])
    return [float(found[0]), float(found[2])]


def test_feature_bagging_with_one_full_view_is_its_base() -> None:
    """In one column every subset is that column."""
    X = table()[:, 2:3]
    bagged = own_scores("feature_bagging", X, base="knn", n_estimators=3)
    base = own_scores("knn", X)
    np.testing.assert_allclose(bagged, (base - base.mean()) / base.std(), rtol=1e-9)


def test_rotations_are_orthonormal_and_low_dimensional() -> None:
    columns, axes, rows = ensembles._random_axes(np.random.default_rng(0), 100, 16)
    assert (columns.tolist(), rows) == (list(range(16)), None)
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-12)


def test_a_subsample_does_not_count_a_row_as_its_own_neighbour() -> None:
    X = table()
    state = registry.get("variable_subsampling").fit(X, registry.get("variable_subsampling").params(), 3)
    assert isinstance(state, ensembles.EnsembleState)
    sizes = {len(member.hashes) for member in state.members}
    assert len(sizes) > 5
    assert min(sizes) >= ensembles.FEWEST_DRAWN
    assert max(sizes) <= N
