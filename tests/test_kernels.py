"""Kernels compile once a machine, say so when it takes long, and run where nothing can be kept."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pynomaly.kernels import kernel

TOLD = "compiling kernels, once on this machine\n"
DETECTION = """
import pynomaly
from numba.core import event

with event.install_recorder("numba:compile") as recorded, pynomaly.connect() as engine:
    engine.execute("create table numbers as select i % 7 as x, i % 11 as y from range(100) r(i)")
    engine.execute("select sum(anomaly_score) from detect_anomalies('numbers', algorithm := 'loda')").fetchall()
print(len(recorded.buffer))
"""


def detection(cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment}
    return subprocess.run([sys.executable, "-c", DETECTION], env=env, capture_output=True, text=True, check=True)


@pytest.mark.slow
def test_the_first_query_tells_what_it_waits_for_and_the_second_waits_for_nothing(tmp_path: Path) -> None:
    first, second = detection(tmp_path), detection(tmp_path)
    assert int(first.stdout) > 0
    assert first.stderr == TOLD
    assert int(second.stdout) == 0
    assert second.stderr == ""


def test_a_kernel_that_can_be_kept_nowhere_compiles_all_the_same() -> None:
    space: dict[str, Any] = {}
    exec(compile("def doubled(x):\n    return 2 * x", "<nowhere>", "exec"), space)  # a file that numba cannot find
    assert kernel(space["doubled"])(21) == 42


@pytest.mark.parametrize("threads", [4])
def test_four_threads_under_the_workqueue_layer(tmp_path: Path, threads: int) -> None:
    """Numba's simplest threading layer ends the process when two threads enter it at once: no kernel may."""
    script = f"""
import pynomaly
with pynomaly.connect(threads={threads}) as engine:
    engine.execute("create table numbers as select hash(i) % 1000 as x, hash(i + 1) % 99 as y from range(600_000) r(i)")
    for name in ("iforest", "ecod", "hbos", "pca"):
        sql = f"select count(anomaly_score) from detect_anomalies('numbers', algorithm := '{{name}}')"
        print(engine.execute(sql).fetchall())
"""
    env = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[(600000,)]\n" * 4


def test_gathered_cells_are_those_of_the_columns() -> None:
    import pyarrow as pa

    from pynomaly.encoding import _cells
    from pynomaly.kernels.gather import gather

    plain = pa.array(np.arange(300.0))
    gaps = pa.array([None if i % 7 == 0 else float(i) for i in range(300)])
    for first, count in ((0, 300), (5, 200), (64, 64), (299, 1), (10, 0)):
        columns = [column.slice(first, count) for column in (plain, gaps)]
        X = np.zeros((count, 3))
        cells = np.array([_cells(column, j) for column, j in zip(columns, (0, 2), strict=True)], np.int64)
        assert gather(cells, X, 1e300)
        np.testing.assert_array_equal(X[:, 0], columns[0].to_numpy())
        np.testing.assert_array_equal(X[:, 2], columns[1].to_numpy(zero_copy_only=False))
        assert (X[:, 1] == 0.0).all()
    for bad in (np.inf, -1e301):
        assert not gather(np.array([_cells(pa.array([1.0, bad]), 0)], np.int64), np.zeros((2, 1)), 1e300)
