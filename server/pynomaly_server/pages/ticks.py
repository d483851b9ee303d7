"""Axes: a range of numbers or moments with the round values in it and how these are written."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

N_TICKS = 4
HUGE = 4e307  # numbers beyond are drawn at the edge: a range twice as wide is still finite
TINY = 1e-300
_NICE = (1, 2, 2.5, 5, 10)
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"))
_DAY = 86_400
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200)
_DAYS = (1, 2, 3, 7, 14)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1_200, 2_400, 6_000, 12_000, 24_000)
_MONTH = 30.44 * _DAY
_MONDAY = 4 * _DAY  # the first one after the start of 1970
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Tick(msgspec.Struct, frozen=True):
    """Where a tick stands, in percent of its axis, and what it says."""

    x: float
    text: str


class Axis(msgspec.Struct, frozen=True):
    """A range of values, and the ticks in it."""

    low: float
    high: float
    ticks: list[tuple[float, str]]

    def at(self, value: float) -> float:
        """Where a value is, from 0 to 100."""
        inside = min(max(value, self.low), self.high)
        return round(100 * ((inside / 2 - self.low / 2) / (self.high / 2 - self.low / 2)), 3)

    @property
    def marks(self) -> list[Tick]:
        """The ticks where they are."""
        return [Tick(self.at(value), text) for value, text in self.ticks]

    @property
    def told(self) -> dict[str, Any]:
        """The axis for scripts, which draw the same."""
        return {"low": self.low, "high": self.high, "ticks": self.ticks}

    @property
    def gutter(self) -> int:
        """The room that the texts need beside the plot, in characters: an odd number from 3 to 17."""
        longest = max((len(text) for _, text in self.ticks), default=3)
        return min(max(longest + (longest + 1) % 2, 3), 17)


def axis(low: float, high: float, is_tight: bool = False) -> Axis:
    """Round ticks over a range; the axis ends at ticks unless it is tight."""
    low, high = _widened(*(min(max(value, -HUGE), HUGE) for value in (low, high)))
    raw = (high - low) / N_TICKS
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(nice * magnitude for nice in _NICE if nice * magnitude >= raw * (1 - 1e-9))
    first, last = (
        (math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9))
        if is_tight
        else (math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9))
    )
    values = [float(f"{n * step:.14g}") for n in range(first, last + 1)]
    texts = _texts(values, step)
    ticks = list(zip(values, texts, strict=True))
    return Axis(low, high, ticks) if is_tight else Axis(values[0], values[-1], ticks)


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range that has a width: one value stands in the middle of its own."""
    if high - low > max(1e-12 * max(abs(low), abs(high)), TINY):
        return low, high
    around = abs(low) / 2 if abs(low) > TINY else 0.5
    return low - around, low + around


def _texts(values: list[float], step: float) -> list[str]:
    """Numbers that are a step apart, all in one notation, by the digits that tell them apart."""
    largest = max(abs(value) for value in values)
    if largest < 1e6 and (step > 1e-5 or (largest > 0.1 and step > 1e-9)):
        return [f"{value:,.{_decimals(step)}f}" for value in values]
    unit, letter = next(((unit, letter) for unit, letter in _UNITS if largest >= unit), (1.0, ""))
    if 1e6 <= largest < 1e15 and _decimals(step / unit) <= 3:
        return [f"{value / unit:,.{_decimals(step / unit)}f}{letter}" if value else "0" for value in values]
    if step >= 1 and largest < 1e13:
        return [f"{value:,.{_decimals(step)}f}" for value in values]
    digits = math.floor(math.log10(largest)) - _place(step)
    return [_scientific(value, min(max(0, digits), 12)) for value in values]


def _decimals(step: float) -> int:
    """How many digits behind the point a step needs."""
    return max(0, -_place(step))


def _place(step: float) -> int:
    """The power of ten of the last digit of a step."""
    return math.floor(math.log10(step) + 1e-9) - (1 if f"{step:.3e}".startswith("2.5") else 0)


def _scientific(value: float, digits: int) -> str:
    if not value:
        return "0"
    number, _, power = f"{value:.{digits}e}".partition("e")
    return f"{number}e{int(power)}"


def time_axis(low: float, high: float) -> Axis:
    """Ticks at the round moments of a range of seconds since 1970, in UTC."""
    if high - low < 1e-3:
        low, high = low - _DAY / 2, high + _DAY / 2
    values, form = _moments(low, high)
    return Axis(low, high, [(value, _written(value, form)) for value in values])


def _moments(low: float, high: float) -> tuple[list[float], str]:
    """The round moments in a range, and how they are written."""
    raw = (high - low) / N_TICKS
    if raw > _DAYS[-1] * _DAY:
        return _months(low, high, next((n for n in _MONTHS if n * _MONTH >= raw), _MONTHS[-1]))
    if raw > _SECONDS[-1]:
        step = next(n * _DAY for n in _DAYS if n * _DAY >= raw)
        start = _MONDAY if step % (7 * _DAY) == 0 else 0
        return _every(low, high, step, start), "day"
    if raw < 1:
        return [value for value, _ in axis(low, high, is_tight=True).ticks], "part"
    step = next(n for n in _SECONDS if n >= raw)
    return _every(low, high, step, 0), "second" if step < 60 else "minute"


def _every(low: float, high: float, step: int, start: int) -> list[float]:
    first = math.ceil((low - start) / step)
    last = math.floor((high - start) / step)
    return [float(start + n * step) for n in range(first, last + 1)]


def _months(low: float, high: float, step: int) -> tuple[list[float], str]:
    """The first days of every so many months."""
    places = [moment.year * 12 + moment.month - 1 for moment in map(_moment, (low, high))]
    found = []
    for place in range(-(-places[0] // step) * step, places[1] + 1, step):
        if 12 <= place < 120_000:
            value = (datetime(place // 12, place % 12 + 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()
            found += [value] if low <= value <= high else []
    return found, "month" if step < 12 else "year"


def _written(value: float, form: str) -> str:
    moment = _moment(value)
    is_midnight = not (moment.hour or moment.minute or moment.second or moment.microsecond)
    if form == "day" or (is_midnight and form == "minute"):
        return f"{moment.day} {moment:%b}"
    if form == "part":
        return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
    return str(moment.year) if form == "year" else f"{moment:{_FORMS[form]}}"


_FORMS = {"second": "%H:%M:%S", "minute": "%H:%M", "month": "%b %Y"}


def _moment(seconds: float) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if seconds < 0 else datetime.max.replace(tzinfo=UTC)
