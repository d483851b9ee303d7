"""Long fits run in a process that can be killed: the same scores, a stop at once, and nothing left behind."""

import operator
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from pynomaly import registry, workers, wrapped
from pynomaly.algorithm import Algorithm, Floats
from pynomaly.errors import FitFailed, InternalFailure, Interrupted, OutOfMemory, PynomalyError, TooFewRows
from pynomaly.wrapped import adapter, worker

PATIENCE_SECONDS = 30.0  # on a busy machine
ROWS = {row.name: row for row in wrapped.TABLE}
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to look at processes")


class Where:
    """A library's detector that notes the process in which it was fitted."""

    def fit(self, X: Floats) -> "Where":
        self.decision_scores_ = X.sum(axis=1)
        self.process = os.getpid()
        return self


class Killed(Where):
    def fit(self, X: Floats) -> "Where":
        os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X)


class Leaving(Where):
    def fit(self, X: Floats) -> "Where":
        os._exit(3)


class Odd(Exception):
    """An error that cannot be made again from its arguments."""

    def __init__(self, text: str, more: object) -> None:
        super().__init__(text)
        self.more = more


def detector(target: type) -> Algorithm:
    return wrapped.record(
        wrapped.Row(
            name="pyod_test",
            target=f"{__name__}.{target.__name__}",
            summary="A test's",
            family="none",
            reference="none",
            complexity="O(n)",
            deterministic=True,
            quick_cells=1_000,
        )
    )


def raise_odd() -> None:
    raise Odd("too odd", open)


def raise_ours() -> None:
    raise TooFewRows("there is one row", "give more")


def warn_and_print() -> None:
    sys.stdout.write("a library's print")
    os.write(1, b"and another's")
    warnings.warn("a library's warning", UserWarning, stacklevel=1)


def gaussian(n: int = 200, d: int = 4, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, d))


def is_gone(process: int) -> bool:
    """Whether a process has ended; one that nobody has asked for its exit code counts as ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Any) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def run(program: str) -> str:
    """What a program prints that is run as a file's text would be, without a guard of `__main__`."""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert told.returncode in {0, -signal.SIGKILL}, told.stderr
    return told.stdout


@pytest.fixture
def own_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[worker.Pool]:
    """A pool of this test alone, empty."""
    pool = worker.Pool()
    monkeypatch.setattr(worker, "_pool", pool)
    yield pool
    pool.end()


def test_a_process_is_used_again() -> None:
    first, second = worker.call(os.getpid), worker.call(os.getpid)
    assert first == second != os.getpid()


@pytest.mark.parametrize(
    "name",
    ["pyod_knn", "pyod_iforest", "pyod_ecod", "pyod_lscp", "pyod_qmcd", "pyod_cblof", "sklearn_isolation_forest"],
)
def test_scores_are_those_of_a_fit_in_this_process(name: str) -> None:
    X, scores = np.vstack([gaussian(), gaussian(50, seed=1)]), []
    for cells in (0, 10**9):
        found = wrapped.record(msgspec.structs.replace(ROWS[name], quick_cells=cells))
        state = found.fit(X[:200], found.params(), 7)
        scores.append(found.score(state, X, np.ones(len(X), np.bool_)))
    assert np.array_equal(scores[0], scores[1], equal_nan=True)


def test_small_tables_are_fitted_in_this_process_and_large_ones_are_not() -> None:
    found = detector(Where)
    for n, is_here in ((100, True), (101, False)):
        state: Any = found.fit(gaussian(n), found.params(), 0)
        assert (state.detector.process == os.getpid()) == is_here


@pytest.mark.parametrize(
    ("given", "effort"),
    [
        ({}, 1.0),
        ({"n_neighbors": 10}, 2.0),
        ({"n_neighbors": 1, "p": 4.0}, 10.0),
        ({"metric": "cosine"}, adapter.A_WORD),
    ],
)
def test_parameters_far_from_their_defaults_count_as_a_larger_table(given: dict[str, object], effort: float) -> None:
    found = registry.get("pyod_knn")
    assert adapter._effort(registry.parse_parameters(found, given)[0]) == effort


@needs_proc
def test_a_stop_ends_a_long_fit_at_once() -> None:
    found, stop, process = registry.get("pyod_rod"), workers.never(), worker.call(os.getpid)
    set_at: list[float] = []

    def set_stop() -> None:
        stop[0] = 1
        set_at.append(time.monotonic())

    threading.Timer(0.5, set_stop).start()
    with workers.working(1, stop), pytest.raises(Interrupted):
        found.fit(gaussian(4_000, 10), found.params(), 0)
    assert time.monotonic() - set_at[0] < PATIENCE_SECONDS / 3
    assert is_gone(process)
    assert worker.call(os.getpid) != process


def test_no_fit_begins_after_a_stop() -> None:
    found = detector(Where)
    with workers.working(1, np.ones(1, np.int8)):
        for n in (10, 1_000):
            with pytest.raises(Interrupted):
                found.fit(gaussian(n), found.params(), 0)


def test_an_error_is_raised_here_and_tells_where_it_arose() -> None:
    with pytest.raises(ZeroDivisionError, match="division by zero") as raised:
        worker.call(operator.truediv, 1, 0)
    assert "worker.py" in raised.value.__notes__[0]


def test_an_error_of_ours_keeps_its_parts() -> None:
    with pytest.raises(TooFewRows) as raised:
        worker.call(raise_ours)
    assert (raised.value.cause, raised.value.mend) == ("there is one row", "give more")
    assert str(raised.value) == "[too_few_rows] there is one row; give more"


def test_an_error_that_cannot_travel_is_told() -> None:
    with pytest.raises(InternalFailure, match="Odd: too odd"):
        worker.call(raise_odd)


def test_what_a_library_cannot_fit_is_told_as_in_this_process() -> None:
    told = []
    for cells in (0, 10**9):
        found = wrapped.record(msgspec.structs.replace(ROWS["pyod_pca"], quick_cells=cells))
        with pytest.raises(FitFailed) as raised:
            found.fit(gaussian(), registry.parse_parameters(found, {"n_components": 9})[0], 0)
        told.append(str(raised.value))
    assert told[0] == told[1]


def test_a_warning_is_warned_here_and_a_print_is_lost(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(UserWarning, match="a library's warning"):
        worker.call(warn_and_print)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("target", "kind", "told"),
    [
        (Killed, OutOfMemory, "to 200 rows and 4 columns was ended by SIGKILL; give fewer rows"),
        (Leaving, InternalFailure, "to 200 rows and 4 columns ended with exit code 3; give fewer rows"),
    ],
)
def test_a_process_that_dies_is_told(target: type, kind: type[PynomalyError], told: str) -> None:
    found = detector(target)
    with pytest.raises(kind, match=f"the process that fitted `pyod_test` {told}"):
        found.fit(gaussian(), found.params(), 0)
    assert worker.call(operator.add, 1, 2) == 3


def test_one_that_died_while_it_rested_is_replaced(own_pool: worker.Pool) -> None:
    process = worker.call(os.getpid)
    os.kill(process, signal.SIGKILL)
    wait_for(lambda: not all(resting.is_alive for resting in own_pool._resting))
    assert worker.call(os.getpid) != process


@needs_proc
def test_one_that_rested_for_long_is_ended(own_pool: worker.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "REST_SECONDS", 0.01)
    process = worker.call(os.getpid)
    wait_for(lambda: is_gone(process))
    wait_for(lambda: not own_pool._resting)


def test_without_an_interpreter_to_start_the_work_is_done_here(
    own_pool: worker.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "")
    assert worker.call(os.getpid) == os.getpid()


def test_two_threads_have_two_processes(own_pool: worker.Pool) -> None:
    threads = [threading.Thread(target=worker.call, args=(time.sleep, 0.5)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(own_pool._resting) == 2


@needs_proc
@pytest.mark.parametrize("death", ["sys.exit()", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_the_process_ends_with_this_one(death: str) -> None:
    program = (
        "import os, sys, threading, time; from pynomaly.wrapped import worker\n"
        "print(worker.call(os.getpid), flush=True)\n"
        "threading.Thread(target=worker.call, args=(time.sleep, 600), daemon=True).start(); time.sleep(0.3)\n"
    )
    process = int(run(program + death))
    wait_for(lambda: is_gone(process))


def test_the_program_that_runs_here_is_not_run_again(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os; from pynomaly.wrapped import worker\nprint(worker.call(os.getpid) > 0)\n", "utf-8")
    told = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert (told.stdout, told.stderr) == ("True\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_has_a_process_of_its_own() -> None:
    program = (
        "import os; from pynomaly.wrapped import worker\n"
        "process = worker.call(os.getpid)\n"
        "if os.fork() == 0: print(worker.call(os.getpid) != process, flush=True)\n"
        "else: os.wait(); print(worker.call(os.getpid) == process)"
    )
    assert run(program) == "True\nTrue\n"
