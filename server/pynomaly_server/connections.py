"""Connections whose requests begin: a head that is too large or too slow ends them, whoever sends it."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 131_072  # bytes of the first line and the headers; the parser itself has no bound
HEAD_SECONDS = 30.0
_REFUSED = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 28\r\nconnection: close\r\n\r\nThe headers are too large.\r\n"
)


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with a bound on the heads of requests."""

    _is_in_head = True
    _n_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first head."""
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take some bytes; end the connection where they are no head yet, and too many."""
        super().data_received(data)
        if self._is_in_head:
            self._n_bytes += len(data)
            if self._n_bytes > LARGEST_HEAD and not self.transport.is_closing():
                self.transport.write(_REFUSED)
                self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._end()
        self._begin()

    def on_headers_complete(self) -> None:
        """A head is there."""
        self._end()
        super().on_headers_complete()

    def _begin(self) -> None:
        self._is_in_head, self._n_bytes = True, 0
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _end(self) -> None:
        self._is_in_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
