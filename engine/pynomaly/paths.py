"""Where the SQL files are, inside an installed package or beside it in a checkout; what a text is as a path."""

import contextlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pynomaly.errors import BadParameter

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


def is_file(text: str) -> bool:
    """Whether a text is the path of a file; one that no path can be, such as a long SELECT, is none."""
    with contextlib.suppress(OSError, ValueError):
        return Path(text).is_file()
    return False


def is_folder(text: str) -> bool:
    """Whether a text is the path of a folder; one that no path can be is none."""
    with contextlib.suppress(OSError, ValueError):
        return Path(text).is_dir()
    return False


def config_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of the user's settings and keys, which need not exist; RuntimeError where there is no home."""
    folder = environment.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path("~/.config").expanduser()) / "pynomaly"


def settings_in(path: Path) -> dict[str, Any]:
    """What a file of settings says, which is nothing where there is none; BadParameter where it is not TOML."""
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadParameter(f"`{path}` is not TOML: {error}", "correct that line") from None
