"""Middleware that answers reads from memory while nothing was written."""

import hashlib
from collections import OrderedDict
from typing import Any, cast

import msgspec
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from pynomaly_server.workspace import Workspace

KEPT = 4_096  # answers
LARGEST = 262_144  # bytes of one
_READS = frozenset({"GET", "HEAD"})


class Answer(msgspec.Struct):
    """An answer, whole."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""


class ReadCache:
    """Answers a GET of a route that says `cached=True` from memory until anything is written.

    One process owns the database, so it knows of every write: each makes another generation of the workspace.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answers: OrderedDict[tuple[Any, ...], tuple[int, bytes, Answer]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        workspace: Workspace = scope["litestar_app"].state.workspace
        opt = cast("Any", scope)["route_handler"].opt
        if scope["method"] in _READS:
            await (self._read if opt.get("cached") else self._app)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if not opt.get("changes_nothing"):
                workspace.changed()

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        workspace: Workspace = scope["litestar_app"].state.workspace
        sent = dict(scope["headers"])
        asked = sent.get(b"if-none-match", b"")
        key = (scope.get("user"), scope["method"], scope["path"], scope["query_string"], sent.get(b"accept"))
        generation = workspace.generation
        found = self._answers.get(key)
        if found is None or found[0] != generation:
            answer = await self._asked(scope, receive, send)
            if answer is None:
                return
            found = (generation, b'"' + hashlib.sha256(answer.body).hexdigest()[:32].encode() + b'"', answer)
            if answer.status != 200:
                await _send(answer, answer.headers, send)
                return
            if workspace.generation == generation:
                self._answers[key] = found
                if len(self._answers) > KEPT:
                    self._answers.popitem(last=False)
        self._answers.move_to_end(key) if key in self._answers else None
        _, tag, answer = found
        headers = [*answer.headers, (b"etag", tag)]
        if tag in asked:
            bare = [(name, value) for name, value in headers if name not in (b"content-length", b"content-type")]
            answer, headers = Answer(304), bare
        await _send(answer, headers, send)

    async def _asked(self, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        """The answer of the handler; None where it was too large to keep and is sent already."""
        answer, messages, is_large = Answer(), list[Message](), False

        async def collect(message: Message) -> None:
            nonlocal is_large
            if is_large:
                await send(message)
                return
            messages.append(message)
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message["headers"])
            elif message["type"] == "http.response.body":
                answer.body += message["body"]
                if len(answer.body) > LARGEST:
                    is_large = True
                    for kept in messages:
                        await send(kept)

        await self._app(scope, receive, collect)
        return None if is_large else answer


async def _send(answer: Answer, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status or 304, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
