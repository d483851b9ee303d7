"""Errors in the words of a form: whoever fills one in reads of fields, never of code to write."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from pynomaly import connect
from pynomaly.engine import Engine
from pynomaly.errors import BadParameter, PynomalyError
from pynomaly_server.pages import wording
from pynomaly_server.problems import problem

CODE = re.compile(r":=|--\w|\w+\(|select |`(?:key|features|algorithm|combine|parameters|label|by)`|pynomaly")
Failing = Callable[[Engine], Any]


@pytest.fixture(scope="module")
def db() -> Engine:
    """A few tables that nothing can be found in."""
    made = connect()
    made.execute(
        "create table t as select range % 7 as x, 1 as same, 'row ' || range || ' is told' as note from range(40)"
    )
    made.execute("create table words as select 'row ' || range || ' is told' as note from range(40)")
    made.execute("create table few as select range as x from range(3)")
    made.execute("create table scored as select 1 as x, 0.5 as anomaly_score from range(40)")
    return made


FREQUENT: dict[str, Failing] = {
    "unknown_source": lambda db: db.detect("nowhere"),
    "unknown_algorithm": lambda db: db.detect("t", algorithm="knnn"),
    "unknown_column": lambda db: db.detect("t", features=["xx"]),
    "bad_parameter, share": lambda db: db.detect("t", contamination=0.9),
    "bad_parameter, rule": lambda db: db.detect("t", threshold="foo"),
    "bad_parameter, of auto": lambda db: db.detect("t", parameters={"a": 1}),
    "bad_parameter, combine": lambda db: db.detect("t", algorithm=["knn"], combine="mean"),
    "bad_parameter, combined auto": lambda db: db.detect("t", algorithm=["auto", "knn"]),
    "bad_parameter, of knn": lambda db: db.detect("t", algorithm="knn", parameters={"k": 1}),
    "bad_parameter, two roles": lambda db: db.detect("t", features=["x"], key="x"),
    "no_usable_column": lambda db: db.detect("words"),
    "too_few_rows": lambda db: db.detect("few"),
    "key_not_unique": lambda db: db.detect("t", key="x"),
    "result_column_exists": lambda db: db.detect("scored"),
    "source_unreadable": lambda db: db.detect("few", pipeline="nothing"),
    "bad_rule": lambda db: db.validate("t", [{"kind": "expression", "sql": "x >"}]),
}


@pytest.mark.parametrize("name", FREQUENT)
def test_a_way_out_is_no_code(db: Engine, name: str) -> None:
    with pytest.raises(PynomalyError) as raised:
        FREQUENT[name](db)
    way = wording.way_out(raised.value)
    assert way.endswith((".", "?")), (raised.value.code, raised.value.mend)
    assert not CODE.search(way), way
    assert way == wording.way_out(problem(raised.value)), "a job's problem reads the same"


def test_what_is_wrong_names_the_field() -> None:
    error = BadParameter("`contamination` is 0.9", "give a number over 0, up to 0.5")
    assert wording.what(error) == "“Share of the rows” is 0.9"
    assert wording.way_out(error) == "Give a number over 0, up to 0.5."


@pytest.mark.parametrize(
    ("name", "description", "label"),
    [
        ("n_neighbors", "Number of neighbours", "Number of neighbours"),
        ("n_components", "Number of axes; none is all of them", "Number of axes"),
        ("n_clusters", "Clusters, at most the distinct rows", "Number of clusters"),
        ("method", "Which of the distances to the neighbours is the score", "Method"),
        ("learning_rate", "How steps shrink", "Learning rate"),
    ],
)
def test_a_parameter_is_called_as_the_registry_says_or_by_its_name(name: str, description: str, label: str) -> None:
    assert wording.label(name, description) == label


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (
            "Expected Number of Columns: 4 Found: 2; Expected Number of Columns: 4 Found: 3",
            "2 values where there are 4 c",
        ),
        (
            """Error when converting column "price". Could not convert string "cheap" to 'DOUBLE'""",
            "“cheap” in price is no number",
        ),
        ("the line is no JSON object", "The line is no JSON object."),
    ],
)
def test_why_a_row_cannot_be_read_is_no_word_of_the_reader(reason: str, told: str) -> None:
    assert wording.unread(reason).startswith(told)


def test_a_failure_has_a_cause_and_a_way_out() -> None:
    assert wording.failure("`n_neighbors` is 9,999 and there are 30 rows; choose 29 at most") == {
        "cause": "`n_neighbors` is 9,999 and there are 30 rows",
        "mend": "choose 29 at most",
    }
    named = wording.failure("`n_neighbors` is 9 and there are 5 rows", ["n_neighbors"])
    assert named == {"cause": "“Number of neighbors” is 9 and there are 5 rows", "mend": ""}
    assert wording.failure(None) is None


def test_a_category_is_told_by_its_words() -> None:
    assert wording.encoded("2 indicators: is 'a', is 'is b'") == "2 categories: 'a', 'is b'"
    assert wording.encoded("number") == "number"
