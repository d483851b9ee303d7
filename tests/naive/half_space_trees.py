"""Half-space trees as nested tuples, one row at a time; the draws come in the order of the kernel's."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithms.half_space_trees import HalfSpaceTreesParams, HalfSpaceTreesState

Floats = NDArray[np.float64]
Range = tuple[float, float, float]  # work range, and the range of the rows
Node = Any  # (number of rows,) for a leaf, (column, threshold, gap_high, low, high) for a cut


def extent(values: Floats) -> tuple[float, float] | None:
    known = [float(x) for x in values if not math.isnan(x)]
    return (min(known), max(known)) if known else None


def work_range(sample: Floats, everything: Floats, place: float) -> Range | None:
    """None for a column without a value."""
    found = extent(sample)
    if found is None or found[0] == found[1]:
        found = extent(everything)
    if found is None:
        return None
    width = found[1] - found[0] if found[0] < found[1] else 1.0
    reach = 2.0 * max(place, 1.0 - place)
    return found[0] + (place - reach) * width, found[0] + (place + reach) * width, width


def grow(
    rows: Floats, boxes: dict[int, tuple[float, float]], depth: int, p: HalfSpaceTreesParams, rng: np.random.Generator
) -> Node:
    """`boxes` has the columns that may be halved."""
    if len(rows) <= p.size_limit or depth == p.depth or not boxes:
        return (len(rows),)
    j = sorted(boxes)[int(rng.random() * len(boxes))]
    low, high = boxes[j]
    middle = 0.5 * low + 0.5 * high
    values = rows[:, j]
    gap_high = bool((values >= middle).sum() > (values < middle).sum())
    goes_high = np.where(np.isnan(values), gap_high, values >= middle)
    first = grow(rows[~goes_high], boxes | {j: (low, middle)}, depth + 1, p, rng)
    return (j, middle, gap_high, first, grow(rows[goes_high], boxes | {j: (middle, high)}, depth + 1, p, rng))


def leaf(node: Node, x: Floats, depth: int) -> tuple[int, int]:
    """Number of rows and depth."""
    if len(node) == 1:
        return node[0], depth
    j, middle, gap_high, first, second = node
    return leaf(second if (gap_high if math.isnan(x[j]) else x[j] >= middle) else first, x, depth + 1)


def level(x: Floats, tree: Node, ranges: list[Range | None], size: int) -> float:
    outside = 0.0
    for value, found in zip(x.tolist(), ranges, strict=True):
        if found is not None and not math.isnan(value):
            outside += max(found[0] - value, value - found[1], 0.0) / found[2]
    if outside > 0.0:
        return math.log2(size / 0.5) + math.log2(1.0 + outside)
    count, depth = leaf(tree, x, 0)
    return -math.log2(max(count, 0.5) / size * 2.0**depth)


def twin(state: HalfSpaceTreesState, X: Floats, new: Floats, params: HalfSpaceTreesParams) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(state.seed)
    known = ~np.isnan(X).all(axis=1)
    rows = X[known] if known.sum() > 1 else X
    size = min(params.max_samples, len(rows))
    extents = [extent(X[:, j]) for j in range(X.shape[1])]
    varying = [j for j, found in enumerate(extents) if found is not None and found[0] < found[1]]
    grown: list[tuple[Node, list[Range | None]]] = []
    for _ in range(params.n_trees):
        sample = rows[rng.choice(len(rows), size, replace=False)]
        places = rng.random((X.shape[1],))
        ranges = [work_range(sample[:, j], X[:, j], float(places[j])) for j in range(X.shape[1])]
        boxes = {j: (bounds[0], bounds[1]) for j in varying if (bounds := ranges[j]) is not None}
        grown.append((grow(sample, boxes, 0, params, rng), ranges))

    def scores(given: Floats) -> Floats:
        means = [sum(level(x, tree, ranges, size) for tree, ranges in grown) / len(grown) for x in given]
        return np.where(np.isnan(given).all(axis=1), np.nan, means)

    return scores(X), scores(new)
