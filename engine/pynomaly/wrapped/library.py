"""Running a library's code: its warnings, errors, prints and random numbers do not reach the process."""

import importlib
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

import numpy as np

from pynomaly.errors import FitFailed
from pynomaly.wrapped.row import Row

SEED_LIMIT = 2**32  # numpy's older random generator, which the libraries use, takes no larger seed

# What the libraries warn of while they fit, and why it is not passed on.
SILENCED = (
    (UserWarning, ".*covariance matrix.*not full rank"),  # correlated columns: a pseudo-inverse serves, as meant
    (RuntimeWarning, ".*[Dd]eterminant has increased"),  # MCD stops this start and keeps its best one
    (UserWarning, "max_samples .* is greater than"),  # it is lowered to the number of rows, as our own forest does
    (UserWarning, "n_neighbors .* is greater than"),  # lowered likewise
    (UserWarning, "Duplicate values are leading to incorrect results"),  # equal rows are common in tables
    (UserWarning, "Number of distinct clusters"),  # fewer distinct rows than components; the mixture still fits
    (RuntimeWarning, "Precision loss occurred in moment calculation"),  # a nearly flat column has no skewness
    (UserWarning, "Best performing initialization did not converge"),  # its best fit is used; max_iter is a parameter
    (UserWarning, "Maximum number of iteration reached"),  # likewise
    (UserWarning, "The chosen clustering for CBLOF forms"),  # fewer distinct rows than clusters
    (UserWarning, "Early stopping the lars path"),  # its best fit is used
    (UserWarning, "Regressors in active set degenerate"),  # equal rows: either of them expresses a row
    (FutureWarning, "The default value of `copy` will change"),  # the rows are the adapter's own
    (UserWarning, "The number of histogram bins is greater"),  # lowered to the number of detectors
    (UserWarning, "Local (region size|min features)"),  # LSCP goes on with what it says
    (RuntimeWarning, "An input array is constant"),  # detectors that agree on all near rows correlate with nothing
    (UserWarning, "'pin_memory' argument is set as true"),  # without an accelerator there is nothing to pin
)
LIBRARY_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


@contextmanager
def running(row: Row, seed: int | None = None) -> Iterator[None]:
    """Run a library's code: numpy's warnings of overflow become NaN scores, its errors one of ours."""
    with ExitStack() as stack:
        if row.is_alone:
            stack.enter_context(_ALONE)
        if row.is_network:
            stack.enter_context(_own_generators(row, seed))
        stack.enter_context(np.errstate(all="ignore"))
        stack.enter_context(_SILENCE)
        try:
            yield
        except LIBRARY_FAILURES as error:
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise FitFailed(
                f"`{row.name}` cannot work with these rows: {told}", "change its parameters, or use another algorithm"
            ) from error


class _Silence:
    """The filters of SILENCED while any thread is inside.

    The interpreter has one list of filters for all threads. Two threads that each saved and restored it
    could leave it changed for good, so the first one in saves it and the last one out restores it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                for category, message in SILENCED:
                    warnings.filterwarnings("ignore", message, category)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


_SILENCE = _Silence()
_ALONE = Lock()  # held by one thread of the process at a time


@contextmanager
def _own_generators(row: Row, seed: int | None) -> Iterator[None]:
    """Seed the generators of the process, and put them back as they were.

    The layers are so small that a second thread costs more than it computes, and would change the rounding.
    """
    torch = importlib.import_module("torch")
    generator: Any = np.random  # PyOD uses numpy's older functions, of one generator
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), _quiet(row), ExitStack() as undo:
        undo.callback(random.setstate, random.getstate())
        undo.callback(generator.set_state, generator.get_state())
        undo.callback(torch.set_num_threads, torch.get_num_threads())
        undo.callback(_restore, "PYTHONHASHSEED", os.environ.get("PYTHONHASHSEED"))
        torch.set_num_threads(1)
        if seed is not None:
            for set_seed in (random.seed, generator.seed, torch.manual_seed):
                set_seed(seed % SEED_LIMIT)
        yield


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


@contextmanager
def _quiet(row: Row) -> Iterator[None]:
    """Some networks print each pass whatever they are told: their module gets a `print` that does nothing."""
    module = sys.modules.get(row.prints_in or "")
    if module is None:
        yield
        return
    vars(module)["print"] = lambda *_, **__: None
    try:
        yield
    finally:
        del vars(module)["print"]
