"""From training scores to the threshold above which a row is flagged: a share that is given, or a rule that estimates.

A rule is one function under one decorator; `RULES` lists them. Each gets the scores sorted, without NaN, not all
equal, shifted to a median of 0 and scaled to a largest distance of 1 from it, so that none has to care about units or
overflow, and returns the threshold in these units.
"""

import math
from collections.abc import Callable
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import msgspec
import numpy as np

from pynomaly.algorithm import Floats

DEFAULT_RULE = "pareto"
FARTHEST = 1e6  # in the units of a rule: no threshold lies so far out that it would overflow
MAD_TO_SIGMA = 1.4826  # the median absolute deviation estimates sigma under a normal law
MEAN_DEVIATION_TO_SIGMA = math.sqrt(math.pi / 2.0)


class Rule(msgspec.Struct, frozen=True):
    """A way to estimate the threshold from the scores alone."""

    name: str
    summary: str
    reference: str
    threshold: Callable[[Floats], float]


RULES: dict[str, Rule] = {}


def rule(reference: str) -> Callable[[Callable[[Floats], float]], Callable[[Floats], float]]:
    """List a function from prepared scores to their threshold under its own name; its docstring opens the summary."""

    def listed(function: Callable[[Floats], float]) -> Callable[[Floats], float]:
        summary = (function.__doc__ or "").partition("\n")[0].rstrip(".")
        RULES[function.__name__] = Rule(function.__name__, summary, reference, function)
        return function

    return listed


def threshold_for_share(scores: Floats, contamination: float) -> float:
    """The linear (1 - contamination) quantile of the scores that are not NaN."""
    return float(np.quantile(scores[~np.isnan(scores)], 1.0 - contamination))


def estimated_threshold(scores: Floats, rule: str = DEFAULT_RULE) -> float:
    """The threshold when no cut-off is given, by a rule of `RULES`; rows above it, not at it, are flagged.

    NaN scores are left out. Where all scores are equal the threshold is that score, so that nothing is flagged.
    The threshold moves with the scores: a * scores + b, a > 0, gives a * threshold + b. It is finite.
    """
    ordered = np.sort(scores)  # NaN comes last
    known = ordered[: int(np.searchsorted(ordered, np.nan))]
    center = known[(len(known) - 1) // 2]
    scale = max(known[-1] - center, center - known[0])
    if scale == 0.0:
        return float(center)
    x = (known - center) / scale
    threshold = min(max(RULES[rule].threshold(x), -1.0), FARTHEST)
    below = int(np.searchsorted(x, threshold, "right"))
    if below and x[below - 1] == threshold:  # a score: its own value, which the way back might round
        return float(known[below - 1])
    return float(center + scale * threshold)


FITTED = np.linspace(0.3, 0.8, 24)  # quantiles that the law is fitted to: no anomaly among them below a fifth of rows
SHAPES = np.arange(-0.19, 1.5, 0.05)  # none is 0, where the law would need a limit of its own
FAR_SHARE = 0.002  # of the fitted law that lies above the threshold
NARROWEST = 10  # rows in the part that is fitted
NEAR = 2.5  # standard deviations above the mean up to which nothing is flagged: 14 % of the rows at most lie higher
NEAR_OF_FEW = 0.8  # of the deviation that a row has at most among so few, for fewer than eleven rows


@rule("Pickands 1975; Castillo & Hadi 1997")
def pareto(x: Floats) -> float:
    """Generalised Pareto law fitted to the 30 % to 80 % quantiles; 0.2 % of it lies above the threshold.

    Location and scale by least squares, the shape by the largest correlation between quantiles and law, from light
    (-0.19) to heavier than a Cauchy tail (1.46): the body tells how the tail goes on, and no anomaly has a say before
    a fifth of the rows are anomalous. The same is done to the upper half of the rows alone, which sees more of a tail
    that ends sooner than the body promised, and the lower of the two counts; where ties leave both without a spread,
    to the upper quarter, and so on. A threshold inside the part that was fitted does not count. The threshold lies at
    least 2.5 standard deviations above the mean, so that at most 14 % of the rows are flagged.
    """
    from pynomaly.kernels.pareto import mean_and_deviation  # brings numba, which `import pynomaly` must not

    threshold = min(_laws_of_upper_parts(x), default=float(x[-1]))
    mean, deviation = mean_and_deviation(x)
    return max(threshold, mean + min(NEAR, NEAR_OF_FEW * math.sqrt(len(x) - 1.0)) * deviation)


def _laws_of_upper_parts(x: Floats) -> list[float]:
    """Thresholds from all rows and from the upper half; from the first smaller part that has one, if neither has."""
    from pynomaly.kernels.pareto import threshold

    found: list[float] = []
    upper = 1.0
    while upper >= 0.5 or (not found and upper * len(x) >= NARROWEST):
        end = threshold(x, *_laws(upper))
        found += [] if math.isnan(end) else [end]
        upper /= 2.0
    return found


class Laws(NamedTuple):
    """The generalised Pareto law of each shape, location 0 and scale 1, at the levels of an upper part of the rows."""

    levels: Floats  # [level]
    law: Floats  # [shape, level], around the mean of the shape
    center: Floats  # [shape], that mean
    length: Floats  # [shape], root of the sum of squares of `law`
    far: Floats  # [shape], where the law leaves `FAR_SHARE` above


@cache
def _laws(upper: float) -> Laws:
    """The laws for this share of the rows; the shares are halves of halves, so there are few."""
    levels = 1.0 - upper * (1.0 - FITTED)
    law = _standard_law(1.0 - levels)
    center = law.mean(axis=1)
    law -= center[:, None]
    return Laws(levels, law, center, np.sqrt((law**2).sum(axis=1)), _standard_law(np.array([FAR_SHARE]))[:, 0])


def _standard_law(shares: Floats) -> Floats:
    """Where the law of each shape, location 0 and scale 1, leaves these shares above, [shape, share]."""
    return np.asarray((shares ** -SHAPES[:, None] - 1.0) / SHAPES[:, None])


@rule("Tukey 1977")
def iqr(x: Floats) -> float:
    """Upper fence of the boxplot: the upper quartile and 1.5 interquartile ranges."""
    lower, upper = _quantiles(x, np.array([0.25, 0.75]))
    return float(upper + 1.5 * (upper - lower)) if upper > lower else float(x[-1])


@rule("Iglewicz & Hoaglin 1993")
def mad(x: Floats) -> float:
    """Median and 3.5 scaled median absolute deviations.

    Where more than half of the scores are equal the mean absolute deviation stands in.
    """
    median = _quantiles(x, np.array([0.5]))[0]
    deviations = np.abs(x - median)
    spread = MAD_TO_SIGMA * float(np.median(deviations))
    return float(median + 3.5 * (spread if spread > 0.0 else MEAN_DEVIATION_TO_SIGMA * deviations.mean()))


@rule("Pukelsheim 1994")
def zscore(x: Floats) -> float:
    """Mean and three standard deviations."""
    return float(x.mean() + 3.0 * x.std())


@rule("Chauvenet 1863")
def chauvenet(x: Floats) -> float:
    """Chauvenet's criterion: the deviation that half a row is expected beyond, under a normal law.

    The number of rows is the effective one, the exponential of the entropy of their histogram, in 2 n^(1/3) bins: not
    the rows but the room they fill. It flags far more than the number of rows itself would, a twentieth or so.
    """
    counts, _ = np.histogram(x, bins=math.ceil(2.0 * len(x) ** (1.0 / 3.0)))
    shares = counts[counts > 0] / len(x)
    effective = math.exp(-float(shares @ np.log(shares)))
    return float(x.mean() + NormalDist().inv_cdf(1.0 - 0.5 / effective) * x.std())


SIGNIFICANCE = 0.05
MOST_EXTREMES = 0.1  # of the rows that the test may call extreme


@rule("Rosner 1983")
def esd(x: Floats) -> float:
    """Generalised extreme studentised deviate test, one-sided at 5 %, of up to a tenth of the rows."""
    n = len(x)
    removed = np.arange(max(int(MOST_EXTREMES * n), 1))
    left = n - removed
    mean = np.cumsum(x)[left - 1] / left
    variance = (np.cumsum(x * x)[left - 1] - left * mean**2) / np.maximum(left - 1.0, 1.0)
    deviate = (x[left - 1] - mean) / np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    knots = np.unique(np.geomspace(1.0, len(removed), 200).astype(int)) - 1
    limits = np.interp(removed, knots, [_esd_limit(int(left[k])) for k in knots])
    extreme = np.flatnonzero(deviate > limits)
    return float(x[n - extreme[-1] - 2]) if len(extreme) else float(x[-1])


def _esd_limit(n: int) -> float:
    """The largest studentised deviate that n rows of a normal law show but in 5 of 100 samples."""
    if n < 3:
        return math.inf
    t = _student_quantile(SIGNIFICANCE / n, n - 2)
    return (n - 1) * t / math.sqrt((n - 2 + t * t) * n)


def _student_quantile(share: float, freedom: int) -> float:
    """Where Student's law leaves a share above (Hill 1970, algorithm 396; six digits)."""
    if freedom == 1:
        return 1.0 / math.tan(math.pi * share)
    if freedom == 2:
        return math.sqrt(1.0 / (2.0 * share * (1.0 - share)) - 2.0)
    a = 1.0 / (freedom - 0.5)
    b = 48.0 / a**2
    c = ((20700.0 * a / b - 98.0) * a - 16.0) * a + 96.36
    d = ((94.5 / (b + c) - 3.0) / b + 1.0) * math.sqrt(a * math.pi / 2.0) * freedom
    y = (2.0 * d * share) ** (2.0 / freedom)
    if y <= a + 0.05:  # far out: from the law's own tail
        inner = ((freedom + 6.0) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2.0) * 3.0
        y = ((1.0 / inner + 0.5 / (freedom + 4.0)) * y - 1.0) * (freedom + 1.0) / (freedom + 2.0) + 1.0 / y
        return math.sqrt(freedom * y)
    z = -NormalDist().inv_cdf(share)
    y = z * z
    c += 0.3 * (freedom - 4.5) * (z + 0.6) if freedom < 5 else 0.0
    c += (((0.05 * d * z - 5.0) * z - 7.0) * z - 2.0) * z + b
    y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * z
    return math.sqrt(freedom * math.expm1(a * y * y))


TAIL = 0.02  # of the rows, whose excesses are fitted
FEWEST_EXCESSES = 10
RISK = 0.001  # that a row of the fitted tail lies above the threshold


@rule("Siffer et al. 2017")
def tail(x: Floats) -> float:
    """Peaks over the 98 % quantile as a generalised Pareto law; 0.1 % of the rows are expected above the threshold.

    Fitted by probability-weighted moments (Hosking & Wallis 1987), which always exist in closed form.
    """
    n = len(x)
    count = min(max(int(TAIL * n), FEWEST_EXCESSES), n - 1)
    start = x[n - count - 1]
    excess = x[n - count :] - start
    first = float(excess.mean())
    second = float(np.mean(excess * np.arange(count - 1, -1, -1.0))) / max(count - 1, 1)
    if first <= 2.0 * second or second <= 0.0:
        return float(x[-1])
    shape = 2.0 - first / (first - 2.0 * second)
    scale = 2.0 * first * second / (first - 2.0 * second)
    far = math.log(count / (RISK * n))
    return float(start + scale * (math.expm1(shape * far) / shape if shape else far))


ALONE = 1024  # highest scores that are kept as they are
BLOCKS = 2048  # of the others, each represented by its mean
MOST_STEPS = 200
LIKELIHOOD_STEP = 1e-7  # of the mean log likelihood: below, the fit has come to rest


@rule("Dempster, Laird & Rubin 1977")
def mixture(x: Floats) -> float:
    """Where the upper of two normal laws, fitted by expectation maximisation, becomes the likelier one.

    One law alone, if by the Bayesian information criterion it does: nothing is flagged then.
    """
    points, weights = _compressed(x)
    floor = 1e-6 * float(x.var())
    upper = np.where(np.cumsum(weights) > 0.9 * len(x), 1.0, 0.0)
    before = -math.inf
    for _ in range(MOST_STEPS):
        laws = _law(points, weights * (1.0 - upper), floor), _law(points, weights * upper, floor)
        low, high = (_log_density(points, *law) for law in laws)
        together = np.logaddexp(low, high)
        likelihood = float(weights @ together)
        upper = np.exp(high - together)
        if likelihood - before < LIKELIHOOD_STEP * len(x):
            break
        before = likelihood
    alone = float(weights @ _log_density(points, *_law(points, weights, floor)))
    if likelihood - alone < 1.5 * math.log(len(x)):  # three parameters more
        return float(x[-1])
    return _crossing(*laws, float(x[-1]))


def _compressed(x: Floats) -> tuple[Floats, Floats]:
    """Points and their weights for at most 3,072 of them: the highest scores, and the means of blocks of the others."""
    if len(x) <= ALONE + BLOCKS:
        return x, np.ones(len(x))
    starts = np.linspace(0, len(x) - ALONE, BLOCKS, endpoint=False).astype(int)
    counts = np.diff(np.append(starts, len(x) - ALONE)).astype(float)
    means = np.add.reduceat(x[: len(x) - ALONE], starts) / counts
    return np.concatenate([means, x[-ALONE:]]), np.concatenate([counts, np.ones(ALONE)])


def _law(points: Floats, weights: Floats, floor: float) -> tuple[float, float, float]:
    """Log of the total weight, mean and variance."""
    total = float(weights.sum()) + np.finfo(float).tiny
    mean = float(weights @ points) / total
    return math.log(total), mean, max(float(weights @ (points - mean) ** 2) / total, floor)


def _log_density(points: Floats, log_weight: float, mean: float, variance: float) -> Floats:
    return np.asarray(log_weight - 0.5 * (np.log(variance) + (points - mean) ** 2 / variance))


def _crossing(low: tuple[float, float, float], high: tuple[float, float, float], last: float) -> float:
    """Where the upper of two weighted normal laws overtakes the lower; the last score where it never does."""
    if low[1] > high[1]:
        low, high = high, low
    (weight, mean, variance), (high_weight, high_mean, high_variance) = low, high
    a = 0.5 / variance - 0.5 / high_variance
    b = high_mean / high_variance - mean / variance
    c = 0.5 * (mean**2 / variance - high_mean**2 / high_variance + math.log(variance / high_variance))
    c += high_weight - weight
    root = b * b - 4.0 * a * c
    if root < 0.0:
        return last
    return (-b + math.sqrt(root)) / (2.0 * a) if a else -c / b


@rule("Satopaa et al. 2011")
def knee(x: Floats) -> float:
    """Kneedle: where the sorted scores, as a curve in the unit square, run farthest below the diagonal."""
    height = (x - x[0]) / (x[-1] - x[0])
    return float(x[int(np.argmax(np.linspace(0.0, 1.0, len(x)) - height))])


@rule("Otsu 1979")
def otsu(x: Floats) -> float:
    """The cut into two classes with the largest variance between their means."""
    n = np.arange(1.0, len(x))
    total = np.cumsum(x)
    apart = total[:-1] / n - (total[-1] - total[:-1]) / (len(x) - n)
    between = np.where(x[1:] > x[:-1], n * (len(x) - n) * apart**2, -1.0)
    return float(x[int(np.argmax(between))])


CLEAN_SHARE = 0.01  # of an exponential tail that may lie above its threshold
MOST_FLAGGED = 0.1
MOST_ABOVE = 0.6  # of the rows above a quantile; a threshold that flags more shows that it measured no tail
QUARTILE_AND_HIGHER = (0.75, 0.9, 0.95, 0.99)


@rule("Johnson, Kotz & Balakrishnan 1994")
def exponential(x: Floats) -> float:
    """Exponential tail from the median through the upper quartile; 1 % of it lies above the threshold.

    Where ties make the distance between the two 0, or so small that more than a tenth of the rows would be flagged,
    higher quantiles stand in for the quartile.
    """
    median, *uppers = _quantiles(x, np.array([0.5, *QUARTILE_AND_HIGHER]))
    for share, upper in zip(QUARTILE_AND_HIGHER, uppers, strict=True):
        scale = (upper - median) / math.log(0.5 / (1.0 - share))
        threshold = median + scale * math.log(0.5 / CLEAN_SHARE)
        most = min(MOST_ABOVE * (1.0 - share), MOST_FLAGGED) * len(x)
        if scale > 0.0 and len(x) - np.searchsorted(x, threshold, "right") <= max(most, 1.0):
            return float(threshold)
    return float(x[-1])


def _quantiles(x: Floats, levels: Floats) -> Floats:
    """The linear quantiles of sorted values."""
    places = levels * (len(x) - 1)
    below = places.astype(int)
    above = np.minimum(below + 1, len(x) - 1)
    return np.asarray(x[below] + (places - below) * (x[above] - x[below]))
