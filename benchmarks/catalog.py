"""A large catalogue: `python -m benchmarks.catalog [--models N] [--runs N] [--scored N]`.

First a file with many models and runs: milliseconds to open it, and to list, filter and page what is in it, with the
SQL that a user writes. Then many different models, trained and scored in one session, and the peak of that process.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pynomaly
from benchmarks.data import gaussian_sql
from benchmarks.measure import peak_mib

OPEN_MS, QUERY_MS, SCORED_MIB = 200.0, 20.0, 2048.0
PAGE_ROWS = 50
TRIALS = 9
MODELS = """
insert into pynomaly.models by name
select
    * exclude (place) replace (
        'model_' || place % 1000 as name, (place // 1000 + 1)::integer as version, 'source_' || place % 100 as source,
        created_at + to_minutes(place) as created_at
    )
from pynomaly.models, range(1, ?) as places(place)
"""
STAGES = """
insert into pynomaly.model_stages
select name, 1, 1, 'champion', now(), 'ada' from pynomaly.models where version = 1 and hash(name) % 2 = 0
"""
RUNS = """
insert into pynomaly.runs by name
select
    uuid() as id, if(place % 4 = 0, 'score', 'detect') as kind, 'source_' || place % 100 as source, ['id'] as key,
    'select * from detect_anomalies(''source_' || place % 100 || ''', algorithm := ''hbos'', key := ''id'')' as sql,
    if(place % 10 = 0, sha256((place // 20)::varchar), null) as snapshot,
    '{"algorithm": "hbos", "key": "id"}' as options,
    (['hbos', 'iforest', 'ecod', 'knn'])[place % 4 + 1] as algorithm, '{"n_bins": 10}' as parameters, place % 7 as seed,
    if(place % 4 = 0, 'model_' || place % 1000, null) as model, if(place % 4 = 0, 1, null) as model_version,
    '{"pynomaly": "0.1.0", "python": "3.13.0", "duckdb": "2.0.0"}' as libraries, 500 + place % 1000 as n_rows,
    place % 50 as n_flagged, 0 as n_unscored, 0.5 + place % 10 as threshold, 'estimated by pareto' as cut_off,
    ['`id` left out: key'] as notes, 0.1 as seconds, 5000.0 as rows_per_second, 1000000 as peak_memory_bytes,
    if(place % 97 = 0, 'failed', 'succeeded') as status, place % 100 = 1 as saved,
    now() - to_minutes(? - place) as started_at, 'user_' || place % 20 as created_by
from range(?) as places(place)
"""
RESULTS = """
insert into pynomaly.results
select id, place, 0.5, place = 7, [] from pynomaly.runs, range(100) as places(place) where saved
"""
NEWEST = f"order by started_at desc, id desc limit {PAGE_ROWS}"
QUERIES = {
    "runs, the newest": f"from runs() {NEWEST}",
    "runs that failed": f"from runs() where status = 'failed' {NEWEST}",
    "runs of a source": f"from runs() where source = 'source_7' {NEWEST}",
    "runs by algorithm and user": f"from runs() where algorithm = 'knn' and created_by = 'user_3' {NEWEST}",
    "runs, a page after a row": (
        "from runs() where (started_at, id) < (now() - to_days(20), '80000000-0000-0000-0000-000000000000'::uuid) "
        + NEWEST
    ),
    "runs, page 1,001 of a list": (
        f"select id, source, algorithm, n_flagged, status, started_at from runs() {NEWEST} offset {1000 * PAGE_ROWS}"
    ),
    "run by its id": "from _run((select max(id) from runs()))",
    "models, the first": f"from models() order by name, version limit {PAGE_ROWS}",
    "models, champions": f"from models() where stage = 'champion' order by name limit {PAGE_ROWS}",
    "models of a name": "from models() where name = 'model_7' order by version",
    "models, page 101": f"from models() order by created_at desc limit {PAGE_ROWS} offset {100 * PAGE_ROWS}",
}
LINEAGES = ("source_7", "model_0@1")
# Algorithms of different kinds of state, each with what is varied besides the seed.
SCORED: dict[str, Callable[[int], dict[str, object]]] = {
    "hbos": lambda place: {"n_bins": 5 + place % 20},
    "iforest": lambda place: {"n_trees": 50 + place % 100},
    "ecod": lambda _: {},
    "knn": lambda place: {"n_neighbors": 3 + place % 20},
    "lof": lambda place: {"n_neighbors": 10 + place % 20},
    "pca": lambda _: {},
    "mahalanobis": lambda _: {},
    "loda": lambda place: {"n_projections": 50 + place % 100},
}
SCORED_ROWS = 5000


def build(path: Path, n_models: int, n_runs: int) -> None:
    """A file with so many models and runs; each has the state of one small model."""
    with pynomaly.connect(path) as engine:
        engine.execute(f"create table payments as {gaussian_sql(500)}")
        engine.train("model_0", "payments", algorithm="hbos")
        engine.execute(MODELS, [n_models])
        engine.execute(STAGES)
        engine.execute(RUNS, [n_runs, n_runs])
        engine.execute(RESULTS)


def measured_ms(action: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of an action after a first run: the median of some, and the best."""
    taken = []
    for _ in range(TRIALS + 1):
        started = time.perf_counter()
        action()
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken[1:]), min(taken[1:])


def told(title: str, found: float, unit: str, limit: float | None = None) -> None:
    """Print a line of the table."""
    verdict = "" if limit is None else f"{'held' if found < limit else 'MISSED'}: < {limit:g} {unit}"
    print(f"{title:<34}{found:>10.1f} {unit:<4} {verdict}", flush=True)


def timed(title: str, action: Callable[[], object], limit: float | None = None) -> None:
    """Time an action and print its line, judged by the best."""
    median, best = measured_ms(action)
    told(f"{title:<34}{median:>10.1f}", best, "ms", limit)


def listed(path: Path) -> None:
    """What it takes to open the file and to find things in it."""
    print(f"{'':<34}{'median':>10}{'best':>10}")
    timed("open", lambda: pynomaly.connect(path).close(), OPEN_MS)
    with pynomaly.connect(path) as engine:
        for title, query in QUERIES.items():
            timed(title, partial(_fetched, engine, query), QUERY_MS)
        for name in LINEAGES:
            title = f"lineage('{name}'), {len(engine.lineage(name)):,} steps"
            timed(title, partial(engine.lineage, name))


def _fetched(engine: pynomaly.Engine, query: str) -> int:
    return len(engine.execute(query).fetchall())


def train(path: Path, n_models: int) -> None:
    """Models of several algorithms in a file, each with a seed of its own."""
    with pynomaly.connect(path) as engine:
        engine.execute(f"create table rows as {gaussian_sql(SCORED_ROWS)}")
        for place in range(n_models):
            algorithm = list(SCORED)[place % len(SCORED)]
            parameters = SCORED[algorithm](place // len(SCORED)) or None
            engine.train(f"model_{place}", "rows", algorithm=algorithm, seed=place, parameters=parameters)


def score(path: Path) -> None:
    """Score with every model of a file in one session, and tell what the process took."""
    with pynomaly.connect(path) as engine:
        names = [row[0] for row in engine.execute("select name from models() order by name").fetchall()]
        started = time.perf_counter()
        for name in names:
            engine.execute("select sum(anomaly_score) from score_anomalies('rows', ?)", [name]).fetchall()
        seconds = time.perf_counter() - started
    told(f"{len(names):,} models score {SCORED_ROWS:,} rows", seconds, "s")
    told("peak of their process", peak_mib(), "MiB", SCORED_MIB)


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--scored", type=int, default=1000)
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.score is not None:
        score(asked.score)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalogue.duckdb"
        build(path, asked.models, asked.runs)
        print(f"{asked.models:,} models, {asked.runs:,} runs, {path.stat().st_size / 2**20:.0f} MiB")
        listed(path)
        path = Path(folder) / "models.duckdb"
        train(path, asked.scored)
        print(f"{asked.scored:,} models of {len(SCORED)} algorithms, {path.stat().st_size / 2**20:.0f} MiB")
        subprocess.run([sys.executable, "-m", "benchmarks.catalog", "--score", str(path)], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
