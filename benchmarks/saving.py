"""What saving costs: `python -m benchmarks.saving [--rows N] [--rounds N]`.

One detection of Gaussian rows by an isolation forest in a database file, as `engine.detect` gives it, without and with
`save=True`, in turns; the medians, and what saving adds to the median without. Beside the run's row go the results and
the model; without a key also a snapshot of the source.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pynomaly
from benchmarks.data import parquet

LIMIT = 0.30  # of the detection's own time, with a key

CASES: dict[str, dict[str, Any]] = {
    "with a key": {"key": "id"},
    "with a key, saved": {"key": "id", "save": True},
    "without a key": {"exclude": "id"},
    "without a key, saved with a snapshot": {"exclude": "id", "save": True},
}


def seconds(engine: pynomaly.Engine, options: dict[str, Any]) -> float:
    """Wall seconds of one detection."""
    started = time.perf_counter()
    engine.detect("t", algorithm="iforest", **options)
    return time.perf_counter() - started


def measured(folder: Path, n_rows: int, n_rounds: int) -> dict[str, list[float]]:
    """The seconds of each case, round by round."""
    with pynomaly.connect(folder / "saving.duckdb") as engine:
        rows = parquet(folder, n_rows, 10)
        engine.execute(f"create table t as select row_number() over () as id, * from '{rows}'").fetchall()
        for options in CASES.values():
            seconds(engine, options)
        taken: dict[str, list[float]] = {name: [] for name in CASES}
        for _ in range(n_rounds):
            for name, options in CASES.items():
                taken[name].append(seconds(engine, options))
    return taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        taken = measured(Path(folder), asked.rows, asked.rounds)
    median = {name: statistics.median(values) for name, values in taken.items()}
    print(f"{asked.rows:,} x 10, iforest, median of {asked.rounds}")
    for name, value in median.items():
        print(f"  {name:40} {value:7.3f} s")
    for plain, saved, limit in zip(list(CASES)[::2], list(CASES)[1::2], (f" ({LIMIT:.0%} wanted)", ""), strict=True):
        print(f"  saving {plain} adds {median[saved] / median[plain] - 1:.0%}{limit}")


if __name__ == "__main__":
    main()
