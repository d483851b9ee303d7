"""The catalogue: its migrations, and the life of a model in a file that several connections share."""

import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import duckdb
import pytest

import pynomaly
from databases import new_database
from pynomaly.catalog import migrations, models
from pynomaly.catalog.settings import SETTINGS
from pynomaly.cli import main
from pynomaly.errors import BadParameter, CatalogChanged, UnknownColumn, UnknownObject

ROWS = """
select i as id, (i * 37) % 101 / 10.0 as amount, (i * 53) % 97 / 10.0 as hour, i % 50 = 0 as fraud from range(500) r(i)
"""


@pytest.fixture
def engine() -> Iterator[pynomaly.Engine]:
    with pynomaly.connect() as engine:
        engine.execute(f"create table payments as {ROWS}")
        yield engine


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database file with a model in it."""
    path = new_database(tmp_path_factory.mktemp("trained") / "team.duckdb")
    with pynomaly.connect(path) as engine:
        engine.execute(f"create table payments as {ROWS}")
        engine.train("fraud", "payments", exclude="id", label="fraud", algorithm="hbos")
    return path.read_bytes()


@pytest.fixture
def file(tmp_path: Path, trained: bytes) -> Path:
    path = tmp_path / "team.duckdb"
    path.write_bytes(trained)
    return path


def test_every_table_and_column_is_commented(file: Path) -> None:
    engine = pynomaly.connect(file)
    missing = engine.execute(
        "select table_name, column_name from duckdb_columns() where schema_name = 'pynomaly' and comment is null "
        "union all select table_name, null from duckdb_tables() where schema_name = 'pynomaly' and comment is null"
    ).fetchall()
    engine.close()
    assert missing == []


def test_an_empty_select_has_the_columns_of_the_table(engine: pynomaly.Engine) -> None:
    for table in ("models", "model_stages"):
        there, empty = (
            engine.execute(f"describe {query}").fetchall()
            for query in (f"from pynomaly.{table}", migrations.empty_select(table))
        )
        assert [row[:2] for row in there] == [row[:2] for row in empty]


def test_a_model_lasts_in_its_file(file: Path) -> None:
    with pynomaly.connect(file) as engine:
        before = engine.score("payments", "fraud").arrow().to_pydict()["anomaly_score"]
    with pynomaly.connect(file, read_only=True) as engine:
        assert engine.score("payments", "fraud").arrow().to_pydict()["anomaly_score"] == before
        with pytest.raises(pynomaly.PynomalyError, match="read_only_database"):
            engine.train("fraud", "payments")


def test_a_plain_duckdb_reads_the_catalogue(file: Path) -> None:
    with duckdb.connect(str(file), read_only=True) as con:
        assert con.execute("select name, version, algorithm from pynomaly.models").fetchall() == [("fraud", 1, "hbos")]


def test_a_database_without_a_catalogue_stays_so_until_something_is_stored(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "own.duckdb")) as con:
        con.execute(f"create table payments as {ROWS}")
        engine = pynomaly.attach(con)
        with pytest.raises(pynomaly.PynomalyError, match="no model `fraud`"):
            engine.score("payments", "fraud")
        with pytest.raises(pynomaly.PynomalyError, match="no model `fraud`"):
            engine.execute("select anomaly_score('fraud', {'amount': 1.0})").fetchall()
        assert con.execute("select count(*) from duckdb_tables()").fetchall() == [(1,)]
        engine.train("fraud", "payments", exclude=["id", "fraud"])
        assert engine.score("payments", "fraud").verdict.n_rows == 500


def test_a_catalogue_made_inside_a_transaction_goes_with_it() -> None:
    with duckdb.connect() as con:
        engine = pynomaly.attach(con)
        con.execute(f"create table payments as {ROWS}")
        con.execute("begin")
        engine.train("fraud", "payments", exclude=["id", "fraud"])
        con.execute("rollback")
        assert con.execute("select count(*) from duckdb_tables()").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("insert into pynomaly.migrations (number, name, checksum) values (999, '0999_x', 'x')", "catalog_newer"),
        ("update pynomaly.migrations set checksum = 'x' where number = 1", "catalog_changed"),
    ],
)
def test_a_foreign_catalogue_is_refused_and_left_alone(file: Path, change: str, code: str) -> None:
    with duckdb.connect(str(file)) as con:
        con.execute(change)
    before = file.read_bytes()
    for read_only in (True, False):
        with pytest.raises(pynomaly.PynomalyError) as raised:
            pynomaly.connect(file, read_only=read_only)
        assert raised.value.code == code
        assert raised.value.mend
    with duckdb.connect(str(file), read_only=True) as con:
        assert con.execute("select count(*) from pynomaly.models").fetchall() == [(1,)]
    assert len(file.read_bytes()) == len(before)


def test_an_older_catalogue_is_upgraded_on_open(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrations.migrations()
    later = migrations.Migration(known[-1].number + 1, "9999_later", "create table pynomaly.later (x integer)", "later")
    monkeypatch.setattr(migrations, "migrations", lambda: (*known, later))
    with pytest.raises(pynomaly.PynomalyError, match="catalog_older"):
        pynomaly.connect(file, read_only=True)
    with pynomaly.connect(file) as engine:
        assert engine.execute("select count(*) from pynomaly.later").fetchall() == [(0,)]
        assert engine.execute("select count(*) from pynomaly.models").fetchall() == [(1,)]


def test_an_older_catalogue_that_is_attached_is_read_as_it_is() -> None:
    with duckdb.connect() as con:
        con.execute(f"create table payments as {ROWS}")
        migrations._apply(con, migrations.migrations()[:1])
        engine = pynomaly.attach(con)
        assert len(engine.detect("payments")) == 500
        for macro in ("runs", "models", "detectors"):
            assert engine.execute(f"from {macro}()").fetchall() == []
        with pytest.raises(UnknownObject):
            engine.lineage("payments")
        engine.train("fraud", "payments", algorithm="hbos")
        assert len(engine.lineage("payments")) == 1


def test_a_migration_that_fails_leaves_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrations.migrations()
    sql = "create table pynomaly.later (x integer); select 1 / nothing"
    broken = migrations.Migration(known[-1].number + 1, "9999_broken", sql, "broken")
    monkeypatch.setattr(migrations, "migrations", lambda: (*known, broken))
    with pytest.raises(pynomaly.PynomalyError) as raised:
        pynomaly.connect(file)
    assert raised.value.code == "invalid_sql"
    monkeypatch.undo()
    with pynomaly.connect(file) as engine:
        tables = "select count(*) from duckdb_tables() where table_name = 'later'"
        assert engine.execute(tables).fetchall() == [(0,)]


def test_two_trainings_at_once_are_two_versions_or_one_is_refused(engine: pynomaly.Engine) -> None:
    refused: list[pynomaly.PynomalyError] = []

    def train() -> None:
        cursor = engine.cursor()
        try:
            cursor.train("fraud", "payments", algorithm="mad", exclude="id")
        except pynomaly.PynomalyError as error:
            refused.append(error)

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = [row[0] for row in engine.execute("select version from pynomaly.models order by version").fetchall()]
    assert versions == list(range(1, 5 - len(refused)))
    assert all(error.code == "conflict" for error in refused)


def test_of_two_promotions_at_once_one_is_kept(engine: pynomaly.Engine) -> None:
    for _ in range(2):
        engine.train("fraud", "payments", algorithm="mad", exclude="id")
    first, second = engine.cursor(), engine.cursor()
    for cursor in (first, second):
        cursor.execute("begin").fetchall()
    first.promote("fraud", 1)
    second.promote("fraud", 2)
    first.commit()
    with pytest.raises(pynomaly.PynomalyError) as raised:
        second.commit()
    assert raised.value.code == "conflict"
    champions = "select version from pynomaly.model_stages where stage = 'champion'"
    assert engine.execute(champions).fetchall() == [(1,)]


def test_who_trained_it_is_kept(engine: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_USER", "ada")
    engine.train("a", "payments")
    engine.execute("set variable pynomaly_actor = 'grace'").fetchall()
    engine.train("b", "payments")
    assert engine.execute("select created_by from pynomaly.models order by name").fetchall() == [("ada",), ("grace",)]


def test_a_fingerprint_is_that_of_the_rows(engine: pynomaly.Engine) -> None:
    engine.execute("create table shuffled as from payments order by hash(id)").fetchall()
    engine.execute(
        "create table changed as select * replace (amount + (id = 7)::int as amount) from payments"
    ).fetchall()
    for source in ("payments", "shuffled", "changed"):
        engine.train(source, source, algorithm="mad", exclude="id")
    prints = dict(engine.execute("select name, fingerprint from pynomaly.models").fetchall())
    assert prints["payments"] == prints["shuffled"] != prints["changed"]


def test_a_model_without_a_name_is_refused_before_it_is_trained(engine: pynomaly.Engine) -> None:
    with pytest.raises(pynomaly.PynomalyError, match="give a name"):
        engine.train(" ", "payments")


def test_a_training_fits_once(engine: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = Mock(wraps=models.train)
    monkeypatch.setattr(models, "train", fits)
    engine.train("fraud", "payments")
    assert fits.call_count == 1


def test_a_score_says_what_was_flagged(engine: pynomaly.Engine) -> None:
    trained = engine.train("fraud", "payments", exclude=["id", "fraud"], contamination=0.02)
    assert str(trained).startswith("fraud version 1: iforest on 2 columns")
    verdict = engine.score("payments", "fraud").verdict
    assert (verdict.n_rows, verdict.n_flagged) == (500, 10)
    assert engine.score("payments", "fraud").verdict.n_rows == 500


def test_a_version_is_a_number(engine: pynomaly.Engine) -> None:
    engine.train("fraud", "payments", algorithm="hbos")
    with pytest.raises(BadParameter, match="the version is '1'; give a number; it has version 1"):
        engine.score("payments", "fraud", version="1")  # type: ignore[arg-type]


def test_a_variable_may_be_called_like_a_table_of_the_catalogue(engine: pynomaly.Engine) -> None:
    models = engine.sql("select amount from payments").pl()
    assert engine.detect("models").verdict.n_rows == len(models)


def test_a_dropped_catalogue_is_told(engine: pynomaly.Engine) -> None:
    engine.train("fraud", "payments")
    engine.execute("drop table pynomaly.model_stages").fetchall()
    for query in ("from score_anomalies('payments', 'fraud')", "select anomaly_score('fraud', {'amount': 1.0})"):
        with pytest.raises(pynomaly.PynomalyError) as raised:
            engine.execute(query).fetchall()
        assert raised.value.code != "internal_failure", raised.value


@pytest.mark.parametrize(
    ("change", "asked", "told"),
    [
        (
            "drop view pynomaly.lineage; drop table pynomaly.results",
            "from lineage('payments')",
            "pynomaly.lineage was dropped",
        ),
        ("drop table pynomaly.settings", "from settings()", "pynomaly.settings was dropped"),
        (
            "alter table pynomaly.settings drop column value",
            "from settings()",
            "`value` of pynomaly.settings was dropped",
        ),
    ],
)
def test_a_catalogue_that_lost_a_part_opens_and_tells_it(file: Path, change: str, asked: str, told: str) -> None:
    with duckdb.connect(str(file)) as con:
        con.execute(change)
    with pynomaly.connect(file) as engine:
        assert engine.score("payments", "fraud").verdict.n_rows == 500
        with pytest.raises(CatalogChanged, match=told):
            engine.execute(asked).fetchall()
        with pytest.raises(UnknownColumn, match="nowhere"):
            engine.execute("select nowhere from payments")
        if change.startswith("drop table"):  # the mend that is told
            engine.execute(migrations.tables()["settings"])
            assert len(engine.execute(asked).fetchall()) == len(SETTINGS)


def test_a_catalogue_without_its_record_of_migrations_is_refused(file: Path) -> None:
    with duckdb.connect(str(file)) as con:
        con.execute("drop table pynomaly.migrations")
    with pytest.raises(CatalogChanged, match="restore the database"):
        pynomaly.connect(file)


def test_a_model_travels_in_one_file(file: Path, tmp_path: Path) -> None:
    with pynomaly.connect(file) as engine:
        before = engine.score("payments", "fraud").pl()
        engine.export_model("fraud", tmp_path / "fraud.parquet")
    with pynomaly.connect() as other:
        other.execute(f"create table payments as {ROWS}")
        assert other.import_model(tmp_path / "fraud.parquet").version == 1
        assert other.import_model(tmp_path / "fraud.parquet").version == 2
        assert other.import_model(tmp_path / "fraud.parquet", name="copy").name == "copy"
        assert other.score("payments", "copy").pl().equals(before)


def test_a_file_without_a_model_is_refused(engine: pynomaly.Engine, tmp_path: Path) -> None:
    engine.execute(f"copy payments to '{tmp_path}/rows.parquet'").fetchall()
    for path, code in ((tmp_path / "none.parquet", "unknown_source"), (tmp_path / "rows.parquet", "source_unreadable")):
        with pytest.raises(pynomaly.PynomalyError) as raised:
            engine.import_model(path)
        assert raised.value.code == code


def test_a_changed_model_is_refused(file: Path, tmp_path: Path) -> None:
    with pynomaly.connect(file) as engine:
        engine.execute(
            "copy (select * replace (state || '\\x00'::blob as state) from export_model('fraud')) "
            f"to '{tmp_path}/bad.parquet'"
        ).fetchall()
        with pytest.raises(pynomaly.PynomalyError) as raised:
            engine.import_model(tmp_path / "bad.parquet")
        assert raised.value.code == "model_corrupt"
        engine.execute("update pynomaly.models set state = 'x'::blob").fetchall()
        with pytest.raises(pynomaly.PynomalyError) as raised:
            engine.score("payments", "fraud")
        assert raised.value.code == "model_corrupt"


def test_an_exported_detector_scores_in_plain_sql(file: Path) -> None:
    with pynomaly.connect(file) as engine:
        text = engine.export_detector_sql("fraud", called="watch")
        expected = engine.score("payments", "fraud").pl().sort("id")["anomaly_score"].to_list()
    with duckdb.connect(str(file)) as con:
        con.execute(text)
        found = [row[0] for row in con.execute("select anomaly_score from watch('payments') order by id").fetchall()]
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_shell_leads_a_model_through_its_life(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = str(tmp_path / "team.duckdb")
    with pynomaly.connect(database) as engine:
        engine.execute(f"create table payments as {ROWS}")
    for line in (
        "model train fraud payments --label fraud --exclude id -a mad",
        "model train fraud payments --exclude id,fraud -a hbos",
        "model promote fraud 1",
        "model promote fraud 2",
        "model rollback fraud",
        "model retire fraud 2",
        "model ls",
        "model show fraud 1",
        f"model export fraud {tmp_path}/fraud.parquet",
        f"model import {tmp_path}/fraud.parquet --name other",
        "model export fraud watch.sql --version 2 --format sql",
    ):
        assert main([*line.replace("watch.sql", f"{tmp_path}/watch.sql").split(), "--db", database]) == 0, line
    out, err = capsys.readouterr()
    assert "champion" in out
    assert "retired" in out
    assert "fraud version 1: mad on 2 columns" in err
    assert "create or replace macro" in (tmp_path / "watch.sql").read_text(encoding="utf-8").lower()
    assert main(["model", "promote", "fraud", "9", "--db", database]) == 3
    assert main(["model", "train", "fraud", "payments"]) == 2


def test_a_catalogue_of_the_first_migration_is_upgraded_with_its_models(file: Path, tmp_path: Path) -> None:
    with pynomaly.connect(file) as engine:
        engine.train("fraud", "payments", exclude="id", algorithm="ecod")
        engine.promote("fraud", 1)
        scores = engine.execute("select sum(anomaly_score) from score_anomalies('payments', 'fraud')").fetchall()
    with duckdb.connect(str(tmp_path / "old.duckdb")) as con:
        migrations._apply(con, migrations.migrations()[:1])
        con.execute(f"attach '{file}' as new; create table payments as from new.payments")
        for table, later in (("models", "exclude (pipeline)"), ("model_stages", "")):
            con.execute(f"insert into pynomaly.{table} by name select * {later} from new.pynomaly.{table}")
        before = con.execute("select * exclude (state) from pynomaly.models order by version").fetchall()
    with pynomaly.connect(tmp_path / "old.duckdb") as engine:
        kept = engine.execute("select * exclude (state, pipeline) from pynomaly.models order by version").fetchall()
        assert kept == before
        again = engine.execute("select sum(anomaly_score) from score_anomalies('payments', 'fraud')").fetchall()
        assert again == scores
        assert engine.score("payments", "fraud", key="id", save=True).verdict.algorithm == "hbos"
        engine.promote("fraud", 2)
        assert engine.execute("select count(*) from pynomaly.model_stages").fetchall() == [(3,)]


def test_a_macro_is_there_for_whoever_names_it(file: Path) -> None:
    with pynomaly.connect(file) as engine:
        engine.execute("create view flagged as select * from detect_anomalies('payments', exclude := 'id')")
    with pynomaly.connect(file) as engine:
        assert engine.execute("select count(*) from flagged").fetchall() == [(500,)]
        engine.execute("begin; select 1 from flagged limit 1; rollback")
        assert engine.execute("select count(*) from flagged").fetchall() == [(500,)]
        relation = engine.sql("from payments").relation()
        found = relation.query("p", "select count(*) from detect_anomalies('payments')")
        assert found is not None
        assert found.fetchall() == [(500,)]
    with pynomaly.connect(file) as engine:
        engine.execute("begin")
        engine.execute("from models()").fetchall()
        engine.execute("rollback")
        assert len(engine.execute("from models()").fetchall()) == 1
        listed = "select count(distinct function_name) from duckdb_functions() where function_name in (?, ?)"
        assert engine.execute(listed, ["vacuum_catalog", "detect_anomalies"]).fetchall() == [(2,)]
