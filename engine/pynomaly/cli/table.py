"""Rows as a table for a person: what fits the width, numbers short, reasons in words."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

from pynomaly.source import RESULT_COLUMNS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pynomaly.cli.output import Shown

CELL_WIDTH = 40  # a longer text wraps, or ends in an ellipsis where it is very long
CELL_LENGTH = 400
PADDING = 2
ELLIPSIS = "…"


def show(shown: Shown, stream: TextIO | None = None) -> int:
    """Print rows as a table on standard output, or on a stream; the number of columns left out for width."""
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    if shown.columns == ["explain_key", "explain_value"]:
        for _, plan in shown.rows:
            console.print(plan, markup=False, soft_wrap=True)
        return 0
    cells = [[text(value) for value in row] for row in shown.rows]
    kept = _fitting(shown.columns, cells, console.width)
    console.print(_table(shown, cells, kept))
    return len(shown.columns) - len(kept)


def text(value: object) -> str:
    """A value as a cell of a table."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6g}"
        case list() if value and all(_is_reason(item) for item in value):
            return "\n".join(map(reason, value))
        case _:
            return _printable(str(value))


def reason(item: dict[str, Any]) -> str:
    """A reason in words: the feature, its value, and what was expected."""
    return _printable(f"{item['feature']}: {_short(item['value'])}, expected {item['expected']}")


def plain_table(*headers: str, **options: Any) -> Table:
    """An empty table in the one style of the command line."""
    from rich import box
    from rich.table import Table

    return Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", **options)


def width_of(console: Console, most: int = 100) -> int:
    """The width to draw prose and reports in."""
    return min(console.width, most)


def _is_reason(item: object) -> bool:
    return isinstance(item, dict) and item.keys() == {"feature", "value", "expected", "contribution"}


def _short(value: str | None) -> str:
    """A number with at most six digits; another value as it is."""
    if value is None:
        return "NULL"
    try:
        return value if len(value) <= 8 else f"{float(value):.6g}"
    except ValueError:
        return value


def _printable(value: str) -> str:
    """The text without control characters, which could steer a terminal, and not longer than a cell."""
    short = value if len(value) <= CELL_LENGTH else value[:CELL_LENGTH] + ELLIPSIS
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in short)


def _fitting(columns: Sequence[str], cells: list[list[str]], width: int) -> list[int]:
    """The places of the columns that fit: the result columns, then as many others as there is room for."""
    places = range(len(columns))
    results = [place for place in places if columns[place] in RESULT_COLUMNS]
    room = width - sum(_width(columns, cells, place) for place in results)
    chosen = set(results)
    for place in (place for place in places if place not in chosen):
        room -= _width(columns, cells, place)
        if room < (len(ELLIPSIS) + PADDING if place + 1 < len(columns) - len(results) else 0) and len(chosen):
            break
        chosen.add(place)
    return sorted(chosen)


def _width(columns: Sequence[str], cells: list[list[str]], place: int) -> int:
    longest = max((len(line) for row in cells for line in row[place].splitlines()), default=0)
    return max(len(columns[place]), min(longest, CELL_WIDTH)) + PADDING


def _table(shown: Shown, cells: list[list[str]], kept: list[int]) -> Table:
    from rich.text import Text

    table = plain_table()
    gap = next((spot for spot, place in enumerate(kept) if place != spot), len(kept))
    elided = len(kept) < len(shown.columns)
    for place in kept:
        is_number = any(_is_number(row[place]) for row in shown.rows)
        justify: Any = "right" if is_number else "left"
        table.add_column(Text(_printable(shown.columns[place])), justify=justify, overflow="fold")
    if elided:
        table.columns.insert(gap, _gap_column())
    for row, values in zip(cells, shown.rows, strict=True):
        line = [Text(row[place], style="dim" if values[place] is None else "") for place in kept]
        table.add_row(*(line[:gap] + [Text(ELLIPSIS, "dim")] * elided + line[gap:]))
    return table


def _gap_column() -> Any:
    from rich.table import Column
    from rich.text import Text

    return Column(Text(ELLIPSIS, "dim"), no_wrap=True)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
