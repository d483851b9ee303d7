"""What landing a file costs: `python -m benchmarks.datasets [--rows N] [--rounds N] [--full]`.

A CSV of 20 columns to a version of a dataset, beside DuckDB's own `copy (from 'x.csv') to 'x.parquet'`, in turns; the
medians and their ratio. Then a large CSV within little memory, in a process of its own: the peak of its resident memory
beside the limit. `--full` takes the 10 GB that are wanted within 2 GB, otherwise 1 GB within a fifth of a gigabyte more
than the process has before.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

import pynomaly

LIMIT = 3.0  # times DuckDB's own copy
BYTES_A_ROW = 199
LANDING = """
import sys, pynomaly

def peak():  # of this program; getrusage would tell that of its parent, too
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

with pynomaly.connect(sys.argv[1], memory_limit=sys.argv[3]) as db:
    before = peak()
    version = db.datasets.add("large", sys.argv[2])
    print(version.n_rows, version.n_bytes, before, peak())
"""


def write_csv(path: Path, n_rows: int) -> None:
    """Sixteen columns of numbers, a counter, a group, a day and a flag."""
    numbers = ", ".join(f"round(hash(range, {place}) / 1.8e16, 6) as c{place}" for place in range(16))
    others = (
        "range as id, 'g' || range % 7 as part, date '2026-01-01' + (range % 300)::integer as day, range % 2 = 0 as on"
    )
    with duckdb.connect() as con:
        con.execute(f"copy (select {numbers}, {others} from range({n_rows})) to '{path}' (header)")


def seconds(action: Callable[[], object]) -> float:
    """Wall seconds of an action."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def beside_copy(folder: Path, n_rows: int, n_rounds: int) -> None:
    """Print what a version costs beside DuckDB's own copy."""
    csv = folder / "rows.csv"
    write_csv(csv, n_rows)
    own, ours = [], []
    with duckdb.connect() as con, pynomaly.connect(folder / "rows.duckdb") as engine:
        for _ in range(n_rounds):
            own.append(seconds(lambda: con.execute(f"copy (from '{csv}') to '{folder}/own.parquet'")))
            ours.append(seconds(lambda: engine.datasets.add("rows", csv)))
    copy, add = map(statistics.median, (own, ours))
    print(f"{n_rows:,} x 20 CSV of {csv.stat().st_size / 1e6:,.0f} MB, median of {n_rounds}")
    print(f"  DuckDB's copy to Parquet      {copy:7.2f} s")
    print(f"  a version, zstd, with a hash  {add:7.2f} s: {add / copy:.2f} times ({LIMIT:g} wanted)")


def within_memory(folder: Path, n_bytes: int, memory_limit: str) -> None:
    """Print the peak of memory while a large CSV lands."""
    csv = folder / "large.csv"
    write_csv(csv, n_bytes // BYTES_A_ROW)
    command = [sys.executable, "-c", LANDING, str(folder / "large.duckdb"), str(csv), memory_limit]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    n_rows, written, before, peak = map(int, done.stdout.split())
    print(f"{csv.stat().st_size / 1e9:.1f} GB CSV, {n_rows:,} rows, memory_limit {memory_limit}")
    print(f"  landed as {written / 1e9:.2f} GB in {time.perf_counter() - started:.0f} s")
    print(f"  peak of resident memory {peak / 1e9:.2f} GB, of which {before / 1e9:.2f} GB were there before")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="land 10 GB")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        beside_copy(Path(folder), asked.rows, asked.rounds)
    with tempfile.TemporaryDirectory() as folder:
        within_memory(Path(folder), 10**10 if asked.full else 10**9, "1500MB" if asked.full else "200MB")


if __name__ == "__main__":
    main()
