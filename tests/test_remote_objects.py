"""Datasets from object stores: a wire server of S3, and one that fails by a script."""

import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import peers
import pynomaly
from peers import needs, nothing_changed, rows
from pynomaly.errors import (
    BadParameter,
    PynomalyError,
    SourceRefused,
    SourceUnavailable,
    SourceUnreadable,
    UnknownSource,
)

pytestmark = [pytest.mark.xdist_group("s3"), pytest.mark.usefixtures("no_open_circuit")]  # one server


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


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

    do_HEAD = do_GET  # noqa: N815 - the name that http.server asks for

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
