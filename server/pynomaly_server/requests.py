"""What belongs to every request: its id, its line in the log, its share of the metrics."""

import itertools
import re
import time
import uuid
from contextvars import ContextVar
from typing import Any

import structlog
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from pynomaly_server.metrics import REQUEST_SECONDS, REQUESTS

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_PROCESS = uuid.uuid4().hex[:16]  # an id is no secret: a number is a hundred times faster to have than chance
_NUMBERS = itertools.count(1)
_CURRENT: ContextVar[str] = ContextVar("request_id", default="")
LOG = structlog.get_logger("pynomaly.requests")
QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})  # asked every few seconds


def request_id() -> str:
    """The id of the request that is being answered; empty outside of one."""
    return _CURRENT.get()


def set_request_id(value: str) -> None:
    """Say whose request the present work is: a job's belongs to the request that made it."""
    _CURRENT.set(value)
    structlog.contextvars.bind_contextvars(request_id=value)


class RequestLog:
    """Middleware that gives every request an id, counts it and writes a line about it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        current = given.decode() if _ID.fullmatch(given) else f"{_PROCESS}{next(_NUMBERS):016x}"
        structlog.contextvars.clear_contextvars()
        set_request_id(current)
        status, started = 0, time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", current.encode())]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self._told(scope, status, time.perf_counter() - started)

    @staticmethod
    def _told(scope: Scope, status: int, seconds: float) -> None:
        state: dict[str, Any] = scope.get("state", {})
        path = str(scope["path"])
        route = _route(scope)
        method = str(scope.get("method", "WEBSOCKET"))
        REQUESTS.labels(method, route, status).inc()
        REQUEST_SECONDS.labels(method, route).observe(seconds)
        if path in QUIET:
            return
        user = scope.get("user")
        LOG.info(
            "request",
            method=method,
            path=path,
            status=status,
            seconds=round(seconds, 6),
            user=user.user if user is not None else None,
            code=state.get("error_code"),
        )


def _route(scope: Scope) -> str:
    """The template of the path: metrics must not grow with what people ask for."""
    return str(scope.get("path_template") or "unknown")
