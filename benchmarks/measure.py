"""One measurement in a process of its own: `python -m benchmarks.measure CASE FILE ALGORITHM REPEATS` prints JSON."""

import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.data import matrix


def sql_in_memory(path: Path, algorithm: str) -> Callable[[], object]:
    """The whole query over a table that DuckDB holds."""
    import pynomaly

    engine = pynomaly.connect()
    engine.execute(f"create table t as from '{path}'")
    return lambda: engine.execute(query("t", algorithm)).fetchall()


def query(source: str, algorithm: str) -> str:
    """The query that is measured: every score is computed and looked at."""
    call = f"detect_anomalies('{source}', algorithm := '{algorithm}')"
    return f"select sum(anomaly_score), count(*) filter (is_anomaly) from {call}"


def sql_explained(path: Path, algorithm: str) -> Callable[[], object]:
    """The whole query with three reasons for every row."""
    import pynomaly

    engine = pynomaly.connect()
    engine.execute(f"create table t as from '{path}'")
    sql = f"select sum(len(reasons)) from detect_anomalies('t', algorithm := '{algorithm}', explain := 3)"
    return lambda: engine.execute(sql).fetchall()


def sql_on_disk(path: Path, algorithm: str) -> Callable[[], object]:
    """The whole query over a Parquet file."""
    import pynomaly

    engine = pynomaly.connect(memory_limit="1GB")
    return lambda: engine.execute(query(str(path), algorithm)).fetchall()


def pyod_fit(path: Path, algorithm: str) -> Callable[[], object]:
    """PyOD's fit, training scores included, on an array that is already in memory."""
    from pyod.models.ecod import ECOD
    from pyod.models.hbos import HBOS
    from pyod.models.iforest import IForest

    X = matrix(path)
    detector = {"ecod": ECOD, "hbos": HBOS, "iforest": IForest}[algorithm]
    return lambda: detector().fit(X)


CASES = {case.__name__: case for case in (sql_in_memory, sql_explained, sql_on_disk, pyod_fit)}


def main(case: str, path: str, algorithm: str, repeats: str) -> None:
    """Run a case after one warm-up and print the median of its seconds and the process's peak memory."""
    run = CASES[case](Path(path), algorithm)
    seconds = []
    for _ in range(int(repeats) + 1):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    measured = statistics.median(seconds[1:]) if len(seconds) > 1 else seconds[0]
    print(json.dumps({"seconds": measured, "peak_mib": peak_mib()}))


def peak_mib() -> float:
    """The process's own peak; `getrusage` would begin with that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


if __name__ == "__main__":
    main(*sys.argv[1:])
