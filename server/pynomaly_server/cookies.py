"""The cookie of a session of the console."""

from litestar.datastructures import Cookie
from litestar.types import Scope

_NAME = "pynomaly_session"
_WEEK = 604_800  # seconds


def name(scope: Scope) -> str:
    """What the cookie is called: under TLS the prefix keeps other hosts and plain HTTP from setting it."""
    return f"__Host-{_NAME}" if scope["scheme"] in ("https", "wss") else _NAME


def value(scope: Scope) -> str | None:
    """The session's cookie as a request sends it; None without one."""
    wanted = name(scope).encode()
    for header, sent in scope["headers"]:
        if header == b"cookie":
            for part in sent.split(b";"):
                key, _, found = part.strip().partition(b"=")
                if key == wanted:
                    return found.decode("latin-1")
    return None


def cookie(scope: Scope, session: str | None) -> Cookie:
    """The cookie to set for a session; None takes it away."""
    return Cookie(
        key=name(scope),
        value=session or "",
        max_age=_WEEK if session else 0,
        path="/",
        httponly=True,
        samesite="lax",
        secure=scope["scheme"] == "https",
    )
