"""Exported macros score as the models do, in a process that has DuckDB and no pynomaly."""

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynomaly import model, options, registry
from pynomaly.errors import NotExportable
from pynomaly.export_sql import to_sql
from pynomaly.export_sql.query import Query, Sought

NINE = ("iforest", "ecod", "copod", "hbos", "loda", "zscore", "mad", "pca", "mahalanobis")
N = 400
NAME = """it's "odd" ü"""

QUOTED = '"' + NAME.replace('"', '""') + '"'
# What a shell does, and no more: open the database, run the macro's text, print what the queries give.
SHELL = """
import json, sys
import duckdb

database, macro, *queries = json.load(sys.stdin)
con = duckdb.connect(database)
con.execute("set enable_progress_bar = false")
con.execute(macro)
found = []
for query in queries:
    try:
        found.append(con.execute(query).fetchall())
    except duckdb.Error as error:
        found.append(str(error))
assert "pynomaly" not in sys.modules
print(json.dumps(found, default=str))
"""


def plain(macro: str, *queries: str, database: Path | None = None) -> list[Any]:
    """What a plain DuckDB gives after it ran the macro."""
    told = json.dumps([str(database or ":memory:"), macro, *queries])
    done = subprocess.run([sys.executable, "-I", "-c", SHELL], input=told, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def cell(rng: np.random.Generator, share: float, value: Any) -> Any:
    return None if rng.random() < share else value


def mixed(seed: int, is_new: bool) -> pa.Table:
    """A table of every kind of column; new rows go beyond what was fitted, and are gaps throughout now and then."""
    rng, far = np.random.default_rng(seed), 20.0 if is_new else 1.0
    start, words = dt.datetime(2024, 1, 31, 22, 30, 1, 250_001), ["oak", "it's", "", "é\u0301\n\x00", "yew" * 40]
    if is_new:
        words += ["never seen", "OAK", "yew" * 41]
    strange = [np.inf, -np.inf, np.nan, 1e200, -1e300, 5e-324, 0.0, -0.0]
    rows = []
    for i in range(N):
        gaps = 1.0 if is_new and i % 50 == 7 else 0.04
        rows.append(
            {
                "id": i,
                "amount": cell(rng, gaps, float(rng.choice(strange)) if i % 37 == 0 else far * float(rng.normal())),
                'we"ird, ñ': cell(rng, gaps, float(rng.exponential())),
                "source": cell(rng, gaps, int(rng.integers(0, 9) * (far if i % 9 == 0 else 1))),
                "huge": cell(rng, gaps, int(rng.integers(-(2**62), 2**62))),
                "price": cell(rng, gaps, Decimal(int(rng.integers(0, 10**8))) / 100),
                "single": cell(rng, gaps, np.float32(rng.normal())),
                "flag": cell(rng, gaps, bool(rng.random() < 0.2)),
                "day": cell(rng, gaps, dt.date(1969, 12, 1) + dt.timedelta(int(rng.exponential() * 30 * far))),
                "at": cell(rng, gaps, start + dt.timedelta(seconds=float(rng.exponential() * 1e5 * far))),
                "zoned": cell(rng, gaps, start.replace(tzinfo=dt.UTC) - dt.timedelta(hours=int(rng.integers(0, 900)))),
                "clock": cell(rng, gaps, (start + dt.timedelta(seconds=float(rng.random() * 1e4))).time()),
                "took": cell(rng, gaps, dt.timedelta(seconds=float(rng.random() * 1e4))),
                "tree": cell(rng, gaps, str(rng.choice(words))),
                "two": cell(rng, gaps, "b" if rng.random() < 0.1 else "a"),
                "shop": cell(rng, gaps, f"shop {int(rng.exponential() * 12)}" + "x" * (80 * int(rng.integers(0, 2)))),
                "same": 1.5 if not is_new or i % 3 else 2.5,
                "once": None if i % 20 == 3 else 7.0,
            }
        )
    types = {"amount": pa.float64(), "single": pa.float32(), "price": pa.decimal128(12, 2), "huge": pa.int64()}
    columns = {name: pa.array([row[name] for row in rows], types.get(name)) for name in rows[0]}
    return pa.table(columns)


def fitted(algorithm: str, table: pa.Table, **parameters: object) -> model.Model:
    """A model that scores every row as a new one."""
    asked = options.check(algorithm, None, None, None, None, 0, 262_144, 3, parameters or None, None, None)
    found = model.fit(structs(table), asked, len(table))
    return msgspec.structs.replace(found, known=None)


def structs(table: pa.Table) -> pa.StructArray:
    return table.drop(["id"]).to_struct_array().combine_chunks()


def check(found: model.Model, table: pa.Table, folder: Path) -> None:
    """The macro, run elsewhere, gives the scores and flags of the model."""
    database = folder / "rows.duckdb"
    with duckdb.connect(database) as con:
        con.register("given", table)
        con.execute("create table new_rows as from given")
    query = f"select id, anomaly_score, is_anomaly from {QUOTED}('new_rows') order by id"
    (rows,) = plain(to_sql(found, NAME), query, database=database)
    assert isinstance(rows, list), rows
    want = found.score(structs(table))[0]
    assert [row[0] for row in rows] == list(range(len(table)))
    got = np.array([np.nan if row[1] is None else row[1] for row in rows])
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
    flags = [None if np.isnan(score) else bool(flag) for score, flag in zip(want, found.flags(want), strict=True)]
    assert [row[2] for row in rows] == flags


@pytest.mark.parametrize("algorithm", NINE)
def test_macro_scores_as_the_model_does(algorithm: str, tmp_path: Path) -> None:
    check(fitted(algorithm, mixed(1, False)), mixed(2, True), tmp_path)


@pytest.mark.parametrize(
    ("algorithm", "parameters"),
    [
        pytest.param("iforest", {"n_trees": 1_100, "max_samples": 8}, marks=pytest.mark.slow),
        ("iforest", {"max_samples": 300}),
        ("hbos", {"n_bins": 2}),
        ("hbos", {"n_bins": 300}),
        ("loda", {"n_projections": 1, "n_bins": 3}),
        pytest.param("loda", {"n_projections": 600}, marks=pytest.mark.slow),
    ],
)
def test_parameters_change_the_macro(algorithm: str, parameters: dict[str, object], tmp_path: Path) -> None:
    check(fitted(algorithm, mixed(3, False), **parameters), mixed(4, True), tmp_path)


def numbers(n: int = 200) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table({"id": range(n), "a": rng.normal(size=n), "b": rng.exponential(size=n), "c": rng.random(n)})


MADE = """
create schema s;
create table s.t as select i as id, i / 9e0 as a, 1e0 as b, 2e0 as c from range(20) r(i);
create view v as from s.t;
create table "it's" as from s.t;
create table gaps as select null as a, null as b, null as c;
create table longer as select i as id, i % 7e0 as a, i % 11e0 as b, i % 13e0 as c from range(20000) r(i);
create table taken as select *, 1 as anomaly_score from s.t;
create table dates as select date '2024-01-01' as a, b, c from s.t;
create table fewer as select a, b from s.t;
create table spelled as select a as "A", b, c::decimal(9, 3) as c from s.t;
"""


def of(source: str, select: str = "count(*), count(anomaly_score)") -> str:
    quoted = source.replace("'", "''")
    return f"select {select} from {QUOTED}('{quoted}')"


def made(folder: Path, algorithm: str) -> tuple[str, Path]:
    """A macro for three numbers, and a database of sources for it."""
    database = folder / "sources.duckdb"
    with duckdb.connect(database) as con:
        con.execute(MADE)
    return to_sql(fitted(algorithm, numbers()), NAME), database


def test_tables_views_and_files_are_sources(tmp_path: Path) -> None:
    macro, database = made(tmp_path, "hbos")
    file = tmp_path / "it's one.csv"
    file.write_text("a,b,c\n1.5,2,3\n", encoding="utf-8")
    sources = ("s.t", "v", "it's", '"it\'s"', "sources.s.t", "spelled", "with", str(file), str(tmp_path / "*.csv"))
    queries = ['with "with" as (from s.t) ' + of(source) for source in sources]
    assert plain(macro, *queries, database=database) == [[[20, 20]]] * 7 + [[[1, 1]]] * 2


@pytest.mark.parametrize("algorithm", NINE)
def test_a_row_without_values_has_no_score(algorithm: str, tmp_path: Path) -> None:
    macro, database = made(tmp_path, algorithm)
    assert plain(macro, of("gaps", "a, anomaly_score, is_anomaly"), database=database) == [[[None, None, None]]]


@pytest.mark.parametrize(
    "algorithm", [pytest.param(name, marks=pytest.mark.slow) if name == "iforest" else name for name in NINE]
)
def test_a_filter_on_the_score_stays_above_it(algorithm: str, tmp_path: Path) -> None:
    macro, database = made(tmp_path, algorithm)
    everything, *filtered = plain(
        macro,
        of("longer", "count(*), count(*) filter (is_anomaly), count(*) filter (anomaly_score > 1)"),
        of("longer", "count(*)") + " where is_anomaly",
        of("longer", "count(*)") + " where anomaly_score > 1",
        database=database,
    )
    assert [everything[0][0], *(rows[0][0] for rows in filtered)] == [20_000, *everything[0][1:]]


def test_sources_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    macro, database = made(tmp_path, "zscore")
    told = plain(macro, *map(of, ("taken", "fewer", "dates", "nowhere")), database=database)
    for text, words in zip(told, ("anomaly_score", '"c"', "was a number when", "nowhere"), strict=True):
        assert words in text, text


def test_equal_rows_score_nothing(tmp_path: Path) -> None:
    flat = pa.table({"id": range(6), "a": [1.0] * 6})
    check(fitted("iforest", flat), flat, tmp_path)


@pytest.mark.parametrize("algorithm", ["knn", "sklearn_isolation_forest"])
def test_other_algorithms_say_which_can_be_exported(algorithm: str) -> None:
    with pytest.raises(NotExportable, match=r"not_exportable.*`mahalanobis`"):
        to_sql(fitted(algorithm, numbers(50)), "x")


def test_a_model_without_state_cannot_be_exported() -> None:
    found = msgspec.structs.replace(fitted("hbos", numbers(50)), state=None)
    with pytest.raises(NotExportable, match="its own rows"):
        to_sql(found, "x")


def test_every_algorithm_with_an_export_is_registered() -> None:
    assert set(NINE) <= set(registry.names())


@settings(max_examples=60)
@given(
    st.lists(st.floats(-1e150, 1e150), min_size=1, max_size=300),
    st.lists(st.one_of(st.none(), st.floats(-1e150, 1e150)), min_size=1, max_size=20),
    st.sampled_from(["<", "<="]),
)
def test_search_counts_values(values: list[float], sought: list[float | None], comparison: str) -> None:
    query, ordered = Query(), np.sort(values)
    cells = [*sought, *values[:20], *np.nextafter(values[:20], np.inf).tolist()]
    (found,) = query.search([Sought("x", ordered)], comparison)
    with duckdb.connect() as con:
        con.register("given", pa.table({"x": pa.array(cells, pa.float64())}))
        ctes = query.sql("given", ("anomaly_score",))
        got = con.execute(f"with {ctes} select x, {found.place} from _pynomaly_scored").fetchall()
    counted = np.less if comparison == "<" else np.less_equal
    assert len(got) == len(cells)
    for x, count in got:
        assert count == (None if x is None else int(counted(ordered, x).sum()))
