"""Uploads: what is in them is found by their bytes, too much is refused, and nothing is left of what failed."""

import contextlib
import gzip
import io
import json
import os
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient
from pyarrow import parquet

from pynomaly.errors import PynomalyError
from pynomaly_server import addresses, fetching, sniffing, uploads
from pynomaly_server.app import create_app
from pynomaly_server.errors import AddressRefused, UploadTooLarge
from pynomaly_server.options import Options
from pynomaly_server.workspace import Workspace
from server.team import Team

CSV = b"id,amount,city\n1,2.5,Bonn\n2,x,Rom\n3,4.0,\n"
ROWS = pa.table({"id": [1, 2, 3], "amount": [2.5, 3.0, 4.0]})
URL = "/api/v1/datasets/upload"


def folder(team: Team) -> Path:
    return team.workspace.folder / uploads.FOLDER


def left(team: Team) -> set[str]:
    return {path.name for path in folder(team).iterdir()}


def written(kind: str) -> bytes:
    sink = io.BytesIO()
    if kind == "parquet":
        parquet.write_table(ROWS, sink)
    elif kind == "xlsx":
        book = openpyxl.Workbook()
        for row in (["id", "amount"], [1, 2.5], [2, 3.0], [3, 4.0]):
            book.active.append(row)
        book.save(sink)
    else:
        writer = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
        with writer(sink, ROWS.schema) as opened:
            opened.write_table(ROWS)
    return sink.getvalue()


BODIES = {
    "csv": b"id,amount\n1,2.5\n2,3.0\n3,4.0\n",
    "csv.gz": gzip.compress(b"id,amount\n1,2.5\n2,3.0\n3,4.0\n", mtime=0),
    "csv.zst": pa.compress(b"id,amount\n1,2.5\n2,3.0\n3,4.0\n", "zstd", asbytes=True),
    "json": json.dumps(ROWS.to_pylist()).encode(),
    "parquet": written("parquet"),
    "arrow": written("stream"),
    "xlsx": written("xlsx"),
}


@pytest.mark.parametrize("kind", list(BODIES))
def test_a_file_is_known_by_its_bytes(team: Team, kind: str) -> None:
    answer = team.ben.post(URL, content=BODIES[kind], params={"filename": "x.exe"})
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["format"], told["filename"], told["n_bytes"]) == (kind, "x.exe", len(BODIES[kind]))
    assert [column["name"] for column in told["columns"]] == ["id", "amount"]
    assert [row["amount"] for row in told["rows"]] == [2.5, 3.0, 4.0]
    assert {"kind": "not_null", "columns": ["id"], "severity": "error"} in told["suggested_rules"]
    assert answer.headers["location"] == f"/api/v1/uploads/{told['upload_id']}"
    assert [item["kind"] for item in told["findings"]] == ["identifier"] * len(told["findings"])


def test_arrow_files_and_lines_of_json_are_known(team: Team) -> None:
    assert team.ben.post(URL, content=written("file")).json()["format"] == "arrow"
    told = team.ben.post(URL, content=b'{"a": 1}\n{"a": \n{"a": 3}\n').json()
    assert (told["format"], told["n_quarantined"], told["rows"]) == ("json", 1, [{"a": 1}, {"a": 3}])
    assert told["findings"][0]["kind"] == "malformed_rows"


def test_a_form_has_several_files_and_fields(team: Team) -> None:
    files = [("file", ("a.csv", CSV)), ("file", ("../../b.json", BODIES["json"]))]
    told = team.ben.post(URL, files=files, data={"comment": "no file"}).json()
    assert (told["filename"], [other["filename"] for other in told["others"]]) == ("a.csv", ["b.json"])
    assert len(told["columns"]) == 3


def test_options_of_the_reader_and_what_they_mend(team: Team) -> None:
    book = openpyxl.Workbook()
    book.active.append(["a"])
    book.active.append([1])
    book.create_sheet("Q3").append(["b"])
    sink = io.BytesIO()
    book.save(sink)
    told = team.ben.post(URL, content=sink.getvalue(), params={"filename": "two.xlsx"}).json()
    assert told["columns"] == []
    assert "`sheet`" in told["findings"][0]["detail"]
    assert str(folder(team)) not in json.dumps(told)
    again = team.ben.get(f"/api/v1/uploads/{told['upload_id']}", params={"options": '{"sheet": "Sheet"}'}).json()
    assert again["rows"] == [{"a": 1}]
    wrong = team.ben.get(f"/api/v1/uploads/{told['upload_id']}", params={"options": '{"shet": 1}'})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "bad_parameter")
    assert "did you mean `sheet`" in wrong.json()["mend"]
    assert team.ben.post(URL, content=CSV, params={"options": "[1]"}).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "source_unreadable"),
        (b" \n\t", 422, "source_unreadable"),
        (gzip.compress(b"", mtime=0), 422, "source_unreadable"),
        (b"\x1f\x8bgarbage", 422, "source_unreadable"),
        (b"PK\x03\x04garbage", 422, "source_unreadable"),
        (b"\x7fELF\x00\x00\x00\x00", 415, "unsupported_media_type"),
        (b"SQLite format 3\x00", 415, "unsupported_media_type"),
        (gzip.compress(bytes(100), mtime=0), 415, "unsupported_media_type"),
    ],
)
def test_what_cannot_be_read_is_refused_and_gone(team: Team, body: bytes, status: int, code: str) -> None:
    before = left(team)
    answer = team.ben.post(URL, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert left(team) == before


def test_a_form_without_a_file_or_a_boundary(team: Team) -> None:
    before = left(team)
    assert team.ben.post(URL, files={"a": (None, "text")}).json()["code"] == "body_invalid"
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = team.ben.post(URL, content=b"--x\r\nbroken", headers={"content-type": content_type})
        assert answer.status_code == 400, answer.text
    cut = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.csv"\r\n\r\na,b\n1,2'
    assert team.ben.post(URL, content=cut, headers={"content-type": content_type}).status_code == 400
    assert left(team) == before


def test_too_large_a_file_is_refused_while_it_comes_in(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(team.workspace.options._rows, "max_upload_bytes", 3_000_000)
    before = left(team)
    large = b"a,b\n" + b"1,2\n" * 1_000_000

    def pieces() -> Any:
        yield from (large[begin : begin + 65_536] for begin in range(0, len(large), 65_536))

    for more in ({"content": large}, {"content": pieces()}, {"files": {"f": ("a.csv", large)}}):
        answer = team.ben.post(URL, **more)
        assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    assert left(team) == before
    told = team.ben.post(URL, content=large[:2_000_000] + b"x").json()
    assert (told["n_sampled"], len(told["rows"]), told["n_quarantined"]) == (499_999, 50, 1)


@pytest.mark.parametrize("kind", ["csv", "json"])
@pytest.mark.parametrize("packed", [False, True])
def test_of_a_long_text_the_beginning_is_looked_at(team: Team, kind: str, packed: bool) -> None:
    if kind == "csv":
        text = b"a,t\n1,2,3\n" + b"".join(b'%d,"two\nlines %d"\n' % (n, n) for n in range(400_000))
    else:
        text = b'{"a": \n' + b"".join(b'{"a": %d, "t": "text"}\n' % n for n in range(300_000))
    told = team.ben.post(URL, content=gzip.compress(text, 1) if packed else text).json()
    assert told["n_quarantined"] == 1, told["findings"]
    assert 100_000 < told["n_sampled"] < 300_000
    assert [column["name"] for column in told["columns"]] == ["a", "t"]


def test_a_full_disk_is_told(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "RESERVED", 2**62)
    answer = team.ben.post(URL, content=CSV)
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..\\..\\x.csv", "a\x00b.csv", "\u202egnp.csv", "x" * 10_000, "", "con:<>|", "/", "é" * 300],
)
def test_hostile_names_stay_names(team: Team, name: str) -> None:
    before = left(team)
    told = team.ben.post(URL, content=CSV, params={"filename": name}).json()
    assert len(told["filename"]) <= 200
    assert not set(told["filename"]) & set('/\\\x00\u202e<>|:"')
    assert left(team) - before == {told["upload_id"]}
    assert {path.name for path in (folder(team) / told["upload_id"]).iterdir()} == {"data.csv", "upload.json"}


def test_an_upload_belongs_to_its_user(team: Team) -> None:
    upload = team.ben.post(URL, content=CSV).json()["upload_id"]
    assert upload in [item["upload_id"] for item in team.ben.get("/api/v1/uploads").json()["items"]]
    for other in (team.cleo, team.ada):
        assert upload not in [item["upload_id"] for item in other.get("/api/v1/uploads").json()["items"]]
        for answer in (
            other.get(f"/api/v1/uploads/{upload}"),
            other.delete(f"/api/v1/uploads/{upload}"),
            other.post("/api/v1/datasets", json={"name": "stolen", "upload_id": upload}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_upload")
    assert team.vera.post(URL, content=CSV).status_code == 403
    assert team.nobody.post(URL, content=CSV).status_code == 401
    assert team.ben.delete(f"/api/v1/uploads/{upload}").status_code == 204
    assert team.ben.get(f"/api/v1/uploads/{upload}").status_code == 404
    for bad in ("..", "%2e%2e", "x" * 500, "0" * 32):
        assert team.ben.get(f"/api/v1/uploads/{bad}").status_code == 404


def test_uploads_expire_and_what_was_not_received_goes_at_the_start(team: Team) -> None:
    upload = team.ben.post(URL, content=CSV).json()["upload_id"]
    found = uploads.Uploads(team.workspace.folder)
    halfway, scratch, foreign = (folder(team) / name for name in ("f" * 32, "pynomaly-x", "keep"))
    for path in (halfway, scratch, foreign):
        path.mkdir()
    found.sweep(uploads.keep_seconds(team.workspace))
    assert {upload, halfway.name, scratch.name} <= left(team)
    found.sweep(uploads.keep_seconds(team.workspace), is_start=True)
    assert {upload, "keep"} == left(team) & {upload, halfway.name, scratch.name, "keep"}
    old = time.time() - 2 * 86_400
    os.utime(folder(team) / upload, (old, old))
    found.sweep(uploads.keep_seconds(team.workspace))
    assert upload not in left(team)


def test_a_server_that_starts_removes_what_was_not_received(tmp_path: Path) -> None:
    halfway = tmp_path / "workspace.duckdb.files" / uploads.FOLDER / ("f" * 32)
    halfway.mkdir(parents=True)
    workspace = Workspace(Options({"database": str(tmp_path / "workspace.duckdb")}, {}))
    with TestClient(create_app(workspace)):
        for _ in range(12_000):
            if not halfway.exists():
                break
            time.sleep(0.01)
    assert not halfway.exists()


def file_of(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "received"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_a_packed_bomb_is_refused(tmp_path: Path, packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sniffing, "FREE_BYTES", 1_000_000)
    bomb = b"a,b\n" + b"0,0\n" * 2_000_000
    packed = gzip.compress(bomb) if packing == "gz" else pa.compress(bomb, "zstd", asbytes=True)
    with pytest.raises(UploadTooLarge):
        sniffing.sniffed(file_of(tmp_path, packed), 10**9)
    small = file_of(tmp_path, gzip.compress(os.urandom(600_000).hex().encode(), mtime=0))
    assert sniffing.sniffed(small, 10**9).suffix == ".csv.gz"
    with pytest.raises(UploadTooLarge):
        sniffing.sniffed(small, 1_000_000)


def test_a_workbook_that_understates_its_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sniffing, "FREE_BYTES", 1_000_000)
    content = bytes(50_000_000)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", content)
    lying = sink.getvalue().replace(struct.pack("<I", len(content)), struct.pack("<I", 10))
    lying = lying.replace(struct.pack("<I", zlib.crc32(content)), struct.pack("<I", zlib.crc32(content[:10])))
    for bomb in (sink.getvalue(), lying):
        with pytest.raises(UploadTooLarge):
            sniffing.sniffed(file_of(tmp_path, bomb), 10**9)


@given(content=st.binary(max_size=300), magic=st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"]))
def test_any_bytes_are_something_or_refused(tmp_path_factory: Any, content: bytes, magic: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "received"
    path.write_bytes(magic + content)
    try:
        assert sniffing.sniffed(path, 10**9).suffix
    except PynomalyError as error:
        assert error.status in (413, 415, 422)  # noqa: PT017 - either will do


PUBLIC = {"db.example.com": ["93.184.216.34"], "both.example.com": ["93.184.216.34", "10.0.0.1"]}


def resolve(host: str, port: int) -> list[str]:
    return PUBLIC.get(host, [host])


@pytest.mark.parametrize(
    "address",
    [
        "/etc/passwd",
        "payments.csv",
        "file:///etc/passwd",
        "sqlite:///etc/x.db",
        "gopher://db.example.com/",
        "postgresql:///shop",
        "postgresql://%2Fvar%2Frun/shop",
        "postgresql://db.example.com,10.0.0.1/shop",
        "postgresql://db.example.com/shop?host=10.0.0.1",
        "postgresql://db.example.com/shop?hostaddr=10.0.0.1",
        "postgresql://db.example.com/shop?sslkey=/etc/shadow",
        "postgresql://db.example.com/shop?service=x",
        "postgresql://both.example.com/shop",
        "postgresql://ann:secret@127.0.0.1/shop",
        "postgresql://[::1]:5432/shop",
        "postgresql://::1/shop",
        "postgresql://[::ffff:10.0.0.1]/shop",
        "postgresql://[64:ff9b::7f00:1]/shop",
        "postgresql://[2002:7f00:1::]/shop",
        "postgresql://169.254.169.254/shop",
        "postgresql://100.64.0.1/shop",
        "postgresql://0.0.0.0/shop",
        "postgresql://224.0.0.1/shop",
        "postgresql://db.example.com:0/shop",
        "postgresql://db.example.com:99999/shop",
    ],
)
def test_no_address_of_the_own_network_is_read(address: str) -> None:
    with pytest.raises(AddressRefused) as caught:
        addresses.checked(address, False, resolve)
    assert "secret" not in str(caught.value)


def test_a_public_address_is_pinned_to_the_number_that_was_checked() -> None:
    found = addresses.checked("postgresql://ann@db.example.com/shop?table=t", False, resolve)
    assert found == "postgresql://ann@db.example.com/shop?table=t&hostaddr=93.184.216.34"
    assert addresses.checked("s3://bucket/key.csv", False) == "s3://bucket/key.csv"
    assert addresses.checked("postgresql://10.0.0.1/x", True, resolve).endswith("?hostaddr=10.0.0.1")


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/x.csv",
        "http://127.0.0.1:8808/api/v1/health",
        "http://[::1]/x.csv",
        "http://0x7f000001/x.csv",
        "http://169.254.169.254/latest/meta-data",
        "http://both.example.com/x.csv",
        "http://ann:secret@db.example.com/x.csv",
        "http:///x.csv",
        "http://db.example.com:99999/x.csv",
        "http://db.example.com/x\r\nHost: y",
        "ftp://db.example.com/x.csv",
        "file:///etc/passwd",
    ],
)
def test_no_address_of_the_own_network_is_fetched_from(tmp_path: Path, address: str) -> None:
    def looked_up(host: str, port: int) -> list[str]:
        return PUBLIC[host] if host in PUBLIC else addresses.resolved(host, port)

    with pytest.raises(AddressRefused) as caught:
        fetching.fetch(address, tmp_path / "x", 100, False, looked_up)
    assert "secret" not in str(caught.value)


class Site(BaseHTTPRequestHandler):
    """A site with a file, and with what leads elsewhere."""

    def do_GET(self) -> None:
        answers = {
            "/pay.csv": (200, {}, CSV),
            "/moved": (302, {"Location": "/pay.csv"}, b""),
            "/inwards": (302, {"Location": "http://inner.example.com/x"}, b""),
            "/file": (302, {"Location": "file:///etc/passwd"}, b""),
            "/ring": (302, {"Location": "/ring"}, b""),
            "/cut": (200, {"Content-Length": "1000"}, CSV),
            "/secret": (403, {}, b""),
            "/busy": (503, {}, b""),
        }
        status, headers, body = answers.get(self.path.partition("?")[0], (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """The port of a site on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/pay.csv", ""),
        ("/moved", ""),
        ("/inwards", "address_refused"),
        ("/file", "address_refused"),
        ("/ring", "source_unreadable"),
        ("/cut", "source_unavailable"),
        ("/secret", "source_refused"),
        ("/busy", "source_unavailable"),
        ("/nothing", "unknown_source"),
        ("/pay.csv?large", "upload_too_large"),
    ],
)
def test_a_file_is_fetched_and_redirects_are_checked(
    tmp_path: Path, site: int, path: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def looked_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["10.0.0.1"] if host == "inner.example.com" else ["127.0.0.1"]

    monkeypatch.setattr(addresses, "is_public", lambda number: number == "127.0.0.1")
    limit = 10 if "large" in path else 1000
    found = tmp_path / "x"
    with pytest.raises(PynomalyError) if code else contextlib.nullcontext() as caught:
        fetching.fetch(f"http://site.example.com:{site}{path}", found, limit, False, looked_up)
    assert (caught.value.code if caught else "") == code
    assert code or found.read_bytes() == CSV
    assert set(asked) <= {"site.example.com", "inner.example.com"}


def test_what_is_fetched_becomes_a_dataset(team: Team, site: int, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"name": "fetched", "url": f"http://127.0.0.1:{site}/moved"}
    refused = team.ada.post("/api/v1/datasets", json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "address_refused")
    monkeypatch.setitem(team.workspace.options._rows, "allow_private_addresses", True)
    before = left(team)
    told = team.ada.post("/api/v1/datasets", json=body)
    assert told.status_code == 201, told.text
    assert (told.json()["n_rows"], told.json()["source"]) == (3, body["url"])
    assert left(team) == before
    missing = team.ada.post("/api/v1/datasets", json={**body, "url": f"http://127.0.0.1:{site}/nothing"})
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_source")
    assert left(team) == before
