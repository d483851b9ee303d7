"""Pages: every row exactly once, whatever the order; cursors belong to one list."""

import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pynomaly
from pynomaly.errors import BadParameter, PynomalyError, UnknownColumn
from pynomaly_server import paging
from pynomaly_server.errors import BadCursor, BodyInvalid

ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 2)),
        st.one_of(st.none(), st.sampled_from([0.1, -0.0, 0.0, math.nan, math.inf, 1e300])),
        st.one_of(st.none(), st.sampled_from(["", "a", "ä'\"", "\x00", "null"])),
        st.one_of(st.none(), st.datetimes()),
    ),
    max_size=25,
)
ORDERS = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, max_size=3)


@pytest.fixture(scope="module")
def engine() -> Iterator[pynomaly.Engine]:
    with pynomaly.connect() as found:
        yield found


def walked(engine: pynomaly.Engine, select: str, **asked: Any) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        page = paging.page(engine, select, cursor=cursor, **asked)
        found += page.items
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


@settings(max_examples=60)
@given(rows=ROWS, names=ORDERS, directions=st.lists(st.booleans(), min_size=3, max_size=3), limit=st.integers(1, 7))
def test_every_row_comes_once_in_the_order(
    engine: pynomaly.Engine, rows: list[Any], names: list[str], directions: list[bool], limit: int
) -> None:
    kinds = {"a": pa.int64(), "b": pa.float64(), "c": pa.string(), "d": pa.timestamp("us")}
    columns = {name: pa.array([row[n] for row in rows], kind) for n, (name, kind) in enumerate(kinds.items())}
    engine.register("rows_given", pa.table({**columns, "id": pa.array(range(len(rows)), pa.int64())}))
    order = [f"{name} {'desc' if down else 'asc'}" for name, down in zip(names, directions, strict=False)]
    found = walked(engine, "from rows_given", order=[*order, "id"], limit=limit)
    by = ", ".join(f"{text} nulls last" for text in [*order, "id"])
    wanted = [row[0] for row in engine.execute(f"select id from rows_given order by {by}").fetchall()]
    assert [item["id"] for item in found] == wanted


def test_values_of_the_select_are_bound(engine: pynomaly.Engine) -> None:
    found = walked(engine, "select range as id from range(20) where range > ?", parameters=[9], order=["id"], limit=3)
    assert [item["id"] for item in found] == list(range(10, 20))


def test_json_and_times_are_json(engine: pynomaly.Engine) -> None:
    select = """select '{"k": [1]}'::json as j, null::json as n, timestamptz '2026-01-01 01:00:00+01' as t, 1 as id"""
    assert paging.page(engine, select, order=["id"]).items == [
        {"j": {"k": [1]}, "n": None, "t": "2026-01-01T00:00:00Z", "id": 1}
    ]


def test_a_cursor_belongs_to_one_list(engine: pynomaly.Engine) -> None:
    cursor = paging.page(engine, "select range as id from range(9)", order=["id"], limit=2).next_cursor
    assert cursor is not None
    for select, order in (
        ("select range as id from range(8)", ["id"]),
        ("select range as id from range(9)", ["id desc"]),
    ):
        with pytest.raises(BadCursor):
            paging.page(engine, select, order=order, cursor=cursor)


@pytest.mark.parametrize("cursor", ["", "x", "é", "W10", "bnVsbA", "A" * 5000, "WyJ4Il0", "//", "\x00"])
def test_a_cursor_that_is_none(engine: pynomaly.Engine, cursor: str) -> None:
    with pytest.raises(BadCursor):
        paging.page(engine, "select 1 as id", order=["id"], cursor=cursor)


@given(cursor=st.text(max_size=40))
def test_any_text_as_cursor(engine: pynomaly.Engine, cursor: str) -> None:
    with pytest.raises(BadCursor):
        paging.page(engine, "select 1 as id", order=["id"], cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 1001, 10**30])
def test_a_limit_outside(engine: pynomaly.Engine, limit: int) -> None:
    with pytest.raises(BodyInvalid) as caught:
        paging.page(engine, "select 1 as id", order=["id"], limit=limit)
    assert caught.value.errors[0]["pointer"] == "/limit"


def test_an_order_is_of_columns(engine: pynomaly.Engine) -> None:
    types = paging.described(engine, "select 1 as id, [1] as l, 2 as amount")
    assert paging.sorting("-amount", types, ["id"], "id") == ["amount desc", "id"]
    assert paging.sorting(None, types, ["amount"], "id") == ["amount"]
    assert paging.sorting("id", types, [], "id") == ["id asc"]
    for sort, kind in (("amnt", UnknownColumn), ('id"; drop table x', UnknownColumn), ("l", BadParameter)):
        with pytest.raises(PynomalyError) as caught:
            paging.sorting(sort, types, [], "id")
        assert type(caught.value) is kind


def test_a_sort_by_what_is_too_long_is_told(engine: pynomaly.Engine) -> None:
    with pytest.raises(BadParameter, match="too long"):
        paging.page(engine, "select repeat('x', 9999) as t, range as id from range(3)", order=["t", "id"], limit=1)
