"""What a detection is estimated to cost beside what it costs: `python -m benchmarks.estimate [NAME:ROWS ...]`.

Each pair of an algorithm and a number of Gaussian rows x 10 runs in a process of its own: first `estimate_cost`, with
kernels and libraries loaded, then the detection, as often as there is patience for.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pynomaly
from benchmarks.data import parquet
from pynomaly.memory import PeakMemory

CASES = (
    *("iforest:1000000", "ecod:1000000", "hbos:1000000", "pca:1000000", "kde:1000000", "gmm:1000000"),
    *("knn:100000", "lof:100000", "abod:20000", "sklearn_isolation_forest:100000", "pyod_loda:100000"),
)
RUNS, PATIENCE_SECONDS = 3, 10.0  # of a detection; its median counts


def measured(algorithm: str, path: Path) -> tuple[float, int, float, float, int, str]:
    """Estimated seconds and bytes, the seconds of estimating, true seconds and bytes, and the basis."""
    with pynomaly.connect() as engine:
        asked = f"from estimate_cost('{path}', '{algorithm}')"
        engine.execute(asked).fetchall()
        started = time.perf_counter()
        found = engine.execute(asked)
        row = dict(zip(found.columns, found.fetchall()[0], strict=True))
        taken = time.perf_counter() - started
        detection = f"select sum(anomaly_score) from detect_anomalies('{path}', algorithm := '{algorithm}')"
        memory, began = PeakMemory(), time.perf_counter()
        seconds = [_seconds(engine, detection)]
        rise = memory.rise() or 0
        while len(seconds) < RUNS and time.perf_counter() - began < PATIENCE_SECONDS:
            seconds.append(_seconds(engine, detection))
        return row["seconds"], row["peak_memory_bytes"], taken, statistics.median(seconds), rise, row["basis"]


def _seconds(engine: pynomaly.Engine, sql: str) -> float:
    started = time.perf_counter()
    engine.execute(sql).fetchall()
    return time.perf_counter() - started


def main(arguments: list[str]) -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=CASES, help="an algorithm and a number of rows, such as knn:100000")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.one:
        print(*measured(asked.one[0], Path(asked.one[1])), sep="\t")
        return
    print(f"{'':<34}{'estimated s':>12}{'true s':>9}{'ratio':>7}{'est. MiB':>10}{'true MiB':>10}{'took s':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for case in asked.cases:
            algorithm, _, rows = case.partition(":")
            path = parquet(Path(folder), int(rows))
            command = [sys.executable, "-m", "benchmarks.estimate", "--one", algorithm, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            guess, n_bytes, taken, seconds, rise, basis = done.stdout.strip().split("\t")
            print(
                f"{case:<34}{float(guess):>12.2f}{float(seconds):>9.2f}{float(guess) / float(seconds):>7.2f}"
                f"{int(n_bytes) / 2**20:>10.0f}{int(rise) / 2**20:>10.0f}{float(taken):>8.2f}  {basis}",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
