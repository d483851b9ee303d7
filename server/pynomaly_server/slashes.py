"""Names with a slash: where an address quotes it, it belongs to the name and does not part the address."""

import re
from typing import Any
from urllib.parse import unquote

from litestar.types import ASGIApp, Receive, Send

_NAMED = (b"/models/", b"/api/v1/models/")  # names that people choose freely
_QUOTED = re.compile(rb"%2f", re.IGNORECASE)
_KEPT = "\x1f"  # stands for a quoted slash while the route is found; it prints nothing, so no name needs it


def keeping(app: ASGIApp) -> ASGIApp:
    """An application that finds the routes of such addresses; `Slashes` gives the slash back."""

    async def found(scope: Any, receive: Receive, send: Send) -> None:
        raw: bytes = (scope.get("raw_path") or b"").partition(b"?")[0]
        if scope["type"] == "http" and raw.startswith(_NAMED) and _QUOTED.search(raw):
            scope["path"] = unquote(_QUOTED.sub(_KEPT.encode(), raw).decode("ascii", "replace"))
        await app(scope, receive, send)

    return found


class Slashes:
    """Gives what a handler is called with its slashes back, once the route is found."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if _KEPT in scope.get("path", "") and scope["path"].encode().startswith(_NAMED):
            scope["path"] = scope["path"].replace(_KEPT, "%2F")
            given = scope["path_params"]
            scope["path_params"] = {
                key: value.replace(_KEPT, "/") if isinstance(value, str) else value for key, value in given.items()
            }
        await self._app(scope, receive, send)
