"""Columns in standard deviations from their means."""

from __future__ import annotations

import numpy as np

FARTHEST = 1e140  # standardised values end here, so that sums of squares stay finite


def standardised(state: dict[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """(x - mean) / spread, NaN for a gap; a flat column counts as one of spread 1."""
    z: np.ndarray = (X - state["mean"]) / np.where(state["spread"] > 0.0, state["spread"], 1.0)
    within: np.ndarray = np.clip(z, -FARTHEST, FARTHEST)
    return within
