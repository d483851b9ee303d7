"""What SQL from users may do, and whose names it may name: every attack of a file, and everyday queries that pass."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

import pynomaly
from pynomaly import access, confinement
from pynomaly.errors import InternalFailure, PynomalyError
from pynomaly.macros import library
from pynomaly.paths import macro_files

ATTACKS = Path(__file__).parent / "server" / "attacks.txt"
SECRET = "TOPSECRET"  # in all that is another user's
python_variable = pa.table({"id": [1], "note": [SECRET]})


class Team(NamedTuple):
    """A confined database with two users: `her` has secrets, `him` attacks."""

    engine: pynomaly.Engine
    her: pynomaly.Engine
    him: pynomaly.Engine
    places: dict[str, str]


def _rows(note: str) -> pa.Table:
    return pa.table(
        {
            "id": list(range(60)),
            "amount": [float(i % 7) for i in range(60)],
            "day": [f"2026-01-{1 + i % 28:02}" for i in range(60)],
            "note": [f"{note} {i % 3}" for i in range(60)],
        }
    )


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("confined")
    with pynomaly.connect(folder / "workspace.duckdb", confined=True, threads=2, memory_limit="600MB") as engine:
        engine.execute(
            "create table team as select i as id, i % 7 as x, 'n' || i % 3 as note, date '2026-01-01' + i::int as day "
            "from range(60) t(i); create view team_view as select id, x from team; create schema more; "
            "create table more.numbers as select 1 as n"
        )
        her, him = engine.cursor(), engine.cursor()
        her.act_as("her", sees_all=False)
        him.act_as("him", sees_all=False)
        run = _belongings(her, "secret", "hidden", "hers", "her_steps", "her_rules", SECRET)
        _belongings(him, "mine", "mymodel", "my_detector", "my_steps", "my_rules", "plain")
        uploads = folder / "workspace.duckdb.files" / "uploads"
        (uploads / "upload.csv").write_text(f"id,note\n1,{SECRET}\n")
        snapshot = her.datasets.versions("secret")[0].snapshot
        places = {
            "run": run,
            "snapshot": snapshot,
            "snapshot_file": str(uploads.parent / "snapshots" / f"{snapshot}.parquet"),
            "database": str(folder / "workspace.duckdb"),
            "uploads": str(uploads),
            "long": "select " + "1 + " * 40_000 + "1",
            "deep": "select " + "(" * 5_000 + "1" + ")" * 5_000,
            "deep_queries": "from (" * 300 + "select 1" + ")" * 300,
            "wide": _chain("select * from a{before}, a{before} y"),
            "stars": _chain("select *, *, * from a{before}"),
            "joins": "select 1 from team t0 " + " ".join(f"join team t{i} using (id)" for i in range(1, 200)),
            "macros": "select " + ", ".join(["(select count(*) from profile('team'))"] * 100),
            "nul": "select 'a\0b'",
        }
        yield Team(engine, her, him, places)


def _chain(select: str) -> str:
    """CTEs each of which stands for the one before several times."""
    ctes = ", ".join(f"a{i} as ({select.format(before=i - 1)})" for i in range(1, 22))
    return f"with a0 as (select 1 as x), {ctes} select count(*) from a21"


def _belongings(
    user: pynomaly.Engine, dataset: str, model: str, detector: str, pipeline: str, rules: str, note: str
) -> str:
    user.datasets.add(dataset, _rows(note))
    user.train(model, dataset, algorithm="mad", exclude=["note", "day"])
    user.define_detector(detector, algorithm="mad", seed=77)
    user.define_pipeline(pipeline, ["log1p_signed(amount)"])
    user.set_rules(rules, [{"kind": "set", "column": "note", "values": [note]}])
    result = user.detect(dataset, algorithm="mad", key="id", exclude=["note", "day"], save=True)
    user.label(result.run_id, 1, "anomaly", note=note)
    user.label(result.run_id, 2, "normal", note=note)
    return result.run_id


def _attacks() -> list[tuple[str, str]]:
    blocks = re.split(r"^=== ([a-z_|]+)(?:: .*)?\n", ATTACKS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [(code, sql.strip("\n")) for code, sql in zip(blocks[::2], blocks[1::2], strict=True)]


def _filled(sql: str, places: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: places.get(found[1], found[0]), sql)


def _answers(team: Team) -> None:
    assert team.him.run_confined("select count(*) as n from team").rows.to_pylist() == [{"n": 60}]


def _told(error: PynomalyError) -> str:
    return f"{error} {error.cause} {error.mend}"


def test_there_are_many_attacks() -> None:
    assert len(_attacks()) > 250


@pytest.mark.parametrize(("code", "sql"), _attacks())
def test_an_attack_is_refused(team: Team, code: str, sql: str) -> None:
    python_variable = pa.table({"id": [1], "note": [SECRET]})  # noqa: F841 - what it tries to read
    filled = _filled(sql, team.places)
    with pytest.raises(PynomalyError) as raised:
        team.him.run_confined(filled, seconds=0.5 if "query_timeout" in code else 20)
    assert raised.value.code in code.split("|"), raised.value
    assert not isinstance(raised.value, InternalFailure)
    if "{" not in sql:  # where it is not repeated from the statement
        assert str(team.places["uploads"]).removesuffix("/uploads") not in _told(raised.value)
    assert SECRET not in _told(raised.value)
    assert not re.search(r"her_steps|her_rules|hidden|\bhers\b", _told(raised.value)) or "her" in sql or "hid" in sql
    _answers(team)


# What a macro needs besides the argument that is tried.
GIVEN: dict[str, str] = {
    "source": "'mine'",
    "model": "'mymodel'",
    "run": "'{own}'",
    "keys": "['1']",
    "a": "'mine@1'",
    "b": "'mine@1'",
    "object": "'mine'",
    "detector": "'my_detector'",
    "pipeline": "'my_steps'",
    "dataset": "'mine'",
    "key": "'1'",
    "label": "'anomaly'",
    "rule_set": "'my_rules'",
    "rules": "[{'kind': 'not_null', 'column': 'id'}]",
    "steps": "['log1p_signed(amount)']",
    "name": "'mad'",
    "columns": "'amount'",
    "version": "1",
    "setting": "'query_log'",
    "value": "true",
    "row": "{'id': 1, 'amount': 2.0}",
    "algorithm": "'mad'",
}
NAMING = {"source", "model", "run", "a", "b", "object", "detector", "pipeline", "dataset", "rules", "file"}
NEW_NAMES = {  # which a restricted user may make up; what keeps them is checked elsewhere
    ("define_detector", "detector"),
    ("define_detector", "pipeline"),
    ("define_pipeline", "pipeline"),
    ("train_detector", "model"),
}
BY_VALUE = {"features_by_value"}  # macros of values: they name nothing
FORBIDDEN = (
    "secret",
    "secret@1",
    "hidden",
    "{run}",
    "hers",
    "her_steps",
    "her_rules",
    "/etc/passwd",
    "{database}",
    "{snapshot_file}",
    "{uploads}/upload.csv",
    "pynomaly.queries",
    "pynomaly.models",
    "duckdb_settings",
    "information_schema.tables",
    "snapshot:{snapshot}",
    "s3://bucket/x.parquet",
    "http://localhost/x.csv",
    "python_variable",
    "_frame_1",
)


def _signatures() -> list[tuple[str, str, list[tuple[str, bool]]]]:
    """Each public macro that takes names, whether it is a table, and its parameters, whether they have defaults."""
    found = []
    for path, text in library().text.items():
        shape = r"create or replace temp macro (\w+)\(([^)]*(?:\[[^]]*\][^)]*)?)\) as( table)?"
        for name, parameters, table in re.findall(shape, text):
            if path.stem in BY_VALUE or name not in confinement.macros() | confinement.OF_RUNS:
                continue
            parts = [part.strip() for part in re.split(r",(?![^\[]*\])", parameters) if part.strip()]
            listed = [(part.partition(":=")[0].strip().strip('"'), ":=" in part) for part in parts]
            found.append((name, table, listed))
    return found


def _calls() -> list[tuple[str, str, str]]:
    """Every argument of every macro, with a statement that has a place for a forbidden name in it."""
    calls = []
    for name, table, parameters in _signatures():
        for tried, _ in parameters:
            given = [
                f'"{name}" := ' * has_default + ("{tried}" if name == tried else GIVEN[name])
                for name, has_default in parameters
                if name == tried or not has_default
            ]
            call = f"{name}({', '.join(given)})"
            calls.append((name, tried, f"from {call}" if table else f"select {call}"))
    return calls


def _outcome(team: Team, sql: str) -> PynomalyError | str:
    """What a statement raises, or the rows that it finds as text."""
    try:
        return str(team.him.run_confined(sql, limit=100, seconds=20).rows.to_pylist())
    except PynomalyError as error:
        return error


@pytest.mark.parametrize(("macro", "parameter", "sql"), [pytest.param(*c, id=f"{c[0]}-{c[1]}") for c in _calls()])
def test_a_forbidden_name_in_an_argument_tells_nothing(team: Team, macro: str, parameter: str, sql: str) -> None:
    own = team.him.execute("select id::varchar from runs() limit 1").fetchall()[0][0]
    tried = FORBIDDEN if parameter in NAMING else FORBIDDEN[:1]
    for forbidden in tried:
        filled = _filled(forbidden, team.places)
        statement = sql.replace("{tried}", f"'{filled}'").replace("{own}", own)
        told = _outcome(team, statement)
        assert isinstance(told, PynomalyError) or parameter not in NAMING or (macro, parameter) in NEW_NAMES, statement
        assert not isinstance(told, InternalFailure), (statement, told)
        assert SECRET not in (_told(told) if isinstance(told, PynomalyError) else told), statement
    _answers(team)


ANALYST = r"""
select 1 as one, 'a' || 'b' as text, [1, 2][1], {'a': 1}.a, map {'k': 2}['k'], date '2026-01-01' + interval 3 day
select * from team order by id desc limit 3
select x, count(*), avg(id), median(id), quantile_cont(id, 0.9), string_agg(note, ', ' order by id) from team group by x
select note, x, sum(id) from team group by rollup (note, x) having sum(id) > 10 order by all
select *, row_number() over (partition by x order by id) as place from team qualify place = 1
select lag(x, 1, 0) over w, sum(x) over w from team window w as (order by id rows between 3 preceding and current row)
with big as (select * from team where x > 3), few as (select * from team where x < 2) from big join few using (note)
with recursive r(n) as (select 1 union all select n + 1 from r where n < 10) select sum(n) from r
select * from mine m join team t on m.id = t.id where m.amount > 3
select m.*, t.x from mine m left join team t using (id)
select * from "mine@1" where id < 5
select mine.amount, mine.note from mine
select count(*) from mine a, mine b where a.id = b.id
select * from (select amount, count(*) as n from mine group by amount) order by n desc
from team where id in (select id from mine where amount > 5) and exists (from mine where mine.id = team.id)
select * from team_view
select * from main.team limit 1
select * from more.numbers
select * from workspace.main.team limit 1
select list_transform([1, 2], lambda v: v * 2), list_filter([1, 2], lambda v: v > 1), [v + 1 for v in [1] if v > 0]
select list_aggregate([1, 2], 'sum'), list_sort([3, 1]), list_distinct([1, 1]), len([1]), flatten([[1], [2]])
select json_extract('{"a": {"b": 2}}', '$.a.b'), '{"a": 1}'::json ->> 'a', json_object('k', 1), to_json({'a': 1})
select * from json_each('{"a": 1, "b": 2}')
select date_trunc('month', day), strftime(day, '%Y-%m'), extract(dow from day), day - interval 1 week from team
select now() > timestamptz '2020-01-01', current_date is not null, age(date '2026-02-01', date '2026-01-01')
select case when x > 3 then 'high' else 'low' end as level, if(x > 3, 1, 0), coalesce(null, x), nullif(x, 0) from team
select regexp_extract(note, '\d+'), upper(note), left(note, 1), split_part('a-b', '-', 2) from team
select * from (pivot team on note in ('n0', 'n1', 'n2') using count(*) group by x)
from team unpivot (v for n in (id, x)) limit 3
select * exclude (note) replace (x * 2 as x) from team limit 1
select columns('i.*') from team limit 1
select unnest([1, 2, 3]) as n, unnest({'a': 1, 'b': 2})
select * from range(5) r(i) cross join generate_series(1, 2) s(j)
select * from (values (1, 'a'), (2, 'b')) v(id, letter) join team using (id)
values (1, 2), (3, 4)
select x from team union select id from mine except select 3 intersect select 4
select 1 as a union all by name select 2 as b
select try_cast('x' as integer), cast('3' as decimal(10, 2)), '2026-01-01'::date, [1]::varchar[]
select t.id, l.n from team t, lateral (select count(*) as n from mine where mine.id <= t.id) as l limit 3
select a.id from team a asof join mine b on a.id >= b.id
select arg_max(id, x), max(id, 2), histogram(x), approx_count_distinct(note), corr(id, x), stddev(x) from team
select sum(x) filter (x > 2), count(distinct note), bool_and(x >= 0), list(id order by id)[1:3] from team
select * from team using sample 5
select repeat('-', 20), lpad('7', 3, '0'), range(5), replace('aba', 'a', 'b')
from team select note, count(*) group by note
table team
"""


@pytest.mark.parametrize("sql", ANALYST.strip().splitlines())
def test_an_analysts_query_passes(team: Team, sql: str) -> None:
    assert team.him.run_confined(sql, limit=50).n_rows > 0


MACROS = r"""
select * from detect_anomalies('mine', algorithm := 'mad', key := 'id') where not is_anomaly
from mine m join detect_anomalies('mine', algorithm := 'mad', key := 'id', exclude := ['note', 'day']) s on s.id = m.id
with big as (select id, x from team where id > 9) select * from detect_anomalies('big', algorithm := 'mad')
select anomaly_score from detect_anomalies('team_view', algorithm := 'mad')
select * from detect_anomalies('mine@1', algorithm := 'mad', pipeline := 'my_steps')
select * from detect_anomalies('more.numbers', algorithm := 'mad', sample_rows := 100) -- too_few_rows
select * from score_anomalies('mine', 'mymodel', explain := 2)
select id, anomaly_score('mymodel', mine) from mine
select * from models()
select * from datasets()
select * from dataset_versions('mine')
select * from diff_versions('mine@1', 'mine') -- nothing differs
select * from runs()
select * from detectors()
select * from lineage('mine')
select * from labels_of('{own}')
select * from explain_row('{own}', '3')
select * from nearest_normal('{own}', '3')
select * from feature_importance('mymodel', source := 'mine')
select * from feature_importance('{own}')
select * from project('{own}')
select * from replay_run('{own}')
select * from diff_runs('{own}', '{own}') -- nothing differs
select * from evaluate('{own}')
select * from evaluation_curves('{own}')
select * from profile('mine')
select * from suggest_rules('team')
select * from suggest_features('team')
select * from validate('team', rules := [{'kind': 'predicate', 'sql': 'x < 3 and len(note) > 0'}])
select * from validate('mine', rules := 'my_rules')
select * from validate('team', rules := [{'kind': 'reference', 'column': 'id', 'table': 'mine'}]) -- all are there
select * from compare_detectors('team', algorithms := ['mad', 'ecod'])
select * from estimate_cost('mine', 'mad')
select * from explain_features('mine')
select * from algorithms()
select * from algorithm_parameters('iforest')
select * from threshold_rules()
select * from settings()
select * from feature_macros()
select * from lag_features('team', 'x', order_by := 'day')
select * from one_hot('team', 'note')
select robust_zscore(x), minmax(x), rank_normal(x), hash_encode(note), ratio(x, id) from team
select rolling_mean(x, day, "by" := note, size := 3) from team
select export_detector_sql('mymodel')
select * from define_detector('new', algorithm := 'mad')
select * from train_detector('new', 'mine', algorithm := 'mad')
"""
EMPTY = {"nothing differs", "all are there"}


@pytest.mark.parametrize("sql", MACROS.strip().splitlines())
def test_a_macro_passes_with_ones_own(team: Team, sql: str) -> None:
    sql, _, expected = sql.partition(" -- ")
    own = team.him.execute("select id::varchar from runs() limit 1").fetchall()[0][0]
    if "_" in expected:
        with pytest.raises(PynomalyError) as raised:
            team.him.run_confined(sql)
        assert raised.value.code == expected
        return
    found = team.him.run_confined(sql.replace("{own}", own), limit=1_000)
    assert (found.n_rows == 0) == (expected in EMPTY)
    assert SECRET not in str(found.rows.to_pylist())


def test_every_function_that_looks_names_up_is_called_with_the_user() -> None:
    named = _functions_by_user()
    assert {"_source", "_catalog", "_run_id", "_row_score", "_model_file"} <= named
    for path in macro_files():
        sql = re.sub(r"--.*", "", path.read_text(encoding="utf-8"))
        for name, arguments in _calls_in(sql):
            if name in named:
                assert arguments.rstrip().endswith("getvariable('pynomaly_user')"), f"{path.name}: {name}({arguments})"


def _functions_by_user() -> set[str]:
    """The registered functions that take the user last."""
    registered: set[str] = set()

    class Recording:
        def create_function(self, name: str, function: Any, *_: Any, **__: Any) -> None:
            inner = function.__closure__[0].cell_contents
            if getattr(inner, "is_by_user", False):
                registered.add(name)

    from pynomaly import registration

    registration.register(Recording(), None)  # type: ignore[arg-type]
    return registered


def _calls_in(sql: str) -> Iterator[tuple[str, str]]:
    """Each call of an internal function in a text, with all of its arguments."""
    for found in re.finditer(r"(?<!macro )\b(_\w+)\(", sql):
        depth, end = 1, found.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(sql[end], 0)
            end += 1
        yield found[1], sql[found.end() : end - 1]


def test_a_lookup_for_nobody_is_refused(team: Team) -> None:
    with pytest.raises(InternalFailure, match="for nobody"):
        team.engine._session.resolved("team")


def test_listings_show_ones_own_and_an_administrators_show_all(team: Team) -> None:
    administrator = team.engine.cursor()
    administrator.act_as("root", sees_all=True)
    for listing, own, every in (
        ("select name from datasets()", {"mine"}, {"mine", "secret"}),
        ("select name from models()", {"mymodel"}, {"mymodel", "hidden"}),
        ("select name from detectors()", {"my_detector"}, {"my_detector", "hers"}),
    ):
        assert {row[0] for row in team.him.execute(listing).fetchall()} == own
        assert {row[0] for row in administrator.execute(listing).fetchall()} >= every
    assert team.him.execute("select distinct created_by from runs()").fetchall() == [("him",)]


def test_a_condition_is_not_looked_at_for_hidden_rows(team: Team) -> None:
    for sql in (
        "select * from runs() where source <> 'mine@1' and (case when source = 'secret@1' then source::int end) = 1",
        "select * from datasets() where (case when name <> 'mine' then name::int else 1 end) = 2",
        "select * from models() where (case when name <> 'mymodel' then error(name) else 'x' end) is null",
        "from range(3) r(i) join datasets() d on (case when d.name = 'secret' then d.name::int else 7 end) = i",
    ):
        assert team.him.run_confined(sql).n_rows == 0


def test_what_is_shared_is_seen_until_it_is_taken_back(tmp_path: Path) -> None:
    with pynomaly.connect(tmp_path / "w.duckdb", confined=True, threads=2) as engine:
        her, him = engine.cursor(), engine.cursor()
        her.act_as("her", sees_all=False)
        him.act_as("him", sees_all=False)
        _belongings(her, "secret", "hidden", "hers", "steps", "rules", SECRET)
        for kind, name, sql in (
            ("dataset", "secret", "select count(*) from secret"),
            ("model", "hidden", "select anomaly_score('hidden', {'id': 1, 'amount': 2.0})"),
            ("detector", "hers", "select 1 / count(*) from detectors()"),
        ):
            for grantee in ("him", "*"):
                her.share(kind, name, grantee)
                assert [share.grantee for share in her.shares(kind, name)] == [grantee]
                assert him.run_confined(sql).rows.to_pylist()[0]
                with pytest.raises(pynomaly.errors.AccessDenied, match="belongs to her"):
                    him.share(kind, name, "somebody")
                her.unshare(kind, name, grantee)
                assert her.shares(kind, name) == []
            with pytest.raises(pynomaly.errors.UnknownObject):
                him.share(kind, name, "somebody")
        with pytest.raises(pynomaly.errors.UnknownModel):
            him.run_confined("select anomaly_score('hidden', {'id': 1, 'amount': 2.0})")
        with pytest.raises(pynomaly.errors.BadParameter):
            her.share("run", "x")


def test_nobody_writes_under_a_name_of_somebody_else(team: Team) -> None:
    him, conflict, denied = team.him, pynomaly.errors.Conflict, pynomaly.errors.AccessDenied
    taken: tuple[Callable[[], object], ...] = (
        lambda: him.datasets.add("secret", _rows("x")),
        lambda: him.datasets.remove("secret", force=True),
        lambda: him.train("hidden", "mine", algorithm="mad"),
        lambda: him.promote("hidden", 1),
        lambda: him.define_detector("hers", algorithm="mad"),
        lambda: him.remove_detector("hers"),
        lambda: him.define_pipeline("her_steps", ["log1p_signed(amount)"]),
        lambda: him.remove_pipeline("her_steps"),
        lambda: him.set_rules("her_rules", [{"kind": "not_null", "column": "id"}]),
    )
    for change in taken:
        with pytest.raises(conflict, match="is taken"):
            change()
    refused: tuple[Callable[[], object], ...] = (
        lambda: him.vacuum_catalog(),
        lambda: him.change_setting("query_log", True),
        lambda: him.import_model("/etc/passwd"),
        lambda: him.datasets.add("new", "/etc/passwd"),
        lambda: him.datasets.add("new", f"{team.places['uploads']}/upload.csv"),
        lambda: him.datasets.add("new", "from read_text('/etc/passwd')"),
        lambda: him.datasets.add("new", "postgresql://me@localhost/db?table=t"),
        lambda: him.datasets.add("new", "sqlite:///tmp/x.db?table=t"),
    )
    for change in refused:
        with pytest.raises(denied):
            change()
    assert team.engine.owner("dataset", "secret") == "her"
    assert team.engine.owner("dataset", "nobodys") is None


def test_a_server_loads_what_was_uploaded(team: Team) -> None:
    version = team.him.datasets.add("uploaded", Path(team.places["uploads"]) / "upload.csv", called="upload.csv")
    assert (version.n_rows, version.source, version.created_by) == (1, "upload.csv", "him")
    joined = team.him.datasets.add("joined", "select mine.id, x from mine join team using (id)")
    assert joined.n_rows == 60


def test_no_path_of_the_server_is_told(team: Team) -> None:
    folder = str(Path(team.places["uploads"]).parent)
    told = team.him.run_confined(
        "from validate('mine', rules := [{'kind': 'unique', 'column': 'amount'}, "
        "{'kind': 'reference', 'column': 'amount', 'table': 'mine', 'to': 'id'}])"
    )
    assert told.n_rows == 1
    assert folder not in str(told.rows.to_pylist())
    snapshot = team.him.datasets.add("lost", _rows("lost")).snapshot
    (Path(folder) / "snapshots" / f"{snapshot}.parquet").unlink()
    for lost in ("select * from lost", "from profile('lost')", "select anomaly_score from detect_anomalies('lost@1')"):
        with pytest.raises(PynomalyError) as raised:
            team.him.run_confined(lost)
        assert raised.value.code == "source_unreadable"
        assert folder not in _told(raised.value)


def test_a_confined_database_is_locked(team: Team) -> None:
    root = team.engine
    for sql in (
        "set memory_limit = '1TB'",
        "set enable_external_access = true",
        "copy (select 1) to '/tmp/pynomaly_confined.csv'",
        "from read_text('/etc/passwd')",
        "attach '/tmp/pynomaly_confined.duckdb'",
    ):
        with pytest.raises(PynomalyError):
            root.execute(sql).fetchall()
    with pytest.raises(pynomaly.errors.UnknownSource):
        root.detect("python_variable")
    for folder in ("snapshots", "uploads"):
        place = Path(team.places["uploads"]).parent / folder
        assert place.stat().st_mode & 0o777 == 0o700
    assert root.cursor().execute("select current_setting('enable_progress_bar')").fetchall() == [(False,)]


def test_a_query_that_was_stopped_undoes_nothing_of_what_comes_after(team: Team) -> None:
    with pytest.raises(PynomalyError, match="query_timeout"):
        team.him.run_confined("select count(*) from range(10000000) a, range(10000000) b", seconds=0.3)
    team.him.rest()  # as a server hands a cursor on
    team.him.execute("begin").fetchall()
    team.him.execute("create temp table kept as select 1 as a").fetchall()
    team.him.commit()
    assert team.him.execute("from kept").fetchall() == [(1,)]


def test_rows_and_seconds_are_bounded_and_nothing_stays_open(team: Team) -> None:
    found = team.him.run_confined("select i, 'x' as i from range(1000000) t(i)", limit=10)
    assert (found.n_rows, found.has_more) == (10, True)
    assert found.columns == [("i", "BIGINT"), ("i", "VARCHAR")]
    assert not team.him.run_confined("from range(10)", limit=10).has_more
    started = time.monotonic()
    with pytest.raises(pynomaly.errors.QueryTooLong):
        team.him.run_confined("select count(*) from range(10000000) a, range(10000000) b", seconds=0.5)
    assert time.monotonic() - started < 30  # it would take years
    with pytest.raises(pynomaly.errors.OutOfMemory):
        team.him.run_confined("select len(list(a::varchar || 'xxxxxxxxxxxxxxxxxxxxxxx')) from range(50000000) t(a)")
    team.him.execute("begin")
    team.him.execute("rollback")
    _answers(team)


def test_the_log_knows_the_actor_and_the_request(tmp_path: Path) -> None:
    with pynomaly.connect(tmp_path / "w.duckdb", confined=True, query_log=True) as engine:
        him, root = engine.cursor(), engine.cursor()
        him.act_as("him", sees_all=False, request_id="r1")
        root.act_as("root", sees_all=True)
        him.run_confined("select 1")
        him.run_confined("select 2", request_id="r2")
        him.run_confined("select 3")
        with pytest.raises(PynomalyError):
            him.run_confined("from pynomaly.queries")
        root.run_confined("select 4")
        logged = engine.execute(
            "select sql, request_id, created_by, error_code from pynomaly.queries order by started_at"
        )
        assert [row for row in logged.fetchall() if row[0].startswith(("select", "from"))] == [
            ("select 1", "r1", "him", None),
            ("select 2", "r2", "him", None),
            ("select 3", "r1", "him", None),
            ("from pynomaly.queries", "r1", "him", "access_denied"),
            ("select 4", None, "root", None),
        ]


@pytest.mark.parametrize(
    "sql",
    [
        "create table made as select * from mine",
        "create or replace table made as select * from team",
        "create or replace table made (a, b) as select 1, 2",
        "insert into made values (1, 2)",
        "insert into made (b, a) select 1, 2",
        "insert into made by name select 1 as a",
        "update made set a = (select max(x) from team) where b = 2",
        "delete from made where a in (select x from team)",
        "delete from made",
        "create view shown as select * from made",
        "drop view shown",
        "drop table if exists made;",
        "select 1",
    ],
)
def test_an_administrator_may_write_tables(team: Team, sql: str) -> None:
    root = team.engine.cursor()
    root.act_as("root", sees_all=True)
    root.execute(root.checked(sql, may_write=True).sql).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "create table pynomaly.made as select 1",
        "create table duckdb_settings as select 1",
        "create table mine as select 1",
        "create temp table made as select 1",
        "create table made (a int)",
        "create table made as select * from read_text('/etc/passwd')",
        "create view made as select * from pynomaly.models",
        "create macro f(a) as a",
        "create schema s",
        "insert into pynomaly.shares values (1)",
        "insert into team values (1) returning (select 1 from glob('/*'))",
        "insert into team select * from read_text('/etc/passwd')",
        "insert into team values (1) on conflict do nothing",
        "update pynomaly.models set name = 'x'",
        "update team set x = (select size from read_text('/etc/passwd'))",
        "update team set x = 1 returning *",
        "delete from pynomaly.models",
        "delete from team using pynomaly.models where true",
        "delete from team where x in (select n_rows from pynomaly.runs)",
        "drop table pynomaly.models",
        "drop schema pynomaly cascade",
        "drop table team cascade; drop schema main",
        "truncate team",
        "alter table team add column z int",
        "copy team to '/tmp/x.csv'",
        "attach '/tmp/x.duckdb'",
        "drop /* */ table team",
    ],
)
def test_and_nothing_else(team: Team, sql: str) -> None:
    root = team.engine.cursor()
    root.act_as("root", sees_all=True)
    with pytest.raises(PynomalyError) as raised:
        root.checked(sql, may_write=True)
    assert not isinstance(raised.value, InternalFailure)


def test_a_part_that_is_not_known_is_refused(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    from pynomaly import nodes

    monkeypatch.delitem(nodes.EXPRESSIONS, "CASE")
    with pytest.raises(pynomaly.errors.AccessDenied, match="case"):
        team.him.run_confined("select case when true then 1 end")


def test_the_user_is_put_back_after_a_block() -> None:
    with access.acting("a"):
        with access.acting(None):
            assert access.user() is None
        assert access.user() == "a"


@pytest.mark.parametrize("sees_all", [True, False])
def test_every_macro_binds_for_everybody(tmp_path: Path, sees_all: bool) -> None:
    with pynomaly.connect(tmp_path / "w.duckdb", confined=True) as engine:
        cursor = engine.cursor()
        cursor.act_as("ben", sees_all)
        cursor.execute("begin")
        for sql in library().text.values():  # where one fails to bind, the transaction is lost
            cursor._con.execute(sql)
        cursor.execute("rollback")
