"""The machine by inner products of features, one row at a time; the frequencies come from the state.

The scales of the columns are those of the kernels: a rounding apart would move a row across the margin.
"""

import numpy as np

from naive.subsamples import Floats, standardise, unless_empty
from pynomaly.algorithms.ocsvm import OcsvmParams, OcsvmState


def support(products: Floats, nu: float, n_steps: int) -> Floats:
    """Mean weight of each row over the later half of the steps, from the products of all pairs of rows."""
    n = len(products)
    times, total = np.zeros(n), np.zeros(n)
    values = np.zeros(n)  # of the rows, nu * t times too large
    rho = 0.6180339887498949
    for t in range(1, n_steps + 1):
        i = (t - 1) % n
        inside = values[i] < rho * nu * max(t - 1, 1)
        rho += (nu - inside) / (nu * t)
        if inside:
            times[i] += 1.0
            values += products[i]
        if t > n_steps / 2:
            total += times / (nu * t)
    return total / (n_steps - n_steps // 2)


def twin(state: OcsvmState, X: Floats, new: Floats, params: OcsvmParams) -> tuple[Floats, Floats]:
    assert state.drawn.shape == (X.shape[1], params.n_components)
    gamma = params.gamma / X.shape[1]

    def standardised(given: Floats) -> Floats:
        rows: Floats = np.clip(standardise(X, given), -1e4, 1e4)
        return rows

    def features(Z: Floats) -> Floats:
        angles = np.array([[np.sum(z * column) for column in state.drawn.T] for z in Z]) * np.sqrt(2.0 * gamma)
        mapped: Floats = np.hstack([np.cos(angles), np.sin(angles)]) / np.sqrt(params.n_components)
        return mapped

    empty = np.isnan(X).all(axis=1)
    fitted = standardised(X if empty.all() else X[~empty])
    known = features(fitted)
    weights = support(known @ known.T, params.nu, params.n_steps) @ known

    def values(Z: Floats) -> Floats:
        outside = np.maximum(np.maximum(fitted.min(axis=0) - Z, Z - fitted.max(axis=0)), 0.0)
        most = np.exp(-gamma * (outside**2).sum(axis=1))
        least = 0.001 / (1.0 + gamma * (Z**2).sum(axis=1))
        found: Floats = np.maximum(np.minimum(features(Z) @ weights, most), least)
        return found

    rho = np.quantile(values(fitted), params.nu)
    return unless_empty(X, rho - values(standardised(X))), unless_empty(new, rho - values(standardised(new)))
