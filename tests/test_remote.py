"""Datasets from databases and object stores: real peers, which stop, refuse and fall silent."""

import datetime as dt
import http.server
import importlib
import importlib.util
import math
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import peers
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pynomaly
from pynomaly import urls
from pynomaly.cli import main
from pynomaly.datasets.remote import breaker, patience
from pynomaly.errors import (
    BadParameter,
    PynomalyError,
    SourceRefused,
    SourceUnavailable,
    SourceUnreadable,
    UnknownSource,
)

TYPES = """
create type mood as enum ('low', 'high');
create table types (
    small int2, amount numeric, price numeric(10, 2), wide numeric(40, 2), tens numeric(3, -1), cash money, ok boolean,
    fixed char(3), bytes bytea, day date, at timestamp, zoned timestamptz, clock time, zoned_clock timetz, span interval,
    doc jsonb, id uuid, numbers int[], amounts numeric[], names text[], docs jsonb[], felt mood, address inet, spot point,
    reach int4range, "Od ""d" text
);
insert into types values (
    1, 1234567.25, 12.34, 1.25, 1230, '12.30', true, 'x', '\\x00ff', '2026-01-02', '2026-01-02 10:00',
    '2026-01-02 10:00+02', '10:00', '10:00+02', '1 month 2 days', '{"a": 1}', '00000000-0000-0000-0000-000000000001',
    '{1,null}', '{1.5}', '{a,b}', '{"{}"}', 'high', '10.0.0.1', '(1,2)', '[1,5)', 'odd'
);
insert into types (amount, price, day, at, zoned) values ('NaN', 'NaN', 'infinity', '-infinity', 'infinity');
create schema sales; create table sales.orders as select i as id, i / 2.0::float8 as amount from generate_series(1, 1000) i;
create table payments as select * from sales.orders;
create role guest login password 'guest';
"""
SLOW_QUERY = """
select i, repeat('x', 1000) as filler, case when i > 50000 then length(pg_sleep(60)::text) end as late
from generate_series(1, 60000) as i
"""


@pytest.fixture(autouse=True)
def _no_memory() -> Iterator[None]:
    """No circuit stays open after a test."""
    breaker.forget()
    yield
    breaker.forget()


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pynomaly.Engine]:
    monkeypatch.chdir(tmp_path)
    with pynomaly.connect("team.duckdb") as engine:
        yield engine


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


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    needs("obstore", "stamina", "moto", "flask", "boto3")
    with peers.s3_server() as url:
        yield url


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], None]:
    """What puts an object into a bucket that the environment leads to."""
    import boto3

    s3_environment(monkeypatch, endpoint)
    client = boto3.client("s3")
    client.create_bucket(Bucket="team-data")
    return lambda key, content: client.put_object(Bucket="team-data", Key=key, Body=content)


def s3_environment(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name, value in {
        "ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": peers.PASSWORD, "REGION": "us-east-1",
        "DEFAULT_REGION": "us-east-1", "EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)


def needs(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'pynomaly[sources]' 'moto[server]'")


def rows(version: Any) -> list[dict[str, Any]]:
    """The rows of a version."""
    found: list[dict[str, Any]] = pq.read_table(f"team.duckdb.files/snapshots/{version.snapshot}.parquet").to_pylist()
    assert len(found) == version.n_rows
    return found


def nothing_changed(db: pynomaly.Engine) -> None:
    assert db.execute("from datasets()").fetchall() == []
    folder = Path("team.duckdb.files/snapshots")
    assert not folder.exists() or list(folder.iterdir()) == []


postgres = pytest.mark.xdist_group("postgres")
s3 = pytest.mark.xdist_group("s3")


@postgres
def test_a_table_of_postgresql_is_a_version(db: pynomaly.Engine, server: peers.Postgres) -> None:
    version = db.datasets.add("orders", server.url("?table=sales.orders"))
    assert rows(version) == [{"id": i, "amount": i / 2} for i in range(1, 1001)]
    for again in ({"table": "sales.orders"}, {"query": "select id, amount from sales.orders order by id;"}):
        assert db.datasets.add("orders", server.url(), **again).version == 1
    assert db.datasets.add("orders", server.url("?query=select%201%20as%20one")).version == 2
    assert db.execute("select count(*) from detect_anomalies('orders@1', algorithm := 'mad')").fetchall() == [(1000,)]


@postgres
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


@postgres
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
    db: pynomaly.Engine, server: peers.Postgres, rest: str, given: dict[str, str], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told) as raised:
        db.datasets.add("x", server.url(rest), **given)
    assert peers.PASSWORD not in str(raised.value)
    nothing_changed(db)


@postgres
def test_who_may_not_is_refused_at_once(db: pynomaly.Engine, server: peers.Postgres) -> None:
    guest = server.url("?table=payments").replace(f"{peers.USER}:{peers.QUOTED}", "guest:guest")
    for address in (server.url("?table=payments", password="wrong"), guest):
        with pytest.raises(SourceRefused, match=r"password authentication|permission denied") as raised:
            db.datasets.add("x", address)
        assert "wrong" not in str(raised.value)
    with pytest.raises(UnknownSource, match='database "nowhere" does not exist'):
        db.datasets.add("x", server.url("?table=payments", database="nowhere"))
    assert breaker.of(f"postgresql://127.0.0.1:{server.port}").state == "closed"


@postgres
def test_a_query_cannot_write(db: pynomaly.Engine, server: peers.Postgres) -> None:
    server.execute("create sequence if not exists numbers")
    with pytest.raises(SourceUnreadable, match="read-only"):
        db.datasets.add("x", server.url(), query="select nextval('numbers') as n")


@postgres
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


@postgres
def test_a_postgresql_that_comes_back_while_it_is_asked_again(
    db: pynomaly.Engine, server: peers.Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "ATTEMPTS", 8)
    server.stop()
    starting = threading.Thread(target=server.start)
    starting.start()
    assert db.datasets.add("x", server.url("?table=payments")).n_rows == 1000
    starting.join()


@postgres
def test_a_postgresql_that_falls_silent(db: pynomaly.Engine, server: peers.Postgres) -> None:
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match="did not answer within 1 s"):
        db.datasets.add("x", server.url(), query=SLOW_QUERY, timeout=1)
    assert time.monotonic() - started < 10
    nothing_changed(db)
    assert db.datasets.add("x", server.url("?table=payments")).n_rows == 1000
    active = "select count(*) as n from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()"
    assert rows(db.datasets.add("active", server.url(), query=active)) == [{"n": 0}]  # it was cancelled


@postgres
def test_the_password_stays_out_of_everything(
    db: pynomaly.Engine, server: peers.Postgres, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for secret in (peers.PASSWORD, peers.QUOTED):  # one of them tears the address apart, or not
        for begin in ("postgresql", "postgres", "mysql"):
            address = f"{begin}://ann:{secret}@127.0.0.1:{server.port}/postgres?table=payments&sslpassword={secret}"
            for use in (lambda a: db.datasets.add("x", a), db.detect, lambda a: db.train("m", a)):
                try:
                    use(address)
                except PynomalyError as error:
                    assert secret not in str(error)
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


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://ann:p%40w@h:5432/db?table=t", "postgresql://ann@h:5432/db?table=t"),
        ("postgresql://ann:p/w@h/db?table=t", "postgresql://ann@h/db"),
        ("postgresql://ann:p?w@h/db?table=t", "postgresql://ann@h/db"),
        ("postgresql://ann:p#w@h/db?table=t", "postgresql://ann@h/db"),
        ("postgresql://ann:12?w@h/db", "postgresql://ann@h/db"),
        ("postgresql://ann:p@w@h/db", "postgresql://ann@h/db"),
        ("postgresql://ann:[@h/db", "postgresql://ann@h/db"),
        ("postgresql://h/db?user=u&password=pw&table=t", "postgresql://h/db?user=u&table=t"),
        ("postgresql://h/db?p%61ssword=pw", "postgresql://h/db"),
        ("postgresql://h:5432/db?query=select%20'@'", "postgresql://h:5432/db?query=select%20'@'"),
        ("s3://key:pw@bucket/a.csv", "s3://key@bucket/a.csv"),
        ("s3://bucket/a@b?.csv", "s3://bucket/a@b?.csv"),
        ("sqlite:///a@b.db?table=t", "sqlite:///a@b.db?table=t"),
        ("HTTP://u:pw@h/a.csv", "HTTP://u@h/a.csv"),
        ("select 'a://b:c@d'", "select 'a://b:c@d'"),
        ("payments.csv", "payments.csv"),
    ],
)
def test_an_address_is_told_without_its_password(address: str, shown: str) -> None:
    assert urls.shown(address) == shown


def test_an_unknown_host_is_given_up_soon(db: pynomaly.Engine) -> None:
    needs("adbc_driver_postgresql", "stamina")
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match="nohost"):
        db.datasets.add("x", "postgresql://ann@nohost.invalid/db?table=t", timeout=5)
    assert time.monotonic() - started < 20


def test_the_circuit_opens_and_closes_again(db: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("adbc_driver_postgresql", "stamina")
    address = f"postgresql://ann@127.0.0.1:{peers.free_port()}/db?table=t"
    monkeypatch.setattr(patience, "FIRST_PAUSE_SECONDS", 0.01)
    for _ in range(breaker.FAILURES - 1):
        with pytest.raises(SourceUnavailable, match="refused; nothing was loaded"):
            db.datasets.add("x", address)
    with pytest.raises(SourceUnavailable, match="failure 3 in a row, and its circuit is open; try again in 30 s"):
        db.datasets.add("x", address)
    with pytest.raises(
        SourceUnavailable, match=r"failed 3 times in a row, and its circuit is open; try again in \d+ s"
    ):
        db.datasets.add("x", address)


def test_a_half_open_circuit_lets_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = breaker.of("peer")
    monkeypatch.setattr(breaker, "REST_SECONDS", 0.0)

    def fail() -> None:
        with circuit.guarding():
            raise SourceUnavailable("gone")

    for _ in range(breaker.FAILURES):
        pytest.raises(SourceUnavailable, fail)
    assert circuit.state == "half-open"
    with (
        circuit.guarding(),
        pytest.raises(SourceUnavailable, match="half-open; another load tries it"),
        circuit.guarding(),
    ):
        pass
    assert circuit.state == "closed"
    for _ in range(breaker.FAILURES + 1):
        pytest.raises(SourceUnavailable, fail)
    with pytest.raises(KeyError), circuit.guarding():  # not the peer's fault, and the next may try
        raise KeyError
    assert circuit.state == "half-open"
    with circuit.guarding():
        pass
    assert circuit.state == "closed"


@pytest.fixture
def file(db: pynomaly.Engine) -> sqlite3.Connection:
    needs("adbc_driver_sqlite", "stamina")
    con = sqlite3.connect("shop.db")
    con.execute('create table orders (id integer, amount real, late, mixed, "no ne", blob)')
    given = (
        (i, i / 2, None if i < 3000 else f"t{i}", i if i < 3000 else i + 0.5, None, b"x" if i % 2 else "y")
        for i in range(5000)
    )
    con.executemany("insert into orders values (?, ?, ?, ?, ?, ?)", given)
    con.execute("create view big as select id from orders where amount > 2000")
    con.commit()
    return con


def test_sqlite(db: pynomaly.Engine, file: sqlite3.Connection) -> None:
    version = db.datasets.add("orders", "sqlite:///shop.db?table=orders")
    types = dict(zip(version.columns, ("BIGINT", "DOUBLE", "VARCHAR", "DOUBLE", "VARCHAR", "BLOB"), strict=True))
    assert version.columns == types
    assert rows(version)[3001] == {
        "id": 3001, "amount": 1500.5, "late": "t3001", "mixed": 3001.5, "no ne": None, "blob": b"x"
    }  # fmt: skip
    absolute = f"sqlite:///{Path('shop.db').resolve()}"
    assert db.datasets.add("orders", absolute, table="orders").version == 1
    assert db.datasets.add("view", absolute, table="BIG").n_rows == 999
    found = db.datasets.add("query", absolute, query="select id from orders order by id desc")
    assert [row["id"] for row in rows(found)] == list(range(4999, -1, -1))
    file.execute("create table empty (a integer)")
    file.commit()
    assert db.datasets.add("empty", absolute, table="empty").n_rows == 0


def test_what_sqlite_cannot_give_is_told(db: pynomaly.Engine, file: sqlite3.Connection) -> None:
    file.execute("create table torn as select cast(x'ff' as text) as t")
    file.commit()
    Path("no.db").write_text("no database " * 100)
    for address, error, told in (
        ("sqlite:///shop.db?table=order", UnknownSource, "did you mean `orders`"),
        ("sqlite:///shop.db", BadParameter, "`big`, `orders`"),
        ("sqlite:///shp.db?table=t", UnknownSource, "did you mean `shop.db`"),
        ("sqlite://shop.db?table=t", BadParameter, "sqlite:///file.db"),
        ("sqlite:///no.db?table=t", SourceUnreadable, "not a database"),
        ("sqlite:///shop.db?table=torn", SourceUnreadable, "column `t` .* not UTF-8"),
        ("sqlite:///shop.db?query=select from", SourceUnreadable, "syntax error"),
        ("sqlite:///shop.db?mode=rwc&table=orders", BadParameter, "`mode` is no part"),
    ):
        with pytest.raises(error, match=told):
            db.datasets.add("x", address)
    nothing_changed(db)
    assert not Path("shp.db").exists()


def test_a_locked_sqlite_is_asked_again(db: pynomaly.Engine, file: sqlite3.Connection) -> None:
    file.close()  # SQLite's locks are those of a process
    holding = "import sqlite3, sys, time; c = sqlite3.connect('shop.db', isolation_level=None)"
    code = f"{holding}; c.execute('begin exclusive'); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SourceUnavailable, match="locked"):
            db.datasets.add("x", "sqlite:///shop.db?table=orders")
        holder.communicate()
    assert db.datasets.add("x", "sqlite:///shop.db?table=orders").n_rows == 5000


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


@s3
def test_objects_of_s3(
    db: pynomaly.Engine, bucket: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pynomaly.datasets.remote import objects

    monkeypatch.setattr(objects, "PIECE", 1000)  # several of them
    table = pa.table({"id": list(range(1000)), "text": ["a", "b"] * 500})
    for place in range(3):
        bucket(f"days/part{place}.parquet", parquet(table.slice(place * 300, 300)))
    bucket("days/deep/part.parquet", parquet(table.slice(900)))
    bucket("a.csv", b"id,amount\n1,2\n2,x,3\n3,4\n")
    assert rows(db.datasets.add("one", "s3://team-data/days/part0.parquet")) == table.slice(0, 300).to_pylist()
    assert db.datasets.add("some", "s3://team-data/days/part[0-1].parquet").n_rows == 600
    assert db.datasets.add("flat", "s3://team-data/days/*.parquet").n_rows == 900
    for all_of_them in ("s3://team-data/days/", "s3://team-data/days/**/*.parquet"):
        assert db.datasets.add("all", all_of_them).n_rows == 1000
    version = db.datasets.add("a", "s3://team-data/a.csv", delimiter=",")
    assert (version.n_rows, version.n_quarantined, version.source) == (2, 1, "s3://team-data/a.csv")
    bad = db.execute("select file, line from pynomaly.quarantine").fetchall()
    assert bad == [("s3://team-data/a.csv", 3)]


@s3
@pytest.mark.parametrize(
    ("source", "error", "told"),
    [
        ("s3://team-data/bb.parquet", UnknownSource, "did you mean `b.parquet`"),
        ("s3://nobody/b.csv", UnknownSource, "bucket `nobody` does not exist"),
        ("s3://nobody/*.csv", UnknownSource, "bucket `nobody` does not exist"),
        ("s3://team-data/*.nope.csv", UnknownSource, "no object matches"),
        ("s3://team-data/none/", UnknownSource, "no object matches"),
        ("s3://team-data/b", BadParameter, "no suffix"),
        ("s3:///b.csv", BadParameter, "no bucket"),
        ("s3://key:pw@team-data/b.csv", BadParameter, "no bucket"),
        ("s3://team-data/b.parquet", SourceUnreadable, "^.source_unreadable. `s3://team-data/b.parquet`"),
    ],
)
def test_what_s3_cannot_give_is_told(
    db: pynomaly.Engine, bucket: Callable[[str, bytes], None], source: str, error: type[Exception], told: str
) -> None:
    bucket("b.parquet", b"no parquet")
    with pytest.raises(error, match=told) as raised:
        db.datasets.add("x", source)
    assert "/tmp" not in str(raised.value)
    nothing_changed(db)


@s3
def test_s3_without_credentials(db: pynomaly.Engine, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SourceRefused, match="set AWS_ACCESS_KEY_ID"):
        db.datasets.add("x", "s3://team-data/b.csv")


class Scripted(http.server.BaseHTTPRequestHandler):
    """A store that answers by a script: a status, or 200 with two lines of CSV; the last answer stays."""

    script: list[int]

    def do_GET(self) -> None:
        status = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        body = b"a,b\n1,2\n" if status == 200 else b"<Error><Code>Scripted</Code></Error>"
        ranged = status == 200 and "Range" in self.headers
        self.send_response(206 if ranged else status)
        for name, value in {
            "Content-Length": len(body),
            "ETag": '"e"',
            "Last-Modified": "Sun, 01 Nov 2026 10:00:00 GMT",
        }.items():
            self.send_header(name, str(value))
        if ranged:
            self.send_header("Content-Range", f"bytes 0-{len(body) - 1}/{len(body)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([503, 500, 200], None),
        ([200, 503, 200], None),
        ([503], SourceUnavailable),
        ([200, 503], SourceUnavailable),
        ([403], SourceRefused),
        ([200, 412], SourceUnreadable),
        ([400], SourceUnreadable),
    ],
)
def test_a_store_that_fails(
    db: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch, script: list[int], error: type[Exception] | None
) -> None:
    needs("obstore", "stamina")
    handler = type("Handler", (Scripted,), {"script": list(script)})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        s3_environment(monkeypatch, f"http://127.0.0.1:{store.server_port}")
        if error is None:
            assert rows(db.datasets.add("x", "s3://team-data/a.csv")) == [{"a": 1, "b": 2}]
        else:
            with pytest.raises(error) as raised:
                db.datasets.add("x", "s3://team-data/a.csv")
            assert peers.PASSWORD not in str(raised.value)
            nothing_changed(db)
        store.shutdown()


def test_no_room_for_an_object(db: pynomaly.Engine, bucket: Callable[[str, bytes], None], monkeypatch: Any) -> None:
    bucket("a.csv", b"a,b\n1,2\n")
    full = type("Usage", (), {"free": 3})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(PynomalyError, match=r"storage_full.*8 bytes"):
        db.datasets.add("x", "s3://team-data/a.csv")


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("adbc_driver_postgresql.dbapi", "postgresql://ann@127.0.0.1:1/db?table=t"),
        ("adbc_driver_sqlite.dbapi", "sqlite:///a.db?table=t"),
        ("obstore.store", "s3://team-data/a.csv"),
        ("stamina", "postgresql://ann@127.0.0.1:1/db?table=t"),
    ],
)
def test_a_package_that_is_missing_is_told(
    db: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch, package: str, source: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PynomalyError, match=r"package_missing.*pynomaly\[sources\]"):
        db.datasets.add("x", source)
