"""The engine's own threads: rows are dealt out in blocks to kernels that release the GIL, and a stop is seen between.

A DuckDB function runs on one thread wherever the scan does, and a fit always; DuckDB cannot stop it either. So
whoever calls an algorithm says with `working` how many threads there are and where a stop will be seen, and long
loops go through `over_rows`.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import cache
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly.errors import Interrupted

T = TypeVar("T")
Stop = NDArray[np.int8]  # [1], not 0 once the work is to stop; kernels may look at it between blocks


class Work(msgspec.Struct, frozen=True):
    """How many threads a fit or a score may use, and the flag that stops it."""

    threads: int
    stop: Stop

    def check(self) -> None:
        """Raise Interrupted when the work is to stop."""
        if self.stop[0]:
            raise Interrupted("interrupted")


def never() -> Stop:
    """A flag that nobody sets."""
    return np.zeros(1, np.int8)


_ALONE = Work(1, never())
_work: ContextVar[Work] = ContextVar("_work", default=_ALONE)


@contextlib.contextmanager
def working(threads: int, stop: Stop) -> Iterator[None]:
    """A block in which `over_rows` uses so many threads and stops when the flag says so."""
    token = _work.set(Work(max(threads, 1), stop))
    try:
        yield
    finally:
        _work.reset(token)


def current() -> Work:
    """The work at hand, to be taken up again later."""
    return _work.get()


def stop_flag() -> Stop:
    """The flag of the work at hand, for a kernel that runs long by itself; it returns early, then call `check`."""
    return _work.get().stop


def check() -> None:
    """Raise Interrupted when the work at hand is to stop."""
    _work.get().check()


def over_rows(n_rows: int, block: int, run: Callable[[int, int], object]) -> None:
    """Call `run(first, end)` for every block of rows, on the threads there are; blocks must not depend on another.

    Raises Interrupted between blocks when the work is to stop, and what `run` raises.
    """
    work = _work.get()
    if 0 < n_rows <= block:
        work.check()
        run(0, n_rows)
        return
    starts = iter(range(0, n_rows, block))

    def deal() -> None:
        with working(1, work.stop):  # blocks share the threads: none has more
            for first in starts:
                work.check()
                run(first, min(first + block, n_rows))

    others = [_pool().submit(deal) for _ in range(min(work.threads, -(-n_rows // block)) - 1)]
    try:
        deal()
    finally:
        for other in others:
            if not other.cancel():  # one that has not begun has nothing left to do
                other.result()


def per_row(n_rows: int, block: int, evaluate: Callable[[int, int], NDArray[np.float64]]) -> NDArray[np.float64]:
    """float64[n_rows]: what `evaluate(first, end)` gives for every block of rows, in their order."""
    out = np.empty(n_rows)

    def fill(first: int, end: int) -> None:
        out[first:end] = evaluate(first, end)

    over_rows(n_rows, block, fill)
    return out


def aside(action: Callable[[], T]) -> T:
    """Run an action; where this is the main thread on another one, so that a signal is heard while a kernel runs."""
    if threading.current_thread() is not threading.main_thread():
        return action()
    return _pool().submit(copy_context().run, action).result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(os.cpu_count() or 1, 1), thread_name_prefix="pynomaly")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # the pool's threads stay behind in the parent
