"""How well scores rank labelled rows, and how alike two rankings are."""

import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithm import Flags, Floats
from pynomaly.errors import BadParameter

ANOMALY_LABEL = "give a column that is true, or 1, for an anomaly"


def anomaly_label(n_different: int, smallest: float, largest: float) -> float:
    """The label that stands for an anomaly: the larger of two, and 1 where all are equal; BadParameter for others."""
    if n_different > 2 or (n_different == 1 and smallest not in (0.0, 1.0)):
        found = f"has {n_different:,} different values" if n_different > 1 else f"is {smallest:g} everywhere"
        raise BadParameter(f"the label {found}", ANOMALY_LABEL)
    return largest if n_different == 2 else 1.0


def ranks(values: Floats) -> Floats:
    """The rank of each value from 1; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2.0)[place])


def auroc(anomalous: Flags, scores: Floats) -> float | None:
    """The share of pairs of an anomalous and a normal row that the scores order rightly, ties counting half.

    The area under the ROC curve (Hanley & McNeil 1982); None where one of the two kinds is missing.
    """
    n_anomalous = int(anomalous.sum())
    n_normal = len(anomalous) - n_anomalous
    if not n_anomalous or not n_normal:
        return None
    above = ranks(scores)[anomalous].sum() - n_anomalous * (n_anomalous + 1) / 2.0
    return float(above / (n_anomalous * n_normal))


def average_precision(anomalous: Flags, scores: Floats) -> float | None:
    """The mean precision at the thresholds that are scores, weighted by the recall that each adds.

    None where no row is anomalous.
    """
    if not anomalous.any():
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(anomalous[order])
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0.0, True))  # equal scores are one threshold
    precision = hits[last] / (last + 1.0)
    gained: NDArray[np.int64] = np.diff(hits[last], prepend=0)
    return float(np.sum(precision * gained) / hits[-1])


def precision_recall(anomalous: Flags, flagged: Flags) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and their harmonic mean F1; None where nothing is flagged or nothing anomalous."""
    hits = int((anomalous & flagged).sum())
    precision = hits / int(flagged.sum()) if flagged.any() else None
    recall = hits / int(anomalous.sum()) if anomalous.any() else None
    both = int(flagged.sum()) + int(anomalous.sum())
    return precision, recall, 2.0 * hits / both if both else None


def judged(anomalous: Flags, scores: Floats, flagged: Flags) -> dict[str, float | None]:
    """AUROC, average precision, precision, recall and F1 of labelled rows, by name."""
    precision, recall, f1 = precision_recall(anomalous, flagged)
    return {
        "auroc": auroc(anomalous, scores),
        "average_precision": average_precision(anomalous, scores),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }


def rank_correlation(a: Floats, b: Floats) -> float | None:
    """Spearman's rho of two sets of values; None where one of them is constant."""
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / spread if spread > 0.0 else None
