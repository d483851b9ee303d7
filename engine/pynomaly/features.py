"""The features of one column: how they are made from its values, and what is usual in them, in words."""

from collections.abc import Iterable
from functools import cached_property

import msgspec
import numpy as np
import pyarrow as pa

from pynomaly.algorithm import Flags, Floats
from pynomaly.columns import (
    Moments,
    as_moments,
    clock_text,
    codes,
    family,
    moment_text,
    moments,
    number_text,
    numbers,
    shown,
)

LIMIT = 1e150  # features stay within this, so that the squares of their differences are finite
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

VALUE, GAP, RARITY = "value", "is missing", "rarity"
HOUR, WEEKDAY, POSITION = "hour of day", "day of week", "position"

_SCALAR = {"number", "boolean", "duration", "clock"}
_QUANTITY = {"number", "boolean", "duration", "nothing"}
_ACCEPTS = {
    **dict.fromkeys(("number", "boolean", "duration"), _QUANTITY),
    "clock": {"clock", "nothing"},
    "time": {"time", "nothing"},
}
_DAY = 86_400


class Column(msgspec.Struct, frozen=True, dict=True, kw_only=True):
    """One used column: the features it owns and the constants that make them.

    `parts` says what each feature is. `ranges` holds the 5 % and 95 % quantile of each part that is a quantity,
    `low` and `high` the finite range of a number, `offset` the second that positions are counted from,
    `categories` the texts held, most frequent first, with their `shares` among `n_known` known values.
    """

    name: str
    kind: str
    parts: tuple[str, ...]
    start: int = 0
    ranges: tuple[tuple[float, float], ...] = ()
    low: float = 0.0
    high: float = 0.0
    offset: int = 0
    categories: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    n_known: int = 0

    @property
    def features(self) -> slice:
        """Where the column's features stand in the matrix."""
        return slice(self.start, self.start + len(self.parts))

    @property
    def is_scalar(self) -> bool:
        """Whether the column's value is its first feature."""
        return self.kind in _SCALAR and self.parts[0] == VALUE

    def accepts(self, kind: str | None) -> bool:
        """Whether values of this family can be read as the column was fitted; a category can be any value's text."""
        return kind is not None and kind in _ACCEPTS.get(self.kind, {kind})

    def tame(self, values: Floats) -> Floats:
        """Infinities put just outside the range of the sample, and everything within the limit."""
        margin = max(self.high - self.low, 1.0)
        inner = np.where(values == np.inf, self.high + margin, values)
        return np.clip(np.where(values == -np.inf, self.low - margin, inner), -LIMIT, LIMIT)

    def fill(self, array: pa.Array, out: Floats) -> None:
        """Write the column's features of some rows into `out`, float64[n, features]; numbers are not tamed yet."""
        if self.kind in ("category", "frequency"):
            out[:] = self._category_features(array)
        elif self.kind == "time":
            found = moments(array)
            self._fill_parts(time_features(found, self.offset), found.gaps, out)
        else:
            values = numbers(array)
            self._fill_parts({VALUE: values}, np.isnan(values), out)

    def _fill_parts(self, quantities: dict[str, Floats], gaps: Flags, out: Floats) -> None:
        for place, part in enumerate(self.parts):
            out[:, place] = gaps if part == GAP else np.where(gaps, np.nan, quantities[part])

    def _category_features(self, array: pa.Array) -> Floats:
        places, texts = codes(array)
        rows = np.array([self._row_of.get(text, len(self.categories)) for text in texts], dtype=np.int64)
        features: Floats = self.table[rows[places]]
        return features

    @cached_property
    def _row_of(self) -> dict[str | None, int]:
        return {**{text: row for row, text in enumerate(self.categories)}, None: len(self.categories) + 1}

    @cached_property
    def table(self) -> Floats:
        """The features of each category, then of an unseen one, then of a gap.

        An unseen category is encoded as the rarest one, only further out: every feature lies on the same side
        and no nearer, so no algorithm that looks at distances or tails can find it less anomalous.
        """
        n = len(self.categories)
        table = np.zeros((n + 2, len(self.parts)))
        own = table[:, : len(self.parts) - (GAP in self.parts)]
        if RARITY in self.parts:
            own[:n, 0], own[n, 0] = -np.log(self.shares), np.log(self.n_known + 1)
        elif own.shape[1]:
            own[:n] = np.eye(n)[:, n - own.shape[1] :]
            own[n, -1] = 2.0
        own[n + 1] = np.nan
        if GAP in self.parts:
            table[n + 1, -1] = 1.0
        return table

    def expectation(self, part: str) -> str:
        """What is usual in one part of the column."""
        if part == GAP:
            return "a value"
        if self.categories:
            return self._usual_categories()
        low, high = (self._spell(part, value) for value in self.ranges[self.parts.index(part)])
        return low if low == high else f"{low} to {high}"

    def _spell(self, part: str, value: float) -> str:
        if part == WEEKDAY:
            return WEEKDAYS[round(value)]
        if part == HOUR:
            minutes = min(round(value * 60), 24 * 60 - 1)
            return f"{minutes // 60:02d}:{minutes % 60:02d}"
        if part == POSITION:
            return moment_text(self.offset + int(np.floor(value)))
        if self.kind == "clock":
            return clock_text(float(np.floor(value)))
        return number_text(float(f"{value:.4g}"))

    def _usual_categories(self) -> str:
        """The most common categories with their shares: as many as cover nine rows in ten, at most three."""
        covered = np.cumsum(self.shares[:3])
        n = int(np.searchsorted(covered, 0.9)) + 1
        quote = "" if self.kind == "boolean" else "'"
        top = list(zip(self.categories, self.shares, strict=True))[: min(n, 3)]
        usual = [f"{quote}{shown(text)}{quote} ({_percent(share)})" for text, share in top]
        return " or ".join(usual)

    def describe(self) -> str:
        """The encoding in words."""
        told = [text for text in (self._described(), f"whether it {GAP}" if GAP in self.parts else "") if text]
        return ", ".join(told)

    def _described(self) -> str:
        own = [part for part in self.parts if part != GAP]
        if not own:
            return ""
        if RARITY in own:
            return f"rarity of the category (-log of its share), {len(self.categories):,} categories held"
        if self.kind == "category":
            return (
                f"one indicator for {', '.join(own)}" if len(own) == 1 else f"{len(own)} indicators: {', '.join(own)}"
            )
        scalar = {"number": "number", "boolean": "0 or 1", "duration": "seconds", "clock": "seconds since midnight"}
        return scalar.get(self.kind) or ", ".join(own)


def time_features(found: Moments, offset: int) -> dict[str, Floats]:
    """Every feature that a point in time can have; positions are seconds since `offset`."""
    in_day = found.seconds % _DAY
    return {
        HOUR: in_day / 3_600.0 + found.micros / 3.6e9,
        WEEKDAY: ((found.seconds // _DAY + 3) % 7).astype(np.float64),  # the first of January 1970 was a Thursday
        POSITION: (found.seconds - offset) + found.micros / 1e6,
    }


def _percent(share: float) -> str:
    return f"{100.0 * share:.0f} %" if share >= 0.005 else "under 1 %"


def timed(fitted: Iterable[Column], rows: pa.StructArray) -> pa.StructArray:
    """Rows whose texts are times where the fitted columns were: JSON has no other way to tell them."""
    meant = {column.name.lower() for column in fitted if column.kind == "time"}
    places = [i for i, field in enumerate(rows.type) if field.name.lower() in meant and family(field.type) == "text"]
    if not places:
        return rows
    columns = rows.flatten()
    for place in places:
        columns[place] = as_moments(columns[place], rows.type[place].name)
    return pa.StructArray.from_arrays(columns, names=[field.name for field in rows.type])
