"""Speed and memory, a case a line: `python -m benchmarks.speed [--full] [--json FILE] [WORD ...]`.

Both sides of a case wait in processes of their own; after a warm-up they run in turns, so that each pair sees the same
machine, and the ratio is the median over the pairs. A case takes as many pairs as fit its time, one at least.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case, Limit
from benchmarks.data import parquet
from benchmarks.measure import Process

MOST_PAIRS = 5
SECONDS_PER_CASE = 12.0
WARM_UP_SECONDS = 4.0  # a peer's first run that takes longer counts
PACKAGES = ("pynomaly", "duckdb", "numba", "numpy", "pyarrow", "pyod", "scikit-learn", "isotree")


def measured(case: Case, path: Path) -> dict[str, float]:
    """The medians of a case's measures, ours and the peer's, and the median ratio of their seconds."""
    processes = [Process(side.name, path, side.options) for side in (case.ours, case.peer) if side is not None]
    try:
        first = [process.run() for process in processes]
        is_long = len(first) > 1 and first[1]["seconds"] > WARM_UP_SECONDS
        pairs = [[processes[0].run(), first[1]]] if is_long else []
        spent = 0.0
        while len(pairs) < MOST_PAIRS and (not pairs or spent + _seconds(pairs[-1]) < SECONDS_PER_CASE):
            pairs.append([process.run() for process in processes])
            spent += _seconds(pairs[-1])
    finally:
        for process in processes:
            process.close()
    found = {name: statistics.median(pair[0][name] for pair in pairs) for name in pairs[0][0]}
    found["rows_per_second"] = case.n_rows / found["seconds"]
    if case.peer is not None:
        found["peer_seconds"] = statistics.median(pair[1]["seconds"] for pair in pairs)
        found["peer_peak_mib"] = statistics.median(pair[1]["peak_mib"] for pair in pairs)
        found["ratio"] = statistics.median(pair[1]["seconds"] / pair[0]["seconds"] for pair in pairs)
    return {**found, "pairs": float(len(pairs))}


def _seconds(pair: list[dict[str, float]]) -> float:
    return sum(side["seconds"] for side in pair)


def holds(limit: Limit, found: dict[str, float]) -> bool:
    """Whether a measure is within its limit."""
    value = found[limit.measure]
    return value >= (limit.least or value) and value <= (limit.most or value)


def line(case: Case, found: dict[str, float]) -> str:
    """One line of the table."""
    peer = f"{found['peer_seconds']:>9.2f}{found['ratio']:>7.1f}x" if case.peer else f"{'':>17}"
    told = [_told(limit, found) for limit in case.limits]
    verdict = "" if not told else ("held" if all(holds(limit, found) for limit in case.limits) else "MISSED")
    wanted = f"{'; '.join(told)}{'' if case.gate else ' (informs)'}"
    return f"{case.title:<44}{found['seconds']:>9.3f}{peer}{found['peak_mib']:>8.0f}  {verdict:<7}{wanted}"


def _told(limit: Limit, found: dict[str, float]) -> str:
    sign, value = (">=", limit.least) if limit.least is not None else ("<=", limit.most)
    own = f" ({found[limit.measure]:,.2f})" if limit.measure not in ("ratio", "seconds", "peak_mib") else ""
    return (
        f"{limit.measure}{own} {sign} {value:,.0f}" if value and value >= 20 else f"{limit.measure}{own} {sign} {value}"
    )


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    processor = platform.processor() or platform.machine()
    return {"cores": os.cpu_count(), "processor": processor, "python": sys.version.split()[0], "versions": versions}


def main(arguments: list[str]) -> None:
    """Run the cases whose title has one of the words, or all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="run the cases whose title has one of these words")
    parser.add_argument("--full", action="store_true", help="the cases that take minutes, too")
    parser.add_argument("--json", type=Path, help="write what was measured, with versions and machine")
    parser.add_argument("--data", type=Path, help="keep the generated files in this folder")
    asked = parser.parse_args(arguments)
    chosen = [case for case in CASES if not asked.words or any(word in case.title for word in asked.words)]
    records = []
    print(f"{'':<44}{'ours s':>9}{'peer s':>9}{'ratio':>8}{'MiB':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        for case in chosen:
            if case.full and not asked.full:
                continue
            path = parquet(asked.data or Path(temporary), case.n_rows, case.n_columns)
            try:
                found = measured(case, path)
            except RuntimeError as error:
                print(f"{case.title:<44}skipped: {error}", flush=True)
                continue
            print(line(case, found), flush=True)
            records.append({"case": case.title, "gate": case.gate, **found})
    if asked.json:
        asked.json.write_text(json.dumps({**machine(), "cases": records}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
