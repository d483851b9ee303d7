"""Where the marks of a chart stand, in percent of its plot: templates draw them as SVG whose text is never scaled."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

N_TICKS = 4
_NICE = (1, 2, 2.5, 5, 10)
_DAY = 86_400.0


class Mark(msgspec.Struct, frozen=True):
    """A rectangle, a point or a tick; `x`, `y`, `width` and `height` are percentages."""

    x: float
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    text: str = ""
    flagged: bool = False
    level: int = 0


class Axis(msgspec.Struct, frozen=True):
    """A range of values, and the ticks in it."""

    low: float
    high: float
    ticks: list[tuple[float, str]]

    def at(self, value: float) -> float:
        """Where a value is, from 0 to 100."""
        return round(100 * (value - self.low) / (self.high - self.low), 3)

    @property
    def marks(self) -> list[Mark]:
        """The ticks where they are."""
        return [Mark(self.at(value), text=text) for value, text in self.ticks]


def axis(low: float, high: float, is_tight: bool = False) -> Axis:
    """Round ticks over a range; the axis ends at ticks unless it is tight."""
    if not low < high:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / N_TICKS
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(nice * magnitude for nice in _NICE if nice * magnitude >= raw * (1 - 1e-9))
    first, last = (
        (math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9))
        if is_tight
        else (math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9))
    )
    digits = max(0, -math.floor(math.log10(step) + 1e-9) + (1 if step / magnitude == 2.5 else 0))
    values = [round(n * step, digits + 2) for n in range(first, last + 1)]
    ticks = [(value, _short(value, digits)) for value in values]
    return Axis(low, high, ticks) if is_tight else Axis(values[0], values[-1], ticks)


def time_axis(low: float, high: float) -> Axis:
    """Five even ticks over a range of seconds since 1970."""
    if not low < high:
        low, high = low - 0.5, high + 0.5
    span = high - low
    form = next(form for least, form in _FORMS if span >= least)
    ticks = [low + span * n / N_TICKS for n in range(N_TICKS + 1)]
    return Axis(low, high, [(tick, datetime.fromtimestamp(tick, UTC).strftime(form)) for tick in ticks])


_FORMS = ((730 * _DAY, "%b %Y"), (5 * _DAY, "%d %b"), (_DAY, "%d %b %H:%M"), (120, "%H:%M"), (0, "%H:%M:%S"))


def _short(value: float, digits: int) -> str:
    if abs(value) >= 1e6:
        return f"{value:.3g}".replace("e+0", "e").replace("e+", "e")
    return f"{value:,.{min(digits, 6)}f}"


def histogram(data: Mapping[str, Any]) -> dict[str, Any]:
    """Bars of `counts` between `edges`; what lies above `threshold` is flagged."""
    edges, counts, threshold = data["edges"], data["counts"], data.get("threshold")
    x, y = axis(edges[0], edges[-1], is_tight=True), axis(0, max([*counts, 1]))
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
    return {"bars": bars, "x": x.marks, "y": y.marks, "threshold": line}


def series(data: Mapping[str, Any]) -> dict[str, Any]:
    """A line of `y` over `x` (moments or numbers) with gaps; `flagged` are indices; `lower` and `upper` make a band."""
    seconds = [_seconds(value) for value in data["x"]]
    values = [value for name in ("y", "lower", "upper") for value in data.get(name) or () if _is_finite(value)]
    is_time = bool(data["x"]) and isinstance(data["x"][0], datetime | str)
    low, high = min(seconds, default=0.0), max(seconds, default=1.0)
    x = time_axis(low, high) if is_time else axis(low, high, is_tight=True)
    y = axis(min(values, default=0.0), max(values, default=1.0))
    places = [x.at(second) for second in seconds]
    heights = [100 - y.at(value) if _is_finite(value) else None for value in data["y"]]
    band = ""
    if data.get("lower") and data.get("upper"):
        upper, lower = ([100 - y.at(value) for value in data[name]] for name in ("upper", "lower"))
        band = _path(places, upper) + _path(places[::-1], lower[::-1]).replace("M", "L") + "Z"
    marks = [
        Mark(places[n], heights[n] or 0.0, text=f"{data['y'][n]:,.6g}")
        for n in data.get("flagged", ())
        if heights[n] is not None
    ]
    return {"line": _path(places, heights), "band": band, "marks": marks, "x": x.marks, "y": y.marks}


def scatter(data: Mapping[str, Any]) -> dict[str, Any]:
    """`points` of [x, y, score, is_anomaly, ...]."""
    points = [point for point in data["points"] if _is_finite(point[0]) and _is_finite(point[1])]
    x = axis(min((point[0] for point in points), default=0), max((point[0] for point in points), default=1))
    y = axis(min((point[1] for point in points), default=0), max((point[1] for point in points), default=1))
    marks = [Mark(x.at(point[0]), 100 - y.at(point[1]), flagged=bool(point[3])) for point in points]
    return {"marks": sorted(marks, key=lambda mark: mark.flagged), "x": x.marks, "y": y.marks}


def heatmap(data: Mapping[str, Any]) -> dict[str, Any]:
    """Cells of `values`, a list for each of `rows` with a value for each of `columns`, in five levels."""
    flat = [value for row in data["values"] for value in row if _is_finite(value)]
    low, high = min(flat, default=0.0), max(flat, default=1.0)
    width, height = 100 / max(1, len(data["columns"])), 100 / max(1, len(data["rows"]))
    cells = []
    for n, row in enumerate(data["values"]):
        for m, value in enumerate(row):
            if _is_finite(value):
                level = min(4, int(5 * (value - low) / (high - low))) if high > low else 0
                told = f"{data['rows'][n]}, {data['columns'][m]}: {value:,.4g}"
                cells.append(Mark(round(m * width, 3), round(n * height, 3), width, height, told, level=level))
    return {"cells": cells}


def contributions(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each feature's part with its bar, left or right of the middle; the largest takes the whole half."""
    largest = max((abs(part["contribution"]) for part in parts if _is_finite(part["contribution"])), default=0) or 1
    found = []
    for part in sorted(parts, key=lambda part: -abs(part["contribution"] or 0)):
        share = round(50 * (part["contribution"] or 0) / largest, 3)
        found.append({**part, "bar": Mark(50 + min(0.0, share), width=abs(share), flagged=share >= 0)})
    return found


def sparkline(values: Sequence[float | None]) -> dict[str, Any]:
    """A line without axes."""
    finite = [value for value in values if value is not None and _is_finite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    span = (high - low) or 1.0
    places = [round(100 * n / max(1, len(values) - 1), 2) for n in range(len(values))]
    heights = [None if value is None else round(90 - 80 * (value - low) / span, 2) for value in values]
    return {"line": _path(places, heights), "low": low, "high": high, "last": finite[-1] if finite else None}


def _path(places: Sequence[float], heights: Sequence[float | None]) -> str:
    parts, is_open = [], False
    for x, y in zip(places, heights, strict=True):
        if y is not None:
            parts.append(f"{'L' if is_open else 'M'}{x:g} {y:g}")
        is_open = y is not None
    return "".join(parts)


def _seconds(value: Any) -> float:
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(found, datetime):
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return float(found)


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
