"""Densities as means of products of normal densities, by logarithms; the rows drawn come from the state.

The scales of the columns are those of the kernels: a rounding apart would make rows differ from their copies.
"""

import math

import numpy as np

from naive.subsamples import Floats, check_drawn, squares, standardise, unless_empty
from pynomaly.algorithms.kde import KdeParams, KdeState


def drawn_rows(state: KdeState) -> Floats:
    """The rows drawn, each as often as it was."""
    slots = state.rows.transpose(0, 2, 1).reshape(-1, state.rows.shape[1])
    return np.repeat(slots, state.copies.ravel().astype(int), axis=0)


def twin(state: KdeState, X: Floats, new: Floats, params: KdeParams) -> tuple[Floats, Floats]:
    drawn = drawn_rows(state)
    check_drawn(X, drawn[np.newaxis], 4096 if params.max_samples == "auto" else params.max_samples)
    m, d = drawn.shape
    width = params.bandwidth / m ** (1.0 / (d + 4.0))

    def score(away: Floats, own: bool) -> float:
        """The score of a row at these squared distances from the rows drawn."""
        others = sorted(away)
        if own and others[0] == 0.0 and m > 1:
            others = others[1:]
        logarithms = [-square / (2.0 * width**2) - d * math.log(width * math.sqrt(2.0 * math.pi)) for square in others]
        return math.log(len(others)) - float(np.logaddexp.reduce(logarithms))

    def scores(given: Floats, own: bool) -> Floats:
        found = [score(away, own) for away in squares(standardise(X, given), drawn)]
        return unless_empty(given, np.array(found))

    return scores(X, True), scores(new, False)
