"""Reads golden SQL files: blocks of `statement ok`, `query` and `error CODE [text of it]`, separated by blank lines."""

from pathlib import Path
from typing import NamedTuple

KINDS = ("statement ok", "query", "error")


class Block(NamedTuple):
    """One step of a golden file."""

    line: int
    kind: str
    argument: str
    sql: str
    expected: list[str]


class Case(NamedTuple):
    """A title and its blocks, run in order on one fresh engine."""

    title: str
    blocks: list[Block]


def read(path: Path) -> list[Case]:
    """The cases of a file; each begins with a line `# title`."""
    cases: list[Case] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        if lines[at].startswith("# "):
            cases.append(Case(lines[at][2:], []))
        elif lines[at].strip():
            block = _block(lines, at)
            cases[-1].blocks.append(block)
            at += block.sql.count("\n") + 1 + (len(block.expected) + 1 if block.kind == "query" else 0)
        at += 1
    return cases


def _block(lines: list[str], at: int) -> Block:
    kind = next((kind for kind in KINDS if lines[at].startswith(kind)), None)
    if kind is None:
        raise ValueError(f"line {at + 1}: a block begins with one of {KINDS}, not {lines[at]!r}")
    end = next((i for i in range(at + 1, len(lines)) if not lines[i].strip()), len(lines))
    body = lines[at + 1 : end]
    cut = body.index("----") if "----" in body else len(body)
    return Block(at + 1, kind, lines[at][len(kind) :].strip(), "\n".join(body[:cut]), body[cut + 1 :])


def as_line(row: tuple[object, ...]) -> str:
    """A row as it stands in a golden file: values separated by ` | `, floats to 6 significant digits."""
    return " | ".join(_as_text(value) for value in row)


def _as_text(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6g}"
        case list():
            return "[" + ", ".join(map(_as_text, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{key}: {_as_text(item)}" for key, item in value.items()) + "}"
        case _:
            return str(value)
