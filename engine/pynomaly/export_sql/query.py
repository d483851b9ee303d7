"""The parts of an exported macro: constants, and steps that each add columns to those before."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithm import Floats

TOGETHER = 500  # terms of one sum: DuckDB refuses expressions nested more than a thousand deep
FEW = 32  # values that are searched without cells
VALUES_A_CELL = 32
MOST_CELLS = 8_192
TAILS = (4_096, 512, 64, 8)  # one value in so many may lie before the cells, and after them
STEEPEST = 1e250  # cells per unit, at most

Indices = NDArray[np.int64]


def number(value: float) -> str:
    """A number as a DOUBLE literal that reads back the same."""
    text = repr(float(value))
    if not math.isfinite(value):
        return f"'{text}'::double"
    return text if "e" in text else f"{text}e0"


def text(value: str) -> str:
    """A text as a literal; characters that may not survive in a file or a shell are spelled by their number."""
    parts, plain = [], ""
    for character in value:
        if character.isprintable():
            plain += "''" if character == "'" else character
        else:
            parts += [f"'{plain}'", f"chr({ord(character)})"]
            plain = ""
    return " || ".join([*parts, f"'{plain}'"])


class Sought(NamedTuple):
    """Sorted finite values and the column whose place among them is sought."""

    column: str
    values: Floats


class Found(NamedTuple):
    """Two columns: how many values lie before that of a row, and the values as a list, which ends in infinity."""

    place: str
    values: str


class Query:
    """A chain of SELECTs over the rows of a source; the name of every column that it adds begins with `_pynomaly_`."""

    def __init__(self) -> None:
        self._n_names = 0
        self._constants: list[tuple[str, str, str]] = []  # name, type, values
        self._steps: list[tuple[str, str]] = []  # what is selected, and what is joined

    def name(self) -> str:
        """A column name that is not in use."""
        self._n_names += 1
        return f"_pynomaly_{self._n_names}"

    def step(self, expressions: Sequence[str]) -> list[str]:
        """Add columns that are computed from those of earlier steps; return their names."""
        names = [self.name() for _ in expressions]
        if names:
            told = (f"{expression} as {name}" for name, expression in zip(names, expressions, strict=True))
            self._steps.append((",\n        ".join(["*", *told]), ""))
        return names

    def constant(self, values: NDArray[np.number]) -> str:
        """The name of a column that holds these numbers as a list, in every row.

        They travel as a text that is split when the query runs: a list of literals would be copied by every step of
        the planner.
        """
        name, kind = self.name(), "bigint" if values.dtype.kind in "iu" else "double"
        self._constants.append((name, kind, ",".join(map(repr, values.tolist()))))
        return name

    def look_up(self, key: str, table: Sequence[tuple[str, float]]) -> str:
        """The name of a column with the number that belongs to the text in column `key`, NULL where there is none.

        Texts are compared by their bytes, whatever the collation of column or session.
        """
        name = self.name()
        entries = ", ".join(f"({text(entry)}, {number(value)})" for entry, value in table)
        joined = f"(select encode(entry) as entry, value from (values {entries}) as t(entry, value)) as entries"
        self._steps.append(
            (f"_pynomaly_rows.*, entries.value as {name}", f"\n    left join {joined} on encode({key}) = entries.entry")
        )
        return name

    def total(self, terms: Sequence[str]) -> str:
        """The sum of the terms in their order; steps hold the parts of a long one."""
        parts = list(terms) or [number(0.0)]
        while len(parts) > TOGETHER:
            parts = [*self.step([" + ".join(parts[:TOGETHER])]), *parts[TOGETHER:]]
        return " + ".join(parts)

    def search(self, sought: Sequence[Sought], comparison: str) -> list[Found]:
        """Count the values below (`<`) or not above (`<=`) that of each column; NULL for a gap.

        Cells of equal width tell the first value that may count, and halving steps go on from there: what is read
        from memory at random is little, and all rows take the same steps.
        """
        grids = [_grid(one.values) for one in sought]
        lists = [
            self.constant(np.append(one.values, np.full(1 << grid.n_steps, np.inf)))
            for one, grid in zip(sought, grids, strict=True)
        ]
        starts = [self._start(one.column, grid) for one, grid in zip(sought, grids, strict=True)]
        counts = self.step(starts)
        for step in range(max((grid.n_steps for grid in grids), default=0) - 1, -1, -1):
            taking = [place for place, grid in enumerate(grids) if step < grid.n_steps]
            further = self.step([_halving(sought[p].column, lists[p], counts[p], comparison, step) for p in taking])
            for place, count in zip(taking, further, strict=True):
                counts[place] = count
        return [Found(place, values) for place, values in zip(counts, lists, strict=True)]

    def _start(self, column: str, grid: "_Grid") -> str:
        """The values before the cell of a column's value."""
        start = "0::bigint"
        if len(grid.before) > 1:
            cell = f"({column} - {number(grid.low)}) * {number(grid.scale)}"
            place = f"floor(greatest(least({cell}, {number(len(grid.before) - 1)}), 0e0))::bigint + 1"
            start = f"{self.constant(grid.before)}[{place}]"
        return f"case when {column} is not null then {start} end"  # `least` passes over a NULL

    def sql(self, source: str, results: Sequence[str]) -> str:
        """The CTEs, the first of which reads `source`; the last is `_pynomaly_scored`.

        A source that has one of the result columns is an error: a struct that is never computed repeats the name.
        """
        guard = ", ".join(f"{name} := null" for name in results)
        selected = f"select *, struct_pack({guard}, *columns(*)) as _pynomaly_guard"
        ctes = [f"_pynomaly_input as (\n    {selected}\n    from {source}\n)"]
        read = "_pynomaly_input"
        if self._constants:
            ctes.append(f"_pynomaly_constants as materialized (\n    {self._lists()}\n)")
            read += ", _pynomaly_constants"
        for place, (selected, join) in enumerate([("*", ""), *self._steps]):
            name = f"_pynomaly_step_{place}" if place < len(self._steps) else "_pynomaly_scored"
            ctes.append(f"{name} as (\n    select {selected}\n    from {read}{join}\n)")
            read = f"{name} as _pynomaly_rows"
        return ",\n".join(ctes)

    def _lists(self) -> str:
        """The SELECT of the constants."""
        names = ", ".join(name for name, _, _ in self._constants)
        texts = ",\n        ".join(f"'{values}'" for _, _, values in self._constants)
        lists = ",\n        ".join(
            f"string_split({name}, ',')::{kind}[] as {name}" for name, kind, _ in self._constants
        )
        return f"select\n        {lists}\n    from (values (\n        {texts}\n    )) as t({names})"


def _halving(column: str, values: str, count: str, comparison: str, step: int) -> str:
    further = f"{count} + {1 << step}::bigint"
    return f"case when {values}[{further}] {comparison} {column} then {further} else {count} end"


class _Grid(NamedTuple):
    """Cells of equal width; a larger value is never in an earlier cell."""

    low: float
    scale: float  # cells per unit
    before: Indices  # values before each cell
    n_steps: int  # that find a place among the values of the fullest cell


def _grid(values: Floats) -> _Grid:
    """The cells, of those that leave out more or less of the tails, that take the fewest steps."""
    whole = _Grid(0.0, 0.0, np.zeros(1, np.int64), len(values).bit_length())
    if len(values) <= FEW:
        return whole
    n_cells = min(len(values) // VALUES_A_CELL + 1, MOST_CELLS)
    return min([_cut(values, n_cells, len(values) // tail) for tail in TAILS] + [whole], key=lambda grid: grid.n_steps)


def _cut(values: Floats, n_cells: int, outer: int) -> _Grid:
    low, width = float(values[outer]), float(values[-1 - outer] - values[outer])
    scale = min(n_cells / width, STEEPEST) if width > 0.0 else 0.0
    cells = np.floor(np.maximum(np.minimum((values - low) * scale, n_cells - 1.0), 0.0)).astype(np.int64)
    counts = np.bincount(cells, minlength=n_cells)
    before: Indices = np.cumsum(counts) - counts
    return _Grid(low, scale, before, int(counts.max()).bit_length())
