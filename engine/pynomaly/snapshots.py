"""Immutable copies of a source's rows: Parquet files named by the SHA-256 of their bytes."""

import contextlib
import hashlib
import os
import re
import uuid
from pathlib import Path

import duckdb

from pynomaly.errors import BadParameter, NotWritten, SourceUnreadable, WorkspaceMissing
from pynomaly.quoting import literal

FOLDER = "snapshots"
SUFFIX = ".parquet"
UNFINISHED = ".tmp"  # what is being written ends so


def folder_of(workspace: Path | None) -> Path:
    """The folder of a workspace's snapshots; WorkspaceMissing where a database has none."""
    if workspace is None:
        raise WorkspaceMissing(
            "the database has no workspace folder that could keep a snapshot",
            "give `key`, open a database file, or name a folder: connect(workspace='...')",
        )
    return workspace / FOLDER


def path_of(workspace: Path | None, snapshot: str) -> Path:
    """The file of a snapshot; SourceUnreadable where it is gone."""
    path = folder_of(workspace) / f"{snapshot}{SUFFIX}"
    if not re.fullmatch("[0-9a-f]{64}", snapshot):
        raise BadParameter(f"{snapshot!r} is no snapshot", "give the 64 hexadecimal digits of its name")
    if not path.is_file():
        raise SourceUnreadable(f"snapshot `{path}` is gone", "bring the file back from a copy, or run it again")
    return path


def write(con: duckdb.DuckDBPyConnection, select: str, workspace: Path | None) -> str:
    """Copy the rows of a SELECT into a workspace and return the snapshot's name.

    The file appears whole, under its name, or not at all; equal rows in equal order are one file.
    """
    folder = folder_of(workspace)
    temporary = folder / f"{uuid.uuid4().hex}{UNFINISHED}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        con.execute(f"copy ({select}) to {literal(str(temporary))} (format parquet, compression zstd)").fetchall()
        with temporary.open("rb") as file:
            name = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        temporary.replace(folder / f"{name}{SUFFIX}")
    except OSError as error:
        raise NotWritten(
            f"the workspace folder `{workspace}` cannot be written: {error.strerror}",
            "check its path, rights and room, or name another: connect(workspace='...')",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return name
