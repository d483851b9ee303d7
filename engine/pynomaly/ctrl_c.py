"""Ctrl-C while DuckDB or a kernel runs."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held(interrupt: Callable[[], None]) -> Iterator[None]:
    """A block in which Ctrl-C interrupts, and raises KeyboardInterrupt at the end.

    Raised at once it would land in a function that DuckDB calls, which hides it, or in the middle of a kernel's call,
    which cannot bear it. Only in the main thread, and unless somebody else handles the signal.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    pressed = []

    def heard(number: int, _frame: FrameType | None) -> None:
        pressed.append(number)
        interrupt()

    signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if pressed:
            raise KeyboardInterrupt
