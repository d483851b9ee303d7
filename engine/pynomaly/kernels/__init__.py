"""Pure numba functions, arrays in and arrays out, that know nothing of DuckDB."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar, cast

import numba
from numba.core import event

Function = TypeVar("Function", bound=Callable[..., object])

PATIENCE_SECONDS = 1.0


def kernel(function: Function) -> Function:
    """Compile a function once a machine, and let other threads run beside it.

    Where the machine code can be kept nowhere (neither beside a read-only installation nor in the user's cache
    folder) it is compiled in every process.
    """
    return _compiled(function, nogil=True)


def quick_kernel(function: Function) -> Function:
    """Compile a function that takes microseconds, and keep the interpreter meanwhile.

    Another thread that waits for the interpreter would take it for a hundred: chunks pass through faster when the
    small steps hold on to it. numpy lets go of it in every operation on more than 500 values.
    """
    return _compiled(function, nogil=False)


def _compiled(function: Function, nogil: bool) -> Function:
    try:
        return cast(Function, numba.njit(cache=True, nogil=nogil)(function))
    except RuntimeError:
        return cast(Function, numba.njit(nogil=nogil)(function))


class _Patience(event.Listener):  # type: ignore[misc]  # numba is untyped
    """Tells the log, once a process, what a query waits for when kernels are still compiling after a second."""

    def __init__(self) -> None:
        self._compiling = 0
        self._timer: threading.Timer | None = None

    def on_start(self, event: event.Event) -> None:
        if _is_ours(event):
            self._compiling += 1
            if self._timer is None:
                self._timer = threading.Timer(PATIENCE_SECONDS, self._look)
                self._timer.daemon = True
                self._timer.start()

    def on_end(self, event: event.Event) -> None:
        self._compiling -= int(_is_ours(event))

    def _look(self) -> None:
        if self._compiling:
            logging.getLogger("pynomaly").warning("compiling kernels, once on this machine")
        else:
            self._timer = None


def _is_ours(compiled: event.Event) -> bool:
    return str(compiled.data["dispatcher"].py_func.__module__).startswith("pynomaly.")


event.register("numba:compile", _Patience())
