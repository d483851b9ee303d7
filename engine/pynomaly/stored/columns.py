"""The columns of a stored model, checked for what encoding and telling them relies on."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from pynomaly.features import GAP, HOUR, POSITION, RARITY, VALUE, WEEKDAY, Column
from pynomaly.layout import require

MOST_INDICATORS = 1_024  # categories of a column that have an indicator each: they make a square table
FARTHEST_SECOND = 2**53

QUANTITIES = {
    "number": [{VALUE}, set()],
    "boolean": [{VALUE}, set()],
    "duration": [{VALUE}, set()],
    "clock": [{VALUE}, set()],
    "frequency": [{RARITY}, set()],
}  # what a column of a kind may hold besides whether there is a gap
MOMENTS = {HOUR: 24.0, WEEKDAY: 7.0, POSITION: float(FARTHEST_SECOND)}


def check_columns(nodes: Sequence[dict[str, Any]]) -> tuple[Column, ...]:
    """The columns; ModelCorrupt unless each can be encoded and told, beside the one before it."""
    columns, start = [], 0
    for node in nodes:
        require(node.keys() <= set(Column.__struct_fields__), "a column has unknown fields")
        column = msgspec.convert(node, Column)
        require(column.start == start and column.parts, f"column `{column.name}` is out of place")
        _check(column)
        columns.append(column)
        start += len(column.parts)
    return tuple(columns)


def _check(column: Column) -> None:
    """The parts, categories and ranges that a kind of column has."""
    own = column.parts[:-1] if column.parts[-1] == GAP else column.parts
    what = f"column `{column.name}`"
    require(GAP not in own, f"{what} has a feature twice")
    require(len(column.shares) == len(column.categories), f"{what} has no share for each category")
    require(all(0.0 < share <= 1.0 for share in column.shares) and column.n_known >= 0, f"{what} has no shares")
    numbers = [column.low, column.high, *(end for pair in column.ranges for end in pair)]
    require(all(map(math.isfinite, numbers)) and abs(column.offset) < FARTHEST_SECOND, f"{what} has no range")
    if column.kind == "category":
        n = len(column.categories)
        require(n <= MOST_INDICATORS and len(own) == (n if n > 2 else max(n - 1, 0)), f"{what} has no indicators")
    elif column.kind == "time":
        _check_moments(column, own)
    else:
        require(set(own) in QUANTITIES.get(column.kind, []), f"{what} is of no known kind")
        is_told = not own or column.categories or (column.kind != "frequency" and len(column.ranges) == 1)
        require(is_told, f"{what} has no range")


def _check_moments(column: Column, own: Sequence[str]) -> None:
    require(set(own) <= MOMENTS.keys() and len(column.ranges) == len(own), f"column `{column.name}` has no range")
    for part, pair in zip(own, column.ranges, strict=True):
        is_far = any(abs(end) > MOMENTS[part] or (part == WEEKDAY and not 0.0 <= end <= 6.0) for end in pair)
        require(not is_far, f"column `{column.name}` has no range")
