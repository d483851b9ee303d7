"""Debian's Chromium, started the same way for pictures, tests and measurements."""

import shutil
from typing import Any

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def launched(playwright: Any) -> Any:
    """A browser of a running Playwright."""
    return playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
