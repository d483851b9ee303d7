"""What loading from PostgreSQL costs: `python -m benchmarks.remote [--rows N] [--rounds N]`.

A table of a PostgreSQL that this starts itself, read over ADBC into nothing, and loaded as a version of a dataset, in
turns; the medians and their ratio, and how far the resident memory of this process rose.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc

import pynomaly
from benchmarks.datasets import seconds

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import peers

LIMIT = 2.0  # times the raw read
TABLE = """
create table measured as
select i as id, md5((i % 1000)::text) as place, '2026-01-01'::timestamp + i * interval '1 second' as at,
    i % 2 = 0 as ok,
    random() as a, random() as b, random() * 100 as c, (i % 97)::int as d, sqrt(i) as e,
    (random() * 1000)::numeric(10, 2) as f
from generate_series(1, {n_rows}) as i;
"""


def read(address: str) -> None:
    """All rows over ADBC, batch by batch."""
    with adbc.connect(address) as con, con.cursor() as cursor:
        cursor.execute("select * from measured")
        for _ in cursor.fetch_record_batch():
            pass


def peak() -> int:
    """The most resident memory that this process has had, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    raw, ours = [], []
    with tempfile.TemporaryDirectory() as folder, peers.postgres() as server:
        server.execute(TABLE.format(n_rows=asked.rows))
        with pynomaly.connect(Path(folder) / "rows.duckdb") as engine:
            read(server.url())
            before = peak()
            for _ in range(asked.rounds):
                raw.append(seconds(lambda: read(server.url())))
                ours.append(seconds(lambda: engine.datasets.add("rows", server.url("?table=measured"))))
    direct, add = map(statistics.median, (raw, ours))
    print(f"{asked.rows:,} x 10 from PostgreSQL, median of {asked.rounds}")
    print(f"  read over ADBC  {direct:7.2f} s")
    print(f"  a version       {add:7.2f} s: {add / direct:.2f} times ({LIMIT:g} wanted)")
    print(f"  resident memory rose by {(peak() - before) / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
