"""Datasets from SQLite, whose files Python's own library writes."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import pynomaly
from peers import needs, nothing_changed, rows
from pynomaly.errors import BadParameter, SourceUnavailable, SourceUnreadable, UnknownSource

pytestmark = pytest.mark.usefixtures("no_open_circuit")


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
