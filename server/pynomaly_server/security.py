"""What browsers are told, which hosts are served, and that a page of another site changes nothing here."""

import hmac
import re
from typing import Any, cast

import msgspec
from litestar.types import ASGIApp, Message, Receive, Send

from pynomaly.errors import PynomalyError
from pynomaly_server.errors import CsrfFailed, ForeignOrigin, UntrustedHost
from pynomaly_server.identity import Identity
from pynomaly_server.options import Start
from pynomaly_server.problems import PROBLEM, problem
from pynomaly_server.redaction import redacted
from pynomaly_server.workspace import Workspace

__all__ = ["SameSite", "Secured", "redacted"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # with none at all, browsers say of our own forms that their origin is null
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),  # holds for what is embedded; CORS opens reading by script
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_UNDER_TLS = (*_ALWAYS, (b"strict-transport-security", b"max-age=31536000"))
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104
_ASKED = b"GET, POST, PUT, PATCH, DELETE"
_SENT = b"Authorization, Content-Type, Accept, Idempotency-Key, If-Match, If-None-Match, Prefer, X-Request-Id"
_READABLE = b"Location, Link, ETag, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, Content-Disposition"
_FOR_OTHERS = (
    (b"access-control-expose-headers", _READABLE),
    (b"access-control-allow-methods", _ASKED),
    (b"access-control-allow-headers", _SENT),
    (b"access-control-max-age", b"600"),
)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = frozenset({b"same-origin", b"none"})
_PEEKED = 65_536  # bytes of a form that are looked through for the token
_FORMS = (b"application/x-www-form-urlencoded", b"multipart/form-data")
_FIELD = re.compile(rb'(?:(?:^|[&\n])csrf_token=|name="csrf_token"\r\n\r\n)(pyc_[0-9a-f]{64})(?=[&\r\n]|$)')


class Secured:
    """Refuses hosts that are not served, adds the headers of security, and lets allowed origins read."""

    def __init__(self, app: ASGIApp, start: Start) -> None:
        self._app = app
        own = [] if start.host in _ANY_ADDRESS else [f"[{start.host}]" if ":" in start.host else start.host]
        hosts = [host.strip().lower() for host in (*own, *_LOOPBACK, *start.allowed_hosts)]
        self._hosts = frozenset(host.encode() for host in hosts)
        self._domains = tuple(host[1:].encode() for host in hosts if host.startswith("*."))
        self._origins = frozenset(origin.rstrip("/").lower().encode() for origin in start.allowed_origins)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        sent = dict(scope["headers"])
        answer = self._with_headers(scope, sent, send)
        if not self._is_served(scope):
            cause = "the request is addressed to a host that this server does not serve"
            await refuse(UntrustedHost(cause, "name it in --setting allowed_hosts=..."), scope, answer)
        elif self._is_preflight(scope, sent):
            await answer({"type": "http.response.start", "status": 204, "headers": []})
            await answer({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._app(scope, receive, answer)

    def _is_served(self, scope: Any) -> bool:
        """Whether the one header Host names a host that is served: a name that was bent to this address is none."""
        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1:
            return False
        host = re.sub(rb":[0-9]*\Z", b"", named[0].lower()).rstrip(b".")
        return host in self._hosts or b"*" in self._hosts or bool(self._domains and host.endswith(self._domains))

    def _is_preflight(self, scope: Any, sent: dict[bytes, bytes]) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "OPTIONS"
            and b"access-control-request-method" in sent
            and self._allows(sent)
        )

    def _allows(self, sent: dict[bytes, bytes]) -> bool:
        return bool(self._origins) and sent.get(b"origin", b"").lower() in self._origins

    def _with_headers(self, scope: Any, sent: dict[bytes, bytes], send: Send) -> Send:
        added = _UNDER_TLS if scope["scheme"] in ("https", "wss") else _ALWAYS
        if self._allows(sent):
            added = (*_FOR_OTHERS, (b"access-control-allow-origin", sent[b"origin"]), *added)
        is_private = b"authorization" in sent or b"cookie" in sent or scope["path"].startswith("/api/")

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                there = {name.lower() for name, _ in headers}
                headers += [pair for pair in added if pair[0] not in there]
                if self._origins:
                    headers.append((b"vary", b"Origin"))
                if is_private and b"cache-control" not in there:
                    headers.append((b"cache-control", b"private, no-cache" if b"etag" in there else b"no-store"))
                message["headers"] = headers
            await send(message)

        return answer


class SameSite:
    """Refuses what a page of another site asks with our cookie, and changes by cookie without the page's token.

    A credential in the header Authorization is none that a browser adds by itself: it passes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and scope["method"] in _SAFE:
            await self._app(scope, receive, send)
            return
        sent = dict(scope["headers"])
        if scope["type"] in ("http", "websocket") and b"authorization" not in sent:
            _check_origin(scope, sent)
            identity: Identity | None = scope.get("user")
            if scope["type"] == "http" and identity is not None and identity.credential == "session":
                receive = await _checked(scope, sent, receive, identity)
        await self._app(scope, receive, send)


def _check_origin(scope: Any, sent: dict[bytes, bytes]) -> None:
    """Raise ForeignOrigin where the browser says that another site asks."""
    origin = sent.get(b"origin")
    is_ours = sent.get(b"sec-fetch-site", b"none") in _OURS
    if origin is not None and is_ours:
        scheme, _, place = origin.lower().partition(b"://")
        is_ours = place == sent.get(b"host", b"").lower() and (
            scheme == b"https" or scope["scheme"] not in ("https", "wss")
        )
    if not is_ours:
        raise ForeignOrigin("a page of another site asks for this", "open the console itself, or send a token")


async def _checked(scope: Any, sent: dict[bytes, bytes], receive: Receive, identity: Identity) -> Receive:
    """What the body is received by, once the token of the page was found in a header or in the form."""
    workspace: Workspace = scope["litestar_app"].state.workspace
    wanted = workspace.accounts.sessions.csrf_token(identity.credential_id).encode()
    given = sent.get(b"x-csrf-token")
    if given is None and sent.get(b"content-type", b"").lower().startswith(_FORMS):
        start, receive = await _peek(receive)
        found = _FIELD.search(start)
        given = found[1] if found else None
    if given is None or not hmac.compare_digest(given, wanted):
        raise CsrfFailed(
            "a change by cookie needs the token of the page", "send X-CSRF-Token, or the form field csrf_token first"
        )
    return receive


async def _peek(receive: Receive) -> tuple[bytes, Receive]:
    """The first bytes of a body, and what receives the whole of it."""
    messages: list[Any] = []
    start = b""
    while len(start) < _PEEKED:
        message = cast("Any", await receive())
        messages.append(message)
        start += message.get("body", b"")
        if not message.get("more_body", False):
            break

    async def again() -> Any:
        return messages.pop(0) if messages else await receive()

    return start[:_PEEKED], again


async def refuse(error: PynomalyError, scope: Any, send: Send) -> None:
    """Answer with a problem where no handler does."""
    scope.setdefault("state", {})["error_code"] = error.code
    if scope["type"] == "websocket":
        await cast("Any", send)({"type": "websocket.close", "code": 4000 + error.status, "reason": error.code})
        return
    body = msgspec.json.encode(problem(error))
    headers = [(b"content-type", PROBLEM.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
