"""Isolation forest as nested tuples, one row at a time; the draws come in the order in which the kernel takes them."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Node = Any  # (rows,) for a leaf, (rows, column, point, gaps_low, low, high) for a split


def expected_path(size: int) -> float:
    if size <= 2:
        return max(size - 1.0, 0.0)
    return 2.0 * (math.log(size - 1.0) + np.euler_gamma) - 2.0 * (size - 1.0) / size


def grow(rows: Floats, depth: int, limit: int, rng: np.random.Generator) -> Node:
    varying = [j for j in range(rows.shape[1]) if len(set(rows[~np.isnan(rows[:, j]), j] + 0.0)) > 1]
    if depth == limit or not varying:
        return (len(rows),)
    j = varying[int(rng.random() * len(varying))]
    values = rows[:, j]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    point = low + 2.0 * (rng.random() * (0.5 * high - 0.5 * low))
    point = high if point <= low or point > high else point
    gaps_low = bool((values < point).sum() >= (values >= point).sum())
    goes_low = np.where(np.isnan(values), gaps_low, values < point)
    low_side = grow(rows[goes_low], depth + 1, limit, rng)
    return (len(rows), j, point, gaps_low, low_side, grow(rows[~goes_low], depth + 1, limit, rng))


def walk(node: Node, x: Floats, depth: int, saved: Floats) -> float:
    """The path length of a row; adds to `saved` what each split saves."""
    if len(node) == 1:
        return depth + expected_path(node[0])
    size, j, point, gaps_low, low, high = node
    following = low if (gaps_low if math.isnan(x[j]) else x[j] < point) else high
    saved[j] += expected_path(size) - 1.0 - expected_path(following[0])
    return walk(following, x, depth + 1, saved)


def forest(X: Floats, n_trees: int, max_samples: int, seed: int) -> list[Node]:
    rng = np.random.default_rng(seed)
    size = min(max_samples, len(X))
    order = list(range(len(X)))
    trees = []
    for _ in range(n_trees):
        for i in range(size):
            j = i + int(rng.random() * (len(X) - i))
            order[i], order[j] = order[j], order[i]
        trees.append(grow(X[order[:size]], 0, math.ceil(math.log2(size)), rng))
    return trees


def scores_and_saved(trees: list[Node], X: Floats) -> tuple[Floats, Floats]:
    scores, saved = np.full(len(X), np.nan), np.full(X.shape, np.nan)
    for i, x in enumerate(X):
        if not np.isnan(x).all():
            saved[i] = 0.0
            mean = sum(walk(tree, x, 0, saved[i]) for tree in trees) / len(trees)
            scores[i] = 2.0 ** (-mean / expected_path(trees[0][0]))
    return scores, saved / len(trees)
