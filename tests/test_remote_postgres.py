"""Datasets from a real PostgreSQL, which stops, refuses and falls silent."""

import datetime as dt
import math
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import peers
import pynomaly
from peers import needs, nothing_changed, rows
from pynomaly.cli import main
from pynomaly.datasets.remote import breaker, patience
from pynomaly.errors import (
    BadParameter,
    Interrupted,
    PynomalyError,
    SourceRefused,
    SourceUnavailable,
    SourceUnreadable,
    UnknownSource,
)

TYPES = """
create type mood as enum ('low', 'high');
create table types (
    small int2, amount numeric, price numeric(10, 2), wide numeric(40, 2), tens numeric(3, -1), cash money,
    ok boolean, fixed char(3), bytes bytea, day date, at timestamp, zoned timestamptz, clock time, zoned_clock timetz,
    span interval, doc jsonb, id uuid, numbers int[], amounts numeric[], names text[], docs jsonb[], felt mood,
    address inet, spot point, reach int4range, "Od ""d" text
);
insert into types values (
    1, 1234567.25, 12.34, 1.25, 1230, '12.30', true, 'x', '\\x00ff', '2026-01-02', '2026-01-02 10:00',
    '2026-01-02 10:00+02', '10:00', '10:00+02', '1 month 2 days', '{"a": 1}', '00000000-0000-0000-0000-000000000001',
    '{1,null}', '{1.5}', '{a,b}', '{"{}"}', 'high', '10.0.0.1', '(1,2)', '[1,5)', 'odd'
);
insert into types (amount, price, day, at, zoned) values ('NaN', 'NaN', 'infinity', '-infinity', 'infinity');
create schema sales;
create table sales.orders as select i as id, i / 2.0::float8 as amount from generate_series(1, 1000) i;
create table payments as select * from sales.orders;
create role guest login password 'guest';
"""
SLOW_QUERY = """
select i, repeat('x', 1000) as filler, case when i > 50000 then length(pg_sleep(60)::text) end as late
from generate_series(1, 60000) as i
"""

pytestmark = [pytest.mark.xdist_group("postgres"), pytest.mark.usefixtures("no_open_circuit")]  # one server


@pytest.fixture(scope="module")
def running() -> Iterator[peers.Postgres]:
    needs("adbc_driver_postgresql", "stamina")
    if peers.postgres_folder() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with peers.postgres() as server:
        server.execute(TYPES)
        yield server


@pytest.fixture
def server(running: peers.Postgres) -> peers.Postgres:
    """The PostgreSQL, started again where a test stopped it."""
    running.start()
    return running


def test_a_table_of_postgresql_is_a_version(db: pynomaly.Engine, server: peers.Postgres) -> None:
    version = db.datasets.add("orders", server.url("?table=sales.orders"))
    assert rows(version) == [{"id": i, "amount": i / 2} for i in range(1, 1001)]
    ordered = "select id, amount from sales.orders order by id;"
    options: list[dict[str, Any]] = [{"table": "sales.orders"}, {"query": ordered}]
    for again in options:
        assert db.datasets.add("orders", server.url(), **again).version == 1
    assert db.datasets.add("orders", server.url("?query=select%201%20as%20one")).version == 2
    assert db.execute("select count(*) from detect_anomalies('orders@1', algorithm := 'mad')").fetchall() == [(1000,)]


def test_types_that_arrow_cannot_carry_become_others(db: pynomaly.Engine, server: peers.Postgres) -> None:
    version = db.datasets.add("types", server.url("?table=types"))
    full, endless = rows(version)
    assert version.columns["price"] == "DECIMAL(10,2)"
    assert {name: type(value) for name, value in full.items()}["numbers"] is list
    told = {
        name: full[name] for name in ("amount", "price", "wide", "tens", "cash", "zoned_clock", "amounts", "numbers")
    }
    assert told == {
        "amount": 1234567.25, "price": Decimal("12.34"), "wide": 1.25, "tens": 1230.0, "cash": 12.3,
        "zoned_clock": "10:00:00+02", "amounts": [1.5], "numbers": [1, None],
    }  # fmt: skip
    assert (full["doc"], full["docs"], full["address"], full["reach"]) == ('{"a": 1}', ["{}"], "10.0.0.1/32", "[1,5)")
    assert (full["day"], full["at"]) == (dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, 10))
    assert (full["bytes"], full["felt"], full['Od "d']) == (b"\x00\xff", "high", "odd")
    assert math.isnan(endless["amount"])
    assert [endless[name] for name in ("price", "day", "at", "zoned")] == [None] * 4


@pytest.mark.parametrize(
    ("rest", "given", "error", "told"),
    [
        ("?table=paymnts", {}, UnknownSource, "did you mean `payments`"),
        ("?table=orders", {}, UnknownSource, "did you mean `sales.orders`"),
        ("", {}, BadParameter, "there are `payments`, `sales.orders`, `types`"),
        ("?table=payments", {"query": "select 1"}, BadParameter, "a table and a query"),
        ("?table=payments", {"table": "payments"}, BadParameter, "two things at once"),
        ("", {"query": "select 1 as a, 2 as a"}, SourceUnreadable, "two columns .* named `a`"),
        ("", {"query": "selec"}, SourceUnreadable, "syntax error"),
        ("", {"query": "select 1/0 as x"}, SourceUnreadable, "division by zero"),
        ("", {"query": "select 1/(3-i) as x from generate_series(1, 5) i"}, SourceUnreadable, "division by zero"),
        ("", {"query": "select * from nothing"}, UnknownSource, '"nothing" does not exist'),
        ("", {"query": "select 1; drop table payments"}, SourceUnreadable, "syntax error"),
        ("", {"query": "select setval(pg_get_serial_sequence('a', 'b'), 1)"}, PynomalyError, "a"),
        ("?table=payments&timeout=0", {}, BadParameter, "seconds"),
        ("?table=payments", {"sheet": "x"}, BadParameter, "`sheet` is no option"),
        ("?table=payments&sslmod=off", {}, BadParameter, "sslmod"),
    ],
)  # fmt: skip
def test_what_postgresql_cannot_give_is_told(
    db: pynomaly.Engine, server: peers.Postgres, rest: str, given: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told) as raised:
        db.datasets.add("x", server.url(rest), **given)
    assert peers.PASSWORD not in str(raised.value)
    nothing_changed(db)


def test_who_may_not_is_refused_at_once(db: pynomaly.Engine, server: peers.Postgres) -> None:
    guest = server.url("?table=payments").replace(f"{peers.USER}:{peers.QUOTED}", "guest:guest")
    for address in (server.url("?table=payments", password="wrong"), guest):
        with pytest.raises(SourceRefused, match=r"password authentication|permission denied") as raised:
            db.datasets.add("x", address)
        assert "wrong" not in str(raised.value)
    with pytest.raises(UnknownSource, match='database "nowhere" does not exist'):
        db.datasets.add("x", server.url("?table=payments", database="nowhere"))
    assert breaker.of(f"postgresql://127.0.0.1:{server.port}").state == "closed"


def test_a_query_cannot_write(db: pynomaly.Engine, server: peers.Postgres) -> None:
    server.execute("create sequence if not exists numbers")
    with pytest.raises(SourceUnreadable, match="read-only"):
        db.datasets.add("x", server.url(), query="select nextval('numbers') as n")


def test_a_postgresql_that_stops_in_the_middle(db: pynomaly.Engine, server: peers.Postgres) -> None:
    def stop_soon() -> None:
        while (load := db.progress) is None or not load.n_rows:
            time.sleep(0.01)
        server.stop()

    stopping = threading.Thread(target=stop_soon)
    stopping.start()
    with pytest.raises(SourceUnavailable, match="load it again when the server answers"):
        db.datasets.add("x", server.url(), query=SLOW_QUERY)
    stopping.join()
    nothing_changed(db)
    with pytest.raises(SourceUnavailable, match="refused"):
        db.datasets.add("x", server.url("?table=payments"))
    server.start()
    assert db.datasets.add("x", server.url("?table=payments")).n_rows == 1000


def test_a_postgresql_that_comes_back_while_it_is_asked_again(
    db: pynomaly.Engine, server: peers.Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "ATTEMPTS", 8)
    server.stop()
    starting = threading.Thread(target=server.start)
    starting.start()
    assert db.datasets.add("x", server.url("?table=payments")).n_rows == 1000
    starting.join()


def test_a_postgresql_that_falls_silent(db: pynomaly.Engine, server: peers.Postgres) -> None:
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match="did not answer within 1 s"):
        db.datasets.add("x", server.url(), query=SLOW_QUERY, timeout=1)
    assert time.monotonic() - started < 10
    nothing_changed(db)
    assert db.datasets.add("x", server.url("?table=payments")).n_rows == 1000
    active = "select count(*) as n from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()"
    assert rows(db.datasets.add("active", server.url(), query=active)) == [{"n": 0}]  # it was cancelled


def test_a_load_is_interrupted_at_once(db: pynomaly.Engine, server: peers.Postgres) -> None:
    def interrupt_soon() -> None:
        while (load := db.progress) is None or not load.n_rows:
            time.sleep(0.01)
        time.sleep(0.2)
        db.interrupt()

    interrupting = threading.Thread(target=interrupt_soon)
    interrupting.start()
    started = time.monotonic()
    with pytest.raises(Interrupted):
        db.datasets.add("x", server.url(), query=SLOW_QUERY)
    assert time.monotonic() - started < 20
    interrupting.join()
    nothing_changed(db)


def complaint(use: Callable[[str], object], address: str) -> str:
    """The error of a use, or nothing."""
    try:
        use(address)
    except PynomalyError as error:
        return str(error)
    return ""


def test_the_password_stays_out_of_everything(
    db: pynomaly.Engine, server: peers.Postgres, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for secret in (peers.PASSWORD, peers.QUOTED):
        for begin in ("postgresql", "postgres", "mysql"):
            address = f"{begin}://ann:{secret}@127.0.0.1:{server.port}/postgres?table=payments&sslpassword={secret}"
            for use in (lambda a: db.datasets.add("x", a), db.detect, lambda a: db.train("m", a)):
                assert "s3cr" not in complaint(use, address)
    db.detect("x@1", save=True)
    server.stop()
    with pytest.raises(SourceUnavailable):
        db.datasets.add("x", server.url("?table=payments"))
    db.close()
    assert main(["dataset", "add", "y", server.url("?table=payments"), "--db", "team.duckdb", "-v"]) == 1
    server.start()
    assert main(["dataset", "add", "y", server.url(), "--table", "payments", "--db", "team.duckdb", "-v"]) == 0
    assert main(["dataset", "show", "y@1", "--db", "team.duckdb"]) == 0
    with pynomaly.connect("team.duckdb") as again:
        sources = [row[0] for row in again.execute("select source from pynomaly.dataset_versions").fetchall()]
        assert sources[-1] == f"postgresql://ann@127.0.0.1:{server.port}/postgres?table=payments"
        for table in ("runs", "lineage", "datasets", "dataset_versions", "models"):
            assert "s3cr" not in str(again.execute(f"from pynomaly.{table}").fetchall())
    printed = capsys.readouterr()
    assert "s3cr" not in printed.out + printed.err + caplog.text
    for file in Path().rglob("*"):
        assert not file.is_file() or b"s3cr" not in file.read_bytes(), file
