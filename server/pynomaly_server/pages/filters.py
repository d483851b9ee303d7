"""How values are written in a page: numbers, moments, and texts of anybody, which are always text."""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

NONE = "\u2013"
LONGEST = 80  # characters of a text that a cell shows at once
LONGEST_SENTENCE = 280
WHOLE = 10_000  # characters behind "all of it"; the rest is to be exported
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
_AGES = ((60, 1, "s"), (3_600, 60, "min"), (86_400, 3_600, "h"), (2_592_000, 86_400, "days"))
_NUMERIC = frozenset({"number", "score", "bytes", "seconds", "percent"})
_REASON = frozenset({"feature", "value", "expected", "contribution"})
_SHORT = frozenset({"ago", "time", "status", "stage", "flag"})


def number(value: Any, digits: int | None = None) -> str:
    """A number with thousands separators; as many decimals as tell it apart, or `digits`."""
    if value is None:
        return NONE
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if digits is not None:
        return f"{value:,.{digits}f}"
    if isinstance(value, int):
        return f"{value:,}"
    if value != 0 and (abs(value) < 1e-4 or abs(value) >= 1e15):
        return f"{value:.4g}"
    decimals = max(0, 5 - len(str(int(abs(value))))) if abs(value) >= 1 else 5
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def score(value: float | None) -> str:
    """A score by four digits that count, those before the point all of them."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def percent(value: float | None) -> str:
    """A share in percent."""
    return NONE if value is None else f"{100 * value:.3g} %"


def size(value: int | None, digits: int = 3) -> str:
    """Bytes in the unit that leaves three digits before the point at most."""
    if value is None:
        return NONE
    left = float(value)
    for unit in _UNITS:
        if abs(left) < 1_000 or unit == _UNITS[-1]:
            return f"{left:,.0f} {unit}" if unit == "bytes" else f"{_rounded(left, digits)} {unit}"
        left /= 1_000
    raise AssertionError(unit)


def seconds(value: float | None, digits: int = 3) -> str:
    """A duration."""
    if value is None:
        return NONE
    if value < 1:
        return f"{_rounded(1_000 * value, digits)} ms"
    if value < 120:
        return f"{_rounded(value, digits)} s"
    minutes, left = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"


def _rounded(value: float, digits: int) -> str:
    return f"{float(f'{value:.{digits}g}'):,.6g}"


def formula(value: str) -> str:
    """What an algorithm costs, as people write it."""
    return value.replace(" ** 2", "²").replace(" ** 3", "³").replace(" * ", "·")


def zone_of(name: str) -> ZoneInfo:
    """The time zone of a name; UTC for one that is none."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


@pass_context
def moment(context: Context, value: datetime | date | str | None) -> str:
    """A moment in the zone of the reader."""
    if value is None:
        return NONE
    found = _moment(value)
    if not isinstance(found, datetime):
        return str(found)
    if found.tzinfo is None:
        return Markup("<time>{}</time>").format(found.isoformat(" ", "seconds"))
    there = found.astimezone(zone_of(context.get("zone", "")))
    return Markup('<time datetime="{}">{}</time>').format(found.isoformat(), f"{there:%Y-%m-%d %H:%M:%S %Z}")


@pass_context
def ago(context: Context, value: datetime | str | None) -> str:
    """How long ago something was; its moment in the zone of the reader is the title."""
    if value is None:
        return NONE
    found = _moment(value)
    if not isinstance(found, datetime):
        return str(found)
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    there = found.astimezone(zone_of(context.get("zone", "")))
    now = context.get("now") or datetime.now(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        found.isoformat(), f"{there:%Y-%m-%d %H:%M:%S %Z}", _age((now - found).total_seconds(), there)
    )


def _age(elapsed: float, there: datetime) -> str:
    if 0 <= elapsed < 5:
        return "just now"
    for limit, unit, name in _AGES:
        if abs(elapsed) < limit:
            count = max(1, int(abs(elapsed) // unit))
            label = "day" if name == "days" and count == 1 else name
            return f"{count} {label} ago" if elapsed >= 0 else f"in {count} {label}"
    return f"{there:%Y-%m-%d}"


def _moment(value: datetime | date | str) -> datetime | date | str:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return value


def text(value: Any, limit: int = LONGEST) -> Markup:
    """Anybody's text, kept apart from what surrounds it whatever its direction; a long one opens."""
    whole = str(value)
    if len(whole) <= limit:
        return Markup("<bdi>{}</bdi>").format(whole)
    shown = whole[:WHOLE] + ("…" if len(whole) > WHOLE else "")
    return Markup(
        '<details class="long"><summary><bdi>{}…</bdi> <span>all {} characters</span></summary>'
        '<bdi tabindex="0">{}</bdi></details>'  # it scrolls, so keys must get there
    ).format(whole[: limit - 1], f"{len(whole):,}", shown)


def plain(value: Any, limit: int = 60) -> str:
    """Anybody's text within a sentence that is no markup: one line, cut, and kept apart from what surrounds it."""
    line = re.sub(r"[\u2066-\u2069]", "", " ".join(str(value).split()))
    return f"\u2068{line if len(line) <= limit else line[: limit - 1] + '…'}\u2069"


def told(value: Any, limit: int = LONGEST_SENTENCE) -> Markup:
    """A sentence of the server, kept apart like `text`; names of what people called things, in backticks, are code."""
    if isinstance(value, Markup):
        return value
    whole = str(value)
    shown = whole if len(whole) <= limit else f"{whole[: limit - 1]}…"
    pieces = re.split(r"`([^`]+)`", shown)
    marked = [
        Markup("<code><bdi>{}</bdi></code>").format(one) if n % 2 else escape(one) for n, one in enumerate(pieces)
    ]
    return Markup("<bdi>{}</bdi>").format(Markup("").join(marked))


def brief(value: Any) -> Markup | str:
    """A number, or a text, where there is room for either."""
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else text(value, 60)


@pass_context
def shown_as(context: Context, value: Any, kind: str | None = None) -> Markup | str:
    """A value of a table by its kind, or else by its type."""
    if isinstance(value, datetime) and kind != "ago":
        return moment(context, value)
    if kind in ("ago", "time"):
        return ago(context, value) if kind == "ago" else moment(context, value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes | bytearray):
        return text(value[:64].hex())
    if isinstance(value, int | float):
        form: Callable[[Any], str] = _NUMBERS.get(kind or "number", number)
        return form(value)
    if isinstance(value, list) and value and all(isinstance(one, dict) and one.keys() >= _REASON for one in value):
        return Markup("").join(_reason(one) for one in value)
    if isinstance(value, list | dict | tuple):
        return text(json.dumps(value, default=str, ensure_ascii=False))
    return text(value)


def _reason(one: Mapping[str, Any]) -> Markup:
    """A reason of a detection in words, as the result says it."""
    found = "missing" if one["value"] is None else text(one["value"], 40)
    expected = Markup(' <span class="text-muted">expected {}</span>').format(text(one["expected"], 60))
    return Markup('<div class="reason">{} <b>{}</b>{}</div>').format(
        text(one["feature"], 40), found, expected if one["expected"] else ""
    )


_NUMBERS: dict[str, Callable[[Any], str]] = {"score": score, "bytes": size, "seconds": seconds, "percent": percent}


def column_class(column: Mapping[str, Any], value: Any = None) -> str:
    """The class of a column's cells: numbers stand at the right."""
    kind = column.get("kind")
    is_plain = kind is None and isinstance(value, int | float) and not isinstance(value, bool)
    if kind in _NUMERIC or column.get("is_number") or is_plain:
        return "is-number"
    return "is-short" if kind in _SHORT else ""


def with_query(address: str, **changes: Any) -> str:
    """An address with other values in its query; None takes one out."""
    path, _, query = address.partition("?")
    kept = [(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if key not in changes]
    kept += [(key, str(value)) for key, value in changes.items() if value is not None]
    return f"{path}?{urlencode(kept)}" if kept else path


def query_of(address: str) -> list[tuple[str, str]]:
    """The query of an address as the fields of a form, which would drop it."""
    return parse_qsl(address.partition("?")[2], keep_blank_values=True)


def pretty(value: Any) -> str:
    """A value as JSON for people; a template escapes it as any text."""
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)


def slug(value: Any) -> str:
    """A text as part of an id."""
    return str(escape(re.sub(r"\W+", "-", str(value)).strip("-").lower())) or "x"
