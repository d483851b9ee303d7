"""Row order, chunks and threads change no score, for any algorithm, on columns of every type with gaps."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pynomaly
from pynomaly import registry
from pynomaly.calls import call

NATIVE = [name for name in registry.names() if not name.startswith(("pyod_", "sklearn_"))]
WRAPPED = [record.name for record in registry.records() if record.available and record.name not in NATIVE]
TYPES = """
select
    i, hash(i, {seed}) % 1000 / 7 as number,
    case when i % 17 = 3 then null else (hash(i, 1) % 90)::tinyint end as gaps,
    case when i % 29 = 4 then 'nan'::float when i % 29 = 5 then 'inf'::float else hash(i, 2) % 50 / 3 end as wild,
    (hash(i, 3) % 500 / 100)::decimal(9, 2) as price,
    case when i % 23 = 1 then null else ['x', 'y', 'z'][1 + (hash(i, 4) % 3)::integer] end as word,
    date '2026-01-01' + (hash(i, 5) % 90)::integer as day,
    timestamp '2026-01-01' + interval (hash(i, 6) % 90000) minute as moment,
    hash(i, 7) % 2 = 0 as flag,
    repeat(chr(97 + (hash(i, 8) % 20)::integer), 80) as text
from range({n}) r(i)
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[pynomaly.Engine]:
    with pynomaly.connect(threads=4) as opened:
        yield opened


def by_row(engine: pynomaly.Engine, source: str, **options: object) -> list[float]:
    rows = engine.execute(f"select anomaly_score from {call(source, exclude='i', **options)} order by i").fetchall()
    return [score for (score,) in rows]


def prepare(engine: pynomaly.Engine, seed: int, n: int) -> None:
    """The same rows in two orders."""
    engine.execute(f"create or replace table t as {TYPES.format(seed=seed, n=n)}")
    engine.execute("create or replace table turned as select * from t order by hash(i, 99)")


@pytest.mark.parametrize("algorithm", NATIVE)
@settings(deadline=None, max_examples=3)
@given(seed=st.integers(0, 10_000), n=st.integers(40, 300))
def test_native_scores_are_equal_bit_for_bit(engine: pynomaly.Engine, algorithm: str, seed: int, n: int) -> None:
    prepare(engine, seed, n)
    batches = engine.sql("from turned").arrow().to_batches(max_chunksize=7)
    chunked = pa.Table.from_batches(batches)
    engine.register("chunked", chunked)
    expected = by_row(engine, "t", algorithm=algorithm)
    assert None not in expected
    assert by_row(engine, "turned", algorithm=algorithm) == expected
    assert by_row(engine, "chunked", algorithm=algorithm) == expected


@pytest.mark.parametrize("algorithm", WRAPPED)
def test_wrapped_scores_are_equal(engine: pynomaly.Engine, algorithm: str) -> None:
    prepare(engine, 1, 150)
    expected = by_row(engine, "t", algorithm=algorithm)
    np.testing.assert_allclose(by_row(engine, "turned", algorithm=algorithm), expected, rtol=1e-9, atol=1e-9)
