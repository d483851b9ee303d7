"""Where templates and static files are, inside an installed package or in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def web_folder() -> Path:
    """The folder that holds `templates/` and `static/`."""
    installed = _PACKAGE / "web"
    return installed if installed.is_dir() else _PACKAGE.parent.parent / "web"
