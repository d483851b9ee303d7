"""Middleware that says who makes a request."""

from typing import Any, cast

from litestar.types import ASGIApp, Receive, Scope, Send

from pynomaly_server import cookies
from pynomaly_server.errors import Unauthenticated
from pynomaly_server.identity import Identity
from pynomaly_server.permissions import Permission
from pynomaly_server.workspace import Workspace

_HANDLED = frozenset({"http", "websocket"})


class Recognition:
    """Puts the identity behind the credential of a request into its scope; None where it has no credential.

    A public route is served whatever a credential is worth. A credential that is worth nothing is told by the guard,
    after the limits have counted the attempt.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Recognise one caller."""
        if scope["type"] in _HANDLED:
            handler = cast("Any", scope).get("route_handler")
            is_public = (
                handler is not None
                and handler.opt.get("permission") == Permission.PUBLIC
                and not handler.opt.get("greets")  # open to all, and shown with the menu of who is signed in
            )
            scope["user"] = None if is_public else identity_of(scope)
        await self._app(scope, receive, send)


def identity_of(scope: Scope) -> Identity | None:
    """Who the credential of a request stands for; None where it has none, or one that is worth nothing."""
    workspace: Workspace = scope["litestar_app"].state.workspace
    sent = [value for name, value in scope["headers"] if name == b"authorization"]
    try:
        if len(sent) > 1:
            raise Unauthenticated("the header Authorization is there twice", "send one")
        return workspace.accounts.identify(sent[0].decode("latin-1") if sent else None, cookies.value(scope))
    except Unauthenticated as error:
        cast("Any", scope)["state"]["unauthenticated"] = error
        return None
