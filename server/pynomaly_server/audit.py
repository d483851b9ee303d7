"""Middleware that keeps who changed what, and who was refused."""

import queue
import threading
from typing import Any, cast

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from pynomaly.errors import PynomalyError
from pynomaly_server.requests import request_id
from pynomaly_server.workspace import Workspace

LOG = structlog.get_logger("pynomaly.audit")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSED = frozenset({401, 403, 429})
_INSERT = """
insert into pynomaly.audit (action, object, status, error_code, request_id, address, who) values (?, ?, ?, ?, ?, ?, ?)
"""
Entry = tuple[object, ...]


class Audit:
    """Writes the audit in a thread of its own: no request waits for it, and a stop writes what is left."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._waiting: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="audit", daemon=True)
        self._writer.start()

    def note(self, entry: Entry) -> None:
        """Take one entry."""
        self._waiting.put(entry)

    def close(self) -> None:
        """Write what waits."""
        self._waiting.put(None)
        self._writer.join()

    def _write(self) -> None:
        is_open = True
        while is_open:
            entries = [self._waiting.get()]
            while not self._waiting.empty():
                entries.append(self._waiting.get())
            is_open = None not in entries
            try:
                with self._workspace.own() as cursor:
                    cursor.execute("begin")
                    for entry in entries:
                        if entry is not None:
                            cursor.execute(_INSERT, entry).fetchall()
                    cursor.execute("commit")
            except PynomalyError as error:
                LOG.error("the audit was not written", error=str(error), n_entries=len(entries))


class Audited:
    """Notes every request that may change something, and every one that is refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            handler: Any = cast("Any", scope).get("route_handler")
            changes = scope["method"] not in _READS and not (handler and handler.opt.get("changes_nothing"))
            if changes or status in _REFUSED:
                _note(scope, status)


def _note(scope: Scope, status: int) -> None:
    state: dict[str, Any] = cast("Any", scope).get("state", {})
    audit: Audit | None = scope["litestar_app"].state.get("audit")
    user, client = scope.get("user"), scope.get("client")
    if audit is not None:
        template = str(cast("Any", scope).get("path_template") or "unknown")
        entry = (
            f"{scope['method']} {template}",  # type: ignore[typeddict-item]
            state.get("audit_object") or scope["path"],
            status,
            state.get("error_code"),
            request_id(),
            client[0] if client else None,
            user.user if user is not None else None,
        )
        audit.note(entry)
