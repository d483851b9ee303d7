"""Cells around the drawn rows of the state, and the similarity of each row to each fitted one."""

import numpy as np
from numpy.typing import NDArray

from naive.subsamples import check_drawn, others, squares, standardise, unless_empty
from pynomaly.algorithms.idk import IdkParams, IdkState

Floats = NDArray[np.float64]


def cells(rows: Floats, drawn: Floats) -> NDArray[np.int64]:
    """The cell of each row, -1 where it is in none."""
    edges, _ = others(drawn)
    away = squares(rows, drawn)
    nearest = away.argmin(axis=1)
    return np.where(away.min(axis=1) <= edges[nearest], nearest, -1)


def outside(rows: Floats, drawn: Floats) -> Floats:
    """1 - radius / distance of the nearest cell, for rows in none; 0 for others."""
    edges, _ = others(drawn)
    away = squares(rows, drawn)
    out = np.zeros(len(rows))
    for i in np.flatnonzero(cells(rows, drawn) < 0):
        s = away[i].argmin()
        out[i] = 1.0 - edges[s] ** 0.5 / away[i, s] ** 0.5
    return out


def twin(state: IdkState, X: Floats, new: Floats, params: IdkParams) -> tuple[Floats, Floats]:
    assert len(state.centers) == params.n_estimators
    check_drawn(X, state.centers, params.max_samples)
    fitted = standardise(X, X)[~np.isnan(X).all(axis=1)]

    def scores(given: Floats) -> Floats:
        rows = standardise(X, given)
        similarity = np.zeros((len(rows), len(fitted)))
        below = np.zeros(len(rows))
        for drawn in state.centers:
            mine, theirs = cells(rows, drawn), cells(fitted, drawn)
            similarity += np.equal.outer(mine, theirs) & (mine >= 0)[:, np.newaxis]
            below += outside(rows, drawn)
        total = (similarity.sum(axis=1) - below) / max(len(fitted), 1)
        return unless_empty(given, 1.0 - total / len(state.centers))

    return scores(X), scores(new)
