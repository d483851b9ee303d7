"""The engine's own threads: every row once, errors told, a stop seen."""

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from pynomaly import workers
from pynomaly.errors import Interrupted
from pynomaly.garbage import uncollected


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("n_rows", "block"), [(0, 10), (1, 10), (100, 10), (101, 10)])
def test_every_row_is_dealt_out_once(threads: int, n_rows: int, block: int) -> None:
    counts = np.zeros(n_rows, np.int64)

    def run(first: int, end: int) -> None:
        counts[first:end] += 1

    with workers.working(threads, workers.never()):
        workers.over_rows(n_rows, block, run)
    assert (counts == 1).all()


def test_work_runs_on_several_threads_at_once() -> None:
    meeting = threading.Barrier(2, timeout=30)
    with workers.working(2, workers.never()):
        workers.over_rows(2, 1, lambda _first, _end: [meeting.wait()].clear())


def test_without_a_word_there_is_one_thread() -> None:
    seen: set[str] = set()
    workers.over_rows(100, 1, lambda _first, _end: seen.add(threading.current_thread().name))
    assert seen == {threading.current_thread().name}


def test_work_within_work_does_not_wait_for_itself() -> None:
    counts = np.zeros(64, np.int64)

    def inner(first: int, end: int) -> None:
        counts[first:end] += 1

    with workers.working(2, workers.never()):
        workers.over_rows(64, 1, lambda _first, _end: workers.over_rows(64, 8, inner))
    assert counts.sum() >= 64


def test_a_stop_ends_the_work() -> None:
    stop, done = workers.never(), []

    def run(first: int, _end: int) -> None:
        done.append(first)
        stop[0] = 1

    with workers.working(2, stop), pytest.raises(Interrupted):
        workers.over_rows(1_000, 1, run)
    assert len(done) <= 2


def test_what_a_block_raises_is_raised() -> None:
    def run(first: int, _end: int) -> None:
        if first == 50:
            raise ValueError("row 50")

    with workers.working(3, workers.never()), pytest.raises(ValueError, match="row 50"):
        workers.over_rows(100, 1, run)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_program_has_a_pool_of_its_own() -> None:
    script = (
        "import os; from pynomaly import workers; workers.aside(int)\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(workers.aside(lambda: 7))\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "7\n"


def test_the_collector_rests_until_the_last_block_ends_and_stays_off_where_it_was() -> None:
    with uncollected(), uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
