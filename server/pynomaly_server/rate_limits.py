"""Middleware that bounds how many requests a user, a key or an address sends."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from pynomaly_server.accounts.guessing import network
from pynomaly_server.errors import RateLimited
from pynomaly_server.identity import Identity
from pynomaly_server.workspace import Workspace

KNOWN = "requests_per_minute"
UNKNOWN = "unknown_requests_per_minute"
MOST = 50_000  # buckets; the one that was not used for the longest time goes first
_WINDOW = 60.0
_FREE = ("/health/", "/metrics", "/static/")


class Buckets:
    """A bucket of tokens a caller; it fills at an even pace and holds a minute's requests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """How many callers are remembered."""
        return len(self._buckets)

    def take(self, caller: str, quota: int) -> tuple[bool, int, float]:
        """Whether a caller may send a request, how many more, and after how many seconds one more may be sent."""
        now = self._clock()
        left, at = self._buckets.get(caller, (float(quota), now))
        left = min(float(quota), left + (now - at) * quota / _WINDOW)
        may = left >= 1.0
        left -= may
        self._buckets[caller] = (left, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MOST:
            self._buckets.popitem(last=False)
        return may, int(left), max(0.0, (1.0 - left) * _WINDOW / quota)


class RateLimits:
    """Refuses what is beyond the settings of this moment; health, metrics and static files are never refused.

    Every route has a middleware of its own: the buckets are given, so that they are the same for all.
    """

    def __init__(self, app: ASGIApp, buckets: Buckets) -> None:
        self._app, self._buckets = app, buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket") or scope["path"].startswith(_FREE):
            await self._app(scope, receive, send)
            return
        caller, policy = _caller(scope)
        workspace: Workspace = scope["litestar_app"].state.workspace
        quota = int(workspace.options[UNKNOWN if policy == "address" else KNOWN])
        may, left, wait = self._buckets.take(caller, quota)
        told = _told(policy, quota, left, wait)
        if not may:
            error = RateLimited(f"more than {quota} requests a minute", f"try again in {math.ceil(wait)} s", wait)
            error.headers |= {name.decode(): value.decode() for name, value in told}
            raise error

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *told]
            await send(message)

        await self._app(scope, receive, answer)


def _caller(scope: Scope) -> tuple[str, str]:
    """Whose bucket a request is taken from, and what kind of caller that is."""
    identity: Identity | None = scope.get("user")
    if identity is None:
        client = scope.get("client")
        return f"address {network(client[0]) if client else ''}", "address"
    if identity.credential == "key":
        return f"key {identity.credential_id}", "key"
    return f"user {identity.user}", "user"


def _told(policy: str, quota: int, left: int, wait: float) -> list[tuple[bytes, bytes]]:
    """The headers of the IETF's draft on rate limits."""
    return [
        (b"ratelimit-policy", f'"{policy}";q={quota};w={int(_WINDOW)}'.encode()),
        (b"ratelimit", f'"{policy}";r={left};t={math.ceil(wait)}'.encode()),
    ]
