"""What features cost: `python -m benchmarks.features [--rows N] [--rounds N]`.

A pipeline of ten macros over a table of payments, every feature read once; beside it each macro by itself, and the
fit of the pipeline's constants. Medians of wall seconds, and of the processor's.
"""

import argparse
import statistics
import time

import pynomaly

LIMIT = 3.0  # seconds, of a million rows
TABLE = """
create table payments as
select
    i as id, round(exp(3 + (hash(i) % 1000) / 300.0), 2) as amount, (hash(i + 1) % 24)::double as hour,
    chr(65 + (hash(i + 2) % 20)::int) || chr(65 + (hash(i + 3) % 20)::int) as country, hash(i + 4) % 1000 as account,
    'payment of ' || hash(i + 5) % 100 || ' at shop ' || hash(i + 6) % 50 as note,
    timestamp '2026-01-01' + to_seconds(i * 7) as paid_at
from range($rows) r(i)
"""
STEPS = [
    "robust_zscore(amount)",
    "log1p_signed(amount)",
    "rank_normal(hour)",
    "bin_quantile(amount)",
    "ratio(amount, hour)",
    "frequency_encode(country)",
    "group_aggregates(amount, by := country)",
    "calendar_features(paid_at, parts := [hour, weekday])",
    "rolling_mean(amount, paid_at, by := account)",
    "pct_change(amount, paid_at, by := account)",
]
OTHERS = [
    "minmax(amount)",
    "interaction(amount, hour)",
    "hash_encode(country)",
    "rolling_std(amount, paid_at, by := account)",
    "rolling_min(amount, paid_at, by := account)",
    "rolling_max(amount, paid_at, by := account)",
    "rolling_quantile(amount, paid_at, by := account)",
    "lag_features(amount, order_by := paid_at, by := account)",
    "ewma(amount, order_by := paid_at, by := account)",
    "fourier_features(paid_at)",
    "one_hot(country)",
    "text_length_features(note)",
    "tfidf_features(note)",
]


def read(engine: pynomaly.Engine, relation: str) -> tuple[float, float]:
    """Wall and processor seconds of reading every feature of a relation."""
    started, worked = time.perf_counter(), time.process_time()
    added = "columns(lambda c: c not in ('id', 'amount', 'hour', 'country', 'account', 'note', 'paid_at'))"
    engine.execute(f"select sum({added}) from {relation}").fetchall()
    return time.perf_counter() - started, time.process_time() - worked


def measured(engine: pynomaly.Engine, name: str, steps: list[str], n_rounds: int) -> float:
    """Print the medians of a pipeline of these steps; the wall seconds."""
    pipeline = engine.define_pipeline("measured", steps)
    relation = f"query(_piped('payments', 'measured@{pipeline.version}', false, null))"
    read(engine, relation)  # compiles
    wall, worked = zip(*(read(engine, relation) for _ in range(n_rounds)), strict=True)
    print(f"  {name:62} {statistics.median(wall):7.3f} s  {statistics.median(worked):7.3f} s")
    return float(statistics.median(wall))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with pynomaly.connect() as engine:
        engine.execute(TABLE, {"rows": asked.rows}).fetchall()
        print(f"{asked.rows:,} rows, median of {asked.rounds}: wall, processor")
        whole = measured(engine, f"a pipeline of {len(STEPS)} macros", STEPS, asked.rounds)
        print(f"  {f'({LIMIT:g} s wanted of a million rows)':62} {'held' if whole <= LIMIT else 'missed'}")
        for step in STEPS + OTHERS:
            measured(engine, step, [step], asked.rounds)


if __name__ == "__main__":
    main()
