"""The files beside a database, and when they may go."""

import contextlib
import re
from pathlib import Path
from typing import Any

from pynomaly.snapshots import FOLDER, SUFFIX, UNFINISHED


def files(workspace: Path | None) -> list[dict[str, Any]]:
    """The snapshots of a workspace, finished or not; anything else in their folder is somebody else's."""
    folder = workspace / FOLDER if workspace is not None else None
    if folder is None or not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # one that is written gets another name meanwhile
            if _is_ours(path.name):
                found.append(_file(path))
    return found


def remove(workspace: Path | None, objects: list[str]) -> None:
    """Delete the files of objects that vacuum_catalog lists."""
    if workspace is not None:
        for object_ in objects:
            (workspace / FOLDER / name_of(object_)).unlink(missing_ok=True)


def name_of(object_: str) -> str:
    """The file of an object that vacuum_catalog lists."""
    kind, _, name = object_.partition(":")
    return f"{name}{SUFFIX}" if kind == "snapshot" else name


def _is_ours(name: str) -> bool:
    return name.endswith(UNFINISHED) or _is_snapshot(name)


def _is_snapshot(name: str) -> bool:
    return re.fullmatch(f"[0-9a-f]{{64}}{re.escape(SUFFIX)}", name) is not None


def _file(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {
        "name": path.name,
        "n_bytes": found.st_size,
        "modified": found.st_mtime,
        "is_unfinished": path.suffix == UNFINISHED,
    }
