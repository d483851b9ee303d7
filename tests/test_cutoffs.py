"""Thresholds: what is flagged when nothing is said, by each rule, and when a share is given."""

import math
import time

import numpy as np
import pytest
from benchmarks.thresholds import FAMILIES, training_scores
from hypothesis import given, settings
from hypothesis import strategies as st

from pynomaly import cutoffs
from pynomaly.algorithm import Floats
from pynomaly.cutoffs import DEFAULT_RULE, RULES, estimated_threshold, threshold_for_share

RNG = np.random.default_rng(0)
CLEAN = {
    "Gaussian": RNG.normal(size=20_000),
    "uniform": RNG.random(20_000),
    "exponential": RNG.exponential(size=20_000),
    "counts": RNG.poisson(3.0, 20_000).astype(float),
}
MOSTLY_ZERO = np.where(RNG.random(20_000) < 0.9, 0.0, RNG.random(20_000))
RULE_NAMES = sorted(RULES)
some_scores = st.lists(st.integers(-40, 40).map(lambda i: i / 4.0), min_size=5, max_size=60).map(np.array)


@pytest.mark.parametrize("scores", CLEAN.values(), ids=CLEAN)
def test_clean_scores_are_hardly_flagged(scores: Floats) -> None:
    assert np.mean(scores > estimated_threshold(scores)) < 0.015


@pytest.mark.parametrize("scores", [*CLEAN.values(), MOSTLY_ZERO], ids=[*CLEAN, "mostly zero"])
def test_far_scores_are_flagged(scores: Floats) -> None:
    scores = np.concatenate([scores, np.full(600, 50.0), [np.nan]])
    assert estimated_threshold(scores) < 50.0


def test_the_tail_of_mostly_equal_scores_is_measured_further_out() -> None:
    """Nine tenths are one value: a quarter of the others, the farthest, are flagged at most."""
    assert np.mean(estimated_threshold(MOSTLY_ZERO) < MOSTLY_ZERO) < 0.025


@pytest.mark.parametrize("rule", [DEFAULT_RULE, "exponential"])
def test_ties_never_flag_more_than_the_most(rule: str) -> None:
    for n_values in range(1, 12):
        scores = np.arange(500) % n_values / 7.0
        assert np.mean(scores > estimated_threshold(scores, rule)) <= 0.1


def test_a_share_is_a_quantile() -> None:
    scores = np.array([3.0, 1.0, np.nan, 2.0, 4.0, 5.0])
    assert threshold_for_share(scores, 0.25) == np.quantile([1.0, 2.0, 3.0, 4.0, 5.0], 0.75)


@pytest.mark.parametrize("family", FAMILIES)
def test_clean_data_are_hardly_flagged_under_any_algorithm(family: str) -> None:
    """Under 1 % on average over laws, sizes and algorithms."""
    shares = []
    for law in FAMILIES[family].values():
        for n, d in ((200, 3), (1_000, 1), (1_000, 10), (3_000, 3)):
            X = law(np.random.default_rng([n, d]), (n, d))
            for name in ("iforest", "knn", "lof", "ecod", "hbos", "mad", "pca"):
                scores = training_scores(name, X)
                shares.append(np.mean(scores > estimated_threshold(scores)))
    assert np.mean(shares) < 0.01


@pytest.mark.parametrize("share", [0.01, 0.05])
@pytest.mark.parametrize("name", ["iforest", "knn"])
def test_far_rows_are_flagged(name: str, share: float) -> None:
    """Rows eight standard deviations out, in directions of their own; hardly any of the others."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(1_000, 4))
        far = rng.normal(size=(round(1_000 * share), 4))
        X[: len(far)] = 8.0 * far / np.linalg.norm(far, axis=1, keepdims=True)
        scores = training_scores(name, X, seed)
        flagged = scores > estimated_threshold(scores)
        assert flagged[: len(far)].mean() >= 0.9
        assert flagged[len(far) :].mean() < 0.01


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_every_rule_is_described(rule: str) -> None:
    listed = RULES[rule]
    assert listed.name == rule
    assert 20 < len(listed.summary) < 120
    assert listed.reference[-4:].isdigit()


@pytest.mark.parametrize("rule", RULE_NAMES)
@given(scores=some_scores, scale=st.sampled_from([2.0**-30, 0.5, 4.0, 2.0**40]), shift=st.integers(-100, 100))
@settings(max_examples=60, deadline=None)
def test_thresholds_of_tied_scores_move_with_them(rule: str, scores: Floats, scale: float, shift: int) -> None:
    """Scales and shifts that round nothing, as a tie that rounding breaks may move a cut."""
    at = estimated_threshold(scores, rule)
    spread = float(np.ptp(scores))
    moved = estimated_threshold(scale * (scores + shift), rule)
    assert moved == pytest.approx(scale * (at + shift), rel=1e-9, abs=1e-9 * scale * spread)


@pytest.mark.parametrize("rule", RULE_NAMES)
@given(
    seed=st.integers(0, 1_000),
    n=st.integers(5, 400),
    scale=st.floats(1e-6, 1e6),
    shift=st.floats(-1e3, 1e3),
)
@settings(max_examples=60, deadline=None)
def test_thresholds_move_with_the_scores(rule: str, seed: int, n: int, scale: float, shift: float) -> None:
    scores = np.random.default_rng(seed).standard_t(3, n)
    at = estimated_threshold(scores, rule)
    moved = estimated_threshold(scale * (scores + shift), rule)
    assert moved == pytest.approx(scale * (at + shift), rel=1e-5, abs=1e-5 * scale * float(np.ptp(scores)))


@pytest.mark.parametrize("rule", RULE_NAMES)
@given(scores=some_scores)
@settings(max_examples=60, deadline=None)
def test_order_and_gaps_do_not_matter(rule: str, scores: Floats) -> None:
    threshold = estimated_threshold(scores, rule)
    assert math.isfinite(threshold)
    shuffled = np.concatenate([[np.nan], np.random.default_rng(0).permutation(scores), [np.nan]])
    assert estimated_threshold(shuffled, rule) == threshold


@pytest.mark.parametrize("rule", RULE_NAMES)
@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e300])
def test_equal_scores_are_not_flagged(rule: str, value: float) -> None:
    assert estimated_threshold(np.full(50, value), rule) == value


@pytest.mark.parametrize("rule", RULE_NAMES)
@pytest.mark.parametrize("body", [RNG.normal(size=300), RNG.integers(0, 3, 300) * 1.0, np.zeros(300)])
def test_extreme_scores_neither_warn_nor_overflow(rule: str, body: Floats) -> None:
    for far in ([1e300], [-1e300, 1e300], [1e300] * 100, [1e-300], [5e-324]):
        assert math.isfinite(estimated_threshold(np.concatenate([body, far]), rule))
        assert math.isfinite(estimated_threshold(np.concatenate([1e300 * np.tanh(body), far]), rule))


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_five_scores(rule: str) -> None:
    assert math.isfinite(estimated_threshold(np.array([1.0, 2.0, 3.0, 4.0, 100.0]), rule))
    assert math.isfinite(estimated_threshold(np.array([1.0]), rule))
    assert math.isfinite(estimated_threshold(np.array([1.0, 2.0]), rule))


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_a_rule_is_fast(rule: str) -> None:
    """262,144 scores: the bound is several times the 5 to 30 ms that it takes, as the machine may be busy."""
    scores = RNG.gamma(2.0, size=262_144)
    estimated_threshold(scores[:1_000], rule)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        estimated_threshold(scores, rule)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.15


def test_the_body_of_a_pareto_law_gives_its_quantile() -> None:
    shares = 1.0 - (np.arange(5_000) + 0.5) / 5_000
    for shape in (-0.14, 0.01, 0.51, 1.01):
        scores = 7.0 + 3.0 * (shares**-shape - 1.0) / shape
        exact = 7.0 + 3.0 * (cutoffs.FAR_SHARE**-shape - 1.0) / shape
        floor = scores.mean() + cutoffs.NEAR * scores.std()
        assert estimated_threshold(scores) == pytest.approx(max(exact, floor), rel=0.01)


def test_far_scores_do_not_move_the_body() -> None:
    """One of ten rows anomalous: how far out is all the same."""
    body = np.random.default_rng(3).normal(size=900)
    near, far = (estimated_threshold(np.concatenate([body, np.full(40, at)])) for at in (20.0, 30.0))
    assert near == pytest.approx(far, rel=0.35)
    assert near < 20.0


def test_no_rows_but_the_far_seventh_can_be_flagged() -> None:
    """Cantelli's inequality: 1 / (1 + 2.5²) of the rows lie higher than 2.5 standard deviations at most."""
    for seed in range(20):
        scores = np.random.default_rng(seed).pareto(0.1 + seed / 10.0, 500)
        assert np.mean(scores > estimated_threshold(scores)) <= 1.0 / (1.0 + cutoffs.NEAR**2)


def test_the_fence_of_the_boxplot() -> None:
    scores = np.arange(1.0, 102.0)
    assert estimated_threshold(scores, "iqr") == pytest.approx(76.0 + 1.5 * 50.0)


def test_the_median_absolute_deviation() -> None:
    scores = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    assert estimated_threshold(scores, "mad") == pytest.approx(3.0 + 3.5 * 1.4826)
    mostly_equal = np.array([2.0] * 8 + [3.0, 12.0])
    assert estimated_threshold(mostly_equal, "mad") == pytest.approx(2.0 + 3.5 * math.sqrt(math.pi / 2.0) * 1.1)


def test_three_standard_deviations() -> None:
    scores = CLEAN["Gaussian"]
    assert estimated_threshold(scores, "zscore") == pytest.approx(scores.mean() + 3.0 * scores.std())


def test_chauvenet_counts_the_room_that_is_filled() -> None:
    """Eight values, evenly taken, fill eight of the bins: half of one of eight rows is expected beyond."""
    scores = np.repeat(np.arange(8.0), 64)
    from scipy.stats import norm

    expected = scores.mean() + norm.isf(1.0 / 16.0) * scores.std()
    assert estimated_threshold(scores, "chauvenet") == pytest.approx(expected)


def naive_esd(scores: Floats) -> float:
    """Rosner's test, one row removed at a time."""
    from scipy.stats import t

    left = list(np.sort(scores))
    threshold = left[-1]
    for _ in range(max(len(scores) // 10, 1)):
        n = len(left)
        deviate = (left[-1] - np.mean(left)) / np.std(left, ddof=1)
        quantile = t.isf(0.05 / n, n - 2)
        left.pop()
        if deviate > (n - 1) * quantile / math.sqrt((n - 2 + quantile**2) * n):
            threshold = left[-1]
    return float(threshold)


@pytest.mark.parametrize("n", [5, 6, 8, 12, 40, 300])
def test_extreme_studentised_deviates_equal_the_naive_test(n: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng([seed, n])
        scores = np.concatenate([rng.normal(size=n - n // 15 - 1), rng.normal(6.0, 3.0, size=n // 15 + 1)])
        assert estimated_threshold(scores, "esd") == pytest.approx(naive_esd(scores), rel=1e-12)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 7, 20, 100, 10_000, 200_000])
def test_the_student_quantile(freedom: int) -> None:
    from scipy.stats import t

    for share in (0.02, 1e-3, 1e-5, 2e-7):
        assert cutoffs._student_quantile(share, freedom) == pytest.approx(t.isf(share, freedom), rel=2e-3)


def test_the_tail_of_a_pareto_law_is_found() -> None:
    """The 99.9 % quantile of laws whose tail is a generalised Pareto law."""
    rng = np.random.default_rng(1)
    assert estimated_threshold(rng.exponential(size=200_000), "tail") == pytest.approx(math.log(1e3), rel=0.05)
    assert estimated_threshold(rng.pareto(4.0, 200_000), "tail") == pytest.approx(1e3**0.25 - 1.0, rel=0.05)
    assert estimated_threshold(rng.random(200_000), "tail") == pytest.approx(0.999, rel=0.001)


def test_the_mixture_cuts_where_its_laws_cross() -> None:
    rng = np.random.default_rng(2)
    scores = np.concatenate([rng.normal(0.0, 1.0, 19_000), rng.normal(8.0, 1.0, 1_000)])
    assert estimated_threshold(scores, "mixture") == pytest.approx(4.0 + math.log(19.0) / 8.0, abs=0.1)


def test_the_mixture_equals_the_library() -> None:
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(4)
    scores = np.concatenate([rng.normal(0.0, 1.0, 900), rng.normal(5.0, 2.0, 100)])
    law = GaussianMixture(2, tol=1e-9, max_iter=2_000, random_state=0, means_init=[[0.0], [5.0]]).fit(scores[:, None])
    upper = int(np.argmax(law.means_[:, 0]))
    grid = np.linspace(0.0, 5.0, 50_001)
    crossing = grid[np.argmax(law.predict_proba(grid[:, None])[:, upper] > 0.5)]
    assert estimated_threshold(scores, "mixture") == pytest.approx(crossing, abs=0.05)


def test_one_normal_law_is_no_mixture() -> None:
    from scipy.stats import norm

    scores = norm.ppf((np.arange(2_000) + 0.5) / 2_000)
    assert not np.any(scores > estimated_threshold(scores, "mixture"))


@given(scores=some_scores)
@settings(max_examples=60, deadline=None)
def test_the_knee_equals_the_naive_search(scores: Floats) -> None:
    ordered = sorted(scores)
    low, high, last = ordered[0], ordered[-1], len(ordered) - 1
    if low == high:
        return
    gaps = [i / last - (value - low) / (high - low) for i, value in enumerate(ordered)]
    found = estimated_threshold(scores, "knee")
    assert gaps[max(i for i, value in enumerate(ordered) if value == found)] == pytest.approx(max(gaps))


@given(scores=some_scores)
@settings(max_examples=60, deadline=None)
def test_two_classes_equal_the_naive_search(scores: Floats) -> None:
    values = np.unique(scores)
    if len(values) == 1:
        return

    def between(cut: float) -> float:
        low, high = scores[scores <= cut], scores[scores > cut]
        return float(len(low) * len(high) * (high.mean() - low.mean()) ** 2)

    found = estimated_threshold(scores, "otsu")
    assert found in values
    assert between(found) == pytest.approx(max(between(cut) for cut in values[:-1]))


def test_the_exponential_tail() -> None:
    scores = -np.log(1.0 - (np.arange(10_000) + 0.5) / 10_000)
    assert estimated_threshold(scores, "exponential") == pytest.approx(math.log(100.0), rel=1e-3)
