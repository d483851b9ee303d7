"""What saved runs and models tell: why a row, what would be normal, pictures, importance; and what detections cost."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import pynomaly
from databases import new_database
from pynomaly import errors
from pynomaly.cli import insights, main
from pynomaly.cli.settings import Common, Written

N_ROWS = 400
ODD = 7  # the row that is far off
TABLE = """
create table t as
select
    i as id, i % 4 as shop, (i * 37) % 101 / 10.0 as a, (i * 53) % 97 / 10.0 + (i = 7)::int * 60 as b,
    case when i % 19 = 0 then null else (i * 29) % 89 / 10.0 end as c, ['x', 'y', 'z'][1 + i % 3] as kind
from range(400) r(i)
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[pynomaly.Engine]:
    with pynomaly.connect(new_database(tmp_path / "work.duckdb")) as engine:
        engine.execute(TABLE)
        yield engine


def saved(engine: pynomaly.Engine, **options: object) -> str:
    """The id of a saved run over the table."""
    return engine.detect("t", save=True, **{"key": "id", "exclude": "shop", "algorithm": "mad", **options}).run_id


ALGORITHMS = ("iforest", "mad", "knn", "ecod", "kde", ["mad", "ecod"])


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_a_row_is_explained_as_the_run_explained_it(engine: pynomaly.Engine, algorithm: str | list[str]) -> None:
    run = saved(engine, algorithm=algorithm, explain=4)
    for key in (ODD, 19, 3):
        told = engine.explain_row(run, key).pl().to_dicts()
        assert {row["feature"] for row in told} == {"a", "b", "c", "kind"}
        asked = f"select reasons from pynomaly.results where key = '{key}'"
        reasons = engine.execute(asked).fetchall()[0][0]
        assert [{name: row[name] for name in reasons[0]} for row in told if row["contribution"] > 0] == reasons
        amounts = np.abs([row["contribution"] for row in told])
        assert [row["share"] for row in told] == pytest.approx(amounts / amounts.sum())
    assert engine.explain_row(run, ODD).pl()["feature"][0] == "b"


def test_a_run_without_reasons_and_one_by_a_trained_model_explain_as_well(engine: pynomaly.Engine) -> None:
    plain = saved(engine)
    engine.train("m", "t", algorithm="mad", exclude=["id", "shop"])
    by_model = engine.score("t", "m", key="id", save=True).run_id
    assert engine.explain_row(plain, ODD).arrow() == engine.explain_row(by_model, ODD).arrow()


def test_without_a_key_the_number_in_the_snapshot_names_a_row(engine: pynomaly.Engine) -> None:
    run = saved(engine, key=None)
    engine.execute("drop table t")
    assert engine.explain_row(run, ODD + 1).pl()["feature"][0] == "b"
    assert len(engine.nearest_normal(run, ODD + 1)) == 5


def test_a_key_of_several_columns_is_a_list(engine: pynomaly.Engine) -> None:
    run = saved(engine, key=["kind", "id"], exclude="shop")
    assert engine.explain_row(run, ["y", ODD]).arrow() == engine.explain_row(run, '["y",7]').arrow()


def test_a_row_without_a_score_has_no_contributions(engine: pynomaly.Engine) -> None:
    engine.execute("update t set c = null where id % 3 = 0")
    told = engine.explain_row(saved(engine, features=["c"]), 3).pl().to_dicts()
    assert [(row["value"], row["contribution"], row["share"]) for row in told] == [(None, 0.0, 0.0)]


def test_rows_that_are_all_equal_have_nothing_to_explain(engine: pynomaly.Engine) -> None:
    engine.execute("update t set a = 1")
    run = saved(engine, features="a")
    assert len(engine.explain_row(run, 3)) == 0
    assert engine.nearest_normal(run, 3).pl()["distance"].to_list() == [0.0] * 5
    assert engine.project(run).pl()["components"].to_list() == [[0.0, 0.0]] * N_ROWS


@pytest.mark.parametrize("key", [ODD, 19, 3])
def test_the_nearest_normal_rows_are_the_nearest(engine: pynomaly.Engine, key: int) -> None:
    run = saved(engine, features=["a", "b", "c"], contamination=0.05)
    rows = engine.sql(f"select * from t join _run_results('{run}') r on r.key = t.id::varchar order by id").pl()
    normal = rows.filter(~pl.col("is_anomaly"))
    # a column with few gaps has another feature, which says where they are
    X, N = (np.c_[part.select("a", "b", "c").to_numpy(), part["c"].is_null()].astype(float) for part in (rows, normal))
    Z = np.nan_to_num((X - np.nanmean(N, axis=0)) / np.nanstd(N, axis=0))
    distances = dict(zip(rows["key"], np.linalg.norm(Z - Z[key], axis=1), strict=True))
    others = sorted(distances[name] for name in normal["key"] if name != str(key))
    near = engine.nearest_normal(run, key, k=7).pl()
    assert near["distance"].to_list() == pytest.approx(others[:7])
    assert near["distance"].to_list() == pytest.approx([distances[name] for name in near["key"]])
    scores = dict(zip(rows["key"], rows["anomaly_score"], strict=True))
    assert near["anomaly_score"].to_list() == [scores[name] for name in near["key"]]


def test_a_sample_of_the_rows_is_always_the_same_one(engine: pynomaly.Engine) -> None:
    run = saved(engine, contamination=0.05)

    def near(n_rows: object) -> set[str]:
        asked = "select key from nearest_normal(?, '7', k := 399, sample_rows := ?)"
        return {row[0] for row in engine.execute(asked, [run, n_rows]).fetchall()}

    few = near(100)
    assert few == near(100)
    assert 60 < len(few) < 140
    assert few < near(300) < near(None)
    assert near(N_ROWS) == near(None)
    axes = "select count(*) from project(?, keys := ['1', '2'], sample_rows := 50)"
    assert engine.execute(axes, [run]).fetchall() == [(2,)]
    for wrong in (0, 1.5, "many"):
        with pytest.raises(errors.BadParameter, match="sample_rows"):
            near(wrong)


def test_the_differences_name_the_column_that_is_far_off(engine: pynomaly.Engine) -> None:
    first = engine.nearest_normal(saved(engine), ODD).pl()["differences"][0].to_list()[0]
    assert (first["feature"], float(first["value"])) == ("b", 68.0)
    assert first["share"] > 0.9
    assert float(first["normal"]) < 10.0


def test_where_every_row_is_flagged_none_is_near(engine: pynomaly.Engine) -> None:
    assert len(engine.nearest_normal(saved(engine, threshold=-1.0), ODD)) == 0


def test_projections_are_the_principal_components(engine: pynomaly.Engine) -> None:
    run = saved(engine, features=["a", "b", "c"])
    rows = engine.sql(
        f"select p.*, t.a, t.b, t.c from project('{run}', n := 3) p join t on p.key = t.id::varchar order by t.id"
    ).pl()
    X = np.c_[rows.select("a", "b", "c").to_numpy(), rows["c"].is_null()].astype(float)
    Z = np.nan_to_num((X - np.nanmean(X, axis=0)) / np.nanstd(X, axis=0))
    _, sizes, axes = np.linalg.svd(Z, full_matrices=False)
    expected, found = Z @ axes[:3].T, np.array(rows["components"].to_list())
    assert np.abs(found) == pytest.approx(np.abs(expected), abs=1e-9)
    assert rows["variance_shares"][0].to_list() == pytest.approx((sizes**2 / (sizes**2).sum())[:3])
    scored = engine.sql(f"select anomaly_score, is_anomaly from _run_results('{run}') order by key::int").pl()
    assert rows.select("anomaly_score", "is_anomaly").equals(scored)


def test_projections_have_the_same_bits_whatever_the_threads_and_zeros_beyond_the_axes(engine: pynomaly.Engine) -> None:
    run = saved(engine, features=["a", "b"])
    first = engine.project(run, n=4).pl().sort("key")
    engine.execute("set threads = 1")
    assert engine.project(run, n=4).pl().sort("key").equals(first)
    assert {tuple(row[2:]) for row in first["components"].to_list()} == {(0.0, 0.0)}


def test_many_columns_are_projected_by_way_of_few_rows(engine: pynomaly.Engine) -> None:
    X = np.random.default_rng(1).normal(size=(60, 1_100)) + 10 * np.random.default_rng(2).normal(size=(60, 1))
    frame = pl.DataFrame(X, schema=[f"x{j}" for j in range(X.shape[1])]).with_row_index("id")  # noqa: F841
    run = engine.detect("frame", key="id", algorithm="mad", save=True).run_id
    rows = engine.project(run).pl().sort(pl.col("key").cast(int))
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    expected = Z @ np.linalg.svd(Z, full_matrices=False)[2][:2].T
    assert np.abs(np.array(rows["components"].to_list())) == pytest.approx(np.abs(expected), rel=1e-6, abs=1e-6)
    assert rows["variance_shares"][0][0] > 0.9


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_importance_is_the_mean_of_the_shares_of_flagged_rows(
    engine: pynomaly.Engine, algorithm: str | list[str]
) -> None:
    run = saved(engine, algorithm=algorithm, contamination=0.02)
    keys = [key for (key,) in engine.execute(f"select key from _run_results('{run}') where is_anomaly").fetchall()]
    shares = (
        pl.concat([engine.explain_row(run, key).pl() for key in keys]).group_by("feature").agg(pl.col("share").mean())
    )
    expected = dict(shares.iter_rows())
    found = engine.feature_importance(run).pl()
    assert dict(zip(found["feature"], found["importance"], strict=True)) == pytest.approx(expected)
    assert found["n_rows"].to_list() == [len(keys)] * 4
    assert found["importance"].is_sorted(descending=True)


def test_importance_over_other_rows(engine: pynomaly.Engine) -> None:
    run, odd = saved(engine, threshold=16.0), pl.DataFrame({"a": [500.0], "b": [1.0], "c": [1.0], "kind": ["x"]})
    engine.train("m", "t", algorithm="mad", exclude=["id", "shop"], threshold=16.0)
    for name in (run, "m"):
        assert engine.feature_importance(name).pl()["feature"][0] == "b"
        assert engine.feature_importance(name, source=odd).pl()["feature"][0] == "a"


def test_importance_of_a_model_that_was_trained_on_a_value_needs_a_source(engine: pynomaly.Engine) -> None:
    rows = engine.sql("from t").pl()
    engine.train("m", rows, algorithm="mad")
    with pytest.raises(errors.UnknownSource, match="given by value"):
        engine.feature_importance("m")
    assert len(engine.feature_importance("m", source=rows)) > 0


def test_keys_and_runs_that_are_not_there(engine: pynomaly.Engine) -> None:
    run = saved(engine)
    not_saved = engine.detect("t", algorithm="mad").run_id
    for call in (engine.explain_row, engine.nearest_normal):
        with pytest.raises(errors.UnknownKey, match="'4000'"):
            call(run, 4000)
        with pytest.raises(errors.BadParameter, match="key is NULL"):
            call(run, None)
        with pytest.raises(errors.RunNotSaved, match="save=True"):
            call(not_saved, 3)
    with pytest.raises(errors.RunNotSaved, match="save=True"):
        engine.project(not_saved)
    with pytest.raises(errors.RunNotSaved, match="save=True"):
        engine.feature_importance(not_saved)
    with pytest.raises(errors.BadParameter, match="from 1 to 100"):
        engine.project(run, n=101)
    for k in (0, -1, 10_001):
        with pytest.raises(errors.BadParameter, match=f"`k` is {k}"):
            engine.nearest_normal(run, 3, k=k)


@pytest.mark.parametrize("options", [{"algorithm": "pyod_sod"}, {"by": "shop"}], ids=["batch-only", "groups"])
def test_a_run_whose_model_was_not_kept(engine: pynomaly.Engine, options: dict[str, object]) -> None:
    engine.execute("create table few as from t limit 60")
    run = engine.detect("few", key="id", save=True, **{"algorithm": "mad", **options}).run_id
    for call in (engine.project, engine.feature_importance, lambda run: engine.explain_row(run, 3)):
        with pytest.raises(errors.ModelNotKept, match="was not kept: "):
            call(run)


@pytest.mark.parametrize("change", ["delete from t where id = 7", "update t set b = 50 where id = 7"])
def test_a_row_that_changed_since_is_not_explained(engine: pynomaly.Engine, change: str) -> None:
    run = saved(engine)
    engine.execute(change)
    with pytest.raises(errors.SourceChanged):
        engine.explain_row(run, ODD)


def test_a_source_that_has_lost_rows_is_not_drawn_and_one_that_is_gone_is_told(engine: pynomaly.Engine) -> None:
    run = saved(engine)
    engine.execute("delete from t where id = 7")
    with pytest.raises(errors.SourceChanged):
        engine.project(run)
    with pytest.raises(errors.SourceChanged):
        engine.nearest_normal(run, ODD)
    engine.execute("alter table t drop a")
    with pytest.raises(errors.UnknownColumn, match="`a`"):
        engine.nearest_normal(run, 3)
    engine.execute("drop table t")
    with pytest.raises(errors.UnknownSource, match="`t`"):
        engine.explain_row(run, 3)


def test_a_cost_is_told_of_frames_and_refused_as_the_detection_is(engine: pynomaly.Engine) -> None:
    rows = pl.DataFrame({"a": np.arange(40_000.0) ** 0.5, "b": np.arange(40_000.0) % 7.0})
    told = engine.estimate_cost(rows, "hbos", features=["a"]).pl().to_dicts()[0]
    assert (told["algorithm"], told["n_rows"], told["n_features"]) == ("hbos", 40_000, 1)
    assert 0.0 < told["seconds"] < 60.0
    assert told["peak_memory_bytes"] > rows["a"].estimated_size()
    with pytest.raises(errors.TooManyRows) as estimated:
        engine.estimate_cost(rows, "pyod_sod")
    with pytest.raises(errors.TooManyRows) as detected:
        engine.detect(rows, algorithm="pyod_sod")
    assert str(estimated.value) == str(detected.value)


def test_the_shell_tells_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = Common(db=str(tmp_path / "work.duckdb"))
    with pynomaly.connect(common.db or "") as engine:
        engine.execute(TABLE)
        run = saved(engine)
        importance = engine.feature_importance(run).pl().to_dicts()
        near = engine.nearest_normal(run, ODD, k=2).pl()["key"].to_list()
    as_json = Written(json=True)
    assert insights.explain(run, str(ODD), written=as_json, common=common) == 0
    assert json.loads(capsys.readouterr().out)[0]["feature"] == "b"
    assert insights.nearest(run, str(ODD), k=2, written=as_json, common=common) == 0
    assert [row["key"] for row in json.loads(capsys.readouterr().out)] == near
    assert insights.project(run, n=3, written=as_json, common=common) == 0
    assert {len(row["components"]) for row in json.loads(capsys.readouterr().out)} == {3}
    db = ["--db", str(common.db)]
    assert main(["model", "importance", run, "--json", *db]) == 0
    assert json.loads(capsys.readouterr().out) == importance
    assert main(["estimate", "t", "-a", "mad", "--exclude", "id,shop", "--json", *db]) == 0
    assert json.loads(capsys.readouterr().out)[0]["n_features"] == 7  # three for a category, one more for gaps


def test_the_shell_shows_tables_and_says_what_is_not_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    db = ["--db", str(tmp_path / "work.duckdb")]
    with pynomaly.connect(db[1]) as engine:
        engine.execute(TABLE)
    assert main(["estimate", "t", *db]) == 0
    assert "measured on" in capsys.readouterr().out
    assert main(["model", "importance", "m", *db]) == 3
    assert "unknown_model" in capsys.readouterr().err
    assert main(["estimate", "nowhere", *db]) == 3
    assert main(["estimate", "t", "-a", "knn", "--parameters", '{"n_neighbors": 0}', *db]) == 2
