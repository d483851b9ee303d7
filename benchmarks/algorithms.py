"""Every algorithm in one table: `python -m benchmarks.algorithms [NAME ...]`.

Seconds and peak memory of the whole query over 10,000 x 10, rows a second of the same query with three reasons for
every row, and, where the record says linear, seconds and memory over 1,000,000 x 10, each in a process of its own; the
mean AUROC over the labelled sets, cut to 2,000 rows each (500 for detectors with a limit), and beside it that of PyOD's
detector of the same name on the same rows.
"""

import re
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import accuracy
from benchmarks.accuracy import FOLDER, labelled, our_auroc
from benchmarks.cases import MILLION
from benchmarks.data import parquet
from benchmarks.measure import Process
from pynomaly import registry
from pynomaly.errors import PynomalyError

N_ROWS = 10_000
AUROC_ROWS = 2_000
FEW_AUROC_ROWS = 500  # of detectors whose cost grows so fast that they have a limit
MEGABYTE = 1.048576  # of a MiB


def is_linear(complexity: str) -> bool:
    """Whether a record says that the cost grows with the rows and no faster."""
    return re.search(r"\bn\b", complexity) is not None and re.search(r"n( \*\* |\^)[23]|log\(n\)", complexity) is None


def measured(side: str, path: Path, name: str, warm: bool = True) -> dict[str, float]:
    """Seconds and memory of a query in a process of its own; RuntimeError with the last line of what went wrong."""
    process = Process(side, path, {"algorithm": name})
    try:
        if warm:
            process.run()
        return process.run()
    finally:
        process.close()


def timed(path: Path, name: str, warm: bool = True) -> str:
    """Seconds and megabytes of the query, or why there are none."""
    try:
        found = measured("sql", path, name, warm)
    except RuntimeError as error:
        codes = re.findall(r"\[(\w+)\]", str(error))
        return f"{codes[-1] if codes else 'failed':>18}"
    return f"{found['seconds']:>10.2f}{found['peak_mib'] * MEGABYTE:>8.0f}"


def explained(path: Path, name: str) -> str:
    """Rows a second with three reasons each."""
    try:
        found = measured("sql_explained", path, name)
    except RuntimeError:
        return f"{'':>10}"
    return f"{N_ROWS / found['seconds']:>10,.0f}"


def mean_auroc(name: str, sets: list[Path]) -> str:
    """The mean over the sets that the detector can work with, and their number."""
    if name not in registry.names() or not sets:
        return f"{'':>13}"
    accuracy.MOST_ROWS = FEW_AUROC_ROWS if registry.get(name).max_rows else AUROC_ROWS
    found = []
    for path in sets:
        X, label = labelled(path)
        if not label.any():  # the rows that were drawn have no anomaly
            continue
        try:
            found.append(our_auroc(name, X, label))
        except (PynomalyError, ValueError):
            continue
    return f"{np.mean(found):>8.4f} ({len(found):>2})" if found else f"{'':>13}"


def main(names: list[str]) -> None:
    """Print a line an algorithm, as each is done."""
    sets = sorted(FOLDER.glob("*.parquet"))
    if not sets:
        print(f"accuracy: skipped, no sets in {FOLDER} (PYNOMALY_DATA names the folder)")
    records = [record for record in registry.records() if record.available and (not names or record.name in names)]
    print(f"{'':<30}{'10k x 10 s':>10}{'MB':>8}{'explained':>10}{'1M x 10 s':>12}{'MB':>8}", end="")
    print(f"{'AUROC (sets)':>15}{'PyOD':>13}")
    with tempfile.TemporaryDirectory() as folder:
        small, large = parquet(Path(folder), N_ROWS), parquet(Path(folder), MILLION)
        for record in records:
            many = timed(large, record.name, warm=False) if is_linear(record.complexity) else ""
            few = f"{timed(small, record.name)}{explained(small, record.name)}"
            line = f"{record.name:<30}{few}  {many:<18}"
            print(f"{line}  {mean_auroc(record.name, sets)}{mean_auroc('pyod_' + record.name, sets)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
