"""Where the SQL files are: inside an installed package, beside it in a checkout."""

import os
from collections.abc import Mapping
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def sql_folder() -> Path:
    """The folder that holds `macros/` and `migrations/`."""
    installed = _PACKAGE / "sql"
    return installed if installed.is_dir() else _PACKAGE.parent.parent / "sql"


def macro_files() -> list[Path]:
    """The macros in the order in which they are created."""
    return sorted((sql_folder() / "macros").glob("*.sql"))


def migration_files() -> list[Path]:
    """The catalogue's migrations in the order in which they are applied."""
    return sorted((sql_folder() / "migrations").glob("*.sql"))


def config_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of the user's settings and keys, which need not exist; RuntimeError where there is no home."""
    folder = environment.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path("~/.config").expanduser()) / "pynomaly"
