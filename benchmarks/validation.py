"""Profiles and validations: `python -m benchmarks.validation [--rows N] [--columns N] [--rounds N]`.

`profile` of a table of numbers, texts and times beside DuckDB's own `SUMMARIZE` of it, in turns, and beside them
`suggest_rules` and a validation by what it suggests; the medians, wall and CPU seconds.
"""

import argparse
import statistics
import time

import pynomaly

LIMIT = 2.0  # of the time of SUMMARIZE
COLUMNS = (
    "(hash(i, {k}) % 1000003) / 7.0",  # measurements
    "(hash(i, {k}) % 1000)::integer",  # counts
    "'v' || (hash(i, {k}) % 100)",  # categories
    "(hash(i, {k}) % 1000003) / 7.0::double",
    "'customer ' || hash(i, {k})",  # texts that differ
    "timestamp '2020-01-01' + to_seconds(i)",
    "nullif(hash(i, {k}) % 7, 0)::double",  # few values and gaps
    "hash(i, {k}) % 9 = 0",
)


def table(engine: pynomaly.Engine, n_rows: int, n_columns: int) -> None:
    """A table `t` of so many rows and columns of several kinds."""
    columns = ", ".join(f"{COLUMNS[k % len(COLUMNS)].format(k=k)} as c{k}" for k in range(n_columns))
    engine.execute(f"create table t as select {columns} from range({n_rows}) r(i)").fetchall()


def seconds(engine: pynomaly.Engine, sql: str) -> tuple[float, float]:
    """Wall and CPU seconds of a query."""
    wall, cpu = time.perf_counter(), time.process_time()
    engine.execute(sql).fetchall()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with pynomaly.connect() as engine:
        table(engine, asked.rows, asked.columns)
        engine.execute("set variable rules = (select list(rule) from suggest_rules('t') as rule)").fetchall()
        cases = {
            "SUMMARIZE": "summarize t",
            "profile": "from profile('t')",
            "suggest_rules": "from suggest_rules('t')",
            "validate by what it suggests": "from validate('t', getvariable('rules'))",
        }
        taken = {name: [seconds(engine, sql)] for name, sql in cases.items()}
        for _ in range(asked.rounds - 1):
            for name, sql in cases.items():
                taken[name].append(seconds(engine, sql))
    median = {name: [statistics.median(of) for of in zip(*values, strict=True)] for name, values in taken.items()}
    print(f"{asked.rows:,} x {asked.columns}, median of {asked.rounds}")
    for name, (wall, cpu) in median.items():
        print(f"  {name:30} {wall:7.2f} s, {cpu:7.2f} s of CPU")
    ratio = median["profile"][0] / median["SUMMARIZE"][0]
    print(f"  profile takes {ratio:.2f} times SUMMARIZE (below {LIMIT:g} wanted)")


if __name__ == "__main__":
    main()
