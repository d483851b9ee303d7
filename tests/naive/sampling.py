"""Distances to the drawn rows of the state, one row at a time."""

import numpy as np
from numpy.typing import NDArray

from naive.subsamples import check_drawn, mean_nearest
from pynomaly.algorithms.sampling import SamplingParams, SamplingState

Floats = NDArray[np.float64]


def twin(state: SamplingState, X: Floats, new: Floats, params: SamplingParams) -> tuple[Floats, Floats]:
    check_drawn(X, state.points, params.n_samples)
    return mean_nearest(X, X, state.points, True), mean_nearest(X, new, state.points, False)
