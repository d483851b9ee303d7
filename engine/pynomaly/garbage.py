"""The garbage collector at rest while very many models are made: it would look at each of them again and again."""

import contextlib
import gc
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_resting = 0  # blocks that are at work, of all threads


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """A block without garbage collection, unless the collector is off anyway; what it leaves is collected later."""
    global _resting
    with _lock:
        was_on = gc.isenabled() or _resting > 0
        _resting += int(was_on)
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _resting -= int(was_on)
            if was_on and _resting == 0:
                gc.enable()
