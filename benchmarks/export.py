"""Models outside of the database: how long a macro of plain SQL takes, and a folder that needs numpy alone.

Each model is fitted to the default sample of Gaussian rows, exported, and run in processes that import DuckDB alone, or
numpy alone. Of the macro: the seconds of a query that sums every score, the median of three runs, and the size of its
text. Of the folder: its size, and the microseconds a row takes by itself and among a thousand, given as records.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

from benchmarks.data import parquet
from pynomaly.model import Model

NAMES = ("hbos", "ecod", "copod", "zscore", "mad", "pca", "mahalanobis", "loda", "iforest")
SAMPLE_ROWS = 262_144
WIDTHS = (10, 10, 13, 13, 12, 12)
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

# The process on the device.
DEVICE = """
import json, statistics, sys, time
sys.path.insert(0, sys.argv[1])
from score import score

records = json.load(sys.stdin)
score(records[0])

def seconds(rows, times):
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        score(rows)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)

assert not {"pynomaly", "duckdb", "numba"} & set(sys.modules)
print(1e6 * seconds(records[0], 101), 1e6 * seconds(records, 5) / len(records))
"""


def fitted(path: Path, algorithm: str) -> Model:
    """A model that is fitted to a sample of the file."""
    from pynomaly import model, options

    asked = options.check(algorithm, None, None, None, None, 0, SAMPLE_ROWS, 0, None, None, None)
    with duckdb.connect() as con:
        table = con.sql(f"from '{path}' limit {SAMPLE_ROWS}").to_arrow_table()
        rows = table.to_struct_array().combine_chunks()
    return model.fit(rows, asked, len(rows) + 1)


def measured(path: Path, text: str, folder: Path) -> tuple[float, float]:
    """Seconds to create the macro, and to score the rows of the file with it."""
    macro = folder / "macro.sql"
    macro.write_text(text, encoding="utf-8", newline="")
    command = [sys.executable, "-I", "-c", SHELL, str(path), str(macro)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    created, seconds = map(float, done.stdout.split())
    return created, seconds


def measured_folder(path: Path, model: Model, folder: Path) -> tuple[int, float, float]:
    """Bytes of the exported folder, and microseconds a row, one at a time and a thousand at once."""
    from pynomaly import export_numpy

    export_numpy.write(model, folder, {})
    size = sum(file.stat().st_size for file in folder.iterdir())
    with duckdb.connect() as con:
        rows = json.dumps(con.sql(f"from '{path}' limit 1000").to_arrow_table().to_pylist())
    command = [sys.executable, "-I", "-c", DEVICE, str(folder)]
    done = subprocess.run(command, input=rows, capture_output=True, text=True, check=True)
    one, many = map(float, done.stdout.split())
    return size, one, many


def main(arguments: list[str]) -> None:
    """Print a line for each of the algorithms named, or all."""
    from pynomaly.export_sql import to_sql

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="algorithms that are exported both ways; all if none is named")
    parser.add_argument("--rows", type=int, default=1_000_000)
    asked = parser.parse_args(arguments)
    print(f"{'':<14}{'plain SQL':^31}{'numpy':^39}  {asked.rows:,} x 10")
    heads = ("create s", "score s", "MiB of text", "bytes", "us one row", "us of 1000")
    print(f"{'':<14}" + "".join(f"{head:>{width}}" for head, width in zip(heads, WIDTHS, strict=True)))
    with tempfile.TemporaryDirectory() as temporary:
        path = parquet(Path(temporary), asked.rows)
        for name in asked.names or NAMES:
            model = fitted(path, name)
            text = to_sql(model, "model")
            created, seconds = measured(path, text, Path(temporary))
            size, one, many = measured_folder(path, model, Path(temporary) / name)
            limit = LIMITS.get(name)
            verdict = "" if limit is None else f"{'held' if seconds < limit else 'MISSED'}: seconds < {limit}"
            macro = f"{created:>10.2f}{seconds:>10.2f}{len(text) / 2**20:>13.2f}"
            print(f"{name:<14}{macro}{size:>13,}{one:>12.1f}{many:>12.2f}  {verdict}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
