"""What an error says: the mend is one that the person who made the mistake can follow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pynomaly
from pynomaly.errors import PynomalyError, TooManyRows


@pytest.fixture
def engine() -> Iterator[pynomaly.Engine]:
    with pynomaly.connect() as engine:
        yield engine


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("from algoritms()", "did you mean `algorithms`?"),
        ("from detect_anomaliess('t')", "did you mean `detect_anomalies`?"),
        ("select foo from algorithms()", "the nearest are `family`"),
        ("from detect_anomalies('t', algorithm = 'knn')", "parameters are given with `:=`, not `=`"),
    ],
)
def test_a_slip_in_sql_is_mended(engine: pynomaly.Engine, sql: str, told: str) -> None:
    with pytest.raises(PynomalyError, match=r"mean|nearest|given") as caught:
        engine.sql(sql).fetchall()
    assert told in str(caught.value)


def test_a_csv_that_is_not_recognised_points_to_its_options(engine: pynomaly.Engine, tmp_path: Path) -> None:
    file = tmp_path / "two_lines.csv"
    file.write_bytes(b'id,"weird\nname",note\r\n' + b"".join(b"%d,%d,n/a\r\n" % (i, i % 7) for i in range(30)))
    with pytest.raises(PynomalyError, match=r"header line were not recognised; read the file with read_csv"):
        engine.detect(str(file))


def test_a_frame_of_mixed_types_is_told(engine: pynomaly.Engine) -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(PynomalyError, match="give data frames with columns of one type each"):
        engine.detect(pandas.DataFrame({"a": range(3000), "k": [1, "a", None] * 1000}))


@pytest.mark.parametrize("role", ["key", "by", "features", "exclude", "label"])
def test_a_column_named_twice_counts_once(engine: pynomaly.Engine, role: str) -> None:
    twice: dict[str, Any] = {role: ["a", "A"]}
    rows = "as select i as a, i % 7 as b, i * i as c from range(30) r(i)"
    engine.execute(f"create table seen {rows}; create temp table unseen {rows}")
    for source in ("seen", "unseen"):
        assert len(engine.detect(source, **twice)) == 30


def test_a_sample_of_a_table_that_is_scored_as_a_whole_names_the_size_to_give(engine: pynomaly.Engine) -> None:
    engine.execute("create table t as select i % 17 as a, i % 13 as b from range(300) r(i)")
    with pytest.raises(TooManyRows, match=r"of its 300 rows; give sample_rows := 300 or use"):
        engine.detect("t", algorithm="pyod_loci", sample_rows=100)
    engine.execute("create table long as select i % 17 as a, i % 13 as b from range(30000) r(i)")
    with pytest.raises(TooManyRows, match=r"1,200 rows at most, not 30,000.*; use a native"):
        engine.detect("long", algorithm="pyod_loci", sample_rows=100)
