"""Queries that are saved by name, and where in a statement an error is told to be."""

from collections.abc import Iterator

import pytest

from pynomaly.errors import PynomalyError
from pynomaly_server.spots import spot

from .analyst import Desk, running, words


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One server for this file."""
    yield from running(tmp_path_factory.mktemp("saved"))


def test_a_query_is_saved_opened_renamed_copied_and_deleted(desk: Desk) -> None:
    ada = desk.as_("ada")
    sent = ada.post("/sql/save", q="from payments", saved_name=" a/b & c ")
    assert (sent.status_code, sent.headers["location"]) == (303, "/sql?name=a%2Fb+%26+c")
    opened = ada.get(sent.headers["location"]).text
    assert "from payments</textarea>" in opened
    assert 'name="opened" value="a/b &amp; c"' in opened
    renamed = ada.post("/sql/save", True, q="from payments limit 1", opened="a/b & c", saved_name="few")
    assert renamed.headers["hx-push-url"] == "/sql?name=few"
    assert 'id="saved-queries" hx-swap-oob="true"' in renamed.text
    copied = ada.post("/sql/save", q="from payments limit 2", opened="few", saved_name="two", as_copy="yes")
    assert copied.status_code == 303
    kept = "select name, sql from pynomaly.saved_queries order by name"
    assert desk.rows(kept) == [("few", "from payments limit 1"), ("two", "from payments limit 2")]
    assert "delete" in words(ada.get("/sql/saved/delete?name=few").text).lower()
    assert ada.post("/sql/saved/delete", name="few").status_code == 303
    assert words(ada.get("/sql/saved").text).count("from payments limit") == 1


@pytest.mark.parametrize("part", [True, False])
def test_what_cannot_be_saved_is_told_beside_the_name(desk: Desk, part: bool) -> None:
    ada = desk.as_("ada")
    ada.post("/sql/save", q="select 1", saved_name="taken")
    for given, told in (
        ({"q": "select 2", "saved_name": "taken"}, "another query of this name"),
        ({"q": "select 2", "saved_name": ""}, "needs a name"),
        ({"q": "select 2", "saved_name": "x" * 101}, "needs a name"),
        ({"q": " ", "saved_name": "empty"}, "no statement"),
    ):
        answer = ada.post("/sql/save", part, **given)
        assert answer.status_code == 422
        assert told in words(answer.text)
        assert answer.text.startswith("<!doctype") is not part
    assert desk.rows("select sql from pynomaly.saved_queries where name = 'taken'") == [("select 1",)]


def test_saved_queries_are_ones_own_alone(desk: Desk) -> None:
    for who in ("ada", "ben"):
        desk.as_(who).post("/sql/save", q=f"select '{who}'", saved_name="mine")
    ben = desk.as_("ben")
    assert "select &#39;ben&#39;</textarea>" in ben.get("/sql?name=mine").text
    ben.post("/sql/saved/delete", name="mine")
    assert ben.get("/sql?name=mine").status_code == 404
    assert "select &#39;ada&#39;</textarea>" in desk.as_("ada").get("/sql?name=mine").text
    assert ben.post("/sql/run", True, q="from pynomaly.saved_queries", token="t").status_code == 422


def test_the_name_of_a_query_outlives_its_runs(desk: Desk) -> None:
    ada = desk.as_("ada")
    part = ada.post("/sql/run", True, q="select 1", opened="kept", token="t")
    assert part.headers["hx-push-url"] == "/sql?q=select+1&name=kept"
    page = ada.post("/sql/run", q="select 1", opened="kept", saved_name="kept", token="t")
    assert 'name="opened" value="kept"' in page.text


@pytest.mark.parametrize(
    ("sql", "line", "column", "found"),
    [
        ("select\n  amount,\n  from payments where where", 3, 23, "where"),
        ("select 1\nfrom payments\nwhere amountt > 3", 3, 7, "amountt"),
        ("select id,\n  'é' || nofunc(1) from payments", 2, 10, "nofunc"),
        ("from nowhere", 1, 6, "nowhere"),
        ("select " + "amount, " * 200 + "amount from payments where where", 1, 1635, "where"),
        ("select 1 / x::integer from (values ('a')) v(x)", 1, 13, "::integer"),
    ],
)
def test_an_error_is_told_at_its_place(desk: Desk, sql: str, line: int, column: int, found: str) -> None:
    answer = desk.as_("ada").post("/sql/run", True, q=sql, token="t")
    assert answer.status_code == 422
    assert f"Line {line:,}, column {column:,} of the query" in words(answer.text)
    assert f"<mark>{found}</mark>" in answer.text


def test_a_line_that_is_shown_in_part_is_found() -> None:
    error = PynomalyError("nobody knows this")
    sql = "select 1,\n" + "a + " * 50 + "bad + 1"
    error.at = "LINE 2: ...a + bad + 1\n" + " " * 15 + "^^^"
    told = spot(error, sql)
    assert told is not None
    assert (told.line, told.column, told.found) == (2, 201, "bad")
    error.at = "LINE 2: what was not written\n        ^"
    assert spot(error, sql) is None
