"""Isolation forest: iforest."""

from __future__ import annotations

import numpy as np


def scores(state: dict[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """2 to the power of minus the mean path's share of the expected one.

    All rows go through all trees together, a step at a time. A leaf is a node that leads to itself; its number of
    column is that of any, and its path is what counts. A gap stays below every threshold, or above it in the second
    copy of the columns, which nodes use whose gaps go there.
    """
    cells = np.concatenate([np.where(np.isnan(X), -np.inf, X), np.where(np.isnan(X), np.inf, X)], axis=1)
    at = np.tile(state["root"], (len(X), 1))
    offset = np.arange(len(X))[:, np.newaxis] * cells.shape[1]
    for _ in range(int(state["depth"])):
        is_high = cells.take(offset + state["column"].take(at)) >= state["threshold"].take(at)
        at = state["child"].take(2 * at + is_high)
    mean = state["path"].take(at).sum(axis=1) / at.shape[1]
    score: np.ndarray = 2.0 ** (-mean / state["expected"])
    return score
