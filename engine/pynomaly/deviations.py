"""The reasons of an algorithm that has none of its own: how far each column lies from its median, robustly.

The same for every such algorithm, cheap, and right where a single column makes the row stand out.
"""

from collections.abc import Callable

import numpy as np

from pynomaly.algorithm import Algorithm, Floats, State

BASE = "mad"  # the algorithm whose parts these are: |x - median| over the scaled median absolute deviation

Get = Callable[[str], Algorithm]  # the registry's, from a name to a record


def fit(get: Get, algorithm: Algorithm, X: Floats) -> State | None:
    """The medians and deviations of the columns; None where the algorithm has reasons of its own."""
    if algorithm.explain is not None:
        return None
    base = get(BASE)
    return base.fit(X, base.params(), 0)


def contributions(get: Get, algorithm: Algorithm, state: State | None, deviations: State | None, X: Floats) -> Floats:
    """float64[n, d]: what each column adds to the score, or how far it deviates; 0 for a gap."""
    own = algorithm.explain
    explain, known = (own, state) if own else (get(BASE).explain, deviations)
    return np.nan_to_num(explain(known, X)) if explain else np.zeros(X.shape)
