"""Middleware that answers a repeated POST with what it was answered first, by its Idempotency-Key."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import structlog
from anyio import to_thread
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from pynomaly.errors import PynomalyError
from pynomaly_server.errors import BadRequest, BodyTooLarge, InProgress, KeyReused
from pynomaly_server.permissions import Permission
from pynomaly_server.read_cache import LARGEST, Answer
from pynomaly_server.workspace import Workspace

LOG = structlog.get_logger("pynomaly.idempotency")
LARGEST_BODY = 16_777_216  # bytes that a key can stand for; an upload is told by its length
LONGEST_KEY = 200
_FORGET = "delete from pynomaly.replies where created_at < now() - interval '1 day'"
_FIND = "select request, status, headers::varchar, body from pynomaly.replies where who = ? and key = ?"
_KEEP = "insert or ignore into pynomaly.replies (who, key, request, status, headers, body) values (?, ?, ?, ?, ?, ?)"


class Idempotency:
    """Keeps the answers of POSTs with a key for a day; what failed by the server's fault is not kept."""

    def __init__(self, app: ASGIApp, running: set[tuple[str, str]]) -> None:
        self._app = app
        self._running = running  # of all routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        key = _key(scope)
        user = scope.get("user")
        opt = cast("Any", scope)["route_handler"].opt
        holds_secret = opt.get("secret")  # shown once, kept nowhere
        if key is None or user is None or holds_secret or not user.may(Permission(opt["permission"])):
            await self._app(scope, receive, send)
            return
        mine = (user.user, key)
        if mine in self._running:
            raise InProgress("a request with this Idempotency-Key is being answered", "wait for its answer")
        self._running.add(mine)
        try:
            await self._once(mine, scope, receive, send)
        finally:
            self._running.discard(mine)

    async def _once(self, mine: tuple[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        workspace: Workspace = scope["litestar_app"].state.workspace
        if cast("Any", scope)["route_handler"].opt.get("streams"):
            body, again = dict(scope["headers"]).get(b"content-length", b""), receive
        else:
            body = await _body(receive)
            again = _replayed(body)
        request = hashlib.sha256(b"\n".join((scope["raw_path"], scope["query_string"], body))).hexdigest()
        found = await to_thread.run_sync(_found, workspace, mine)
        if found is not None:
            if found[0] != request:
                raise KeyReused("this Idempotency-Key stands for another request", "take a new key for a new request")
            await _replay(found[1], send)
            return
        answer, keep = Answer(), True

        async def recorded(message: Message) -> None:
            nonlocal keep
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message["headers"])
            elif message["type"] == "http.response.body":
                answer.body += message["body"] if keep else b""
                keep = keep and len(answer.body) <= LARGEST
                if keep and 200 <= answer.status < 300 and not message.get("more_body", False):
                    await to_thread.run_sync(_kept, workspace, mine, request, answer)  # before the caller can repeat
            await send(message)

        await self._app(scope, again, recorded)


def _key(scope: Scope) -> str | None:
    if scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
        return None
    given = dict(scope["headers"]).get(b"idempotency-key")
    if given is None:
        return None
    if not 1 <= len(given) <= LONGEST_KEY or not given.isascii():
        raise BadRequest("the Idempotency-Key is empty, too long or not ASCII", f"give 1 to {LONGEST_KEY} characters")
    return given.decode()


async def _body(receive: Receive) -> bytes:
    body = b""
    async for part in _parts(receive):
        body += part
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge("the body is too large for an Idempotency-Key", "send it without one")
    return body


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = cast("Any", await receive())
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _replayed(body: bytes) -> Receive:
    """The body again, for the handler."""
    is_read = False

    async def receive() -> Any:
        nonlocal is_read
        if is_read:
            return {"type": "http.disconnect"}
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _found(workspace: Workspace, mine: tuple[str, str]) -> tuple[str, Answer] | None:
    with workspace.own() as cursor:
        found = cursor.execute(_FIND, mine).fetchall()
    if not found:
        return None
    request, status, headers, body = found[0]
    sent = [(name.encode(), value.encode()) for name, value in msgspec.json.decode(headers)]
    return request, Answer(status, sent, body)


def _kept(workspace: Workspace, mine: tuple[str, str], request: str, answer: Answer) -> None:
    headers = [(name.decode(), value.decode("latin-1")) for name, value in answer.headers if name != b"x-request-id"]
    values = (*mine, request, answer.status, msgspec.json.encode(headers).decode(), answer.body)
    try:
        with workspace.own() as cursor:
            cursor.execute(_FORGET).fetchall()
            cursor.execute(_KEEP, values).fetchall()
    except PynomalyError as error:  # what was asked for is done, and its answer is not to be lost
        LOG.error("a reply was not kept", error=str(error))


async def _replay(answer: Answer, send: Send) -> None:
    headers = [*answer.headers, (b"idempotency-replayed", b"true")]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
