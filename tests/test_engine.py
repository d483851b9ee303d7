"""The engine: data from Python, cursors, threads, transactions, attached connections, errors."""

import contextlib
import copy
import os
import pickle
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pynomaly
from pynomaly.calls import OPTIONS, call
from pynomaly.errors import (
    BadParameter,
    DatabaseLocked,
    DatabaseUnreadable,
    EngineClosed,
    Interrupted,
    InvalidSql,
    NoUsableColumn,
    ReadOnlyDatabase,
    SourceSingleUse,
    SourceUnreadable,
    TooFewRows,
    TransactionAborted,
    UnknownAlgorithm,
    UnknownColumn,
    UnknownSource,
)

UNKNOWN = (UnknownAlgorithm, UnknownColumn, UnknownSource)
NAMED = (BadParameter, NoUsableColumn, SourceSingleUse, SourceUnreadable, *UNKNOWN)
SLOW = {"n_trees": 1000}
ROWS = "select (i * 37) % 101 / 7 as a, (i * 53) % 97 / 3 as b from range({n}) r(i)"


@pytest.fixture
def engine() -> Iterator[pynomaly.Engine]:
    with pynomaly.connect() as engine:
        engine.execute("create table t as " + ROWS.format(n=600))
        yield engine


@pytest.fixture
def table() -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table({"a": rng.normal(size=300), "b": rng.normal(size=300)})


def scores(result: pynomaly.Result) -> list[float]:
    return sorted(result.arrow()["anomaly_score"].to_pylist())


# data from Python


def test_frames_by_value_and_by_name_score_equally(engine: pynomaly.Engine, table: pa.Table) -> None:
    polars_frame, pandas_frame = pl.DataFrame(table.to_pydict()), table.to_pandas()
    features = polars_frame
    expected = scores(engine.detect(table))
    assert scores(engine.detect(polars_frame)) == expected
    assert scores(engine.detect(pandas_frame)) == expected
    assert scores(engine.detect(polars_frame.lazy())) == expected
    assert scores(engine.detect(table.to_pylist())) == expected
    assert scores(engine.detect(pa.RecordBatchReader.from_batches(table.schema, table.to_batches()))) == expected
    assert scores(engine.detect("polars_frame")) == expected
    assert scores(engine.detect("pandas_frame")) == expected
    # a variable that has the name of a parameter is found all the same
    assert features is polars_frame
    assert scores(engine.detect("features")) == expected


def test_frames_are_sources_of_plain_sql(engine: pynomaly.Engine, table: pa.Table) -> None:
    measured = table
    assert measured.num_rows == 300
    assert engine.execute("select count(*) from detect_anomalies('measured')").fetchall() == [(300,)]
    engine.register("given", pl.from_arrow(table))
    assert engine.execute("select count(*) from detect_anomalies('given')").fetchall() == [(300,)]


def test_matrix_is_a_source(engine: pynomaly.Engine) -> None:
    X = np.random.default_rng(0).normal(size=(100, 3))
    assert engine.detect(X).arrow().column_names[:3] == ["x0", "x1", "x2"]


def test_a_table_goes_before_a_variable(engine: pynomaly.Engine, table: pa.Table) -> None:
    t = table
    assert t.num_rows == 300
    assert len(engine.detect("t")) == 600


def test_readers_are_refused_in_plain_sql(engine: pynomaly.Engine, table: pa.Table) -> None:
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    assert reader.schema == table.schema
    with pytest.raises(SourceSingleUse):
        engine.execute("from detect_anomalies('reader')")


def test_what_is_no_source_is_refused(engine: pynomaly.Engine) -> None:
    with pytest.raises(UnknownSource):
        engine.detect(42)
    text = "no frame"
    with pytest.raises(UnknownSource):
        engine.detect("text")
    assert text


@pytest.mark.parametrize("data", [{"a": [1, 2], "b": [1]}, [{"a": 1}, {"a": "x"}], np.ones((9, 2), complex)], ids=str)
def test_data_that_does_not_fit_together_is_told(engine: pynomaly.Engine, data: object) -> None:
    with pytest.raises(SourceUnreadable):
        engine.detect(data)


def test_result_in_every_form(engine: pynomaly.Engine) -> None:
    result = engine.detect("t", explain=1)
    assert isinstance(result.pl(), pl.DataFrame)
    assert isinstance(result.df(), pd.DataFrame)
    assert result.relation().filter("is_anomaly").count("a").fetchall() == [(result.verdict.n_flagged,)]
    assert uuid.UUID(result.run_id)
    query = engine.sql("select a, b from t where a > ?", [3.0])
    assert query.columns == ["a", "b"]
    assert len(query.pl()) == len(query.df()) == query.arrow().num_rows == sum(len(b) for b in query.reader(100))


# the verdict


def test_verdict_counts_what_the_rows_say(engine: pynomaly.Engine) -> None:
    for options in ({}, {"top_k": 9}, {"contamination": 0.1}, {"threshold": 0.5}):
        result = engine.detect("t", algorithm="ecod", **options)
        assert result.verdict.n_rows == len(result) == 600
        assert result.verdict.n_flagged == sum(result.arrow()["is_anomaly"].to_pylist())
    assert result.verdict.threshold == 0.5
    assert result.verdict.columns == ["a", "b"]


def test_verdict_tells_what_was_left_out_and_lowered(engine: pynomaly.Engine) -> None:
    engine.execute("create table few as select i as id, i * i / 3 as v, [i] as n, 'x' as c from range(6) r(i)")
    verdict = engine.detect("few", algorithm="lof", exclude="id").verdict
    assert {item.column: item.why for item in verdict.left_out} == {
        "id": "excluded",
        "n": "nested type BIGINT[]",
        "c": "constant",
    }
    assert verdict.notes == ["`n_neighbors` lowered to 5, the number of other rows"]
    engine.execute("create table same as select 1 as v from range(10)")
    assert "every row is equal" in engine.detect("same").verdict.cut_off


def test_verdict_of_groups(engine: pynomaly.Engine) -> None:
    engine.execute("create table g as select i % 3 as g, i / 7 as v from range(99) r(i) union all select 9, 1.0")
    verdict = engine.detect("g", by="g", top_k=2).verdict
    assert (verdict.n_rows, verdict.n_flagged, verdict.n_unscored, verdict.threshold) == (100, 6, 1, None)
    assert "1 of 4 groups" in verdict.notes[0]
    assert "in each group" in verdict.cut_off


def test_the_verdicts_sql_gives_the_same_rows(engine: pynomaly.Engine) -> None:
    result = engine.detect("t", algorithm="knn", parameters={"n_neighbors": 3}, features=["a"], explain=1)
    assert engine.sql(result.verdict.sql).arrow().sort_by("a").equals(result.arrow().sort_by("a"))


# order, chunks, threads


@pytest.mark.parametrize("algorithm", ["iforest", "ecod", "knn", "pca"])
def test_threads_and_chunks_change_nothing(algorithm: str) -> None:
    rows = "select hash(i) % 1000 / 7 as a, hash(i, 1) % 1000 / 3 as b from range(300000) r(i)"
    if algorithm == "knn":
        rows = rows.replace("300000", "20000")
    with pynomaly.connect(threads=1) as one, pynomaly.connect(threads=4) as four:
        for engine in (one, four):
            engine.execute(f"create table t as {rows}")
        query = f"select anomaly_score from {call('t', algorithm=algorithm, sample_rows=300_000)} order by a, b, 1"
        assert one.sql(query).arrow().equals(four.sql(query).arrow())


def test_the_sample_keeps_rare_groups_whole(engine: pynomaly.Engine) -> None:
    engine.execute(
        "create table g as select case when i % 1000 = 0 then 'rare' when i % 2 = 0 then 'even' end as g, "
        "hash(i) % 1000 / 7 as v from range(400000) r(i)"
    )
    with engine.recorded() as run:
        engine.execute(
            f"select sum(anomaly_score) from {call('g', by='g', sample_rows=1000, algorithm='hbos')}"
        ).fetchall()
    assert sorted(item.n_rows for item in run.progress.fitted) == [400, 199600, 200000]
    assert run.verdict.n_rows == 400_000


def test_cursors_work_from_many_threads(engine: pynomaly.Engine) -> None:
    expected = scores(engine.detect("t", algorithm="iforest"))

    def work(_: int) -> bool:
        with engine.cursor() as cursor:
            return scores(cursor.detect("t", algorithm="iforest")) == expected

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


def test_four_threads_on_the_workqueue_layer() -> None:
    script = (
        "import pynomaly\n"
        "with pynomaly.connect(threads=4) as engine:\n"
        "    engine.execute('create table t as select random() as a, random() as b from range(500000)')\n"
        "    print(engine.execute(\"select count(anomaly_score) from detect_anomalies('t')\").fetchall()[0][0])\n"
    )
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "500000"


def test_interrupt_stops_a_query(engine: pynomaly.Engine) -> None:
    engine.execute("create table big as select random() as a, random() as b from range(3000000)")
    timer = threading.Timer(0.3, engine.interrupt)
    timer.start()
    with pytest.raises(Interrupted):
        engine.execute(f"select sum(anomaly_score) from {call('big', algorithm='iforest', parameters=SLOW)}").fetchall()
    timer.join()
    assert engine.execute("select 1").fetchone() == (1,)


# transactions, files, attached connections


def test_commit_after_an_error_says_that_the_rows_are_gone(engine: pynomaly.Engine) -> None:
    engine.execute("create table few as select 1 as a")
    engine.execute("begin")
    engine.execute("insert into t values (1, 1)")
    with pytest.raises(TooFewRows):
        engine.detect("few")
    with pytest.raises(TransactionAborted):
        engine.commit()
    assert engine.execute("select count(*) from t").fetchone() == (600,)
    engine.execute("begin; insert into t values (1, 1)")
    engine.commit()
    assert engine.execute("select count(*) from t").fetchone() == (601,)


def test_read_only_and_locked_databases(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with pynomaly.connect(path) as engine:
        engine.execute("create table t as " + ROWS.format(n=50))
        script = f"import pynomaly; pynomaly.connect({str(path)!r})"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "DatabaseLocked: [database_locked]" in done.stderr
    with pynomaly.connect(path, read_only=True) as engine:
        assert len(engine.detect("t")) == 50
        with pytest.raises(ReadOnlyDatabase):
            engine.execute("create table u (a int)")
    assert DatabaseLocked.status == 409


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreadable):
        pynomaly.connect(tmp_path / "nowhere" / "a.duckdb")
    with pytest.raises(BadParameter):
        pynomaly.connect(memory_limit="lots")
    with pytest.raises(BadParameter):
        pynomaly.connect(None)  # type: ignore[arg-type]
    with pytest.raises(BadParameter):
        pynomaly.connect("payments.csv")
    engine = pynomaly.connect()
    engine.close()
    with pytest.raises(EngineClosed):
        engine.execute("select 1")


def test_attach_leaves_no_trace_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.duckdb"
    with duckdb.connect(path) as con:
        con.execute("create table t as " + ROWS.format(n=50))
        pynomaly.attach(con)  # the engine may be forgotten: the connection keeps what it needs
        assert con.execute("select count(*) from detect_anomalies('t')").fetchone() == (50,)
        again = pynomaly.attach(con)
        assert len(again.detect("t", algorithm="ecod")) == 50
        frame = pl.DataFrame({"v": [1.0, 2.0, 3.0, 4.0, 5.0, 60.0]})
        assert len(again.detect("frame")) == frame.height
        again.close()
        assert con.execute("select count(*) from detect_anomalies('t')").fetchone() == (50,)
        with pytest.raises(duckdb.Error) as raised:
            con.execute("from detect_anomalies('t', contamination := 7)")
        assert "[bad_parameter]" in str(raised.value)
        assert isinstance(pynomaly.translate(raised.value), BadParameter)
    with duckdb.connect(path) as con:
        left = con.execute(
            "select count(*) from duckdb_functions() where function_name in ('detect_anomalies', '_fit')"
        ).fetchone()
        assert left == (0,)
        assert con.execute("select count(*) from duckdb_tables()").fetchone() == (1,)


# files and hostile names


def test_broken_files_name_the_place(engine: pynomaly.Engine, tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text("a,b\n" + "1,2\n" * 30_000 + "x,2\n")
    with pytest.raises(SourceUnreadable, match=r"broken\.csv.*line 30002"):
        engine.detect(str(path))
    (tmp_path / "broken.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(SourceUnreadable, match=r"broken\.parquet"):
        engine.detect(str(tmp_path / "broken.parquet"))
    with pytest.raises(UnknownSource, match=r"did you mean `.*broken\.csv`"):
        engine.detect(str(tmp_path / "brokn.csv"))


def test_files_of_every_format(engine: pynomaly.Engine, tmp_path: Path) -> None:
    for format_ in ("csv", "parquet", "json"):
        path = tmp_path / f"it's {format_}.{format_}"
        engine.execute(f"copy t to '{str(path).replace(chr(39), chr(39) * 2)}' (format {format_})")
        assert len(engine.detect(str(path))) == 600


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the peak memory from")
def test_long_text_in_many_rows_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "long.parquet"
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        con.execute(
            "copy (select i / 7 as v, repeat(chr(97 + (i % 7)::integer), 12000) as body from range(200000) r(i)) "
            f"to '{path}' (row_group_size 20480)"
        )
    # The kernel's own high-water mark: getrusage would count the memory of the process that started this one.
    script = (
        "import pathlib, pynomaly\n"
        "with pynomaly.connect(threads=2) as engine:\n"
        f"    print(engine.execute(\"select count(anomaly_score) from detect_anomalies('{path}')\").fetchall()[0][0])\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(int(status.split('VmHWM:')[1].split()[0]) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    n_scored, peak_mib = map(int, done.stdout.split())
    assert n_scored == 200_000
    assert peak_mib < 1000


@pytest.fixture(scope="module")
def thirty() -> Iterator[pynomaly.Engine]:
    with pynomaly.connect() as engine:
        engine.execute("create table t as " + ROWS.format(n=30))
        yield engine


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=40)
    | st.sampled_from(["'", "''", '"', "t; drop table t", "t' or 1=1 --", "$$", "t)--", "\\'", "@1"]),
    st.sampled_from(["source", "algorithm", "features", "exclude", "label", "key", "by", "parameters"]),
)
def test_no_string_parameter_is_run_as_sql(thirty: pynomaly.Engine, hostile: str, parameter: str) -> None:
    tables = thirty.execute("from information_schema.tables").fetchall()
    options: dict[str, Any] = {parameter: hostile} if parameter != "source" else {}
    with contextlib.suppress(*NAMED):
        thirty.detect(hostile if parameter == "source" else "t", **options)
    assert thirty.execute("select count(*) from t").fetchone() == (30,)
    assert thirty.execute("from information_schema.tables").fetchall() == tables


def test_compare_gives_a_row_an_algorithm() -> None:
    frame = pl.DataFrame({"x": [float(i % 13) for i in range(60)] + [900.0], "bad": [False] * 60 + [True]})
    with pynomaly.connect() as engine:
        found = engine.compare(frame, algorithms=["mad", "knn"], label="bad")
        assert found.pl()["algorithm"].to_list() == ["mad", "knn"]
        assert found.pl()["auroc"].to_list() == [1.0, 1.0]
        assert repr(found) == "<Comparison: 2 algorithms, mad ranks best (AUROC 1.000)>"
        assert "compare_detectors" in found.sql
        with pytest.raises(pynomaly.PynomalyError, match="`algorithm` is no parameter of compare_detectors"):
            engine.compare(frame, algorithm="mad")


def test_interrupt_stops_a_comparison_between_two_algorithms() -> None:
    with pynomaly.connect() as engine:
        engine.execute("create table t as select random() as a, random() as b from range(3000)")
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(engine.compare, "t", algorithms=["pyod_knn", "pyod_sos", "pyod_mcd", "knn"])
            while engine.progress is None or engine.progress.n_done < 1:
                time.sleep(0.01)
            engine.interrupt()
            with pytest.raises(pynomaly.PynomalyError) as raised:
                running.result(timeout=60)
        assert raised.value.code == "interrupted"
        assert engine.execute("select 1").fetchall() == [(1,)]


def test_import_is_light() -> None:
    script = (
        "import sys, pynomaly; print([name for name in ('pandas', 'sklearn', 'numba', 'pyod') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# found by attack


def test_an_error_does_not_stop_the_next_statement(engine: pynomaly.Engine) -> None:
    with pytest.raises(UnknownSource):
        engine.sql("select * from nowhere")
    assert engine.sql("select count(*) from t").fetchall() == [(600,)]


def test_top_k_of_a_source_without_order(engine: pynomaly.Engine) -> None:
    engine.execute("create view v as select a, b from t order by random()")
    rows = engine.execute(
        f"select min(anomaly_score) filter (is_anomaly) >= max(anomaly_score) filter (not is_anomaly) "
        f"from {call('v', algorithm='zscore', top_k=20)}"
    ).fetchall()
    assert rows == [(True,)]


def test_option_names_are_checked(engine: pynomaly.Engine) -> None:
    with pytest.raises(BadParameter, match="did you mean `seed`"):
        engine.detect("t", sed=1)
    hostile: dict[str, Any] = {"seed := 0); drop table t; select * from detect_anomalies('t') --": 1}
    with pytest.raises(BadParameter):
        engine.detect("t", **hostile)
    names = engine.execute(
        "select parameters from duckdb_functions() "
        "where function_name = 'detect_anomalies' and function_type = 'table_macro'"
    ).fetchall()[0][0]
    assert ["source", *OPTIONS] == names


def test_numpy_values_are_options(engine: pynomaly.Engine) -> None:
    result = engine.detect("t", top_k=np.int64(3), features=np.array(["a"]), seed=np.uint8(1))
    assert result.verdict.n_flagged == 3
    assert engine.detect("t", contamination=np.float64(0.1)).verdict.n_flagged <= 60


def test_frames_by_value_from_many_threads(engine: pynomaly.Engine) -> None:
    def work(k: int) -> bool:
        frame = pl.DataFrame({f"c{k}": np.arange(50) % 7 / 3.0, "v": np.arange(50) % 11 / 3.0})
        with engine.cursor() as cursor:
            return all(cursor.detect(frame).verdict.columns == [f"c{k}", "v"] for _ in range(5))

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(work, range(3)))


def test_an_uncommitted_table_goes_before_a_variable(engine: pynomaly.Engine) -> None:
    u = pl.DataFrame({"zz": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})
    assert u.height == 6
    engine.execute("begin")
    engine.execute("create table u as select hash(i) % 50 / 7 as b from range(40) r(i)")
    assert len(engine.detect("u")) == 40


def test_attach_inside_a_transaction_keeps_it() -> None:
    with duckdb.connect() as con:
        con.execute("begin")
        con.execute("create table u as " + ROWS.format(n=50))
        assert len(pynomaly.attach(con).detect("u")) == 50
        con.execute("commit")
        assert con.execute("select count(*) from u").fetchone() == (50,)


def test_a_commented_commit_is_a_commit(engine: pynomaly.Engine) -> None:
    engine.execute("create table few as select 1 as a")
    for commit in ("/* so */ commit", "-- so\ncommit", "select 1; commit"):
        engine.execute("begin")
        with pytest.raises(TooFewRows):
            engine.detect("few")
        with pytest.raises(TransactionAborted):
            engine.execute(commit)


def test_lines_that_do_not_split_are_told(engine: pynomaly.Engine, tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("a,b,c\n" + "1,2,3\n" * 30 + '1,2,3,4,5,6\n"unterminated,3\n')
    with pytest.raises(SourceUnreadable):
        engine.detect(str(path))


def test_closing_stops_a_running_cursor() -> None:
    engine = pynomaly.connect()
    engine.execute("create table big as select random() as a from range(3000000)")
    cursor = engine.cursor()
    failed: list[Exception] = []

    def run() -> None:
        try:
            cursor.execute(
                f"select sum(anomaly_score) from {call('big', algorithm='iforest', parameters=SLOW)}"
            ).fetchall()
        except pynomaly.PynomalyError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.5)
    engine.close()
    thread.join()
    assert failed


def test_interleaved_groups_are_scored_group_by_group(engine: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is called once or twice, not once for every chunk in which one of its rows lies."""
    from pynomaly.model import Model

    calls: list[int] = []
    score = Model.encoded_scores

    def counted(self: Model, X: Any, hashes: Any) -> Any:
        calls.append(len(X))
        return score(self, X, hashes)

    monkeypatch.setattr(Model, "encoded_scores", counted)
    engine.execute("create table sales as select i % 100 as g, hash(i) % 1000 as x from range(20_000) r(i)")
    found = engine.execute(
        "select count(anomaly_score) from detect_anomalies('sales', \"by\" := 'g', algorithm := 'mad')"
    )
    assert found.fetchall() == [(20_000,)]
    assert sum(calls) == 20_000
    assert len(calls) <= 200


def test_a_source_that_changes_while_it_is_read_is_told(engine: pynomaly.Engine) -> None:
    engine.execute("create view dice as select i % 2 as g, random() as x from range(100) r(i)")
    assert len(engine.detect("dice", algorithm="knn").pl()) == 100
    for explain in (0, 1):
        with pytest.raises(SourceSingleUse):
            engine.detect("dice", by="g", explain=explain)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_copy_of_an_error_tells_the_same(copied: Callable[[BadParameter], BadParameter]) -> None:
    error = BadParameter("`k` is 0", "give 1 or more")
    error.add_note("in a test")
    found = copied(error)
    assert str(found) == str(error) == "[bad_parameter] `k` is 0; give 1 or more"
    assert (type(found), found.cause, found.mend, found.__notes__) == (
        BadParameter,
        "`k` is 0",
        "give 1 or more",
        ["in a test"],
    )


@pytest.mark.parametrize("sql", [None, 3, b"select 1"])
def test_what_is_no_statement_is_told(engine: pynomaly.Engine, sql: Any) -> None:
    for run in (engine.execute, engine.sql):
        with pytest.raises(InvalidSql, match="give SQL as a string"):
            run(sql)


def test_what_is_no_connection_is_told() -> None:
    nothing: Any = None
    with pytest.raises(BadParameter, match="None"):
        pynomaly.attach(nothing)


def test_what_outlives_its_engine_says_so() -> None:
    with pynomaly.connect() as engine:
        engine.execute("create table t as " + ROWS.format(n=50))
        result, query = engine.detect("t"), engine.sql("from t")
    assert len(result.pl()) == 50
    for use in (result.relation, query.relation, query.fetchall, lambda: query.columns):
        with pytest.raises(EngineClosed):
            use()


@pytest.mark.parametrize(("seed", "bounds"), [(-1, "of 0 or more"), (2**62, "below 4,611,686,018,427,387,904")])
def test_a_seed_out_of_range_is_told_its_limit(engine: pynomaly.Engine, seed: int, bounds: str) -> None:
    with pytest.raises(BadParameter, match=bounds):
        engine.detect("t", seed=seed)


@pytest.mark.parametrize("n", [10, 30_000])  # the encoding is wrong in the lines that are read first, or later
def test_a_file_in_another_encoding_is_told_how_to_read_it(engine: pynomaly.Engine, tmp_path: Path, n: int) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(b"name,a\n" + b"".join(b"Muller,%d\n" % i for i in range(n)) + "Müller,7\n".encode("latin-1"))
    with pytest.raises(SourceUnreadable, match="encoding = 'latin-1'") as raised:
        engine.detect(str(path))
    engine.execute(raised.value.mend.partition(": ")[2].replace("table t", "table latin")).fetchall()
    assert len(engine.detect("latin")) == n + 1


def test_ties_that_keep_rows_from_being_flagged_are_noted(engine: pynomaly.Engine) -> None:
    engine.execute("create table tied as select i % 4 as a from range(400) r(i)")
    verdict = engine.detect("tied", contamination=0.1, algorithm="mad").verdict
    assert verdict.n_flagged == 0
    assert verdict.notes == [
        "fewer rows are flagged than `contamination` asks for: ties at the threshold are not above it"
    ]
    assert engine.detect("t", contamination=0.1, algorithm="mad").verdict.notes == []
