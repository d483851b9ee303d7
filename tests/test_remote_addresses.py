"""Addresses: how they are told, what is not there, and the circuits to it."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import peers
import pynomaly
from databases import new_database
from peers import needs
from pynomaly import urls
from pynomaly.datasets.remote import breaker, patience
from pynomaly.errors import PynomalyError, SourceUnavailable

pytestmark = pytest.mark.usefixtures("no_open_circuit")


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pynomaly.Engine]:
    monkeypatch.chdir(tmp_path)
    with pynomaly.connect(new_database(Path("team.duckdb")), query_log=True) as engine:
        yield engine


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
        ("select 'a://b:c@d'", "select 'a://b@d'"),
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
        with pytest.raises(SourceUnavailable):
            fail()
    assert circuit.state == "half-open"
    with (
        circuit.guarding(),
        pytest.raises(SourceUnavailable, match="half-open; another load tries it"),
        circuit.guarding(),
    ):
        pass
    assert circuit.state == "closed"
    for _ in range(breaker.FAILURES + 1):
        with pytest.raises(SourceUnavailable):
            fail()
    with pytest.raises(KeyError), circuit.guarding():  # not the peer's fault, and the next may try
        raise KeyError
    assert circuit.state == "half-open"
    with circuit.guarding():
        pass
    assert circuit.state == "closed"


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


def test_no_error_and_no_log_tells_a_password(db: pynomaly.Engine) -> None:
    address = "postgresql://ann:s3cr/t@127.0.0.1:1/db?table=t&password=s3cr2"
    uses: list[Callable[[], object]] = [
        lambda: db.detect(address),
        lambda: db.score("m", address),
        lambda: db.train(address, "t"),
        lambda: db.datasets.add(address, "t"),
        lambda: db.datasets.versions(address),
        lambda: db.datasets.add("x", f"from '{address}'"),
        lambda: db.execute(f"from '{address}'").fetchall(),
        lambda: db.execute(f"from evaluate('{address}', label := 'x')").fetchall(),
        lambda: db.execute("from detect_anomalies(?)", [address]).fetchall(),
    ]
    for use in uses:
        with pytest.raises(PynomalyError) as raised:
            use()
        assert "s3cr" not in f"{raised.value}{raised.value.args}"
    db.close()
    with pynomaly.connect("team.duckdb") as again:
        n_logged = 0
        for table in ("runs", "queries", "lineage", "datasets"):
            rows = again.execute(f"from pynomaly.{table}").fetchall()
            n_logged += len(rows)
            assert "s3cr" not in str(rows)
        assert n_logged > 5
