"""Nearest neighbours by sorting all rows for each row; rows come standardised."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def standardise(fitted: Floats, X: Floats) -> Floats:
    """Every column by its mean and deviation in the fitted rows; gaps at 0."""
    out = np.zeros(X.shape)
    for j in range(X.shape[1]):
        known = [x for x in fitted[:, j] if not np.isnan(x)]
        if known:
            flat = min(known) == max(known)
            center = known[0] if flat else sum(known) / len(known)
            spread = 1.0 if flat else (sum((x - center) ** 2 for x in known) / len(known)) ** 0.5
            out[:, j] = np.where(np.isnan(X[:, j]), 0.0, (X[:, j] - center) / spread)
    return out


def neighbors(fitted: Floats, q: Floats, own: bool, k: int) -> tuple[Floats, NDArray[np.int64]]:
    """Squared distances and positions of the k nearest; ties go to the lexicographically smaller row."""
    squares = np.zeros(len(fitted))
    for j in range(fitted.shape[1]):
        squares = squares + (fitted[:, j] - q[j]) ** 2
    order = np.lexsort((*fitted.T[::-1], squares))
    if own and squares[order[0]] == 0.0:
        order = order[1:]
    return squares[order[:k]], order[:k]


def scores(fitted: Floats, Q: Floats, own: Flags, k: int, method: str) -> Floats:
    methods: dict[str, Callable[..., Any]] = {"largest": np.max, "mean": np.mean, "median": np.median}
    return np.array(
        [methods[method](np.sqrt(neighbors(fitted, q, is_own, k)[0])) for q, is_own in zip(Q, own, strict=True)]
    )


def contributions(fitted: Floats, Q: Floats, k: int, scores: Floats) -> Floats:
    """Mean squared difference to the neighbours by column, scaled to the score."""
    out = np.zeros(Q.shape)
    for i, q in enumerate(Q):
        away = ((fitted[neighbors(fitted, q, True, k)[1]] - q) ** 2).mean(axis=0)
        if away.sum() > 0.0:
            out[i] = scores[i] * away / away.sum()
    return out
