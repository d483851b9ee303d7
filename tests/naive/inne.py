"""Balls around the drawn rows of the state, one row at a time."""

import numpy as np
from numpy.typing import NDArray

from naive.subsamples import check_drawn, others, squares, standardise, unless_empty
from pynomaly.algorithms.inne import InneParams, InneState

Floats = NDArray[np.float64]


def isolation(rows: Floats, drawn: Floats) -> Floats:
    """1 - (r' / r) ** 2 of the smallest ball around each row, 1 if there is none."""
    edges, nearest = others(drawn)
    out = np.ones(len(rows))
    for i, away in enumerate(squares(rows, drawn)):
        holding = [s for s in range(len(drawn)) if away[s] <= edges[s]]
        if holding:
            s = min(holding, key=edges.__getitem__)
            out[i] = 1.0 - edges[nearest[s]] / edges[s] if edges[s] > 0.0 else 0.0
    return out


def twin(state: InneState, X: Floats, new: Floats, params: InneParams) -> tuple[Floats, Floats]:
    assert len(state.centers) == params.n_estimators
    check_drawn(X, state.centers, params.max_samples)

    def scores(given: Floats) -> Floats:
        members = [isolation(standardise(X, given), drawn) for drawn in state.centers]
        return unless_empty(given, np.mean(members, axis=0))

    return scores(X), scores(new)
