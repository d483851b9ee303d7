"""Distances to the drawn rows of the state, one row at a time."""

import numpy as np
from numpy.typing import NDArray

from naive.subsamples import check_drawn, mean_nearest
from pynomaly.algorithms.lesinn import LesinnParams, LesinnState

Floats = NDArray[np.float64]


def twin(state: LesinnState, X: Floats, new: Floats, params: LesinnParams) -> tuple[Floats, Floats]:
    assert len(state.points) == params.n_estimators
    check_drawn(X, state.points, params.max_samples)
    return mean_nearest(X, X, state.points, True), mean_nearest(X, new, state.points, False)
