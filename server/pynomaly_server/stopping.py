"""Statements that a second request may stop: each runs under a token that its user was given."""

import contextlib
import threading
from collections.abc import Iterator

from pynomaly.engine import Engine
from pynomaly.errors import Interrupted, PynomalyError, QueryTooLong

EVERY = 0.05  # seconds between two interrupts: one may miss a statement that is being planned


class _Block:
    """A block that runs statements on a cursor until it is left."""

    def __init__(self, cursors: tuple[Engine, ...]) -> None:
        self.is_stopped = False
        self.has_ended = threading.Event()
        self._cursors = cursors
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Interrupt until the block is left; a cursor that was handed on is left alone."""
        self.is_stopped = True
        while not self.has_ended.is_set():
            with self._lock:
                if not self.has_ended.is_set():
                    for cursor in self._cursors:
                        cursor.interrupt()
            self.has_ended.wait(EVERY)

    def end(self) -> None:
        """Take no interrupt any more."""
        with self._lock:
            self.has_ended.set()


class Stopping:
    """What runs, by user and token."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], _Block] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def stoppable(self, user: str, token: str, *cursors: Engine, seconds: float) -> Iterator[None]:
        """A block that `stop` ends by Interrupted, and so many seconds by QueryTooLong."""
        block, is_late = _Block(cursors), threading.Event()

        def give_up() -> None:
            is_late.set()
            block.stop()

        with self._lock:
            self._running[user, token] = block
        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        except PynomalyError as error:
            if is_late.is_set() and isinstance(error, Interrupted):
                raise QueryTooLong(f"the query took more than {seconds:g} seconds", "ask for less at once") from None
            raise
        finally:
            timer.cancel()
            block.end()
            with self._lock:
                if self._running.get((user, token)) is block:
                    del self._running[user, token]

    def stop(self, user: str, token: str) -> bool:
        """Stop what the user runs under a token; whether there was such."""
        with self._lock:
            block = self._running.get((user, token))
        if block is None:
            return False
        block.stop()
        return True


STOPPING = Stopping()
