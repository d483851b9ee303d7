"""Middleware that answers reads from memory while nothing was written."""

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from pynomaly_server.workspace import Workspace

MOST = 33_554_432  # bytes of all answers that are kept, and of what they are found by
LARGEST = 262_144  # bytes of one
OF_ONE = 2_048  # bytes that an answer takes besides its body and its address
_READS = frozenset({"GET", "HEAD"})


class Answer(msgspec.Struct):
    """An answer, whole."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""


class Answers:
    """The answers of all routes, by who asked for what; those longest not asked for go first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], tuple[int, bytes, Answer]] = OrderedDict()
        self._bytes = 0
        self._turns: dict[tuple[Any, ...], tuple[asyncio.Lock, list[None]]] = {}

    @contextlib.asynccontextmanager
    async def turn(self, key: tuple[Any, ...]) -> AsyncIterator[None]:
        """A block that one request for a key is in at a time."""
        lock, here = self._turns.setdefault(key, (asyncio.Lock(), []))
        here.append(None)
        try:
            async with lock:
                yield
        finally:
            here.pop()
            if not here:
                self._turns.pop(key, None)

    def find(self, key: tuple[Any, ...], generation: int) -> tuple[bytes, Answer] | None:
        """The tag and the answer of a key, unless something was written since."""
        found = self._kept.get(key)
        if found is None or found[0] != generation:
            return None
        self._kept.move_to_end(key)
        return found[1:]

    def keep(self, key: tuple[Any, ...], generation: int, tag: bytes, answer: Answer) -> None:
        """Keep an answer of a generation."""
        before = self._kept.pop(key, None)
        self._bytes += _n_bytes(key, answer) - (_n_bytes(key, before[2]) if before else 0)
        self._kept[key] = (generation, tag, answer)
        while self._bytes > MOST:
            gone, (_, _, old) = self._kept.popitem(last=False)
            self._bytes -= _n_bytes(gone, old)


def _n_bytes(key: tuple[Any, ...], answer: Answer) -> int:
    """What an answer takes: whoever asks chooses how long its address is."""
    named = sum(len(part) for part in key if isinstance(part, bytes | str))
    told = sum(len(name) + len(value) for name, value in answer.headers)
    return OF_ONE + named + told + len(answer.body)


class ReadCache:
    """Answers a GET of a route that says `cached=True` from memory until anything is written.

    One process owns the database, so it knows of every write: each makes another generation of the workspace.
    """

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        workspace: Workspace = scope["litestar_app"].state.workspace
        opt = cast("Any", scope)["route_handler"].opt
        if scope["method"] in _READS:
            if opt.get("cached"):
                await self._read(scope, receive, send)
            else:
                await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if not (opt.get("changes_nothing") or opt.get("elsewhere")):  # accounts are in a file of their own
                workspace.changed()

    async def _read(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        workspace: Workspace = scope["litestar_app"].state.workspace
        sent = dict(scope["headers"])
        asked = sent.get(b"if-none-match", b"")
        key = (scope.get("user"), scope["method"], scope["path"], scope["query_string"], sent.get(b"accept"))
        async with self._answers.turn(key):  # who asks for the same at the same time waits for the first answer
            generation = workspace.generation
            found = self._answers.find(key, generation)
            if found is None:
                answer = await self._asked(scope, receive, send)
                if answer is None:
                    return
                found = (b'"' + hashlib.sha256(answer.body).hexdigest()[:32].encode() + b'"', answer)
                if answer.status == 200 and workspace.generation == generation:
                    self._answers.keep(key, generation, *found)
        if found[1].status != 200:
            await _send(found[1], found[1].headers, send)
            return
        tag, answer = found
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
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
