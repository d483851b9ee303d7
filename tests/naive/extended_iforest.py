"""Extended isolation forest as nested tuples, one row at a time; the draws come in the order of the kernel's."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naive.iforest import expected_path
from naive.subsamples import standardise, unless_empty
from pynomaly.algorithms.extended_iforest import ExtendedIforestParams, ExtendedIforestState

Floats = NDArray[np.float64]
Node = Any  # (number of rows,) for a leaf, (cut, near, beyond) for a cut
Cut = list[tuple[int, float, float]]  # column, normal, point


def sample(order: list[int], size: int, rng: np.random.Generator) -> None:
    for i in range(size):
        j = i + int(rng.random() * (len(order) - i))
        order[i], order[j] = order[j], order[i]


def is_beyond(row: Floats, cut: Cut) -> bool:
    total = 0.0
    for j, normal, point in cut:
        total += normal * (float(row[j]) - point)
    return total > 0.0


def draw_cut(rows: Floats, varying: list[int], normal: Floats, rng: np.random.Generator) -> Cut:
    d, taken = rows.shape[1], len(normal)
    columns = list(range(d))
    if taken < d:
        sample(varying, min(taken, len(varying)), rng)
        columns = varying + [j for j in reversed(range(d)) if j not in varying]
    cut = []
    for j, slope in zip(columns[:taken], normal.tolist(), strict=True):
        low, high = float(rows[:, j].min()), float(rows[:, j].max())
        cut.append((j, slope, low + rng.random() * (high - low)))
    return cut


def grow(rows: Floats, depth: int, limit: int, normals: Iterator[Floats], rng: np.random.Generator) -> Node:
    varying = [j for j in range(rows.shape[1]) if len(rows) and rows[:, j].min() < rows[:, j].max()]
    if depth == limit or not varying:
        return (len(rows),)
    cut = draw_cut(rows, varying, next(normals), rng)
    beyond = np.array([is_beyond(row, cut) for row in rows])
    near = grow(rows[~beyond], depth + 1, limit, normals, rng)
    return (cut, near, grow(rows[beyond], depth + 1, limit, normals, rng))


def path(node: Node, row: Floats, depth: int) -> float:
    if len(node) == 1:
        return depth + expected_path(node[0])
    return path(node[2] if is_beyond(row, node[0]) else node[1], row, depth + 1)


def twin(state: ExtendedIforestState, X: Floats, new: Floats, params: ExtendedIforestParams) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(state.seed)
    known = ~np.isnan(X).all(axis=1)
    Z = standardise(X, X)[known if known.sum() > 1 else slice(None)]
    d, size = X.shape[1], min(params.max_samples, len(Z))
    limit, taken = math.ceil(math.log2(size)), min(d - 1 if params.extension is None else params.extension, d - 1) + 1
    normals = iter(rng.standard_normal((params.n_trees * (2**limit - 1) + 1, taken))[1:])
    order, grown = list(range(len(Z))), []
    for _ in range(params.n_trees):
        sample(order, size, rng)
        grown.append(grow(Z[order[:size]], 0, limit, normals, rng))

    def scores(given: Floats) -> Floats:
        rows = standardise(X, given)
        means = [sum(path(tree, row, 0) for tree in grown) / len(grown) for row in rows]
        return unless_empty(given, 2.0 ** (-np.array(means) / expected_path(size)))

    return scores(X), scores(new)
