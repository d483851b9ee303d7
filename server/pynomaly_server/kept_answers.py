"""Middlewares that answer again what was answered before: reads while nothing changed, and repeated POSTs."""

import asyncio
import hashlib
from collections import OrderedDict
from typing import Any, cast

import msgspec
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send

from pynomaly_server.errors import BodyTooLarge, InProgress, KeyReused
from pynomaly_server.workspace import Workspace

KEPT_ANSWERS = 4_096
LARGEST_KEPT = 262_144  # bytes of one answer
LARGEST_REPEATED = 16_777_216  # bytes of a body that an Idempotency-Key can stand for
_READS = frozenset({"GET", "HEAD"})


class Kept(msgspec.Struct):
    """An answer, whole."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""


class _Recorder:
    """Hands an answer on and keeps it, unless it is too large."""

    def __init__(self, send: Send, largest: int) -> None:
        self._send = send
        self._largest = largest
        self.kept: Kept | None = Kept()
        self.is_whole = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self.kept is not None:
            self.kept.status, self.kept.headers = message["status"], list(message["headers"])
        elif message["type"] == "http.response.body" and self.kept is not None:
            self.kept.body += message["body"]
            self.is_whole = not message["more_body"]
            if len(self.kept.body) > self._largest:
                self.kept = None
        await self._send(message)


class ReadCache:
    """Answers a GET of a route that says `cached=True` from memory until anything is written.

    One process owns the database, so that it knows of every write: each is another generation of the workspace.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answers: OrderedDict[tuple[Any, ...], tuple[int, str, Kept]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        workspace: Workspace = scope["litestar_app"].state.workspace
        if scope["method"] not in _READS:
            try:
                await self._app(scope, receive, send)
            finally:
                workspace.changed()
            return
        handler = cast("Any", scope).get("route_handler")
        if handler is None or not handler.opt.get("cached"):
            await self._app(scope, receive, send)
            return
        await self._read(workspace, scope, receive, send)

    async def _read(self, workspace: Workspace, scope: Scope, receive: Receive, send: Send) -> None:
        sent = dict(scope["headers"])
        key = (scope.get("user"), scope["method"], scope["path"], scope["query_string"], sent.get(b"accept"))
        generation = workspace.generation
        found = self._answers.get(key)
        if found is not None and found[0] == generation:
            self._answers.move_to_end(key)
            await _answer(found[2], send, etag=found[1], asked=sent.get(b"if-none-match", b"").decode("latin-1"))
            return
        recorder = _Recorder(_without_start_tags(send), LARGEST_KEPT)
        await self._app(scope, receive, recorder)
        kept = recorder.kept
        if kept is not None and recorder.is_whole and kept.status == 200 and workspace.generation == generation:
            tag = f'"{hashlib.sha256(kept.body).hexdigest()[:32]}"'
            self._answers[key] = (generation, tag, kept)
            self._answers.move_to_end(key)
            while len(self._answers) > KEPT_ANSWERS:
                self._answers.popitem(last=False)


def _without_start_tags(send: Send) -> Send:
    return send


async def _answer(kept: Kept, send: Send, etag: str, asked: str) -> None:
    headers = [*kept.headers, (b"etag", etag.encode())]
    if etag in asked:
        headers = [(name, value) for name, value in headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    await send({"type": "http.response.start", "status": kept.status, "headers": headers})
    await send({"type": "http.response.body", "body": kept.body, "more_body": False})
