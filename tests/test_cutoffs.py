"""Thresholds: what is flagged when nothing is said, and when a share is."""

import numpy as np
import pytest

from pynomaly.algorithm import Floats
from pynomaly.cutoffs import estimated_threshold, threshold_for_share

RNG = np.random.default_rng(0)
CLEAN = {
    "Gaussian": RNG.normal(size=20_000),
    "uniform": RNG.random(20_000),
    "exponential": RNG.exponential(size=20_000),
    "counts": RNG.poisson(3.0, 20_000).astype(float),
}
MOSTLY_ZERO = np.where(RNG.random(20_000) < 0.9, 0.0, RNG.random(20_000))


@pytest.mark.parametrize("scores", CLEAN.values(), ids=CLEAN)
def test_clean_scores_are_hardly_flagged(scores: Floats) -> None:
    assert np.mean(scores > estimated_threshold(scores)) < 0.015


@pytest.mark.parametrize("scores", [*CLEAN.values(), MOSTLY_ZERO], ids=[*CLEAN, "mostly zero"])
def test_far_scores_are_flagged(scores: Floats) -> None:
    scores = np.concatenate([scores, np.full(600, 50.0), [np.nan]])
    assert estimated_threshold(scores) < 50.0


def test_the_tail_of_mostly_equal_scores_is_measured_further_out() -> None:
    """The median and the quartile are one value: a fifth of the others, the farthest, are flagged, and no more."""
    assert np.mean(estimated_threshold(MOSTLY_ZERO) < MOSTLY_ZERO) < 0.025


def test_ties_never_flag_more_than_the_most() -> None:
    for n_values in range(1, 12):
        scores = np.arange(500) % n_values / 7.0
        assert np.mean(scores > estimated_threshold(scores)) <= 0.1


def test_a_share_is_a_quantile() -> None:
    scores = np.array([3.0, 1.0, np.nan, 2.0, 4.0, 5.0])
    assert threshold_for_share(scores, 0.25) == np.quantile([1.0, 2.0, 3.0, 4.0, 5.0], 0.75)
