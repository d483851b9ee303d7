"""Shares of the fitted rows at or beyond a value: ecod and copod."""

from __future__ import annotations

import numpy as np

UNSEEN = 0.5  # rows that a tail counts when no fitted row lies in it


def scores(state: dict[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """The sum over the columns of -log(share of the fitted rows in a tail); with gaps scaled up to all columns.

    ecod takes the smaller tail, and both where the column is symmetric; copod the largest of three sums: of the left
    tails, of the right tails, and of those on the skewed side.
    """
    sums = np.zeros((3, len(X)))
    for j in range(X.shape[1]):
        left, right = _surprises(state, j, X[:, j])
        if "symmetric" in state:
            sums[0] += left + right if state["symmetric"][j] else np.maximum(left, right)
        else:
            sums += (left, right, left if state["skewness"][j] < 0 else right)
    scaled: np.ndarray = sums.max(axis=0) * (X.shape[1] / (~np.isnan(X)).sum(axis=1))
    return scaled


def _surprises(state: dict[str, np.ndarray], j: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-log(share of the fitted rows at or below, and at or above) of a column's values; 0 for a gap."""
    first, end = state["start"][j : j + 2]
    values, n = state["values"][first:end], state["known"][j]
    if n == 0:
        return np.zeros(len(x)), np.zeros(len(x))
    below, at_most = np.searchsorted(values, x, "left"), np.searchsorted(values, x, "right")
    first, end = state["start_below"][j : j + 2]
    if first < end:  # equal values are held once, with the number of rows below each
        rows = state["below"][first:end].astype(np.int64)
        below, at_most = rows[below], rows[at_most]
    gaps = np.isnan(x)
    left, right = (-np.log(np.maximum(count, UNSEEN) / n) for count in (at_most, n - below))
    return np.where(gaps, 0.0, left), np.where(gaps, 0.0, right)
