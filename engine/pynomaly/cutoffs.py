"""From training scores to the threshold above which a row is flagged."""

import numpy as np

from pynomaly.algorithm import Floats

CLEAN_SHARE = 0.01  # of an exponential tail that may lie above an estimated threshold
MOST_FLAGGED = 0.1
MOST_ABOVE = 0.6  # of the rows above a quantile; a threshold that flags more shows that it measured no tail
QUANTILES = (0.75, 0.9, 0.95, 0.99)


def threshold_for_share(scores: Floats, contamination: float) -> float:
    """The linear (1 - contamination) quantile of the scores that are not NaN."""
    return float(np.quantile(scores[~np.isnan(scores)], 1.0 - contamination))


def estimated_threshold(scores: Floats) -> float:
    """The threshold when no cut-off is given, from the upper half of the scores.

    The distance from the median to the upper quartile fixes an exponential tail; the threshold leaves 1 % of such
    a tail above it, and less of a lighter one. Neither quantile moves while fewer than a quarter of the rows are
    anomalous. Where ties make that distance 0, or so small that more than a tenth of the rows would be flagged,
    higher quantiles stand in for the quartile.
    """
    known = np.sort(scores[~np.isnan(scores)])
    median, *uppers = np.quantile(known, (0.5, *QUANTILES))
    for share, upper in zip(QUANTILES, uppers, strict=True):
        scale = (upper - median) / np.log(0.5 / (1.0 - share))
        threshold = median + scale * np.log(0.5 / CLEAN_SHARE)
        most = min(MOST_ABOVE * (1.0 - share), MOST_FLAGGED) * len(known)
        if scale > 0.0 and np.count_nonzero(known > threshold) <= max(most, 1.0):
            return float(threshold)
    return float(known[-1])
