"""Standard error and the exit code: verdicts, hints, errors and progress."""

import contextlib
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import duckdb
import msgspec

from pynomaly.engine import Engine
from pynomaly.errors import InternalFailure, Interrupted, OutOfMemory, PynomalyError
from pynomaly.result import Verdict
from pynomaly.translate import translate

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

FAILED = 1
VALIDATION_FAILED = 4
ANOMALIES_FOUND = 10
INTERRUPTED = 130
EXIT_CODES = {
    "bad_parameter": 2,
    "unknown_source": 3,
    "unknown_algorithm": 3,
    "unknown_model": 3,
    "unknown_pipeline": 3,
    "unknown_feature": 3,
    "unknown_run": 3,
    "unknown_dataset": 3,
    "unknown_key": 3,
    "unknown_object": 3,
    "unknown_detector": 3,
    "unknown_setting": 3,
    "unknown_column": 3,
    "unknown_rules": 3,
    "validation_failed": VALIDATION_FAILED,
    "database_locked": 5,
    "interrupted": INTERRUPTED,
}
PATIENCE_SECONDS = 3.0  # how long an interrupted query may take to stop before the process ends without it
LEFT_OUT_SHOWN = 5


class CannotWrite(PynomalyError):
    """A file of the command line cannot be read or written."""

    code = "file_error"


class Voice(msgspec.Struct, frozen=True):
    """What is told on standard error besides errors: nothing under `--quiet`, more under `--verbose`."""

    quiet: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        """Let the engine's log say as much as this voice does."""
        logging.getLogger("pynomaly").setLevel(logging.ERROR if self.quiet else logging.WARNING)
        logging.getLogger("stamina").setLevel(logging.ERROR)  # it says when a source is asked again, not which

    def say(self, text: str, style: str = "") -> None:
        """Tell one line."""
        if not self.quiet:
            _stderr().print(text, style=style, markup=False, soft_wrap=True)

    def detail(self, text: str) -> None:
        """Tell one line that only `--verbose` asks for."""
        if self.verbose:
            self.say(text, "dim")

    def verdict(self, found: Verdict, source: str | None = None) -> None:
        """Tell what a detection found, what it left out, and what else there is to know."""
        self.say(f"{source}: {found}" if source else str(found), "bold")
        if found.left_out:
            self.say(self._left_out(found))
        for note in found.notes:
            self.say(f"note: {note}")
        self.detail(f"columns: {', '.join(found.columns)}")
        self.detail(f"seed: {found.seed}")
        self.detail(f"sql: {found.sql}")

    def _left_out(self, found: Verdict) -> str:
        shown = found.left_out if self.verbose else found.left_out[:LEFT_OUT_SHOWN]
        told = "; ".join(f"`{item.column}`: {item.why}" for item in shown)
        more = len(found.left_out) - len(shown)
        return f"left out: {told}" + (f"; and {more} more, which -v lists" if more else "")


def failed(error: BaseException, source: str | None = None) -> int:
    """Tell what went wrong in one line and give the exit code for it."""
    from rich.text import Text

    found = _as_pynomaly(error)
    where = f"{source}: " if source else ""
    mend = f"; {found.mend}" if found.mend else ""
    sentence = " ".join(f"{where}{found.cause}{mend}".split())
    line = Text.assemble(("error:", "bold red"), f" {sentence} ", (f"[{found.code}]", "dim"))
    _stderr().print(line, soft_wrap=True)
    return EXIT_CODES.get(found.code, FAILED)


def _as_pynomaly(error: BaseException) -> PynomalyError:
    """The error as one with a code, a cause and a mend."""
    if isinstance(error, PynomalyError | duckdb.Error):
        return translate(error)
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted")
    if isinstance(error, MemoryError):
        return OutOfMemory("there is not enough memory", "lower --memory-limit or --sample-rows")
    if isinstance(error, OSError):
        return CannotWrite(_os_cause(error), "check the path, its rights and the free space")
    return InternalFailure(f"{type(error).__name__}: {error}", "run it again with --debug and report what it shows")


def _os_cause(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"`{error.filename}`: {reason}" if error.filename else reason


def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def forgive_encoding() -> None:
    """Write a character that the terminal cannot show as its code, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def progress(voice: Voice, label: str, n_done: int, n_all: int, free: bool) -> Iterator[None]:
    """A block with a moving line on standard error, gone when it ends; only on a terminal, and where `free`."""
    if voice.quiet or not free or not sys.stderr.isatty():
        yield
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    several = (BarColumn(bar_width=24), MofNCompleteColumn()) if n_all > 1 else ()
    shown = (SpinnerColumn(), TextColumn("{task.description}", markup=False), *several, TimeElapsedColumn())
    with Progress(*shown, console=_stderr(), transient=True) as bar:
        bar.add_task(label, total=n_all, completed=n_done)
        yield


@contextlib.contextmanager
def watched(voice: Voice, engine: Engine, free: bool) -> Iterator[None]:
    """A block whose recorded run of several steps is drawn as a bar, under the conditions of `progress`."""
    if voice.quiet or not free or not sys.stderr.isatty():
        yield
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    ended = threading.Event()
    with Progress(*columns, TextColumn("{task.description}", markup=False), console=_stderr(), transient=True) as bar:
        task = bar.add_task("", total=None)

        def follow() -> None:
            while not ended.wait(0.1):
                if (run := engine.progress) is not None and run.n_all:
                    bar.update(task, total=run.n_all, completed=run.n_done, description=run.doing)

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()


@contextlib.contextmanager
def loading(voice: Voice, engine: Engine, source: str) -> Iterator[None]:
    """A block that loads a source, with a bar of its bytes and the number of rows so far; only on a terminal."""
    if voice.quiet or not sys.stderr.isatty():
        yield
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    engine.execute("set enable_progress_bar_print = false; set enable_progress_bar = true").fetchall()
    columns = (SpinnerColumn(), BarColumn(bar_width=24), DownloadColumn(), TimeElapsedColumn())
    ended = threading.Event()
    with Progress(*columns, TextColumn("{task.description}", markup=False), console=_stderr(), transient=True) as bar:
        task = bar.add_task(source, total=None)

        def follow() -> None:
            while not ended.wait(0.1):
                if (load := engine.progress) is not None:
                    done = max(bar.tasks[0].completed, load.n_all * engine.datasets.share_loaded())
                    told = f"{load.n_rows:,} rows of {source}"
                    bar.update(task, total=load.n_all or None, completed=done, description=told)

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()


def interruptible(engine: Engine, action: Callable[[], T]) -> T:
    """Run an action in a thread of its own, so that Ctrl-C stops its query at once.

    A query that runs in the main thread hears of Ctrl-C only when it has ended.
    """
    pool = ThreadPoolExecutor(1)
    future = pool.submit(action)
    try:
        return future.result()
    except KeyboardInterrupt:
        if not _stopped(engine, future):
            failed(KeyboardInterrupt())
            from pynomaly.cli.output import discard_unfinished

            discard_unfinished()
            os._exit(INTERRUPTED)
        raise
    finally:
        pool.shutdown(wait=False)


def _stopped(engine: Engine, future: "Future[T]") -> bool:
    """Interrupt until the action ends (between two statements an interrupt is lost); False out of patience."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not future.done() and time.monotonic() < until:
        engine.interrupt()
        time.sleep(0.05)
    return future.done()
