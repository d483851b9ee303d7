"""Rules: every seeded defect is found by a predicate that selects exactly the rows which break the rule."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pynomaly
from pynomaly.cli import main

Captured = pytest.CaptureFixture[str]
CLEAN = """
create table clean as
select
    i as id, (i % 97) * 1.5::double as amount, ['DE', 'FR', 'AT'][1 + i % 3] as country, 'c' || i || '@x.org' as mail,
    timestamp '2026-01-01' + to_hours(i) as paid, i // 2 as counter, (i * 3)::varchar as code, i % 2 as grp,
    now()::timestamp - to_minutes(500 - i) as seen
from range(500) r(i);
create table countries as select unnest(['DE', 'FR', 'AT']) as name, 1 as one;
"""


class Defect(NamedTuple):
    """A rule that the clean rows keep, the statement that seeds defects, and the ids of the rows that break it then."""

    rule: dict[str, Any]
    seed: str
    broken: set[int | None]


ALL: set[int | None] = set(range(500))
DEFECTS = [
    Defect({"kind": "not_null", "column": "amount"}, "update t set amount = null where id in (3, 77)", {3, 77}),
    Defect({"kind": "unique", "column": "id"}, "insert into t by name from clean where id = 9", {9}),
    Defect(
        {"kind": "unique", "columns": ["country", "mail"]},
        "update t set mail = 'same', country = 'DE' where id in (1, 2); "
        "update t set mail = 'same', country = null where id in (3, 4)",
        {1, 2},
    ),
    Defect({"kind": "range", "column": "amount", "min": 0, "max": 144}, "update t set amount = -0.5 where id = 5", {5}),
    Defect({"kind": "range", "column": "amount", "min": 0}, "update t set amount = 'nan' where id = 5", {5}),
    Defect({"kind": "range", "column": "amount", "max": 144}, "update t set amount = 'inf' where id = 5", {5}),
    Defect(
        {"kind": "range", "column": "paid", "min": "2026-01-01"}, "update t set paid = '2025-12-31' where id = 5", {5}
    ),
    Defect({"kind": "range", "column": "code", "max": 1497}, "update t set code = '10000' where id = 5", {5}),
    Defect(
        {"kind": "set", "column": "country", "values": ["DE", "FR", "AT"]},
        "update t set country = 'de' where id = 4",
        {4},
    ),
    Defect({"kind": "set", "column": "grp", "values": [0, 1]}, "update t set grp = 2 where id = 4", {4}),
    Defect(
        {"kind": "set", "column": "grp", "values": ["0", "1"]},
        "update t set grp = null where id = 5; update t set grp = 2 where id = 4",
        {4},
    ),
    Defect(
        {"kind": "pattern", "column": "mail", "pattern": r"c\d+@x\.org"},
        "update t set mail = 'c1@x_org' where id = 4",
        {4},
    ),
    Defect(
        {"kind": "type", "column": "code", "type": "int"},
        "update t set code = '1.5' where id = 4; update t set code = 'x' where id = 5",
        {4, 5},
    ),
    Defect(
        {"kind": "type", "column": "paid", "type": "timestamp"},
        "alter table t alter paid type varchar; update t set paid = 'soon' where id = 4",
        {4},
    ),
    Defect(
        {"kind": "freshness", "column": "seen", "max_age": "2 hours"},
        "update t set seen = seen - interval 3 hour",
        {499},
    ),
    Defect({"kind": "monotone", "column": "counter"}, "update t set counter = 0 where id = 100", {100}),
    Defect(
        {"kind": "monotone", "column": "paid", "strict": True},
        "update t set paid = '2026-01-01 05:00' where id = 6",
        {6},
    ),
    Defect(
        {"kind": "monotone", "column": "counter", "order_by": "paid", "by": "grp"},
        "update t set counter = 0 where id = 100",
        {100},
    ),
    Defect({"kind": "no_gaps", "column": "paid", "step": "1 hour"}, "delete from t where id in (20, 21, 40)", {22, 41}),
    Defect({"kind": "no_gaps", "column": "id", "step": 1}, "delete from t where id in (20, 21, 40)", {22, 41}),
    Defect(
        {"kind": "no_gaps", "column": "paid", "step": "2 hours", "by": ["grp"]},
        "delete from t where id = 20; update t set grp = null where grp = 0",
        {22},
    ),
    Defect(
        {"kind": "reference", "column": "country", "table": "countries", "to": "name"},
        "update t set country = 'XX' where id = 4; update t set country = null where id = 5",
        {4},
    ),
    Defect(
        {"kind": "reference", "columns": ["country", "one"], "table": "countries", "to": ["name", "one"]},
        "update t set one = 2 where id = 4",
        {4},
    ),
    Defect({"kind": "row_count", "min": 500}, "delete from t where id < 499", {499}),
    Defect({"kind": "row_count", "min": 1, "max": 500}, "insert into t by name select 500 as id", ALL | {500}),
    Defect(
        {"kind": "predicate", "sql": "amount < 150 and length(country) = 2 -- both"},
        "update t set country = 'DEU' where id = 4; update t set amount = null where id = 5",
        {4},
    ),
    Defect(
        {"kind": "predicate", "columns": ["amount"], "sql": "amount <= (select max(id) from clean)"},
        "update t set amount = 500 where id = 4",
        {4},
    ),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[pynomaly.Engine]:
    with pynomaly.connect() as engine:
        engine.execute(CLEAN).fetchall()
        yield engine


def seeded(engine: pynomaly.Engine, statement: str) -> None:
    engine.execute(f"create or replace table t as select *, 1 as one from clean; {statement}").fetchall()


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: json.dumps(defect.rule)[1:70])
def test_a_seeded_defect_is_found_and_clean_rows_are_not(engine: pynomaly.Engine, defect: Defect) -> None:
    seeded(engine, "select 1")
    assert engine.validate("t", [defect.rule]).findings == []
    seeded(engine, defect.seed)
    (finding,) = engine.validate("t", [defect.rule]).findings
    selected = engine.execute(f"select id from t where {finding.predicate}").fetchall()
    assert {row[0] for row in selected} == defect.broken
    assert finding.n_failing == len(selected)
    assert finding.rule == defect.rule["kind"]
    assert finding.example


def test_suggested_rules_hold_and_find_each_defect(engine: pynomaly.Engine) -> None:
    seeded(engine, "select 1")
    rules = engine.suggest_rules("t")
    kinds = {rule["kind"] for rule in rules}
    assert kinds == {
        *("not_null", "unique", "range", "set", "pattern", "type", "freshness", "monotone", "no_gaps", "row_count")
    }
    assert engine.validate("t", rules).findings == []
    for kind, seed in {
        "not_null": "update t set amount = null where id = 3",
        "unique": "update t set id = 5 where id = 6",
        "range": "update t set amount = 1e9 where id = 6",
        "set": "update t set country = 'XX' where id = 6",
        "pattern": "update t set mail = 'x' where id = 6",
        "type": "update t set code = 'x' where id = 6",
        "freshness": "update t set seen = seen - interval 30 day",
        "monotone": "update t set paid = paid - interval 9 hour where id = 50",
        "no_gaps": "delete from t where id = 50",
        "row_count": "delete from t where id > 100",
    }.items():
        seeded(engine, seed)
        assert kind in {finding.rule for finding in engine.validate("t", rules).findings}, kind


values = st.one_of(st.none(), st.floats(), st.integers(-5, 5).map(float))


@given(st.lists(st.tuples(values, st.sampled_from(["a", "b'", None, 'c"'])), max_size=30), st.integers(-3, 3))
def test_predicates_select_what_was_counted(
    engine: pynomaly.Engine, rows: list[tuple[float | None, str | None]], low: int
) -> None:
    numbers, texts = [x for x, _ in rows], [y for _, y in rows]
    table = pa.table({"x": pa.array(numbers, pa.float64()), "y": pa.array(texts, pa.string())})
    engine.register("drawn", table)
    rules = [
        {"kind": "not_null", "column": "x"},
        {"kind": "unique", "column": "x"},
        {"kind": "unique", "columns": ["x", "y"]},
        {"kind": "range", "column": "x", "min": low, "max": 3},
        {"kind": "set", "column": "y", "values": ["a", "b'"]},
        {"kind": "monotone", "column": "x", "order_by": "y", "by": "y"},
        {"kind": "no_gaps", "column": "x", "step": 1, "by": "y"},
        {"kind": "predicate", "sql": "x > 0 or y = 'a'"},
        {"kind": "row_count", "min": 3},
    ]
    found = {(f.rule, f.column_name): f for f in engine.validate("drawn", rules).findings}
    for finding in found.values():
        counted = engine.execute(f"select count(*) from drawn where {finding.predicate}").fetchall()
        assert counted == [(finding.n_failing,)]
    expected = {
        ("not_null", "x"): sum(x is None for x in numbers),
        ("range", "x"): sum(x is not None and not low <= x <= 3 for x in numbers),
        ("set", "y"): sum(y == 'c"' for y in texts),
        ("unique", "x"): repeated([key(x) for x in numbers if x is not None]),
        ("unique", "x, y"): repeated([(key(x), y) for x, y in rows if x is not None and y is not None]),
        ("row_count", None): len(rows) if len(rows) < 3 else 0,
    }
    for rule, n in expected.items():
        if rule == ("row_count", None):
            assert (rule in found) == (len(rows) < 3)
        else:
            assert (found[rule].n_failing if rule in found else 0) == n, rule


def key(x: float | None) -> object:
    """A number as DuckDB compares it: NaN equals itself, and zero has no sign."""
    return "nan" if x != x else x


def repeated(items: list[Any]) -> int:
    return sum(1 for item in items if items.count(item) > 1)


HOSTILE = [
    'a"b',
    "a'b",
    "a; drop table t",
    "select",
    "x.y",
    "",
    " ",
    "ä ß",
    "id)",
    "--",
    "/*",
    "_broken_0",
    "{}",
    "%s",
    "c0",
]


@pytest.mark.parametrize("name", [name for name in HOSTILE if name])
def test_names_and_values_are_quoted(engine: pynomaly.Engine, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    value = "'" + name.replace("'", "''") + "'"
    engine.execute(
        f"create or replace table {quoted} as select i as {quoted}, {value} as v from range(30) r(i)"
    ).fetchall()
    rules = [
        {"kind": "not_null", "column": name},
        {"kind": "unique", "column": name},
        {"kind": "range", "column": name, "min": 0, "max": 29},
        {"kind": "set", "column": "v", "values": [name]},
        {"kind": "monotone", "column": name},
        {"kind": "no_gaps", "column": name, "step": 1},
        {"kind": "reference", "column": name, "table": name},
    ]
    assert engine.validate(name, rules).findings == []
    if name.strip():
        engine.set_rules(name, rules)
        assert engine.validate(name).findings == []
    assert engine.validate(name, engine.suggest_rules(name)).findings == []
    engine.execute(f"insert into {quoted} values (99, 'other'), (99, null), (null, {value})").fetchall()
    found = engine.validate(name, rules).findings
    assert [(f.rule, f.n_failing) for f in found] == [
        *(("not_null", 1), ("unique", 2), ("range", 2), ("set", 1), ("no_gaps", 2)),
    ]
    for finding in found:
        selected = engine.execute(f"select count(*) from {quoted} where {finding.predicate}").fetchall()
        assert selected == [(finding.n_failing,)]
    assert {row["column_name"] for row in engine.profile(name).arrow().to_pylist()} == {name, "v"}
    engine.execute(f"drop table {quoted}").fetchall()


ODD = {
    "empty": "select 1 as a, 'x' as b, now() as c limit 0",
    "one row": "select 1 as a, 'x' as b, now() as c",
    "nothing known": "select null as a, null::double as b, null::timestamp as c, null::integer[] as d from range(20)",
    "constant": "select 5 as a, 'x' as b, true as c, timestamptz '2026-01-01 00:00+02' as d from range(20)",
    "nested": "select [i, null] as a, {'x': i, 'y': [i]} as b, map {'k': i} as c, [[i]] as d from range(20) r(i)",
    "kinds": "select uuid() as a, '101'::bit as b, 'ab'::blob as c, '{\"a\": 1}'::json as d, interval (i) day as e, "
    "time '10:00' as f, i::hugeint as g, i::decimal(38, 10) as h, i::bignum as i, 'a'::enum('a', 'b') as j, "
    "i::float / 3 as k, (date '2026-01-01' + i::integer) as l, timestamp_ns '2026-01-01' as m from range(20) r(i)",
    "huge text": "select repeat('x', 1000000) || i as a from range(5) r(i)",
    "not finite": "select unnest(['nan', 'inf', '-inf', '1', '2', null, '1e308', '-1e308'])::double as a, "
    "unnest(['nan', 'inf', '-inf', '1', '2', null, '1e30', '-1e30'])::float as b",
    "only NaN": "select 'nan'::double as a from range(5)",
    "zones": "select timestamptz '2026-03-29 00:30+00' + to_hours(i) as a, date 'infinity' as b, "
    "case when i = 3 then timestamp 'infinity' else timestamp '2026-01-01' + to_hours(i) end as c from range(9) r(i)",
    "names": 'select i as a, i as "a ", i as "a_1", i as n, i as value, i as top, i as grid from range(9) r(i)',
}


@pytest.mark.parametrize("sql", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("kind", ["table", "temp table", "view"])
def test_odd_sources_have_profiles_and_rules_that_hold(engine: pynomaly.Engine, sql: str, kind: str) -> None:
    engine.execute(f"create or replace {kind} odd as {sql}").fetchall()
    try:
        rows = engine.profile("odd").arrow().to_pylist()
        described = engine.execute("describe odd").fetchall()
        n_rows = engine.execute("select count(*) from odd").fetchall()[0][0]
        assert [row["column_name"] for row in rows] == [row[0] for row in described]
        assert {row["n_rows"] for row in rows} == {n_rows}
        for row in rows:
            assert len(row["minimum"] or "") <= 200
            if row["histogram"]:
                assert sum(item["n"] for item in row["histogram"]) <= n_rows - row["n_null"]
        rules = engine.suggest_rules("odd")
        assert engine.validate("odd", rules).findings == []
    finally:
        engine.execute(f"drop {kind.removeprefix('temp ')} odd").fetchall()


def wide(engine: pynomaly.Engine, n_columns: int) -> None:
    columns = ", ".join(f"i + {k} as c{k}" for k in range(n_columns))
    engine.execute(f"create or replace table wide as select {columns} from range(50) r(i)").fetchall()


def test_a_thousand_columns_are_validated(engine: pynomaly.Engine) -> None:
    wide(engine, 1_000)
    known = {"kind": "not_null", "columns": [f"c{k}" for k in range(1_000)]}
    (finding,) = engine.validate("wide", [known, {"kind": "range", "column": "c7", "max": 9}]).findings
    assert (finding.column_name, finding.n_failing) == ("c7", 47)


@pytest.mark.parametrize("n_columns", [70, pytest.param(1_000, marks=pytest.mark.slow)])
def test_many_columns_are_profiled_in_their_order(engine: pynomaly.Engine, n_columns: int) -> None:
    wide(engine, n_columns)
    found = engine.profile("wide").arrow().to_pydict()
    assert found["column_name"] == [f"c{k}" for k in range(n_columns)]
    assert found["minimum"] == [str(k) for k in range(n_columns)]


@given(st.lists(st.one_of(st.none(), st.integers(-9, 9), st.floats(-1e6, 1e6)), min_size=1, max_size=80))
def test_a_profile_counts_as_python_does(engine: pynomaly.Engine, numbers: list[float | None]) -> None:
    engine.register("drawn", pa.table({"x": pa.array(numbers, pa.float64())}))
    (row,) = engine.profile("drawn").arrow().to_pylist()
    there = [float(x) for x in numbers if x is not None]
    assert row["n_null"] == len(numbers) - len(there)
    assert row["is_constant"] == (len(set(numbers)) == 1)
    if not there:
        assert row["mean"] is row["median"] is row["histogram"] is None
        return
    assert row["mean"] == pytest.approx(sum(there) / len(there), rel=1e-9, abs=1e-6)
    assert (float(row["minimum"]), float(row["maximum"])) == (min(there), max(there))
    assert min(there) <= row["median"] <= max(there)
    assert sum(item["n"] for item in row["histogram"]) == len(there)
    for item in row["top_values"]:
        assert item["n"] == sum(x == float(item["value"]) for x in there) > 1
    if len(set(there)) <= 5:
        assert row["n_distinct"] == len(set(there))


def test_quantiles_of_many_rows_are_close(engine: pynomaly.Engine) -> None:
    engine.execute("create or replace table many as select (hash(i) % 100003)::double ** 2 as x from range(50000) r(i)")
    (row,) = engine.profile("many").arrow().to_pylist()
    exact = engine.execute("select median(x), mad(x), quantile_cont(x, 0.05), skewness(x), count(distinct x) from many")
    median, mad, p05, skew, n_distinct = exact.fetchall()[0]
    assert row["median"] == pytest.approx(median, rel=0.02)
    assert row["mad"] == pytest.approx(mad, rel=0.02)
    assert row["quantiles"]["p05"] == pytest.approx(p05, rel=0.05)
    assert row["skew"] == pytest.approx(skew, rel=1e-6)
    assert row["n_distinct"] == pytest.approx(n_distinct, rel=0.1)


def test_frames_are_validated_by_name_and_by_value(engine: pynomaly.Engine) -> None:
    people = pa.table({"age": [3, 40, None, 40]})
    rules = [{"kind": "unique", "column": "age"}]
    (finding,) = engine.validate("people", rules).findings
    assert finding.predicate.count('"people"') == 1
    found = engine.validate(people, rules, save=True)
    assert str(found) == "(Table) is not valid: 1 error in 4 rows"
    assert engine.execute("select source, is_valid from pynomaly.validations where id = ?", [found.id]).fetchall() == [
        ("(Table)", False)
    ]
    with pytest.raises(pynomaly.PynomalyError, match="give rules, or the name of a set"):
        engine.validate(people)


def test_training_can_require_a_valid_source(engine: pynomaly.Engine) -> None:
    seeded(engine, "update t set amount = 999 where id = 8")
    for required in (
        [{"kind": "range", "column": "amount", "max": 144}, {"kind": "set", "column": "grp", "values": [0, 1]}],
        "strict",
    ):
        engine.set_rules("strict", [{"kind": "range", "column": "amount", "max": 144}])
        with pytest.raises(pynomaly.PynomalyError, match="range of `amount`: 1 row") as raised:
            engine.train("m", "t", algorithm="hbos", require_valid=required)
        assert raised.value.code == "validation_failed"
    engine.set_rules("t", [{"kind": "range", "column": "amount", "max": 144, "severity": "warning"}])
    assert engine.train("m", "t", algorithm="hbos", require_valid=True).version == 1


def test_an_attached_connection_without_a_catalogue_validates() -> None:
    with duckdb.connect() as con:
        con.execute("create table t as select 1 as a")
        engine = pynomaly.attach(con)
        assert engine.validate("t", [{"kind": "not_null", "column": "a"}]).is_valid
        with pytest.raises(pynomaly.PynomalyError, match="no rules are kept for `t`"):
            engine.validate("t")
        assert engine.set_rules("t", [{"kind": "not_null", "column": "a"}]) == 1
        assert engine.validate("t", save=True).id is not None


def write_payments(path: Path) -> None:
    with pynomaly.connect() as engine:
        engine.execute(f"copy (select i as id, i * 1.5 as amount from range(100) r(i)) to '{path}'").fetchall()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_payments(Path("p.csv"))
    return tmp_path


def test_the_shell_profiles_suggests_and_validates(capsys: Captured, folder: Path) -> None:
    assert main(["profile", "p.csv"]) == 0
    assert "identifier" in capsys.readouterr().out
    assert main(["profile", "p.csv", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["histogram"]) == 10
    for form, file in (("json", "rules.json"), ("jsonl", "rules.jsonl")):
        assert main(["rules", "suggest", "p.csv", "--format", form, "--output", file]) == 0
        assert main(["validate", "p.csv", "--rules", file]) == 0
        assert "./p.csv is valid: nothing found in 100 rows" in capsys.readouterr().err
    broken = '[{"kind": "range", "column": "amount", "max": 100}]'
    assert main(["validate", "p.csv", "--rules", broken, "--format", "jsonl"]) == 4
    assert json.loads(capsys.readouterr().out)["predicate"] == '"amount" > 100'
    assert main(["validate", "p.csv", "--rules", broken.replace("100", '100, "severity": "warning"')]) == 0
    assert "1 warning in 100 rows" in capsys.readouterr().err


def test_the_shell_keeps_rules_and_validations(capsys: Captured, folder: Path) -> None:
    db = ["--db", "team.duckdb"]
    assert main(["rules", "suggest", "p.csv", "--keep", "p.csv", *db]) == 0
    assert main(["rules", "set", "p.csv", '{"kind": "row_count", "max": 5}', *db]) == 0
    assert "p.csv version 2" in capsys.readouterr().err
    assert main(["rules", "ls", "--json", *db]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["version"], listed["rules"]) == ("p.csv", 2, 1)
    assert main(["rules", "show", "p.csv", "1", "--json", *db]) == 0
    assert len(json.loads(capsys.readouterr().out)) > 3
    assert main(["validate", "p.csv", "--save", *db]) == 4
    assert main(["sql", "select source, rules_version from pynomaly.validations", "--format", "csv", *db]) == 0
    assert capsys.readouterr().out.endswith("source,rules_version\np.csv,2\n")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["validate", "p.csv"], 3, "no rules are kept for `p.csv`"),
        (["validate", "p.csv", "--rules", "none.json"], 3, "file `none.json` does not exist"),
        (["validate", "p.csv", "--rules", "[1]"], 2, "rule 1: it is 1"),
        (["validate", "p.csv", "--rules", '[{"kind": "not_null", "column": "amnt"}]'], 3, "did you mean `amount`"),
        (["validate", "p.csv", "--rules", "[]", "--save"], 2, "needs a database"),
        (["validate", "q.csv", "--rules", "[]"], 3, "does not exist"),
        (["rules", "show", "p", "--db", "team.duckdb"], 3, "no rules are kept as `p`"),
        (["profile", "q.csv"], 3, "does not exist"),
    ],
)
def test_the_shell_says_what_is_wrong(
    capsys: Captured, folder: Path, arguments: list[str], code: int, told: str
) -> None:
    pynomaly.connect("team.duckdb").close()
    assert main(arguments) == code
    assert told in capsys.readouterr().err
