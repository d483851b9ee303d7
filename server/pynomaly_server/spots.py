"""Where in a statement an error is."""

import re

import msgspec

from pynomaly.errors import PynomalyError

_SHOWN = re.compile(r"LINE (\d+): ")
_ELLIPSIS = "..."  # what DuckDB leaves out of a long line


class Spot(msgspec.Struct, frozen=True):
    """A place in a statement, counted from 1, and the line around it in three pieces."""

    line: int
    column: int
    before: str
    found: str
    after: str


def spot(error: PynomalyError, sql: str) -> Spot | None:
    """Where the error is, by what DuckDB shows or by the name that the error tells; None where neither is found."""
    start, end = _shown(error.at, sql) or _named(error.cause, sql) or (-1, -1)
    if start < 0:
        return None
    first = sql.rfind("\n", 0, start) + 1
    last = sql.find("\n", start)
    line = sql[first : last if last >= 0 else len(sql)]
    column, stop = start - first, max(start - first + 1, min(end - first, len(line)))
    head, tail = max(0, column - 60), stop + 60
    return Spot(
        line=sql.count("\n", 0, start) + 1,
        column=column + 1,
        before=(_ELLIPSIS if head else "") + line[head:column],
        found=line[column:stop],
        after=line[stop:tail] + (_ELLIPSIS if len(line) > tail else ""),
    )


def _shown(at: str, sql: str) -> tuple[int, int] | None:
    """By the line that DuckDB repeats with a caret below; what runs may be another text than what was written."""
    told, _, mark = at.partition("\n")
    found, lines = _SHOWN.match(told), sql.split("\n")
    caret = mark.find("^")
    if found is None or caret < found.end() or int(found[1]) > len(lines):
        return None
    text, n = told[found.end() :], int(found[1]) - 1
    left_out = len(_ELLIPSIS) if text.startswith(_ELLIPSIS) else 0
    place = lines[n].find(text[left_out:].removesuffix(_ELLIPSIS))
    if place < 0:
        return None
    start = sum(len(line) + 1 for line in lines[:n]) + place + caret - found.end() - left_out
    return start, start + mark.count("^")


def _named(cause: str, sql: str) -> tuple[int, int] | None:
    """By the first name of the error that the statement has as a whole word."""
    for name in re.findall(r"`([^`]+)`", cause):
        if found := re.search(rf"(?<!\w){re.escape(name)}(?!\w)", sql, re.IGNORECASE):
            return found.span()
    return None
