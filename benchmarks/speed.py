"""Speed and memory: whole SQL queries beside PyOD's fit on an array in memory, and the shell from a cold cache."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.data import gaussian_sql, parquet

ALGORITHMS = ("hbos", "ecod", "iforest")
MILLION = 1_000_000


def measure(case: str, path: Path, algorithm: str, repeats: int) -> dict[str, float]:
    """Seconds and peak MiB of a case, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.measure", case, str(path), algorithm, str(repeats)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def beside_pyod(folder: Path) -> None:
    """1,000,000 x 10: the query must be no slower than PyOD's fit, under 1 GB."""
    path = parquet(folder, MILLION)
    print(f"{'1M x 10':<10}{'query s':>9}{'PyOD fit s':>12}{'ratio':>8}{'peak MiB':>10}{'PyOD MiB':>10}")
    for algorithm in ALGORITHMS:
        ours = measure("sql_in_memory", path, algorithm, 5)
        peer = measure("pyod_fit", path, algorithm, 3)
        ratio = peer["seconds"] / ours["seconds"]
        print(
            f"{algorithm:<10}{ours['seconds']:>9.2f}{peer['seconds']:>12.2f}{ratio:>7.1f}x"
            f"{ours['peak_mib']:>10.0f}{peer['peak_mib']:>10.0f}"
        )


def larger(folder: Path) -> None:
    """20,000,000 x 10 from Parquet on disk, under 2 GB of resident memory."""
    path = parquet(folder, 20 * MILLION)
    print(f"\n{'20M x 10':<10}{'query s':>9}{'rows/s':>12}{'peak MiB':>10}")
    for algorithm in ALGORITHMS:
        ours = measure("sql_on_disk", path, algorithm, 0)
        rate = 20 * MILLION / ours["seconds"]
        print(f"{algorithm:<10}{ours['seconds']:>9.2f}{rate:>12,.0f}{ours['peak_mib']:>10.0f}")


def shell(folder: Path) -> None:
    """`pynomaly detect` of a 10,000-row CSV as a whole process: with an empty kernel cache, then warm."""
    path = folder / "rows.csv"
    with duckdb.connect() as con:
        con.execute(f"copy ({gaussian_sql(10_000)}) to '{path}'")
    command = [sys.executable, "-m", "pynomaly", "detect", str(path)]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "kernels")}
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        seconds.append(time.perf_counter() - started)
    print(f"\npynomaly detect, 10,000-row CSV: first run {seconds[0]:.2f} s, then {min(seconds[1:]):.2f} s")


def main() -> None:
    """Print the whole table; the data lives in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        beside_pyod(Path(folder))
        shell(Path(folder))
        larger(Path(folder))
