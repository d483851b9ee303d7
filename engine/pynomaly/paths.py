"""Where the SQL files are: inside an installed package, beside it in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def sql_folder() -> Path:
    """The folder that holds `macros/` and `migrations/`."""
    installed = _PACKAGE / "sql"
    return installed if installed.is_dir() else _PACKAGE.parent.parent / "sql"


def macro_files() -> list[Path]:
    """The macros in the order in which they are created."""
    return sorted((sql_folder() / "macros").glob("*.sql"))
