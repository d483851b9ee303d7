"""How the scores of several detectors on the same rows become one (Aggarwal & Sathe 2015)."""

import math
from collections.abc import Callable, Sequence
from functools import reduce

import msgspec
import numpy as np

from pynomaly import layout
from pynomaly.algorithm import Floats, State
from pynomaly.cutoffs import estimated_threshold

TAIL_SHARE = 0.1  # of the training scores, whose mean excess tells how fast a tail falls beyond the last of them
MAJORITY = 0.5
ROUNDING = 1e-12  # of the largest training score: scores that differ by less are equal but for rounding


class Scale(State, frozen=True):
    """What the training scores of one member say of a score."""

    ordered: Floats  # [m], ascending, those that are not NaN
    mean: float
    spread: float  # population standard deviation, 1 where all are equal
    excess: float  # mean distance above the (1 - TAIL_SHARE) quantile of those above it
    threshold: float  # above which the member by itself would flag a row

    def check(self, d: int) -> None:
        """See `State`."""
        n = layout.shapes(self, d, ordered="n")
        layout.require(n["n"] and self.spread > 0.0 and self.excess > 0.0, "`ordered` holds no scores")


def scale_of(scores: Floats) -> Scale:
    """The scale of these training scores."""
    ordered = np.sort(scores[~np.isnan(scores)])
    if not len(ordered):
        return Scale(np.zeros(1), 0.0, 1.0, 1.0, 0.0)
    spread = float(ordered.std())
    top = ordered[int((1.0 - TAIL_SHARE) * (len(ordered) - 1)) :]
    excess = float(np.mean(top - top[0]))
    spread = spread if spread > 0.0 and math.isfinite(spread) else 1.0
    return Scale(
        ordered, float(ordered.mean()), spread, excess if excess > 0.0 else spread, estimated_threshold(ordered)
    )


def tail(scale: Scale, scores: Floats) -> Floats:
    """-log of the share of training scores that are as high; beyond the last, as an exponential tail goes on."""
    n = len(scale.ordered)
    as_high = n - np.searchsorted(scale.ordered, scores - _rounding(scale), "left")
    beyond = np.maximum(scores - scale.ordered[-1], 0.0) / scale.excess
    return np.asarray(np.log((n + 1.0) / np.maximum(as_high, 1.0)) + beyond)


def standard(scale: Scale, scores: Floats) -> Floats:
    """Deviations from the mean of the training scores."""
    return np.asarray((scores - scale.mean) / scale.spread)


def rank(scale: Scale, scores: Floats) -> Floats:
    """The share of training scores that are lower, equal ones counting half."""
    rounding = _rounding(scale)
    below = np.searchsorted(scale.ordered, scores - rounding, "left")
    return np.asarray((below + np.searchsorted(scale.ordered, scores + rounding, "right")) / (2.0 * len(scale.ordered)))


def _rounding(scale: Scale) -> float:
    """How far scores may differ that would be equal in exact arithmetic, as distances on a grid are."""
    return ROUNDING * float(np.abs(scale.ordered[[0, -1]]).max())


def vote(scale: Scale, scores: Floats) -> Floats:
    """1 where the member by itself would flag the row."""
    return np.where(scores > scale.threshold, 1.0, 0.0)


# The functions below take one array of float64[n] a member, NaN where it has no opinion. They work array by
# array: a sum along an axis would round differently in another batch.


def mean_of(parts: Sequence[Floats]) -> Floats:
    """The mean over the members that have an opinion."""
    known = reduce(np.add, [(~np.isnan(part)).astype(np.float64) for part in parts])
    total = reduce(np.add, [np.nan_to_num(part) for part in parts])
    return np.asarray(np.divide(total, known, out=np.full(len(total), np.nan), where=known > 0.0))


def max_of(parts: Sequence[Floats]) -> Floats:
    """The maximum over the members that have an opinion."""
    return reduce(np.fmax, parts)


def median_of(parts: Sequence[Floats]) -> Floats:
    """The median over the members that have an opinion."""
    ordered = np.sort(np.stack(parts), axis=0)  # NaN comes last
    known = len(parts) - np.isnan(ordered).sum(axis=0)
    low, high = np.maximum(known - 1, 0) // 2, known // 2
    places = np.arange(ordered.shape[1])
    return np.asarray(0.5 * ordered[low, places] + 0.5 * ordered[np.minimum(high, len(parts) - 1), places])


def average_of_maximum(parts: Sequence[Floats], buckets: Sequence[Sequence[int]]) -> Floats:
    """The mean over the buckets of the largest of each (Aggarwal & Sathe 2015)."""
    return mean_of([max_of([parts[i] for i in bucket]) for bucket in buckets])


def maximum_of_average(parts: Sequence[Floats], buckets: Sequence[Sequence[int]]) -> Floats:
    """The largest of the buckets' means (Aggarwal & Sathe 2015)."""
    return max_of([mean_of([parts[i] for i in bucket]) for bucket in buckets])


class Rule(msgspec.Struct, frozen=True):
    """A way to combine: what becomes of each member's scores, and how they become one."""

    summary: str
    normalise: Callable[[Scale, Floats], Floats]
    reduce: Callable[..., Floats]
    takes_buckets: bool = False


RULES = {
    "tail": Rule("mean of -log of the tail probability (Fisher 1932; Kriegel et al. 2011)", tail, mean_of),
    "mean": Rule("mean of the standardised scores", standard, mean_of),
    "max": Rule("largest of the standardised scores", standard, max_of),
    "median": Rule("median of the standardised scores", standard, median_of),
    "rank": Rule("mean of the ranks among the training scores", rank, mean_of),
    "vote": Rule("share of the algorithms that would flag the row by themselves", vote, mean_of),
    "aom": Rule(
        "mean over buckets of algorithms of their largest standardised score", standard, average_of_maximum, True
    ),
    "moa": Rule(
        "largest over buckets of algorithms of their mean standardised score", standard, maximum_of_average, True
    ),
}
DEFAULT_RULE = "tail"
SIMPLE_RULES = tuple(name for name, rule in RULES.items() if not rule.takes_buckets)
