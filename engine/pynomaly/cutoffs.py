"""From training scores to the threshold above which a row is flagged."""

import numpy as np

from pynomaly.algorithm import Floats

# An exponential tail leaves 1 % of the rows above median + REACH * (upper quartile - median), a Gaussian one 0.01 %.
REACH = float(np.log(50.0) / np.log(2.0))


def threshold_for_share(scores: Floats, contamination: float) -> float:
    """The linear (1 - contamination) quantile of the scores that are not NaN."""
    return float(np.quantile(scores[~np.isnan(scores)], 1.0 - contamination))


def estimated_threshold(scores: Floats) -> float:
    """The threshold when no cut-off is given, from the upper half of the scores.

    The distance from the median to the upper quartile fixes an exponential tail; the threshold leaves 1 %
    of such a tail above it. Neither quantile moves while fewer than a quarter of the rows are anomalous, and
    scores with lighter tails than the exponential are flagged less. Where more than half of the scores are
    one value, that value's upper neighbour among the quantiles stands in for the quartile.
    """
    known = np.sort(scores[~np.isnan(scores)])
    median, upper = np.quantile(known, [0.5, 0.75])
    if upper == median:
        upper = np.quantile(known, 0.95)
    return float(median + REACH * (upper - median))
