"""Where the boxes and lines of a lineage stand: a column for every step, from what was there first."""

import re
from typing import Any
from urllib.parse import quote

import msgspec

from pynomaly_server.pages import dataset_words

WIDTH, HEIGHT, ACROSS, DOWN = 184, 46, 44, 14  # pixels: of a box, and between two
MOST_IN_COLUMN = 8
LONGEST = 20  # characters of a name
_UNSHOWN = ("rows", "results", "snapshot")  # steps within a run, which the table tells
_RUN = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_TURNING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # what turns text around, which SVG cannot hold apart


class Box(msgspec.Struct, frozen=True):
    """An object, or how many more there are; `kind` is empty for these."""

    x: int
    y: int
    kind: str
    name: str
    whole: str
    address: str
    is_own: bool
    at: Any = None  # when it was made, of a run


class Picture(msgspec.Struct, frozen=True):
    """Boxes, and the paths between them."""

    boxes: list[Box]
    lines: list[str]
    width: int
    height: int


def drawn(steps: list[dict[str, Any]], own: str) -> Picture:
    """The picture of a lineage; `own` is the name of the dataset that it is about."""
    pairs = list(dict.fromkeys(
        (step["parent"], step["child"]) for step in steps if _is_shown(step["parent"]) and _is_shown(step["child"])
    ))  # fmt: skip
    columns: dict[int, list[str]] = {}
    for name, place in _ranks(pairs).items():
        columns.setdefault(place, []).append(name)
    boxes, at = list[Box](), dict[str, Box]()
    made = {step["child"]: step.get("at") for step in steps}
    for place, names in sorted(columns.items()):
        x = 1 + place * (WIDTH + ACROSS)
        ordered = sorted(names, key=lambda name: (not _is_own(name, own), _kind(name), str(made.get(name)), name))
        kept = ordered if len(ordered) <= MOST_IN_COLUMN else ordered[: MOST_IN_COLUMN - 1]
        for row, name in enumerate(kept):
            at[name] = _box(name, x, 1 + row * (HEIGHT + DOWN), own, made.get(name))
        boxes += [at[name] for name in kept]
        if len(kept) < len(ordered):
            more = f"{len(ordered) - len(kept):,} more"
            boxes.append(Box(x, 1 + len(kept) * (HEIGHT + DOWN), "", more, f"{more}: see the table", "", False))
    lines = [_line(at[parent], at[child]) for parent, child in pairs if parent in at and child in at]
    width = max((box.x for box in boxes), default=0) + WIDTH + 1
    return Picture(boxes, lines, width, max((box.y for box in boxes), default=0) + HEIGHT + 1)


def _is_shown(name: str) -> bool:
    kind, _, rest = name.partition(":")
    return kind not in _UNSHOWN and not (kind == "model" and _RUN.match(rest))  # the model that a run fitted


def _is_own(name: str, own: str) -> bool:
    kind, _, rest = name.partition(":")
    return kind == "dataset" and rest.rpartition("@")[0] == own


def _ranks(pairs: list[tuple[str, str]]) -> dict[str, int]:
    """How many steps lie before each object at most; a ring ends where as many as there are objects would."""
    found = {name: 0 for pair in pairs for name in pair}
    for _ in range(len(found)):
        moved = False
        for parent, child in pairs:
            if found[child] <= found[parent] < len(found) - 1:
                found[child], moved = found[parent] + 1, True
        if not moved:
            break
    used = {rank: place for place, rank in enumerate(sorted(set(found.values())))}
    return {name: used[rank] for name, rank in found.items()}


def _kind(name: str) -> str:
    return name.partition(":")[0]


def _box(name: str, x: int, y: int, own: str, made: Any) -> Box:
    kind, _, rest = name.partition(":")
    label = (
        rest[:8]
        if _RUN.match(rest)
        else dataset_words.QUERY
        if kind == "source" and dataset_words.is_query(rest)
        else rest
    )
    label = _TURNING.sub("", label)
    cut = f"…{label[1 - LONGEST :]}" if "/" in label else f"{label[: LONGEST - 1]}…"  # of a path, its end tells
    short = label if len(label) <= LONGEST else cut
    return Box(
        x,
        y,
        kind,
        short,
        _TURNING.sub("", rest)[:300],
        _address(kind, rest),
        _is_own(name, own),
        made if kind == "run" else None,
    )


def _address(kind: str, rest: str) -> str:
    name, _, number = rest.rpartition("@")
    if kind == "dataset":
        return f"/datasets/{quote(name)}?version={number}"
    if kind == "model":
        return f"/models/{quote(name)}"
    return f"/runs/{quote(rest)}" if kind in ("run", "labels") else ""


def _line(parent: Box, child: Box) -> str:
    x, y, end_x, end_y = parent.x + WIDTH, parent.y + HEIGHT // 2, child.x, child.y + HEIGHT // 2
    bend = max((end_x - x) // 2, 24)
    return f"M{x} {y}C{x + bend} {y} {end_x - bend} {end_y} {end_x} {end_y}"
