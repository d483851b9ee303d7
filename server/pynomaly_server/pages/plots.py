"""Two columns of a query as a picture: a line over time or numbers, points, or bars of categories."""

import math
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from pynomaly.errors import BadParameter, UnknownColumn, did_you_mean
from pynomaly.result import Found
from pynomaly_server.pages import ticks

MOST_POINTS = 5_000
MOST_BARS = 30


def choices(found: Found) -> dict[str, list[str]]:
    """The columns that can stand across, and those that can stand up."""
    numbers = [field.name for field in found.rows.schema if _is_number(field.type)]
    across = [field.name for field in found.rows.schema if not pa.types.is_nested(field.type)]
    moments = [field.name for field in found.rows.schema if pa.types.is_temporal(field.type)]
    return {"x": [*moments, *(name for name in across if name not in moments)], "y": numbers}


def chart(found: Found, x: str, y: str) -> dict[str, Any]:
    """What a template draws of the first rows of a query."""
    known = choices(found)
    for name in (x, y):
        if name not in found.rows.column_names:
            raise UnknownColumn(f"column `{name}` not found", did_you_mean(name, found.rows.column_names))
    if y not in known["y"]:
        raise BadParameter(f"`{y}` has no numbers", "choose a column of numbers to stand up")
    kind = found.rows.schema.field(x).type
    across, up = found.rows.column(x).to_pylist(), [_float(value) for value in found.rows.column(y).to_pylist()]
    told = {"x": x, "y": y, "choices": known, "n_rows": found.n_rows, "has_more": found.has_more}
    flags = found.rows.column("is_anomaly").to_pylist() if "is_anomaly" in found.rows.column_names else None
    if pa.types.is_temporal(kind) and not pa.types.is_time(kind) and not pa.types.is_duration(kind):
        return {**told, "kind": "series", "data": _series(across, up, flags, x, y)}
    if _is_number(kind):
        pairs = zip(across, up, flags or [False] * len(up), strict=True)
        points = [[_float(a), b, 0.0, bool(flag)] for a, b, flag in pairs if _float(a) is not None and b is not None]
        return {**told, "kind": "scatter", "data": {"points": points, "x_name": x, "y_name": y}}
    return {**told, "kind": "bars", "data": _bars(across, up)}


def _series(across: list[Any], up: list[float | None], flags: list[Any] | None, x: str, y: str) -> dict[str, Any]:
    """Values in the order of time."""
    known = [(_moment(at), value, flag) for at, value, flag in zip(across, up, flags or [False] * len(up), strict=True)
             if at is not None]  # fmt: skip
    known.sort(key=lambda one: one[0].timestamp())
    flagged = [n for n, one in enumerate(known) if one[2] and one[1] is not None]
    marks = {} if flags is None else {"flagged": flagged}
    moments = [one[0].isoformat() for one in known]
    return {"x": moments, "y": [one[1] for one in known], **marks, "name": y, "x_name": x}


def _bars(across: list[Any], up: list[float | None]) -> dict[str, Any]:
    """The first categories with their values."""
    pairs = [("NULL" if name is None else str(name), value) for name, value in zip(across, up, strict=True)]
    known = [(name, value) for name, value in pairs if value is not None]
    first = known[:MOST_BARS]
    largest = max((abs(value) for _, value in first), default=0) or 1
    bars = [{"name": name, "value": value, "width": round(100 * abs(value) / largest, 2)} for name, value in first]
    return {"bars": bars, "n_left_out": len(known) - len(first)}


def curves(lines: Sequence[dict[str, Any]], x: str, y: str) -> dict[str, Any]:
    """Lines of points from 0 to 1 in both directions, each {name, points: [{x, y}]}, as SVG paths in percent."""
    drawn = []
    for line in lines:
        points = [(point[x], point[y]) for point in line["points"] if point[x] is not None and point[y] is not None]
        path = "".join(f"{'L' if n else 'M'}{100 * a:.2f} {100 - 100 * b:.2f}" for n, (a, b) in enumerate(points))
        drawn.append({**line, "path": path})
    axis = ticks.axis(0, 1)
    return {"lines": drawn, "x": axis.marks, "y": axis.marks, "gutter": axis.gutter}


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _float(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    found = float(value)
    return found if math.isfinite(found) else None


def _moment(value: date | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
