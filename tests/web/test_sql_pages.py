"""The SQL page: rows, plans, pictures, files, datasets, and a query that is stopped."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pynomaly.confinement import macros
from pynomaly_server import words as named
from pynomaly_server.stopping import STOPPING
from server.shop import until

from .analyst import Desk, running, words

SLOW = "select count(*) from range(10000000) a(x), range(10000000) b(y) where x + y = 3"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One server for this file."""
    yield from running(tmp_path_factory.mktemp("sql"))


def test_the_address_fills_the_editor_and_runs_nothing(desk: Desk) -> None:
    page = desk.as_("ada").get("/sql?q=select%20<b>")
    assert "select &lt;b&gt;</textarea>" in page.text
    assert "Nothing has run yet" in page.text


@pytest.mark.parametrize("part", [True, False])
def test_rows_are_shown_with_their_limit(desk: Desk, part: bool) -> None:
    answer = desk.as_("ada").post("/sql/run", part, q="select i as a, i as a from range(1500) n(i)", token="t")
    assert "The first 1,000 rows of more shown" in words(answer.text)
    assert "a (2)" in answer.text
    assert answer.text.startswith("<!doctype") is not part
    counted = desk.as_("ada").post("/sql/count", True, q="from range(1500);", token="t")
    assert "1,500 rows in all" in words(counted.text)


@pytest.mark.parametrize(
    ("q", "told"),
    [
        ("from nowhere", "nowhere"),
        ("drop table payments", "Give one SELECT"),
        ("", "There is no statement"),
        ("select", "Correct the statement"),
    ],
)
def test_what_cannot_run_is_told_in_its_place(desk: Desk, q: str, told: str) -> None:
    answer = desk.as_("ada").post("/sql/run", True, q=q, token="t")
    assert answer.status_code == 422
    assert told in words(answer.text)


def test_a_query_that_failed_harms_no_later_request(desk: Desk) -> None:
    ada = desk.as_("ada")
    for _ in range(3):
        ada.post("/sql/run", True, q="select 1 / x::integer from (values ('a')) v(x)", token="t")
        assert ada.post("/sql/run", True, q="from models()", token="t").status_code == 200
        assert ada.post("/sql/plan", True, q="from algorithms()", token="t").status_code == 200


def test_a_plan_is_told_and_names_no_folder(desk: Desk) -> None:
    ada = desk.as_("ada")
    ada.post("/sql/detect", q="from payments", name="planned", token="t")
    plan = ada.post("/sql/plan", True, q="from planned where amount > 3", token="t")
    assert "READ_PARQUET" in plan.text
    assert str(desk.workspace.folder) not in plan.text


@pytest.mark.parametrize(
    ("x", "y", "drawn"),
    [("paid_at", "amount", 'data-chart="series"'), ("id", "amount", 'data-chart="scatter"'),
     ("channel", "amount", "contribution"), ("nope", "amount", "not found")],
)  # fmt: skip
def test_two_columns_are_a_picture(desk: Desk, x: str, y: str, drawn: str) -> None:
    answer = desk.as_("ada").post("/sql/chart", True, q="from payments", x=x, y=y, token="t")
    assert drawn in answer.text


def test_detect_on_this_leaves_out_what_a_detection_added(desk: Desk) -> None:
    sent = desk.as_("ben").post(
        "/sql/detect", q="from detect_anomalies('payments', algorithm := 'mad', exclude := ['paid_at'])", name="mine"
    )
    assert (sent.status_code, sent.headers["location"]) == (303, "/detect?source=mine")
    columns = [
        row[0] for row in desk.rows("describe select * exclude (_pynomaly_place) from dataset_rows('mine')", "ben")
    ]
    assert columns == ["id", "amount", "channel", "paid_at", "fraud"]
    refused = desk.as_("ben").post("/sql/detect", True, q="from nowhere", name="mine2")
    assert refused.status_code == 422
    desk.as_("ada").post("/sql/detect", q="from payments", name="taken", token="t")
    assert "is taken" in desk.as_("ben").post("/sql/detect", True, q="from payments", name="taken").text


@pytest.mark.parametrize("name", ["csv", "parquet", "arrow", "ndjson", "json"])
def test_every_format_is_a_file(desk: Desk, name: str) -> None:
    answer = desk.as_("ada").post(f"/sql/rows.{name}", q="select id, amount from payments order by id limit 2")
    assert answer.status_code == 200
    assert len(answer.content) > 10


def test_names_are_what_is_there(desk: Desk) -> None:
    found: list[dict[str, Any]] = desk.as_("ada").get("/sql/names").json()
    functions = {one["label"] for one in found if one["kind"] == "function"}
    assert functions == set(macros())
    assert {"amount", "channel"} <= {one["label"] for one in found if one.get("of") == "payments"}
    assert all(one.summary for one in named.signatures())


def test_a_query_is_stopped_by_its_own_user_alone(desk: Desk) -> None:
    told: list[Any] = []
    ada, ben = desk.as_("ada"), desk.as_("ben")
    asking = threading.Thread(target=lambda: told.append(ada.post("/sql/run", True, q=SLOW, token="slow")))
    asking.start()
    until(lambda: ("ada", "slow") in STOPPING._running)
    ben.post("/sql/stop", token="slow")
    assert ("ada", "slow") in STOPPING._running
    assert ada.post("/sql/stop", token="slow").status_code == 204
    asking.join(60)
    assert "was stopped" in words(told[0].text)


def test_history_tells_what_was_asked_and_what_failed(desk: Desk) -> None:
    ada = desk.as_("ada")
    ada.post("/sql/run", True, q="select 'once' as told", token="t")
    ada.post("/sql/run", True, q="from never_there", token="t")
    page = ada.get("/sql/history").text
    assert "/sql?q=select+%27once%27" in page or "/sql?q=select%20%27once%27" in page
    assert "never_there" in words(page)
    assert "once" not in desk.as_("ben").get("/sql/history").text


def test_a_viewer_is_told_that_queries_are_not_theirs(desk: Desk) -> None:
    answer = desk.as_("vera").get("/sql")
    assert answer.status_code == 403
    assert "ask an administrator" in answer.text


def test_names_of_anybody_are_text(desk: Desk) -> None:
    page = desk.as_("ada").get("/sql").text
    assert "<script>alert" not in page
    rows = desk.as_("ada").post("/sql/run", True, q='from "<script>alert(1)</script>"', token="t").text
    assert "&lt;b&gt;x&lt;/b&gt;" in rows
    assert "<b>x" not in rows


def test_the_page_runs_a_handful_of_queries(desk: Desk) -> None:
    ada = desk.as_("ada")
    assert 0 < desk.n_queries(lambda: ada.get("/sql")) <= 4
