"""Where the marks of a chart stand, in percent of its plot: templates draw them as SVG whose text is never scaled."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from pynomaly_server.pages.ticks import Axis, axis, time_axis

LEVELS = 5


class Mark(msgspec.Struct, frozen=True):
    """A rectangle or a point; `x`, `y`, `width` and `height` are percentages."""

    x: float
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    text: str = ""
    flagged: bool = False
    level: int = 0


def histogram(data: Mapping[str, Any]) -> dict[str, Any]:
    """Bars of `counts` between `edges`; what lies above `threshold` is flagged."""
    edges, counts, threshold = data["edges"], data["counts"], data.get("threshold")
    x, y = axis(edges[0], edges[-1], is_tight=True), axis(0, max([*counts, 4]))
    bars = []
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        cut = high if threshold is None else min(max(threshold, low), high)
        height = max(y.at(count), 1.0)  # one row among thousands is still seen
        bars += [
            Mark(x.at(start), 100 - height, x.at(end) - x.at(start), height, f"{count:,}", flagged)
            for start, end, flagged in ((low, cut, False), (cut, high, True))
            if end > start and count
        ]
    line = None if threshold is None or not x.low <= threshold <= x.high else x.at(threshold)
    return {"bars": bars, "threshold": line, **_axes(x, y)}


def series(data: Mapping[str, Any]) -> dict[str, Any]:
    """A line of `y` over `x` (moments or numbers) with gaps; `flagged` are indices; `lower` and `upper` make a band.

    `places` are the x for scripts, in milliseconds since 1970 where `is_time`. A moment is drawn by its own clock; one
    that knows its zone, in UTC. What is not finite, or of no year of ours, is left out.
    """
    is_time = any(isinstance(value, datetime | str) for value in data["x"])
    seconds = [_seconds(value) for value in data["x"]]
    kept = [second for second in seconds if second is not None]
    low, high = min(kept, default=0.0), max(kept, default=1.0)
    x = time_axis(low, high) if is_time else axis(low, high, is_tight=True)
    y = _over(value for name in ("y", "lower", "upper") for value in data.get(name) or ())
    across = [None if second is None else x.at(second) for second in seconds]
    heights = _heights(across, data["y"], y)
    marks = [
        Mark(across[n] or 0.0, heights[n] or 0.0, text=f"{data['y'][n]:,.6g}")
        for n in data.get("flagged", ())
        if heights[n] is not None
    ]
    band = ""
    if data.get("lower") and data.get("upper"):
        band = _band(across, _heights(across, data["lower"], y), _heights(across, data["upper"], y))
    places = [None if second is None else round(second * 1_000) if is_time else second for second in seconds]
    return {
        "line": _path(across, heights), "band": band, "marks": marks,
        "places": places, "is_time": is_time, **_axes(x, y),
    }  # fmt: skip


def scatter(data: Mapping[str, Any]) -> dict[str, Any]:
    """`points` of [x, y, score, is_anomaly, ...], those that are not flagged in five levels of their score."""
    points = [point for point in data["points"] if _is_finite(point[0]) and _is_finite(point[1])]
    x, y = (_over(point[place] for point in points) for place in (0, 1))
    level = _leveled([point[2] for point in points])
    marks = [
        Mark(x.at(point[0]), 100 - y.at(point[1]), flagged=bool(point[3]), level=level(point[2])) for point in points
    ]
    return {"marks": sorted(marks, key=lambda mark: mark.flagged), "points": points, **_axes(x, y)}


def heatmap(data: Mapping[str, Any]) -> dict[str, Any]:
    """Cells of `values`, a list for each of `rows` with a value for each of `columns`, in five levels."""
    level = _leveled([value for row in data["values"] for value in row])
    width, height = 100 / max(1, len(data["columns"])), 100 / max(1, len(data["rows"]))
    cells = []
    for n, row in enumerate(data["values"]):
        for m, value in enumerate(row):
            if _is_finite(value):
                told = f"{data['rows'][n]}, {data['columns'][m]}: {value:,.4g}"
                cells.append(Mark(round(m * width, 3), round(n * height, 3), width, height, told, level=level(value)))
    return {"cells": cells, "levels": [[None if value is None else level(value) for value in row]
                                       for row in data["values"]]}  # fmt: skip


def _axes(x: Axis, y: Axis) -> dict[str, Any]:
    """Both axes: for the template, and for scripts, which draw the same ones."""
    return {"x": x.marks, "y": y.marks, "gutter": y.gutter, "axes": {"x": x.told, "y": y.told}}


def _over(values: Iterable[Any]) -> Axis:
    """An axis that holds all that is finite of some values."""
    finite = [value for value in values if _is_finite(value)]
    return axis(min(finite, default=0.0), max(finite, default=1.0))


def _leveled(values: Sequence[Any]) -> Callable[[Any], int]:
    """What tells the level of a value among others, from 0 to 4; the lowest is that of none."""
    finite = [value for value in values if _is_finite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    if not high > low:
        return lambda _: 0
    span = high / 2 - low / 2
    return lambda value: min(LEVELS - 1, int(LEVELS * ((value / 2 - low / 2) / span))) if _is_finite(value) else 0


OF_A_REASON = ("feature", "value", "expected", "contribution")  # what is drawn; the rest is told


def contributions(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each feature's part with its bar, left or right of the middle; the largest takes the whole half."""
    largest = max((abs(part["contribution"]) for part in parts if _is_finite(part["contribution"])), default=0) or 1
    found = []
    for part in sorted(parts, key=lambda part: -abs(part["contribution"] or 0)):
        share = round(50 * (part["contribution"] or 0) / largest, 3)
        more = {name: value for name, value in part.items() if name not in OF_A_REASON and value is not None}
        found.append({**part, "more": more, "bar": Mark(50 + min(0.0, share), width=abs(share), flagged=share >= 0)})
    return found


def sparkline(values: Sequence[float | None]) -> dict[str, Any]:
    """A line without axes."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    span = (high / 2 - low / 2) or 1.0
    places = [round(100 * n / max(1, len(values) - 1), 2) for n in range(len(values))]
    heights = [
        round(90 - 80 * ((value / 2 - low / 2) / span), 2) if value is not None and math.isfinite(value) else None
        for value in values
    ]
    return {"line": _path(places, heights), "low": low, "high": high, "last": finite[-1] if finite else None}


def told(value: Any) -> Any:
    """Data for scripts: JSON has no number that is not finite."""
    if isinstance(value, Mapping):
        return {name: told(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [told(one) for one in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None


def _heights(across: Sequence[float | None], values: Sequence[Any], y: Axis) -> list[float | None]:
    """How far below the top values stand; None for a gap."""
    return [
        None if place is None or not _is_finite(value) else round(100 - y.at(value), 3)
        for place, value in zip(across, values, strict=True)
    ]


def _band(across: Sequence[float | None], lower: Sequence[float | None], upper: Sequence[float | None]) -> str:
    """The area between two lines, along what both know."""
    known = [one for one in zip(across, lower, upper, strict=True) if None not in one]
    there = _path([x for x, _, _ in known], [high for _, _, high in known])
    back = _path([x for x, _, _ in reversed(known)], [low for _, low, _ in reversed(known)])
    return f"{there}{back.replace('M', 'L')}Z" if known else ""


def _path(places: Sequence[float | None], heights: Sequence[float | None]) -> str:
    """A line with gaps; a value between two of them is a dot, as the ends of lines are round."""
    parts, is_open = [], False
    for x, y in zip(places, heights, strict=True):
        if y is not None:
            parts.append(f"L{x:g} {y:g}" if is_open else f"M{x:g} {y:g}h0")
        is_open = y is not None
    return "".join(parts)


def _seconds(value: Any) -> float | None:
    """A number, or a moment in seconds since 1970; None for what is neither."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:  # an infinite one, or one of a year that has more than four digits
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return float(value) if _is_finite(value) else None


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
