"""The matrix that algorithms see: fitted on a sample of rows, applied to any, and told back in words.

Which columns are left out, and which features the others get, is decided from the values of the sample and
never from their order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from pynomaly import workers
from pynomaly.algorithm import Floats
from pynomaly.columns import Ints, codes, family, moments, numbers, shown, taken, why_unusable, words
from pynomaly.errors import NoUsableColumn, UnknownColumn, did_you_mean
from pynomaly.features import GAP, HOUR, LIMIT, POSITION, RARITY, VALUE, WEEKDAY, Column, time_features

if TYPE_CHECKING:  # the kernels are slow to load
    from pynomaly.kernels.summary import Summary

INDICATORS = 8  # up to so many categories have an indicator each
EVEN_INDICATORS = 32  # and up to so many where all are equally frequent, since their rarity would tell nothing
CATEGORIES_HELD = 10_000
WORTH_THREADS = 50_000  # rows
RARE_GAPS = 0.1  # up to this share of the rows, a gap is worth a feature
SMALL = 20  # with fewer values there is no telling an identifier, nor a tail

DOUBLE = pa.float64()

CONSTANT = "constant"
EVENLY_SPREAD = "constant frequency: every value occurs equally often"
ALL_MISSING = "every value is missing"
IDENTIFIER = "every value is different (an identifier)"
NEARLY_IDENTIFIER = "most values are different (an identifier)"

_LABELS = {"label", "outlier", "target"}
_IDENTIFIER_NAME = re.compile(
    r"(^|[^a-z0-9])(?i:id|key|uuid|guid|index|idx|rowid|row_number|nr)$"
    r"|[a-z0-9](Id|ID|Key|Uuid|UUID|Guid|GUID|Index|Idx|Nr)$"
)


class LeftOut(msgspec.Struct, frozen=True):
    """A column that is no feature, and why."""

    column: str
    why: str


class Encoder(msgspec.Struct, frozen=True, dict=True):
    """Turns rows into the matrix of features; fitted by `fit_encoder`."""

    columns: tuple[Column, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def n_features(self) -> int:
        """The number of features of all columns."""
        return self.columns[-1].features.stop if self.columns else 0

    def transform(self, rows: pa.StructArray) -> Floats:
        """The features of rows, float64[n, n_features], C-contiguous, NaN for gaps; columns are found by name.

        Raises UnknownColumn when a column is missing or of another kind than the fitted one.
        """
        X = np.empty((len(rows), self.n_features))
        self.fill(without_nulls(rows), X)
        return X

    def fill(self, rows: pa.StructArray, X: Floats) -> bool:
        """Write the features of rows, none of which is a NULL struct, into X, as `transform` gives them.

        Returns whether every value stayed as it is, so that encoders that are alike would give the same.
        """
        from pynomaly.kernels.gather import gather  # brings numba, which `import pynomaly` must not

        doubles, others = self._plan(rows.type)
        for column, place in others:
            column.fill(rows.field(place), X[:, column.features])
        cells = np.array([_cells(rows.field(place), start) for place, start in doubles], np.int64).reshape(-1, 4)
        if gather(cells, X, LIMIT) and not (others and (np.abs(X) > LIMIT).any()):
            return True
        self._tame(X)
        return False

    def is_like(self, other: Encoder) -> bool:
        """Whether both have the same columns, all of them numbers: they encode a row alike, unless they tame it."""
        return len(self.columns) == len(other.columns) and all(map(_are_alike, self.columns, other.columns))

    def check_usable(self) -> None:
        """Raise NoUsableColumn when there is no column, unless that is because all are constant."""
        if not self.columns and not any(item.why in (CONSTANT, EVENLY_SPREAD) for item in self.left_out):
            told = "; ".join(f"`{item.column}`: {item.why}" for item in self.left_out) or "the source has no column"
            raise NoUsableColumn(f"no column can be used as a feature ({told})", "name a usable column in `features`")

    def _tame(self, X: Floats) -> None:
        """Bring infinities and huge numbers in."""
        for column in self.columns:
            if column.is_scalar:
                X[:, column.start] = column.tame(X[:, column.start])

    def _plan(self, type_: pa.StructType) -> tuple[list[tuple[int, int]], list[tuple[Column, int]]]:
        """The places of doubles that are features as they are, with the feature; and the others. Kept for next time."""
        known = self.__dict__.get("_known_plan")
        if known is None or known[0] != type_:
            known = self.__dict__["_known_plan"] = type_, *self._planned(type_)
        return known[1], known[2]

    def _planned(self, type_: pa.StructType) -> tuple[list[tuple[int, int]], list[tuple[Column, int]]]:
        doubles: list[tuple[int, int]] = []
        others: list[tuple[Column, int]] = []
        for column, place in zip(self.columns, self._places(type_), strict=True):
            if column.is_scalar and len(column.parts) == 1 and type_[place].type == DOUBLE:
                doubles.append((place, column.start))
            else:
                others.append((column, place))
        return doubles, others

    def _places(self, type_: pa.StructType) -> list[int]:
        """Where a struct holds each column: under its name, or under its name in other letters, as in SQL."""
        names = [field.name for field in type_]
        place_of = {name.lower(): place for place, name in enumerate(names)}
        place_of |= {name: place for place, name in enumerate(names)}
        return [_place(column, place_of, type_) for column in self.columns]

    def aggregate(self, contributions: Floats) -> Floats:
        """Contributions by feature, float64[n, n_features], summed by column; NaN counts as 0."""
        if not self.columns:
            return np.zeros((len(contributions), 0))
        starts = [column.start for column in self.columns]
        return np.add.reduceat(np.where(np.isnan(contributions), 0.0, contributions), starts, axis=1)

    def values(self, rows: pa.StructArray, column_index: int, row_indices: Ints) -> list[str | None]:
        """The values of a column in the rows named, as text; None for NULL."""
        rows = without_nulls(rows)
        return words(taken(rows.field(self._places(rows.type)[column_index]), row_indices))

    def expected(self, column_index: int, contributions: Floats) -> str:
        """What was expected in a column, judged by whichever of its features contributes most."""
        column = self.columns[column_index]
        largest = int(np.argmax(np.where(np.isnan(contributions), -np.inf, contributions)))
        return column.expectation(column.parts[largest])

    def describe(self) -> list[tuple[str, str]]:
        """Each used column with its encoding in words."""
        return [(column.name, column.describe()) for column in self.columns]


class _Sample(msgspec.Struct, frozen=True, gc=False):
    """What is known of one column of a group besides its values."""

    name: str
    n: int  # rows in the sample
    n_rows: int  # of the whole group
    forced: bool

    def built(self, kind: str, parts: tuple[str, ...], n_gaps: int, why: str, **constants: Any) -> Column | LeftOut:
        """The column with these parts, and a gap indicator where gaps are rare; left out when it has neither."""
        if 0 < n_gaps <= RARE_GAPS * self.n:
            parts = (*parts, GAP)
        if not parts:
            return LeftOut(self.name, why)
        return Column(name=self.name, kind=kind, parts=parts, **constants)

    def refused(self, n_distinct: int) -> LeftOut | None:
        """Why the number of different values alone rules the column out."""
        if n_distinct == 0:
            return LeftOut(self.name, ALL_MISSING)
        if n_distinct == 2 and not self.forced and self.name.lower() in _LABELS:
            return LeftOut(self.name, f"two values under the name {self.name}: name it in features to use it")
        return None


def fit_encoder(rows: pa.StructArray, n_rows: int, forced: frozenset[str]) -> Encoder:
    """Fit the encoding on a sample of rows.

    `n_rows` counts the rows of the whole source; the columns in `forced` were named by the user and are not left
    out as identifiers or labels. Raises NoUsableColumn when no column is left, unless that is because they are
    constant: then the encoder has no features.
    """
    encoder = fit_encoders(without_nulls(rows), [0, len(rows)], [n_rows], forced)[0]
    encoder.check_usable()
    return encoder


def fit_encoders(
    rows: pa.StructArray, starts: Sequence[int], n_rows: Sequence[int], forced: frozenset[str]
) -> list[Encoder]:
    """Fit an encoding to each group: rows from one of the starts to the next, in a sample without NULL structs.

    Nothing is raised for a group of which no column can be used; see `Encoder.check_usable`.
    """
    named = {name.lower() for name in forced}
    sizes = [end - first for first, end in pairwise(starts)]
    found: list[list[Column | LeftOut]] = [[] for _ in rows.type]

    def fit(first: int, end: int) -> None:
        for place in range(first, end):
            name = rows.type[place].name
            samples = [_Sample(name, n, of, name.lower() in named) for n, of in zip(sizes, n_rows, strict=True)]
            found[place] = _fit_column(rows.field(place), samples, starts)

    # side by side where that is worth it, since sorting lets other threads run
    workers.over_rows(len(found), 1 if len(rows) >= WORTH_THREADS else max(len(found), 1), fit)
    return [_encoder(items) for items in zip(*found, strict=True)] if found else [Encoder((), ()) for _ in sizes]


def _encoder(found: tuple[Column | LeftOut, ...]) -> Encoder:
    """The encoder of these columns, their features side by side."""
    columns, start = [item for item in found if isinstance(item, Column)], 0
    for column in columns:  # just made, and nobody else's yet
        msgspec.structs.force_setattr(column, "start", start)
        start += len(column.parts)
    return Encoder(tuple(columns), tuple(item for item in found if isinstance(item, LeftOut)))


def _fit_column(array: pa.Array, samples: list[_Sample], starts: Sequence[int]) -> list[Column | LeftOut]:
    """One column of each group."""
    workers.check()
    kind = family(array.type)
    if kind is None:
        return [LeftOut(sample.name, why_unusable(array.type)) for sample in samples]
    if kind == "nothing":
        return [LeftOut(sample.name, ALL_MISSING) for sample in samples]
    if kind not in ("text", "time"):
        return _fit_scalars(numbers(array), samples, starts, kind)
    fit = _fit_text if kind == "text" else _fit_time
    return [fit(sample, array.slice(first, sample.n)) for sample, first in zip(samples, starts, strict=False)]


def _fit_scalars(values: Floats, samples: list[_Sample], starts: Sequence[int], kind: str) -> list[Column | LeftOut]:
    from pynomaly.kernels.summary import summaries  # brings numba, which `import pynomaly` must not

    ordered = values.copy()
    for first, end in pairwise(starts):
        ordered[first:end].sort()  # gaps come last
    found = zip(samples, pairwise(starts), summaries(ordered, starts), strict=True)
    return [_fit_scalar(sample, ordered[first:end], summary, kind) for sample, (first, end), summary in found]


def _fit_scalar(sample: _Sample, ordered: Floats, found: Summary, kind: str) -> Column | LeftOut:
    low, high = found.low, found.high
    if low < -LIMIT or high > LIMIT:
        low, high, found = _tamed(ordered[: found.n_known], kind)
    refused = sample.refused(found.n_distinct)
    if refused is not None:
        return refused
    if kind == "number" and not sample.forced and _is_identifier(sample, found):
        return LeftOut(sample.name, IDENTIFIER)
    n_gaps = sample.n - found.n_known
    if found.n_distinct == 1:
        return sample.built(kind, (), n_gaps, CONSTANT)
    constants = _boolean_shares(ordered[: found.n_known]) if kind == "boolean" else {}
    usual = ((found.usual_low, found.usual_high),)
    return sample.built(kind, (VALUE,), n_gaps, CONSTANT, low=low, high=high, ranges=usual, **constants)


def _tamed(known: Floats, kind: str) -> tuple[float, float, Summary]:
    """The finite range of sorted values that leave it, and their summary, infinite ones just outside of it."""
    from pynomaly.kernels.summary import summaries

    finite = np.clip(known[np.isfinite(known)], -LIMIT, LIMIT)
    low, high = (float(finite[0]), float(finite[-1])) if len(finite) else (0.0, 0.0)
    tamed = Column(name="", kind=kind, parts=(VALUE,), low=low, high=high).tame(known)
    return low, high, summaries(tamed, [0, len(tamed)])[0]


def _is_identifier(sample: _Sample, found: Summary) -> bool:
    """Whole numbers, (almost) all different, that are called an identifier or count rows."""
    n = found.n_known
    if found.n_broken or n < SMALL or found.n_distinct < 0.999 * n:
        return False
    is_counter = found.high - found.low + 1.0 <= 2.0 * sample.n_rows
    return is_counter or _IDENTIFIER_NAME.search(sample.name) is not None


def _boolean_shares(known: Floats) -> dict[str, object]:
    true = float(np.count_nonzero(known)) / len(known)
    ordered = sorted({"false": 1.0 - true, "true": true}.items(), key=lambda item: (-item[1], item[0]))
    return {"categories": tuple(text for text, _ in ordered), "shares": tuple(share for _, share in ordered)}


def _fit_time(sample: _Sample, array: pa.Array) -> Column | LeftOut:
    found = moments(array)
    n_gaps = int(found.gaps.sum())
    seconds = np.sort(found.seconds[~found.gaps])
    offset = int(seconds[len(seconds) // 2]) if len(seconds) else 0
    ordered = {part: np.sort(values[~found.gaps]) for part, values in time_features(found, offset).items()}
    n_distinct = _n_distinct(ordered[POSITION])
    refused = sample.refused(n_distinct)
    if refused is not None:
        return refused
    parts = [part for part in (HOUR, WEEKDAY) if _n_distinct(ordered[part]) > 1]
    if n_distinct > 1 and (not parts or _has_tail(ordered[POSITION])):
        parts.append(POSITION)
    ranges = tuple(_usual(ordered[part]) for part in parts)
    return sample.built("time", tuple(parts), n_gaps, CONSTANT, offset=offset, ranges=ranges)


def _has_tail(ordered: Floats) -> bool:
    """Whether some dates stand apart from the rest.

    The position of an even stream of timestamps says nothing but first and last, and would flag those rows in
    every table; so it is used only where dates lie outside Tukey's fences, or are too few to tell.
    """
    lower, upper = _quantile(ordered, 0.25), _quantile(ordered, 0.75)
    reach = 1.5 * (upper - lower)
    return len(ordered) < SMALL or bool(ordered[0] < lower - reach or ordered[-1] > upper + reach)


def _fit_text(sample: _Sample, array: pa.Array) -> Column | LeftOut:
    places, texts = codes(array)
    counts: Counter[str | None] = Counter()
    for text, count in zip(texts, np.bincount(places, minlength=len(texts)).tolist(), strict=True):
        counts[text] += count
    n_gaps = counts.pop(None, 0)
    n_known = counts.total()
    refused = sample.refused(len(counts))
    if refused is not None:
        return refused
    if n_known >= SMALL and len(counts) > 0.5 * n_known and not sample.forced:
        return LeftOut(sample.name, IDENTIFIER if len(counts) == n_known else NEARLY_IDENTIFIER)
    ordered = sorted(((text, count) for text, count in counts.items() if text is not None), key=_most_frequent_first)
    return _encoded_text(sample, ordered, n_known, n_gaps)


def _most_frequent_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _encoded_text(sample: _Sample, ordered: list[tuple[str, int]], n_known: int, n_gaps: int) -> Column | LeftOut:
    """Indicators for few categories, the rarity for many."""
    most, least = ordered[0][1], ordered[-1][1]
    held = ordered[:CATEGORIES_HELD]
    categories = tuple(text for text, _ in held)
    shares = tuple(count / n_known for _, count in held)
    if len(ordered) <= INDICATORS or (1 < most == least and len(ordered) <= EVEN_INDICATORS):
        # two categories need one indicator, that of the rarer; a single one needs none
        kind, parts = (
            "category",
            [f"is '{shown(text)}'" for text in (categories if len(ordered) > 2 else categories[1:])],
        )
    else:
        kind, parts = "frequency", [RARITY] if most > least else []
    why = CONSTANT if len(ordered) == 1 else EVENLY_SPREAD
    return sample.built(kind, tuple(parts), n_gaps, why, categories=categories, shares=shares, n_known=n_known)


def _n_distinct(ordered: Floats) -> int:
    """The number of different values in sorted ones."""
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + 1 if len(ordered) else 0


def _usual(ordered: Floats) -> tuple[float, float]:
    return _quantile(ordered, 0.05), _quantile(ordered, 0.95)


def _quantile(ordered: Floats, share: float) -> float:
    """The linear quantile of sorted values."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


def _cells(array: pa.Array, start: int) -> tuple[int, int, int, int]:
    """Where a column of doubles lies in memory, for `gather`, and the feature that it is."""
    bits, values = array.buffers()
    return values.address if values else 0, bits.address if bits else 0, array.offset, start


def _are_alike(a: Column, b: Column) -> bool:
    return a.is_scalar and a.name == b.name and a.parts == b.parts and a.kind == b.kind


def without_nulls(rows: pa.StructArray) -> pa.StructArray:
    """The rows with the gaps of NULL structs handed on to their fields."""
    return pa.StructArray.from_arrays(rows.flatten(), fields=list(rows.type)) if rows.null_count else rows


def _place(column: Column, place_of: dict[str, int], type_: pa.StructType) -> int:
    place = place_of.get(column.name, place_of.get(column.name.lower()))
    if place is None:
        names = [field.name for field in type_]
        near = did_you_mean(column.name, names)
        raise UnknownColumn(f"column `{column.name}` not found", f"{near} (one of a nested type counts as none)")
    found = type_[place].type
    if not column.accepts(family(found)):
        raise UnknownColumn(
            f"column `{column.name}` is {found} here and was a {column.kind} when the model was fitted",
            "cast it to the type it had",
        )
    return place
