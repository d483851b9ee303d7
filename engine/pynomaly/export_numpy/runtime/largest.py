"""The largest distance of a row's columns from where their values lie, in spreads: zscore, mad and iqr."""

from __future__ import annotations

import numpy as np

STRANGE = 1e6  # spreads that a cell counts for when it differs from the one value of a flat column
LARGEST = np.finfo(np.float64).max


def scores(state: dict[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """The largest distance from [low, high] of the column; gaps are passed over."""
    low, high, spread = state["low"], state["high"], state["spread"]
    away = np.maximum(np.maximum(low - X, X - high), 0.0)
    distance = np.minimum(away / np.where(spread > 0.0, spread, 1.0), LARGEST)
    strange = np.where(away > 0.0, STRANGE, away)
    largest: np.ndarray = np.fmax.reduce(np.where(spread > 0.0, distance, strange), axis=1)
    return largest
