"""Database files for tests: the catalogue is made once a process and copied from then on, in a third of the time."""

import tempfile
from functools import cache
from pathlib import Path

import pynomaly


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.duckdb"
        pynomaly.connect(path).close()
        return path.read_bytes()


def new_database(path: Path) -> Path:
    """A database file as `connect` leaves it the first time."""
    path.write_bytes(_empty())
    return path
