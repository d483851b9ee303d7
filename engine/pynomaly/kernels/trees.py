"""Trees grown on random samples of the rows, and a layout that scores many rows without walking: see `Plan`."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pynomaly import layout
from pynomaly.kernels import kernel

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Counts = NDArray[np.uint16]
Labels = NDArray[np.uint8]
Links = NDArray[np.int32]

ROWS = 512  # that go through the trees together; their codes stay in the cache
DRAWS = 32_000  # random numbers at a time: enough for a hundred trees on a hundred rows
MOST_LEAVES = 256  # of a tree, so that a label takes a byte
LANE = 255  # thresholds that a byte tells apart
CELLS = 8  # for each threshold of a column, in the mean
MOST_CELLS = 1 << 14
CROWDED = 8  # a cell of more thresholds is searched by halves
UNROLLED = 4  # splits at a time, so that a label is loaded and stored once for all


@kernel
def expected_path(size: int) -> float:
    """c(size): mean depth of an unsuccessful search in a binary tree of `size` rows (Liu, Ting & Zhou 2008)."""
    if size < 3:
        return max(size - 1.0, 0.0)
    return 2.0 * (math.log(size - 1.0) + np.euler_gamma) - 2.0 * (size - 1.0) / size


@kernel
def expected_paths(size: int) -> Floats:
    """The expected path for 0 to `size` rows."""
    out = np.zeros(size + 1)
    for k in range(size + 1):
        out[k] = expected_path(k)
    return out


@kernel
def shuffle(order: Indices, size: int, end: int, rng: np.random.Generator) -> None:
    """Bring a random sample without replacement of the first `end` entries to the front."""
    for i in range(size):
        j = i + int(rng.random() * (end - i))
        order[i], order[j] = order[j], order[i]


@lru_cache(maxsize=4)  # ten thousand groups share them
def first_draws(seed: int) -> Floats:
    """The first random numbers of a seed, not to be written to."""
    return np.random.Generator(np.random.PCG64(seed)).random(DRAWS)


def later_draws(seed: int) -> np.random.Generator:
    """The generator of the numbers that follow."""
    return np.random.Generator(np.random.PCG64(seed).advance(DRAWS))


class Splits(NamedTuple):
    """The splits of the trees, one tree after the other, parents before children.

    A split tests `x[column] >= threshold`; its links lead to where the test fails and to where it holds: to a split,
    or below 0 to a leaf. Column d + j is column j with gaps that pass every test.
    """

    threshold: Floats  # [splits]
    column: NDArray[np.uint32]  # [splits]
    link: Links  # [splits, 2]
    root: Indices  # [trees + 1], first split of each tree
    whole: int  # link to the leaf that a tree without splits is


def has_plan(splits: Splits, d: int) -> bool:
    """Whether the trees are small enough for a plan, and few enough for its counts."""
    per_column = np.bincount(splits.column % np.uint32(d), minlength=1)
    return bool(np.diff(splits.root).max() < MOST_LEAVES and per_column.max() <= np.iinfo(np.uint16).max)


class Plan(NamedTuple):
    """Comparisons of bytes that stand for those of numbers, and splits in an order in which none need be skipped.

    A value is replaced by the number of thresholds of its column that it reaches, in lanes of 255 of them: so
    every comparison is exact and a vector register holds 32. A lane comes twice, for gaps that reach no threshold
    and for gaps that reach all. Every row starts a tree with label 0. A split changes the label of those rows that
    have its label and reach its threshold; so the rows of a node share a label, and those of a leaf end with it.
    """

    points: Floats  # thresholds by column, ascending, and after those of a column NaN, which no value reaches
    first_point: Indices  # [d + 1]
    grid: Floats  # [d, 2], where the cells of a column begin, and cells per unit
    cells: Counts  # [d, cells + 1], thresholds of the column before each cell
    lane: NDArray[np.uint32]  # [splits]
    code: NDArray[np.int8]  # [splits], least code in the lane that reaches the threshold
    label: Labels  # [splits]
    other: Labels  # [splits], the label of the rows that reach the threshold
    first_split: Indices  # [trees + 1], multiples of UNROLLED
    value: Floats  # [leaves], by label
    first_leaf: Indices  # [trees + 1]


@kernel
def _cell(value: float, low: float, scale: float, n_cells: int) -> int:
    """The cell of a value, the first for a gap; never falls as the value rises, which is all that exactness takes."""
    place = (value - low) * scale
    return int(min(place, n_cells - 1.0)) if place > 0.0 else 0


@kernel
def _fill_grid(points: Floats, first_point: Indices, grid: Floats, cells: Counts) -> None:
    """Lay cells over the range of each column's thresholds and count those before each."""
    n_cells = cells.shape[1] - 1
    for j in range(grid.shape[0]):
        first, end = first_point[j], first_point[j + 1] - 1
        width = points[end - 1] - points[first] if first < end else 0.0
        grid[j, 0], grid[j, 1] = points[first], n_cells / width if width > 0.0 else 0.0
        for k in range(first, end):
            cells[j, _cell(points[k], grid[j, 0], grid[j, 1], n_cells) + 1] += 1
        for c in range(n_cells):
            cells[j, c + 1] += cells[j, c]


@kernel
def _fill_places(X: Floats, first: int, count: int, j: int, points: Floats, plan: Plan, places: Links) -> None:
    """How many thresholds of column j each row reaches; a gap none in places[0] and all in places[1].

    A guess that is right or one short costs no branch that the processor would guess wrong.
    """
    low, scale, cells = plan.grid[j, 0], plan.grid[j, 1], plan.cells[j]
    for i in range(count):
        value = X[first + i, j]
        cell = _cell(value, low, scale, cells.size - 1)
        place = np.int64(cells[cell])
        left = np.int64(cells[cell + 1]) - place
        while left > CROWDED:
            half = left >> 1
            place += half * np.int64(points[place + half - 1] <= value)
            left -= half
        place += np.int64(points[place] <= value)
        while points[place] <= value:
            place += 1
        places[0, i] = place
        places[1, i] = place if value == value else points.size - 1


@kernel
def load(X: Floats, first: int, count: int, plan: Plan, places: Links, codes: NDArray[np.int8]) -> None:
    """Fill the lanes of a block of rows."""
    lane = 0
    for j in range(X.shape[1]):
        points = plan.points[plan.first_point[j] : plan.first_point[j + 1]]
        if points.size > 1:
            _fill_places(X, first, count, j, points, plan, places)
        for start in range(0, points.size - 1, LANE):
            for side in range(2):
                for i in range(ROWS):
                    codes[lane + side, i] = min(max(places[side, i] - start, 0), LANE) - 128
            lane += 2


@kernel
def follow(t: int, plan: Plan, codes: NDArray[np.int8], labels: Labels) -> None:
    """Fill the labels of the leaves of tree t that the rows of a block fall in; four splits a pass, in vectors."""
    lane, code, label, other = plan.lane, plan.code, plan.label, plan.other
    for i in range(ROWS):
        labels[i] = 0
    for k in range(plan.first_split[t], plan.first_split[t + 1], UNROLLED):
        in_a, in_b, in_c, in_d = codes[lane[k]], codes[lane[k + 1]], codes[lane[k + 2]], codes[lane[k + 3]]
        code_a, code_b, code_c, code_d = code[k], code[k + 1], code[k + 2], code[k + 3]
        label_a, label_b, label_c, label_d = label[k], label[k + 1], label[k + 2], label[k + 3]
        other_a, other_b, other_c, other_d = other[k], other[k + 1], other[k + 2], other[k + 3]
        for i in range(ROWS):
            here = labels[i]
            here = other_a if (here == label_a) & (in_a[i] >= code_a) else here
            here = other_b if (here == label_b) & (in_b[i] >= code_b) else here
            here = other_c if (here == label_c) & (in_c[i] >= code_c) else here
            here = other_d if (here == label_d) & (in_d[i] >= code_d) else here
            labels[i] = here


@kernel
def n_lanes(plan: Plan) -> int:
    """How many lanes a block of rows needs."""
    count = 0
    for j in range(plan.first_point.size - 1):
        count += 2 * ((plan.first_point[j + 1] - plan.first_point[j] + LANE - 2) // LANE)
    return count


@kernel
def add_values(X: Floats, plan: Plan, out: Floats) -> None:
    """Add the values of the leaves that each row falls in. O(n splits), but for 32 rows or more at once."""
    places, labels = np.zeros((2, ROWS), np.int32), np.zeros(ROWS, np.uint8)
    codes = np.zeros((n_lanes(plan), ROWS), np.int8)
    for first in range(0, X.shape[0], ROWS):
        sums = out[first : first + ROWS]
        load(X, first, sums.size, plan, places, codes)
        for t in range(plan.first_leaf.size - 1):
            follow(t, plan, codes, labels)
            value = plan.value[plan.first_leaf[t] :]
            for i in range(sums.size):
                sums[i] += value[labels[i]]


@kernel
def _label(splits: Splits, first_split: Indices, first_leaf: Indices, label: Labels, other: Labels) -> Links:
    """Label the rows of the nodes, those of the low side as before the split; return the links to the leaves."""
    root, link = splits.root, splits.link
    leaf, of = np.empty(first_leaf[-1], np.int32), np.zeros(MOST_LEAVES, np.uint8)
    for t in range(root.size - 1):
        leaf[first_leaf[t]] = splits.whole
        of[0] = 0
        for k in range(root[t], root[t + 1]):
            at = first_split[t] + k - root[t]
            label[at], other[at] = of[k - root[t]], k - root[t] + 1
            for side in range(2):
                following, name = link[k, side], other[at] if side == 1 else label[at]
                if following < 0:
                    leaf[first_leaf[t] + name] = following
                else:
                    of[following - root[t]] = name
    return leaf


def _starts(counts: Indices) -> Indices:
    """Where each of the runs of these lengths begins, and the end of the last."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _ranked(threshold: Floats, column: Indices, d: int) -> tuple[Floats, Indices, Indices]:
    """The thresholds by column, ascending, where each column's begin, and the rank of each split's in its column."""
    order = np.lexsort((threshold, column))
    first, rank = np.searchsorted(column[order], np.arange(d + 1)), np.empty_like(order)
    rank[order] = np.arange(len(order)) - first[column[order]]
    return np.insert(threshold[order], first[1:], np.nan), first + np.arange(d + 1), rank


def plan(splits: Splits, d: int, value: Callable[[Links], Floats]) -> Plan:
    """Lay out a forest that `has_plan`; `value` turns links to leaves into what a row finds there."""
    column, counts = splits.column.astype(np.int64) % d, np.diff(splits.root)
    points, first_point, rank = _ranked(splits.threshold, column, d)
    first_split, first_leaf = _starts(-(-counts // UNROLLED) * UNROLLED), _starts(counts + 1)
    at = np.arange(counts.sum()) + np.repeat(first_split[:-1] - splits.root[:-1], counts)
    lane, code = np.zeros(first_split[-1], np.uint32), np.full(first_split[-1], 127, np.int8)
    first_lane = _starts(-(-(np.diff(first_point) - 1) // LANE))
    lane[at], code[at] = 2 * (first_lane[column] + rank // LANE) + (splits.column >= d), rank % LANE - 127
    n_cells = min(CELLS * len(rank) // d + 1, MOST_CELLS)
    grid, cells = np.zeros((d, 2)), np.zeros((d, n_cells + 1), np.uint16)
    _fill_grid(points, first_point, grid, cells)
    label, other = np.zeros((2, len(lane)), np.uint8)
    links = _label(splits, first_split, first_leaf, label, other)
    return Plan(points, first_point, grid, cells, lane, code, label, other, first_split, value(links), first_leaf)


_NO_IDS: Indices = np.zeros(1, np.int64)
_NO_LABELS: Labels = np.zeros(0, np.uint8)
NO_PLAN = Plan(
    np.zeros(0),
    _NO_IDS,
    np.zeros((0, 2)),
    np.zeros((0, 1), np.uint16),
    np.zeros(0, np.uint32),
    np.zeros(0, np.int8),
    _NO_LABELS,
    _NO_LABELS,
    _NO_IDS,
    np.zeros(0),
    _NO_IDS,
)


def check_splits(splits: Splits, limit: int, most: int, size: Callable[[Links], Links]) -> None:
    """Raise ModelCorrupt unless the splits are trees that end after `limit` steps in leaves of `most` rows in all.

    `size` tells the rows of a leaf from the link to it.
    """
    link, starts = splits.link, layout.runs(splits.root, len(splits.link), "root")
    of, (parent, side) = np.repeat(np.arange(len(starts)), starts), np.nonzero(link >= 0)
    child = link[parent, side]
    layout.within(child, parent + 1, len(link), "link")
    is_tree = (of[child] == of[parent]).all() and np.bincount(child, minlength=1).max() < 2
    layout.require(is_tree, "`link` makes no tree")
    levels: list[Any] = [splits.root[:-1][starts > 0]]
    while len(levels[-1]) and len(levels) <= limit:
        following = link[levels[-1]].ravel()
        levels.append(following[following >= 0])
    layout.require(not len(levels[-1]), "`link` leads too deep")
    sizes = np.zeros(len(link), np.int64)
    for level in reversed(levels):
        following = link[level]
        sizes[level] = np.where(following >= 0, sizes[np.maximum(following, 0)], size(following)).sum(axis=1)
    layout.within(sizes, 0, most + 1, "expected")


def check_plan(plan: Plan, d: int, n_trees: int) -> None:
    """Raise ModelCorrupt unless rows of d columns go through the plan of so many trees within its arrays."""
    shapes = {"grid": "d 2", "cells": "d c+1", "first_point": "d+1", "first_split": "t+1", "first_leaf": "t+1"}
    n = layout.shapes(plan, d, points="p", lane="s", code="s", label="s", other="s", value="v", **shapes)
    counts = layout.runs(plan.first_point, n["p"], "first_point") - 1
    layout.require(n["t"] == n_trees and n["c"] and (counts >= 0).all(), "a plan has another form")
    layout.require(np.isnan(plan.points[plan.first_point[1:] - 1]).all(), "`points` has no end")
    layout.within(plan.cells, 0, counts[:, np.newaxis] + 1, "cells")
    layout.within(plan.lane, 0, 2 * (-(-counts // LANE)).sum(), "lane")
    splits = layout.runs(plan.first_split, n["s"], "first_split")
    layout.require(
        (splits % UNROLLED == 0).all() and layout.runs(plan.first_leaf, n["v"], "first_leaf").all(), "no leaf"
    )
    layout.within(np.repeat(plan.first_leaf[:-1], splits) + plan.other, 0, n["v"], "other")
