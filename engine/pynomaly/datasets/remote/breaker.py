"""A circuit breaker a peer: one that fails again and again is left in peace for a while.

Closed, every load may ask the peer. After FAILURES in a row it opens, and loads fail at once. REST_SECONDS later it is
half-open: one load may try, which closes it again or opens it anew.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator

from pynomaly.errors import SourceUnavailable

FAILURES = 3
REST_SECONDS = 30.0


class Breaker:
    """The circuit to one peer, of all engines of this process."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._lock = threading.Lock()
        self._n_failed = 0
        self._closed_again = 0.0
        self._is_tried = False

    @property
    def state(self) -> str:
        """Closed, open or half-open."""
        if self._n_failed < FAILURES:
            return "closed"
        return "open" if time.monotonic() < self._closed_again else "half-open"

    @contextlib.contextmanager
    def guarding(self) -> Iterator[None]:
        """A block that asks the peer; SourceUnavailable at once where the circuit is open."""
        self._enter()
        try:
            yield
        except SourceUnavailable as error:
            raise self._failed(error) from None
        except BaseException:  # whatever it is, the peer is not to blame
            self._is_tried = False
            raise
        self._n_failed, self._is_tried = 0, False

    def _enter(self) -> None:
        with self._lock:
            if self.state == "closed":
                return
            if self.state == "half-open" and not self._is_tried:
                self._is_tried = True
                return
            rest = self._closed_again - time.monotonic()
            when = f"try again in {math.ceil(rest)} s" if rest > 0 else "another load tries it at this moment"
            raise SourceUnavailable(
                f"`{self._peer}` failed {self._n_failed} times in a row, and its circuit is {self.state}", when
            )

    def _failed(self, error: SourceUnavailable) -> SourceUnavailable:
        with self._lock:
            self._n_failed += 1
            self._is_tried = False
            if self._n_failed < FAILURES:
                return error
            self._closed_again = time.monotonic() + REST_SECONDS
            told = f"that was failure {self._n_failed} in a row, and its circuit is open"
            return SourceUnavailable(f"{error.cause}; {told}", f"try again in {REST_SECONDS:g} s")


_breakers: dict[str, Breaker] = {}


def of(peer: str) -> Breaker:
    """The breaker of a peer."""
    return _breakers.setdefault(peer, Breaker(peer))


def forget() -> None:
    """Close every circuit."""
    _breakers.clear()
