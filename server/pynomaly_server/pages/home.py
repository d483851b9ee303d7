"""Where the console begins."""

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.params import URLEncodedBody

from pynomaly_server.pages.shown import THEME, own_address, preference, sent_to
from pynomaly_server.permissions import Permission


class HomePage(Controller):
    """The first address, and what belongs to every page."""

    include_in_schema = False

    @get("/", permission=Permission.SIGNED_IN)
    async def get_home(self, request: Request[Any, Any, Any]) -> Response[None]:
        """Detection is what people come for."""
        return sent_to(request, "/detect")

    @post("/theme", permission=Permission.PUBLIC, changes_nothing=True)
    async def set_theme(self, request: Request[Any, Any, Any], data: URLEncodedBody[dict[str, Any]]) -> Response[None]:
        """Light, dark, or what the system says; kept by this browser."""
        theme = str(data.get("theme", ""))
        chosen = theme if theme in ("light", "dark") else ""
        return sent_to(request, own_address(data.get("next"), "/sign-in"), [preference(request, THEME, chosen)])
