"""The files beside a database, and when they may go."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from pynomaly.functions import Session

UNFINISHED = ".tmp"  # how the name of a file ends that is still written
_DATABASE = "select path from duckdb_databases() where database_name = current_database()"


def snapshot_folder(session: "Session", cursor: duckdb.DuckDBPyConnection) -> Path | None:
    """The folder of the snapshots; None for a database in memory that was given none."""
    workspace: Path | None = getattr(session, "workspace", None)
    if workspace is None:
        (path,) = cursor.execute(_DATABASE).fetchall()[0]
        workspace = Path(f"{path}.files") if path else None
    return workspace / "snapshots" if workspace else None


def files(folder: Path | None) -> list[dict[str, Any]]:
    """The files of a folder that snapshots are in, finished or not; anything else there is somebody else's."""
    if folder is None or not folder.is_dir():
        return []
    return [_file(path) for path in sorted(folder.iterdir()) if path.is_file() and _is_ours(path.name)]


def path_of(folder: Path, object_: str) -> Path:
    """The file of an object that vacuum_catalog lists."""
    kind, _, name = object_.partition(":")
    return folder / (f"{name}.parquet" if kind == "snapshot" else name)


def _is_ours(name: str) -> bool:
    return name.endswith(UNFINISHED) or _is_snapshot(name)


def _is_snapshot(name: str) -> bool:
    stem, _, suffix = name.partition(".")
    return suffix == "parquet" and len(stem) == 64 and set(stem) <= set("0123456789abcdef")


def _file(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {
        "name": path.name,
        "n_bytes": found.st_size,
        "modified": found.st_mtime,
        "is_unfinished": path.name.endswith(UNFINISHED),
    }
