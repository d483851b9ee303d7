"""Gaussian mixture with numpy's inverses and determinants, a row and a distribution at a time."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithms.gmm import GmmParams, GmmState

Floats = NDArray[np.float64]


class Group(NamedTuple):
    weight: float
    mean: Floats
    covariance: Floats


def standardise(fitted: Floats, X: Floats) -> Floats:
    """By mean and deviation, gaps kept; a column without any fitted value is one of gaps."""
    out = np.full(X.shape, np.nan)
    for j in range(X.shape[1]):
        known = fitted[~np.isnan(fitted[:, j]), j]
        if len(known) > 0:
            flat = known.min() == known.max()
            center, spread = (known[0], 1.0) if flat else (known.mean(), known.std())
            out[:, j] = (X[:, j] - center) / spread
    return out


def log_density(z: Floats, group: Group) -> float:
    """Log of the weight times the density of the known values."""
    known = ~np.isnan(z)
    away = (z - group.mean)[known]
    covariance = group.covariance[np.ix_(known, known)]
    square = float(away @ np.linalg.solve(covariance, away)) if known.any() else 0.0
    volume = float(np.linalg.slogdet(covariance)[1]) if known.any() else 0.0
    return math.log(max(group.weight, 1e-300)) - 0.5 * (square + volume + int(known.sum()) * math.log(2.0 * math.pi))


def log_sum(values: list[float]) -> float:
    return max(values) + math.log(math.fsum(math.exp(value - max(values)) for value in values))


def conditional(z: Floats, group: Group) -> tuple[Floats, Floats]:
    """The row with its gaps at their conditional mean, and the gaps' conditional covariance among zeros."""
    known, gaps = ~np.isnan(z), np.isnan(z)
    completed, extra = z.copy(), np.zeros(group.covariance.shape)
    beyond = group.covariance[np.ix_(gaps, known)] @ np.linalg.pinv(group.covariance[np.ix_(known, known)])
    completed[gaps] = group.mean[gaps] + beyond @ (z - group.mean)[known]
    extra[np.ix_(gaps, gaps)] = group.covariance[np.ix_(gaps, gaps)] - beyond @ group.covariance[np.ix_(known, gaps)]
    return completed, extra


def maximised(rows: list[Floats], shares: list[float], old: Group, total: float, prior: Floats, full: bool) -> Group:
    """A distribution from its rows' shares; the prior variances count as d + 2 rows."""
    weight, d = sum(shares), len(prior)
    found = [conditional(z, old) for z in rows]
    mean = sum((s * row for s, (row, _) in zip(shares, found, strict=True)), np.zeros(d)) / weight
    scatter = (d + 2.0) * np.diag(prior)
    for share, (row, extra) in zip(shares, found, strict=True):
        scatter = scatter + share * (np.outer(row - mean, row - mean) + extra)
    covariance = scatter / (weight + d + 2.0) + 1e-6 * np.eye(d)
    return Group(weight / total, mean, covariance if full else np.diag(np.diag(covariance)))


def fitted(Z: Floats, start: Floats, full: bool) -> list[Group]:
    """Expectation and maximisation in turn."""
    d, k = Z.shape[1], len(start)
    spread = [len(set(column[~np.isnan(column)])) != 1 for column in Z.T]
    prior = np.array(spread) / k ** (2.0 / d)
    groups = [Group(1.0 / k, mean, np.diag(prior + 1e-6)) for mean in start]
    rows = [z for z in Z if not np.isnan(z).all()]
    before = -math.inf
    for _ in range(100 if rows else 0):
        logs = [[log_density(z, group) for group in groups] for z in rows]
        totals = [log_sum(values) for values in logs]
        shares = [[math.exp(v[g] - t) for v, t in zip(logs, totals, strict=True)] for g in range(k)]
        groups = [maximised(rows, shares[g], groups[g], len(rows), prior, full) for g in range(k)]
        after = sum(totals) / len(Z)
        if after - before < 1e-4 * d:
            break
        before = after
    return groups


def score(z: Floats, groups: list[Group]) -> float:
    """-log density of the known values, plus the expected entropy of the gaps."""
    logs, gaps = [log_density(z, group) for group in groups], np.isnan(z)
    total = -log_sum(logs)
    for value, group in zip(logs, groups, strict=True):
        left = conditional(z, group)[1][np.ix_(gaps, gaps)]
        volume = float(np.linalg.slogdet(2.0 * math.pi * math.e * left)[1]) if gaps.any() else 0.0
        total += math.exp(value - log_sum(logs)) * 0.5 * volume
    return total


def twin(state: GmmState, X: Floats, new: Floats, params: GmmParams) -> tuple[Floats, Floats]:
    Z = standardise(X, X)
    n, d = X.shape
    cost = params.n_components * d * (d + (np.isnan(X).sum() / n) ** 2)
    groups = fitted(Z, np.nan_to_num(Z[state.start]), bool(n > 2 * d and cost <= 150_000))
    least = min(params.min_share, 0.5 / len(groups)) - 1e-9
    kept = [group for group in groups if group.weight >= least]
    total = sum(group.weight for group in kept)
    kept = [group._replace(weight=group.weight / total) for group in kept]
    training, unseen = (
        np.array([math.nan if np.isnan(x).all() else score(z, kept) for x, z in zip(rows, moved, strict=True)])
        for rows, moved in ((X, Z), (new, standardise(X, new)))
    )
    return training, unseen
