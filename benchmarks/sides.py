"""What a case runs on either side: each function loads its data and returns what is timed.

A side returns None, or measures of its own beside the seconds (`p50_ms`, `rows_per_second`, ...).
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import matrix

Run = Callable[[], dict[str, float] | None]

SINGLE_ROWS = 1_000


def sql(path: Path, algorithm: str, threads: int = 0, on_disk: bool = False, **options: Any) -> Run:
    """The whole query: every score is computed and looked at. From a table in memory, or from the file."""
    engine = _engine(threads)
    engine.execute("set memory_limit = '1GB'" if on_disk else f"create table t as from '{path}'")
    from pynomaly.calls import call

    detection = call(str(path) if on_disk else "t", algorithm=algorithm, **options)
    query = f"select sum(anomaly_score), count(*) filter (is_anomaly) from {detection}"
    return lambda: _nothing(engine.execute(query).fetchall())


def sql_explained(path: Path, algorithm: str) -> Run:
    """The whole query with three reasons for every row."""
    engine = _engine()
    engine.execute(f"create table t as from '{path}'")
    query = f"select sum(len(reasons)) from detect_anomalies('t', algorithm := '{algorithm}', explain := 3)"
    return lambda: _nothing(engine.execute(query).fetchall())


def sql_groups(path: Path, algorithm: str, n_groups: int) -> Run:
    """The whole query by group; the rows of a group lie apart."""
    engine = _engine()
    columns = ", ".join(f"c{j}" for j in range(5))
    engine.execute(f"create table t as select (row_number() over ()) % {n_groups} as g, {columns} from '{path}'")
    detection = f"detect_anomalies('t', algorithm := '{algorithm}', \"by\" := 'g')"
    query = f"select sum(anomaly_score), count(*) filter (is_anomaly) from {detection}"
    return lambda: _nothing(engine.execute(query).fetchall())


def sql_new_rows(path: Path, algorithm: str) -> Run:
    """Every row scored by a model that is fitted already."""
    engine, handle, row = _fitted(path, algorithm)
    return lambda: _nothing(engine.execute(f"select sum(_score({handle}::bigint, {row})) from t").fetchall())


def sql_one_row(path: Path, algorithm: str) -> Run:
    """One row after another through SQL, by a model that is fitted already; milliseconds each."""
    engine, handle, row = _fitted(path, algorithm)
    query = (
        f"select _score({handle}::bigint, {row}) from (values (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, ?)) t("
        + (", ".join(f"c{j}" for j in range(10)) + ")")
    )

    def run() -> dict[str, float]:
        taken = []
        for i in range(SINGLE_ROWS):
            started = time.perf_counter()
            engine.execute(query, [i / SINGLE_ROWS]).fetchall()
            taken.append(1_000.0 * (time.perf_counter() - started))
        cuts = statistics.quantiles(taken, n=100)
        return {"p50_ms": cuts[49], "p99_ms": cuts[98]}

    return run


def pyod_fit(path: Path, module: str, name: str, **parameters: Any) -> Run:
    """PyOD's fit, training scores included, on an array that is already in memory."""
    X, detector = matrix(path), _pyod(module, name)
    return lambda: _nothing(detector(**parameters).fit(X))


def pyod_score(path: Path, module: str, name: str) -> Run:
    """PyOD's scores of new rows by a detector that is fitted already."""
    X = matrix(path)
    detector = _pyod(module, name)().fit(X)
    return lambda: _nothing(detector.decision_function(X))


def isotree(path: Path) -> Run:
    """The fit and scores of isotree: 100 trees of 256 rows that split one column at a time, the rest its defaults."""
    from isotree import IsolationForest

    X = matrix(path)
    return lambda: _nothing(IsolationForest(ntrees=100, sample_size=256, ndim=1, nthreads=-1).fit(X).predict(X))


def _engine(threads: int = 0) -> Any:
    import pynomaly

    return pynomaly.connect(threads=threads or None)


def _fitted(path: Path, algorithm: str) -> tuple[Any, int, str]:
    """An engine with the file as table t and a fitted model, its handle, and a row as the model takes it."""
    engine = _engine()
    engine.execute(f"create table t as from '{path}'")
    engine.execute(f"select sum(anomaly_score) from detect_anomalies('t', algorithm := '{algorithm}')").fetchall()
    handle = next(reversed(engine._session.cache._entries))
    return engine, handle, f"struct_pack({', '.join(f'c{j}' for j in range(10))})"


def _pyod(module: str, name: str) -> Any:
    import importlib

    return getattr(importlib.import_module(f"pyod.models.{module}"), name)


def _nothing(result: object) -> None:
    """Forget a result that had to be computed; an array must be finite."""
    if isinstance(result, np.ndarray):
        assert np.isfinite(result).all()


SIDES: dict[str, Callable[..., Run]] = {
    side.__name__: side
    for side in (sql, sql_explained, sql_groups, sql_new_rows, sql_one_row, pyod_fit, pyod_score, isotree)
}
