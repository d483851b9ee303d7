"""Histograms of sparse random projections: loda."""

from __future__ import annotations

import numpy as np

from pynomaly.export_numpy.runtime.standard import standardised

EDGE = 1e-9  # bin widths by which a bin reaches below its left edge, so that rounding moves no value across one


def scores(state: dict[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """The mean surprise over the projections that use no gap; over all, gaps at the mean, where there is none."""
    z = standardised(state, X)
    surprises = _surprises(state, z)
    without = np.isnan(surprises).all(axis=1)
    surprises[without] = _surprises(state, np.nan_to_num(z[without]))
    known = (~np.isnan(surprises)).sum(axis=1)
    mean: np.ndarray = np.nansum(surprises, axis=1) / np.maximum(known, 1)
    return mean


def _surprises(state: dict[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    """What each projection says of each row; NaN where it uses a gap."""
    value = np.zeros((len(z), len(state["low"])))
    for weights, columns in zip(state["weights"].T, state["drawn"].T):
        value += weights * z[:, columns]
    place = (value - state["low"]) * state["scale"] + EDGE
    n_bins = state["n_bins"]
    beyond = np.where(place > 0.0, place - n_bins, -place)
    outside = state["empty"] + np.log1p(np.maximum(beyond, 0.0))
    entry = np.clip(np.nan_to_num(np.floor(place + 1.0)), 1, n_bins).astype(np.int64)
    inside = state["levels"][np.arange(len(n_bins)), entry]
    is_inside = (place >= 0.0) & (place <= n_bins + 2.0 * EDGE)
    return np.where(np.isnan(place), np.nan, np.where(is_inside, inside, outside))
