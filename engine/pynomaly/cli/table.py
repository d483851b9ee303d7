"""Rows as a table for a person: what fits the width, numbers short, reasons in words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

from pynomaly.source import RESULT_COLUMNS

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from pynomaly.cli.output import Shown

TEXT_WIDTH = 16  # a longer text wraps where there is no room
REASON_WIDTH = 38
WORD_WIDTH = 40
CELL_LENGTH = 400
PADDING = 2
ELLIPSIS = "…"


def show(shown: Shown, stream: TextIO | None = None, first: Collection[str] = ()) -> int:
    """Print rows as a table on standard output, or on a stream; the number of columns left out for width.

    The columns named in `first` stay when others are left out.
    """
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    if shown.columns == ["explain_key", "explain_value"]:
        for _, plan in shown.rows:
            console.print(plan, markup=False, soft_wrap=True)
        return 0
    cells = [[text(value) for value in row] for row in shown.rows]
    kept = _fitting(shown, cells, console.width, first)
    console.print(_table(shown, cells, kept))
    return len(shown.columns) - len(kept)


def show_all(shown: Shown) -> None:
    """Print rows as a table with every column, long texts wrapped."""
    from rich.console import Console
    from rich.text import Text

    table = plain_table()
    for place, name in enumerate(shown.columns):
        table.add_column(name, overflow="fold", no_wrap=place == 0)
    for row in shown.rows:
        table.add_row(*(Text(text(value)) for value in row))
    Console(highlight=False).print(table)


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
        case list():
            return f"[{', '.join(map(text, value))}]"
        case dict():
            return f"{{{', '.join(f'{text(key)}: {text(item)}' for key, item in value.items())}}}"
        case _:
            return _printable(str(value))


def reason(item: dict[str, Any]) -> str:
    """A reason in words: the feature, its value, and what was expected."""
    return _printable(f"{item['feature']}: {short(item['value'])}, expected {item['expected']}")


def facts(record: dict[str, Any]) -> None:
    """Print a record, a line a field; one that is None is left out."""
    from rich.console import Console
    from rich.text import Text

    listed = plain_table("", "", show_header=False)
    for field, value in record.items():
        if value is not None:
            listed.add_row(field, Text(text(value)))
    Console(highlight=False).print(listed)


def plain_table(*headers: str, **options: Any) -> Table:
    """An empty table in the one style of the command line."""
    from rich import box
    from rich.table import Table

    return Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="bold", **options)


def _is_reason(item: object) -> bool:
    return isinstance(item, dict) and item.keys() == {"feature", "value", "expected", "contribution"}


def short(value: str | None) -> str:
    """A number with at most four digits, as expectations have; another value as it is."""
    if value is None:
        return "NULL"
    try:
        return value if len(value) <= 6 else f"{float(value):.4g}"
    except ValueError:
        return value


def _printable(value: str) -> str:
    """The text without control characters, which could steer a terminal, and not longer than a cell."""
    short = value if len(value) <= CELL_LENGTH else value[:CELL_LENGTH] + ELLIPSIS
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in short)


def _fitting(shown: Shown, cells: list[list[str]], width: int, first: Collection[str]) -> list[int]:
    """The places of the columns that fit: result columns, those to show `first`, then the others in order."""
    needed = [_needed_width(shown.columns, cells, place) for place in range(len(shown.columns))]
    ranks = [0 if name in RESULT_COLUMNS else 1 if name in first else 2 for name in shown.columns]
    if _drawn_width(needed, range(len(needed))) <= width:
        return list(range(len(needed)))
    chosen: list[int] = []
    for place in sorted(range(len(needed)), key=ranks.__getitem__):
        if chosen and ranks[place] > 0 and _drawn_width(needed, sorted([*chosen, place])) > width:
            break
        chosen.append(place)
    return sorted(chosen)


def _drawn_width(needed: list[int], kept: Sequence[int]) -> int:
    """How wide a table of these columns is, with the marks for those left out."""
    widths = [len(ELLIPSIS) if place is None else needed[place] for place in _with_gaps(kept, len(needed))]
    return sum(widths) + PADDING * len(widths)


def _needed_width(columns: Sequence[str], cells: list[list[str]], place: int) -> int:
    """The room that a column needs: that of its longest word, and some of a longer text."""
    most = REASON_WIDTH if columns[place] == "reasons" else TEXT_WIDTH
    word = max((len(word) for row in cells for word in row[place].split()), default=0)
    return max(len(columns[place]), min(word, WORD_WIDTH), min(_natural_width(cells, place), most))


def _natural_width(cells: list[list[str]], place: int) -> int:
    return max((len(line) for row in cells for line in row[place].splitlines()), default=0)


def _table(shown: Shown, cells: list[list[str]], kept: list[int]) -> Table:
    from rich.text import Text

    table = plain_table()
    drawn = _with_gaps(kept, len(shown.columns))
    for place in drawn:
        if place is None:
            table.add_column(Text(ELLIPSIS, "dim"), no_wrap=True)
            continue
        justify: Any = "right" if any(_is_number(row[place]) for row in shown.rows) else "left"
        fixed = _natural_width(cells, place) <= _needed_width(shown.columns, cells, place)
        table.add_column(Text(_printable(shown.columns[place])), justify=justify, overflow="fold", no_wrap=fixed)
    for line, values in zip(cells, shown.rows, strict=True):
        table.add_row(*(_cell(line, values, place) for place in drawn))
    return table


def _with_gaps(kept: Sequence[int], n_columns: int) -> list[int | None]:
    """The places with a None wherever columns are left out between them."""
    drawn: list[int | None] = []
    for before, place in zip([-1, *kept], [*kept, n_columns], strict=True):
        if place > before + 1:
            drawn.append(None)
        if place < n_columns:
            drawn.append(place)
    return drawn


def _cell(line: list[str], values: tuple[Any, ...], place: int | None) -> Text:
    from rich.text import Text

    if place is None:
        return Text(ELLIPSIS, "dim")
    return Text(line[place], style="dim" if values[place] is None else "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
