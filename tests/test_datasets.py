"""Datasets: versions, their addresses in any source, runs and lineage, removal."""

import hashlib
import random
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest

import pynomaly
from pynomaly.errors import (
    AmbiguousSource,
    BadParameter,
    DatasetInUse,
    ReadOnlyDatabase,
    RowsMalformed,
    SourceUnreadable,
    UnknownColumn,
    UnknownDataset,
    UnknownSource,
    WorkspaceMissing,
)

N_ROWS = 60
GOOD = "".join(f"{i},{i * 7 % 23},x{i % 3}\n" for i in range(N_ROWS))


def frame(first: int = 0, n_rows: int = N_ROWS) -> pl.DataFrame:
    return pl.DataFrame({"id": range(first, first + n_rows), "amount": [float(i * 7 % 23) for i in range(n_rows)]})


def snapshots(db: pynomaly.Engine) -> list[str]:
    return sorted(path.name for path in Path("team.duckdb.files/snapshots").iterdir())


def test_a_version_is_a_snapshot_named_by_its_content(db: pynomaly.Engine) -> None:
    version = db.datasets.add("payments", frame())
    assert (version.address, version.n_rows, version.parent) == ("payments@1", N_ROWS, None)
    assert version.columns == {"id": "BIGINT", "amount": "DOUBLE"}
    data = Path(f"team.duckdb.files/snapshots/{version.snapshot}.parquet").read_bytes()
    assert hashlib.sha256(data).hexdigest() == version.snapshot
    assert len(data) == version.n_bytes


def test_the_same_bytes_make_no_new_version(db: pynomaly.Engine) -> None:
    first = db.datasets.add("payments", frame())
    assert db.datasets.add("payments", frame().to_arrow()) == first
    second = db.datasets.add("payments", frame(first=1))
    third = db.datasets.add("payments", frame())
    assert [version.version for version in db.datasets.versions("payments")] == [1, 2, 3]
    assert (second.parent, third.parent, third.snapshot) == (1, 2, first.snapshot)
    assert len(snapshots(db)) == 2


def test_every_address_names_its_version_in_any_macro(db: pynomaly.Engine) -> None:
    db.datasets.add("payments", frame())
    db.datasets.add("payments", frame(n_rows=30))
    between, later = (
        str(row[0])
        for row in db.execute(
            "select unnest([min(created_at), max(created_at) + interval 1 day]) from dataset_versions('payments')"
        ).fetchall()
    )
    for address, n_rows in (
        ("payments@1", N_ROWS),
        ("payments@2", 30),
        ("payments", 30),
        (f"payments AS OF '{between}'", N_ROWS),
        (f"payments as of '{later}'", 30),
    ):
        quoted = address.replace("'", "''")
        for macro in ("detect_anomalies", "explain_features"):
            rows = db.execute(f"select count(*) from {macro}('{quoted}', exclude := 'id')").fetchall()
            assert rows == [(n_rows if macro == "detect_anomalies" else 2,)]
        assert len(db.detect(address)) == n_rows


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("payments@7", "it has 1"),
        ("paymets@1", "did you mean `payments`?"),
        ("payments AS OF '1999-01-01'", "its first is of"),
    ],
)
def test_an_address_of_nothing_is_an_error(db: pynomaly.Engine, address: str, told: str) -> None:
    db.datasets.add("payments", frame())
    with pytest.raises(UnknownDataset, match=told):
        db.detect(address)
    with pytest.raises(BadParameter, match="is no time"):
        db.detect("payments AS OF 'yesterday or so'")


def test_a_table_comes_before_a_dataset(db: pynomaly.Engine) -> None:
    db.datasets.add("payments", frame())
    db.execute("create table payments as select range as x from range(7)")
    assert len(db.detect("payments")) == 7
    assert len(db.detect("payments@1")) == N_ROWS


def test_what_only_the_query_sees_is_never_mistaken_for_a_dataset(db: pynomaly.Engine) -> None:
    db.datasets.add("payments", frame())
    with pytest.raises(AmbiguousSource, match="payments@1"):
        db.execute("with payments as (select 1 as a from range(9)) from detect_anomalies('payments')").fetchall()
    assert db.execute("with other as (select 1) select count(*) from detect_anomalies('payments')").fetchall()
    db.execute("create temp table payments as select range as x from range(7)")
    with pytest.raises(AmbiguousSource):
        db.execute("from detect_anomalies('payments')").fetchall()
    assert len(db.detect("payments@1")) == N_ROWS


def test_a_run_names_the_version_that_it_read(db: pynomaly.Engine) -> None:
    version = db.datasets.add("payments", frame())
    for options in ({}, {"key": "id"}):
        result = db.detect("payments", save=True, **options)
        row = db.execute(
            "select source, source_version, snapshot, sql from pynomaly.runs where id = ?::uuid", [result.run_id]
        ).fetchall()[0]
        assert row[:3] == ("payments@1", 1, version.snapshot)
        assert "detect_anomalies('payments@1'" in row[3]
        assert db.execute(f"select is_equal from replay_run('{result.run_id}')").fetchall() == [(True,)]
    keys = "select list(key::int order by key::int) from pynomaly.results group by run_id order by 1"
    assert [row[0] for row in db.execute(keys).fetchall()] == [list(range(N_ROWS)), list(range(1, N_ROWS + 1))]
    assert len(snapshots(db)) == 1


def test_runs_replay_when_the_dataset_goes_on(db: pynomaly.Engine) -> None:
    db.datasets.add("payments", frame())
    run = db.detect("payments", save=True, key="id").run_id
    db.datasets.add("payments", frame(first=100))
    db.datasets.remove("payments", force=True)
    assert db.execute(f"select is_equal from replay_run('{run}')").fetchall() == [(True,)]


def test_lineage_goes_from_the_source_to_what_was_made_of_a_version(db: pynomaly.Engine) -> None:
    db.execute("create table raw as select range as id, range * 7 % 23 as x from range(50)")
    db.datasets.add("payments", "raw")
    db.train("fraud", "payments", algorithm="hbos")
    run = db.detect("payments", key="id", save=True).run_id
    db.datasets.add("payments", "select id, x + 1 as x from raw")
    edges = db.execute("select parent, child, relation from pynomaly.lineage where relation <> 'fitted'").fetchall()
    assert set(edges) >= {
        ("source:raw", "dataset:payments@1", "loaded"),
        ("dataset:payments@1", "dataset:payments@2", "followed"),
        ("dataset:payments@1", "model:fraud@1", "trained"),
        ("dataset:payments@1", f"run:{run}", "read"),
    }
    assert not any(relation == "copied" for _, _, relation in edges)
    forward = "select child from lineage(?) where direction = 'forward' and relation in ('trained', 'read')"
    for called in ("payments", "payments@1", "dataset:payments@1", "source:raw"):
        assert set(db.execute(forward, [called]).fetchall()) == {("model:fraud@1",), (f"run:{run}",)}


def test_a_model_trained_in_sql_names_the_version(db: pynomaly.Engine) -> None:
    db.datasets.add("payments", frame())
    db.execute("insert into pynomaly.models by name from train_detector('fraud', 'payments', algorithm := 'hbos')")
    assert db.execute("select source from pynomaly.models").fetchall() == [("payments@1",)]
    assert db.datasets.dependents("payments") == ["model:fraud@1"]


def test_removal_names_what_depends_on_it(db: pynomaly.Engine) -> None:
    db.datasets.add("payments", frame())
    db.datasets.add("payments", frame(first=5))
    db.train("fraud", "payments@1", algorithm="hbos")
    with pytest.raises(DatasetInUse, match="model:fraud@1"):
        db.datasets.remove("payments")
    assert db.datasets.dependents("payments") == ["model:fraud@1"]
    db.datasets.remove("payments", force=True)
    assert snapshots(db) == []
    with pytest.raises(UnknownDataset):
        db.detect("payments@1")
    assert db.datasets.add("payments", frame()).version == 3
    assert [version.version for version in db.datasets.versions("payments")] == [3]


def test_a_snapshot_that_another_dataset_has_stays(db: pynomaly.Engine) -> None:
    db.datasets.add("payments", frame())
    db.datasets.add("copies", "payments@1")
    db.datasets.remove("payments")
    assert len(db.detect("copies")) == N_ROWS


def test_listing(db: pynomaly.Engine) -> None:
    db.datasets.add("payments", frame())
    db.datasets.add("payments", frame(n_rows=20))
    listed = "select name, version, n_versions, n_rows, n_columns, n_quarantined, source from datasets()"
    assert db.execute(listed).fetchall() == [("payments", 2, 2, 20, 2, 0, "(DataFrame)")]
    versions = "select version, n_rows, parent from dataset_versions('payments')"
    assert db.execute(versions).fetchall() == [(2, 20, 1), (1, N_ROWS, None)]
    with pytest.raises(UnknownDataset, match="did you mean"):
        db.execute("from dataset_versions('payment')").fetchall()


def test_listing_without_a_catalogue() -> None:
    with duckdb.connect() as con, pynomaly.attach(con) as engine:
        assert engine.execute("from datasets()").fetchall() == []


def test_diff_tells_columns_and_rows(db: pynomaly.Engine) -> None:
    db.datasets.add("p", pa.table({"id": [1, 2, 3, 3], "a": [1.0, 2.0, 3.0, 3.0], "gone": ["x"] * 4}))
    db.datasets.add("p", pa.table({"id": [2, 3, 3, 4], "a": [2, 9, 3, 4], "new": [True] * 4}))
    changes = db.execute("from diff_versions('p@1', 'p@2')").fetchall()
    assert changes == [
        ("column removed", "gone", "VARCHAR", None, None),
        ("column added", "new", None, "BOOLEAN", None),
        ("type changed", "a", "DOUBLE", "BIGINT", None),
        ("rows removed", None, None, None, 4),
        ("rows added", None, None, None, 4),
    ]
    assert db.execute("from diff_versions('p@2', 'p@2')").fetchall() == []


def test_diff_counts_equal_rows_and_matches_by_key(db: pynomaly.Engine) -> None:
    db.datasets.add("p", pa.table({"id": [1, 2, 2, None], "a": [1.0, 2.0, 2.0, 5.0]}))
    db.datasets.add("p", pa.table({"id": [1, 2, None, 4], "a": [1.5, 2.0, 5.0, 4.0]}))
    rows = db.execute("select change, n_rows from diff_versions('p@1', 'p')").fetchall()
    assert rows == [("rows removed", 2), ("rows added", 2)]
    keyed = db.execute("select change, \"column\", n_rows from diff_versions('p@1', 'p', key := 'id')").fetchall()
    assert keyed == [("rows added", None, 1), ("values changed", "a", 1)]
    with pytest.raises(UnknownColumn, match="did you mean `id`"):
        db.execute("from diff_versions('p@1', 'p', key := 'idd')").fetchall()


def test_malformed_rows_are_kept_and_the_counts_add_up(db: pynomaly.Engine) -> None:
    Path("messy.csv").write_text("a,b,c\n" + GOOD + "1,2\n1,2,3,4\n" + GOOD, encoding="utf-8")
    version = db.datasets.add("messy", "messy.csv")
    assert (version.n_rows, version.n_quarantined) == (2 * N_ROWS, 2)
    kept = db.execute("select name, version, file, line, content from pynomaly.quarantine order by line").fetchall()
    assert kept == [("messy", 1, "messy.csv", 62, "1,2"), ("messy", 1, "messy.csv", 63, "1,2,3,4")]
    with pytest.raises(RowsMalformed, match=r"2 rows cannot be read \(messy.csv line 62: Expected"):
        db.datasets.add("strict", "messy.csv", strict=True)
    assert db.execute("select count(*) from datasets()").fetchall() == [(1,)]
    assert len(snapshots(db)) == 1


@pytest.mark.parametrize("seed", range(12))
def test_the_counts_add_up_wherever_the_bad_rows_are(db: pynomaly.Engine, seed: int) -> None:
    chance = random.Random(seed)
    n_rows = (3, 10, 40, 300)[seed % 4]
    flaws = [False, *(chance.random() < 0.2 for _ in range(n_rows - 1))]
    chance.shuffle(flaws)
    lines = [
        chance.choice(["1", "1,2", "1,2,3,4", "a,b,c,d,e", '1,"2",3,"4"']) if flaw else f"{line},{line / 8},x"
        for line, flaw in enumerate(flaws)
    ]
    Path("messy.csv").write_text("\n".join(["a,b,c", *lines]), encoding="utf-8")
    version = db.datasets.add("messy", "messy.csv")
    assert (version.n_rows, version.n_quarantined) == (n_rows - sum(flaws), sum(flaws))
    kept = db.execute("select line from pynomaly.quarantine order by line").fetchall()
    assert [line for (line,) in kept] == [line for line, flaw in enumerate(flaws, 2) if flaw]


def test_bad_rows_alone_make_a_version(db: pynomaly.Engine) -> None:
    for text, told in ((GOOD, (1, 0)), (GOOD + "1,2\n", (2, 1)), (GOOD + "1,2\n", (2, 1))):
        Path("messy.csv").write_text("a,b,c\n" + text, encoding="utf-8")
        version = db.datasets.add("messy", "messy.csv")
        assert (version.version, version.n_quarantined) == told


def test_nothing_changes_where_every_row_is_malformed(db: pynomaly.Engine) -> None:
    Path("latin.csv").write_bytes(b"a,b\n" + "1,caf\xe9\n".encode("latin-1") * 9)
    with pytest.raises(SourceUnreadable, match="hardly another can"):
        db.datasets.add("latin", "latin.csv")
    assert not Path("team.duckdb.files/snapshots").exists() or snapshots(db) == []
    version = db.datasets.add("latin", "latin.csv", encoding="latin-1")
    assert db.execute("select distinct b from query('from read_parquet(' || '''team.duckdb.files/snapshots/"
                      f"{version.snapshot}.parquet''' || ')')").fetchall() == [("caf\xe9",)]  # fmt: skip


def test_inside_a_transaction_a_version_comes_and_goes_with_it(db: pynomaly.Engine) -> None:
    db.execute("begin")
    db.execute("create table raw as from range(9) as r(x)")
    db.datasets.add("raw_rows", "raw")
    db.execute("rollback")
    with pytest.raises(UnknownDataset):
        db.datasets.versions("raw_rows")
    assert db.datasets.add("raw_rows", "from range(9)").version == 1


def test_a_validation_names_the_version_and_knows_the_order_of_its_rows(db: pynomaly.Engine) -> None:
    db.execute(
        "create table raw as select timestamp '2026-03-01' + interval (i) hour as sold_at from range(60) as r(i)"
    )
    rules = db.suggest_rules("raw")
    assert {"kind": "monotone", "columns": ["sold_at"], "severity": "warning"} in rules
    db.set_rules("sales", rules)
    db.datasets.add("sales", "raw")
    assert db.suggest_rules("sales") == db.suggest_rules("sales@1") == rules
    db.datasets.add("sales", "select sold_at from raw order by hash(sold_at)")
    for source, address, found in (("sales@1", "sales@1", []), ("sales", "sales@2", ["monotone"])):
        assert [finding.rule for finding in db.validate(source, save=True).findings] == found
        db.execute(f"insert into pynomaly.validations by name from record_validation('{source}')")
        kept = db.execute("select distinct source from pynomaly.validations where is_valid and n_rows = 60").fetchall()
        assert (address,) in kept
    assert len(kept) == 2


@pytest.mark.parametrize(
    "select", ["select 1 as a -- one", "select 1 as a ; ;", "-- one\nselect 1 as a", "/* one */ select 1 as a;"]
)
def test_a_select_may_have_comments(db: pynomaly.Engine, select: str) -> None:
    assert db.datasets.add("one", select).columns == {"a": "INTEGER"}


def test_nothing_follows_a_select(db: pynomaly.Engine) -> None:
    with pytest.raises(BadParameter, match="2 statements"):
        db.datasets.add("one", "select 1 as a; create table evil as select 1")
    with pytest.raises(pynomaly.PynomalyError, match="syntax error"):
        db.datasets.add("one", "select 1 as a) t; create table evil as (select 1 as a); from (select 1 as a")
    assert db.execute("select count(*) from duckdb_tables() where table_name = 'evil'").fetchall() == [(0,)]


def test_a_removal_that_is_undone_leaves_the_dataset(db: pynomaly.Engine) -> None:
    kept = db.datasets.add("payments", frame())
    db.execute("begin")
    db.datasets.remove("payments")
    with pytest.raises(UnknownDataset):
        db.datasets.versions("payments")
    db.execute("rollback")
    assert snapshots(db) == [f"{kept.snapshot}.parquet"]
    assert len(db.detect("payments")) == N_ROWS


@pytest.mark.parametrize("name", ["x" * 300, "p" * 300 + ".csv", f"from {'x' * 300} where a = '/'"], ids=len)
def test_a_source_too_long_for_a_path_is_looked_for_all_the_same(db: pynomaly.Engine, name: str) -> None:
    with pytest.raises(UnknownSource):
        db.detect(name)
    with pytest.raises(UnknownSource):
        db.datasets.add("copies", name)
    db.datasets.add("x" * 300, frame())
    assert len(db.detect("x" * 300)) == N_ROWS


def test_a_mistyped_dataset_is_proposed(db: pynomaly.Engine) -> None:
    db.datasets.add("payments", frame())
    for name in ("payment", "PAYMENTS"):
        with pytest.raises(UnknownSource, match="did you mean `payments`"):
            db.execute(f"from detect_anomalies('{name}')").fetchall()


@pytest.mark.parametrize("name", ["", " ", "a@1", "a/b", "a.csv", "it's", "select 1", "snapshot:x", None, 3])
def test_a_name_that_reads_like_something_else_is_refused(db: pynomaly.Engine, name: str) -> None:
    with pytest.raises(BadParameter):
        db.datasets.add(name, frame())


def test_a_dataset_needs_a_place(tmp_path: Path) -> None:
    with pynomaly.connect() as engine, pytest.raises(WorkspaceMissing):
        engine.datasets.add("payments", frame())
    with pynomaly.connect(workspace=tmp_path) as engine:
        assert engine.datasets.add("payments", frame()).n_rows == N_ROWS
    with pynomaly.connect(tmp_path / "x.duckdb"):
        pass
    with pynomaly.connect(tmp_path / "x.duckdb", read_only=True) as engine, pytest.raises(ReadOnlyDatabase):
        engine.datasets.add("payments", frame())
