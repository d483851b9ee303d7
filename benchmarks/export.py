"""Exported macros in a plain DuckDB: `python -m benchmarks.export [--rows N] [NAME ...]`.

Each model is fitted to the default sample of Gaussian rows, exported, and run in a process that imports DuckDB alone:
the seconds of a query that sums every score, the median of three runs, and the size of the macro's text.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

from benchmarks.data import parquet

NAMES = ("hbos", "ecod", "copod", "zscore", "mad", "pca", "mahalanobis", "loda", "iforest")
SAMPLE_ROWS = 262_144
LIMITS = {"hbos": 5.0, "ecod": 5.0}  # seconds for a million rows

# The process that scores: what a shell does, with a clock.
SHELL = """
import statistics, sys, time
from pathlib import Path
import duckdb

rows, macro = map(Path, sys.argv[1:])
con = duckdb.connect()
con.execute("set enable_progress_bar = false")
con.execute(f"create table t as from '{rows}'")
started = time.perf_counter()
con.execute(macro.read_text(encoding="utf-8"))
created, taken = time.perf_counter() - started, []
for _ in range(3):
    started = time.perf_counter()
    con.execute("select sum(anomaly_score), count(*) filter (is_anomaly) from model('t')").fetchall()
    taken.append(time.perf_counter() - started)
assert "pynomaly" not in sys.modules
print(created, statistics.median(taken))
"""


def exported(path: Path, algorithm: str) -> str:
    """The macro of a model that is fitted to a sample of the file."""
    from pynomaly import model, options
    from pynomaly.export_sql import to_sql

    asked = options.check(algorithm, None, None, None, None, 0, SAMPLE_ROWS, 0, None, None, None)
    with duckdb.connect() as con:
        table = con.sql(f"from '{path}' limit {SAMPLE_ROWS}").to_arrow_table()
        rows = table.to_struct_array().combine_chunks()
    return to_sql(model.fit(rows, asked, len(rows) + 1), "model")


def measured(path: Path, text: str, folder: Path) -> tuple[float, float]:
    """Seconds to create the macro, and to score the rows of the file with it."""
    macro = folder / "macro.sql"
    macro.write_text(text, encoding="utf-8", newline="")
    command = [sys.executable, "-I", "-c", SHELL, str(path), str(macro)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    created, seconds = map(float, done.stdout.split())
    return created, seconds


def main(arguments: list[str]) -> None:
    """Print a line for each of the algorithms named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="algorithms; all that can be exported if none is named")
    parser.add_argument("--rows", type=int, default=1_000_000)
    asked = parser.parse_args(arguments)
    print(f"{'':<14}{'create s':>10}{'score s':>10}{'MiB of text':>13}  {asked.rows:,} x 10")
    with tempfile.TemporaryDirectory() as temporary:
        path = parquet(Path(temporary), asked.rows)
        for name in asked.names or NAMES:
            text = exported(path, name)
            created, seconds = measured(path, text, Path(temporary))
            limit = LIMITS.get(name)
            verdict = "" if limit is None else f"{'held' if seconds < limit else 'MISSED'}: seconds < {limit}"
            print(f"{name:<14}{created:>10.2f}{seconds:>10.2f}{len(text) / 2**20:>13.2f}  {verdict}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
