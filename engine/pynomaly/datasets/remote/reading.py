"""Rows of a peer, read ahead in a thread of their own, so that a peer which falls silent is noticed."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from typing import Any

import pyarrow as pa

from pynomaly.datasets.opened import Asked
from pynomaly.errors import PynomalyError, SourceUnavailable

AHEAD = 3  # batches that wait to be written
GLANCE_SECONDS = 0.1
PATIENCE_SECONDS = 5.0  # for the peer to be left; a thread that is stuck in its library is left behind

Given = Generator[pa.Schema | pa.RecordBatch, None, None]  # the schema, then the rows


class Reading:
    """The schema and the batches of a source, which may say how it is cancelled."""

    def __init__(self, source: Callable[["Reading"], Given], seconds: float, asked: Asked) -> None:
        self._source = source
        self._seconds = seconds
        self._asked = asked
        self._items: queue.Queue[Any] = queue.Queue(AHEAD)
        self._stopped = threading.Event()
        self.failure: Exception | None = None
        self.cancel: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="pynomaly-reading", daemon=True)
        self._thread.start()

    def reader(self) -> pa.RecordBatchReader:
        """All batches; raises what the source raised before it gave its schema."""
        try:
            schema = self._next()
        except BaseException:
            self.close()
            raise
        return pa.RecordBatchReader.from_batches(schema, self._batches())

    def close(self) -> None:
        """End the thread, which leaves the peer."""
        self._stopped.set()
        self._thread.join(GLANCE_SECONDS)
        if self._thread.is_alive() and self.cancel is not None:  # which may hang, too, where the peer is silent
            threading.Thread(target=self._cancel, args=[self.cancel], daemon=True).start()
        self._thread.join(PATIENCE_SECONDS)

    @staticmethod
    def _cancel(cancel: Callable[[], None]) -> None:
        with suppress(Exception):  # the peer may be gone
            cancel()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            while (batch := self._next()) is not None:
                yield batch
        except PynomalyError as error:
            self.failure = error  # DuckDB, which reads here, keeps the text alone
            raise

    def _next(self) -> Any:
        until = time.monotonic() + self._seconds
        while time.monotonic() < until:
            self._asked.check_stopped()
            with suppress(queue.Empty):
                found = self._items.get(timeout=min(GLANCE_SECONDS, self._seconds))
                if isinstance(found, Exception):
                    raise found
                return found
        raise SourceUnavailable(
            f"`{self._asked.source}` did not answer within {self._seconds:g} s", "try again, or give a longer `timeout`"
        )

    def _run(self) -> None:
        try:
            with closing(self._source(self)) as items:
                for item in items:
                    if not self._put(item):
                        return
            self._put(None)
        except Exception as error:  # noqa: BLE001 - it is raised where the rows are read
            self._put(error)

    def _put(self, item: Any) -> bool:
        """Hand an item over; False where nobody wants it any more."""
        while not self._stopped.is_set():
            try:
                self._items.put(item, timeout=GLANCE_SECONDS)
            except queue.Full:
                continue
            return True
        return False
