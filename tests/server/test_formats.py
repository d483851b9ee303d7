"""Rows in and out: every format gives back what went in, no cell of a CSV runs, no body is taken at its word."""

import contextlib
import csv
import io
import json
import re
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, Request, Response, get
from litestar.params import FromQuery
from litestar.testing import TestClient
from pyarrow import parquet

from pynomaly.errors import PynomalyError
from pynomaly_server import bodies, formats, legible, problems
from pynomaly_server.errors import BodyInvalid, BodyTooLarge, UnsupportedMediaType

ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
ROWS = pa.table({"id": [1, 2, 3], "text": ["=1+1", None, "plain"], "amount": [1.5, None, -2.0]})
TEXTS = st.lists(st.text(), min_size=1, max_size=5)


@get(formats.paths("/rows"))
async def some_rows(
    request: Request[Any, Any, Any], stream: FromQuery[bool] = False, name: FromQuery[str] = "rows"
) -> Response[Any]:
    return formats.respond(request, ROWS.to_reader(2) if stream else ROWS, name)


@get("/broken")
async def broken_rows(request: Request[Any, Any, Any]) -> Response[Any]:
    def batches() -> Any:
        yield ROWS.to_batches()[0]
        raise pa.ArrowInvalid("the disk is gone")

    return formats.respond(request, pa.RecordBatchReader.from_batches(ROWS.schema, batches()))


@pytest.fixture(scope="module")
def client() -> Any:
    app = Litestar([some_rows, broken_rows], exception_handlers={Exception: problems.answer}, logging_config=None)
    with TestClient(app, raise_server_exceptions=False) as found:
        yield found


def read(content: bytes, name: str) -> Any:
    if name == "arrow":
        return pa.ipc.open_stream(content).read_all()
    return parquet.read_table(io.BytesIO(content))


@pytest.mark.parametrize("stream", [False, True])
def test_every_format_by_suffix_and_by_accept(client: Any, stream: bool) -> None:
    for name, known in formats.FORMATS.items():
        by_suffix = client.get(f"/rows.{name}", params={"stream": stream})
        by_accept = client.get("/rows", params={"stream": stream}, headers={"accept": known.media_types[-1]})
        for answer in (by_suffix, by_accept):
            assert answer.status_code == 200
            assert answer.headers["content-type"].partition(";")[0] == known.media_types[0]
            assert answer.headers["vary"] == "Accept"
            if name in ("arrow", "parquet"):
                assert read(answer.content, name).equals(ROWS)
    records = ROWS.to_pylist()
    assert client.get("/rows.json", params={"stream": stream}).json() == records
    lines = client.get("/rows.ndjson", params={"stream": stream}).text.splitlines()
    assert [json.loads(line) for line in lines] == records
    text = client.get("/rows.csv", params={"stream": stream}).text
    assert list(csv.reader(io.StringIO(text)))[1] == ["1", "'=1+1", "1.5"]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("*/*", "json"),
        ("text/*", "csv"),
        ("text/csv;q=0.5, application/json;q=0.4", "csv"),
        ("application/json;q=0, */*", "ndjson"),
        ("text/html, text/csv;q=0.1", "csv"),
        ("TEXT/CSV", "csv"),
        ("application/x-parquet", "parquet"),
        ("", "json"),
        ("text/html", None),
        ("text/csv;q=0", None),
        ("text/csv;q=9", None),
        ("image/*, text/html;q=1", None),
    ],
)
def test_accept_is_weighed(client: Any, accept: str, wanted: str | None) -> None:
    answer = client.get("/rows", headers={"accept": accept})
    if wanted is None:
        assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
        assert "text/csv" in answer.json()["mend"]
    else:
        assert answer.headers["content-type"].partition(";")[0] == formats.FORMATS[wanted].media_types[0]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("../../etc/passwd", "passwd.csv"),
        ('a"b\r\nX: y', "a_bX_y.csv"),
        ("über 1", "_ber_1.csv"),
        ("\u202egnp.exe", "gnp.exe.csv"),
        ("", "rows.csv"),
        ("...", "rows.csv"),
        ("x" * 10_000, "x" * 100 + ".csv"),
    ],
)
def test_names_of_files_are_harmless(client: Any, name: str, wanted: str) -> None:
    told = client.get("/rows.csv", params={"name": name}).headers["content-disposition"]
    assert f'filename="{wanted}"' in told


def test_what_breaks_off_is_no_whole_answer(client: Any) -> None:
    answer = client.get("/broken", headers={"accept": "text/csv"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_what_breaks_off_later_raises_what_no_server_takes_for_the_end() -> None:
    many = pa.table({"t": ["x" * 1000] * 1000})

    def batches() -> Any:
        yield from many.to_batches()
        raise pa.ArrowInvalid("the disk is gone")

    ended: list[bool] = []
    reader = pa.RecordBatchReader.from_batches(many.schema, batches())
    pieces = formats.pieces(formats.FORMATS["csv"], reader, True, lambda: ended.append(True))
    with pytest.raises(PynomalyError, match="the disk is gone"):
        b"".join(pieces)
    assert ended == [True]


@given(texts=TEXTS)
def test_no_cell_of_a_csv_is_a_formula(texts: list[str]) -> None:
    rows = pa.table({"=name": texts, "n": [-1] * len(texts)})
    written = legible.csv_lines(rows, header=True).decode()
    found = list(csv.reader(io.StringIO(written, newline="")))
    assert found[0] == ["'=name", "n"]
    for text, (cell, number) in zip(texts, found[1:], strict=True):
        assert number == "-1"
        is_number = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text)
        assert is_number or not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert cell == text or cell == f"'{text}"
    plain = legible.csv_lines(rows, header=False, escape=False).decode()
    assert [row[0] for row in csv.reader(io.StringIO(plain, newline=""))] == texts


def test_numbers_are_no_formulas() -> None:
    rows = pa.table({"t": ["-5", "+1.5e3", "-.5", "-1-1", "+", "@a", "a=b", None]})
    cells = [row[0] if row else "" for row in csv.reader(io.StringIO(legible.csv_lines(rows, header=False).decode()))]
    assert cells == ["-5", "+1.5e3", "-.5", "'-1-1", "'+", "'@a", "a=b", ""]


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("'NaN'::double", None),
        ("'-infinity'::float", None),
        ("9007199254740993", 9007199254740993),
        ("12345678901234567890123::hugeint", 12345678901234567890123),
        ("1.250::decimal(9,3)", 1.25),
        ("timestamptz '2026-01-01 01:30:00+01:00'", "2026-01-01T00:30:00Z"),
        ("timestamp '2026-01-01 01:30:00.5'", "2026-01-01T01:30:00.500"),
        ("timestamp '-infinity'", "-infinity"),
        ("date '2026-02-03'", "2026-02-03"),
        ("interval '14 months 3 days 1.5 seconds'", "P14M3DT1.5S"),
        ("interval '0 days'", "PT0S"),
        ("'ab'::blob", "YWI="),
        ("'x'::enum('x', 'y')", "x"),
        ("map {'a': 1}", {"a": 1}),
        ("{'a': [1.5::decimal(5,2)], 'b': {'c': interval 1 day}}", {"a": [1.5], "b": {"c": "P1D"}}),
        ("[{'at': timestamp '2026-01-01'}]", [{"at": "2026-01-01T00:00:00"}]),
        ("[1, 2]::int[2]", [1, 2]),
        ("[]::int[]", []),
        ("null", None),
    ],
)
def test_values_are_good_json(sql: str, wanted: Any) -> None:
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'Asia/Tokyo'")
        rows = con.sql(f"select {sql} as v union all select null").to_arrow_table()
    assert sorted((item["v"] for item in json.loads(legible.json_array(rows))), key=lambda v: v is None)[0] == wanted
    legible.csv_lines(rows, header=True)


def test_no_rows_are_written_in_every_format(client: Any) -> None:
    empty = ROWS.schema.empty_table()
    written = {name: b"".join(known.write(empty.schema, iter(()), True)) for name, known in formats.FORMATS.items()}
    assert (written["json"], written["ndjson"]) == (b"[]", b"")
    assert written["csv"].decode().strip() == '"id","text","amount"'
    assert read(written["arrow"], "arrow").equals(empty)
    assert read(written["parquet"], "parquet").equals(empty)


@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_a_body_in_every_format_is_read(name: str) -> None:
    known = formats.FORMATS[name]
    body = b"".join(known.write(ROWS.schema, iter(ROWS.to_batches()), False))
    assert bodies.read_body(f"{known.media_types[0]}; charset=utf-8", body).to_pylist() == ROWS.to_pylist()


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ('{"a": 1}', [{"a": 1}]),
        ('{"columns": {"a": [1, null]}}', [{"a": 1}, {"a": None}]),
        ('{"columns": [1]}', [{"columns": [1]}]),
        ('[{"a": 1}, {"b": 2.5}]', [{"a": 1, "b": None}, {"a": None, "b": 2.5}]),
        ('[{"a": 1}, {"a": 2.5}]', [{"a": 1.0}, {"a": 2.5}]),
        ('[{"a": 18446744073709551616}]', [{"a": 18446744073709551616}]),
        ("[]", []),
    ],
)
def test_json_bodies(body: str, rows: list[Any]) -> None:
    assert bodies.read_body("application/json", body.encode()).to_pylist() == rows


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('[{"a": 1}, {"a": "x"}]', "/1/a"),
        ('[{"a": 1}, 7]', "/1"),
        ('[{"a/b~": 1}, {"a/b~": true}]', "/1/a~1b~0"),
        ('{"columns": {"a": [1], "b": 2}}', "/columns/b"),
        ('{"columns": {"a": [1, "x"]}}', "/columns/a/1"),
        ('{"columns": {"a": [1, 2], "b": [1]}}', "/columns/b"),
        ("7", ""),
        ("", ""),
        ("[" * 100_000, ""),
        ('[{"a": ' + "[" * 50 + "]" * 50 + "}]", "/0/a"),
    ],
)
def test_what_is_wrong_is_pointed_to(body: str, pointer: str) -> None:
    with pytest.raises(BodyInvalid) as caught:
        bodies.read_body("application/json", body.encode())
    assert [item["pointer"] for item in caught.value.errors] == [pointer]


def test_an_unknown_media_type_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="image/png"):
        bodies.read_body("image/png", b"")


@pytest.mark.parametrize("name", list(formats.FORMATS))
@given(body=st.binary(max_size=200))
def test_any_bytes_are_rows_or_an_error(name: str, body: bytes) -> None:
    with contextlib.suppress(BodyInvalid, BodyTooLarge):
        bodies.read_body(formats.FORMATS[name].media_types[0], body)


def packed(rows: pa.Table, compression: str | None) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(rows)
    return sink.getvalue()


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_an_arrow_bomb_is_not_unpacked(compression: str) -> None:
    bomb = packed(pa.table({"a": pa.repeat(0, 40_000_000)}), compression)
    assert len(bomb) < 3_000_000
    with pytest.raises(BodyTooLarge):
        bodies.read_body(ARROW, bomb)


def test_a_parquet_bomb_is_not_unpacked() -> None:
    sink = io.BytesIO()
    repeated = pa.DictionaryArray.from_arrays(pa.repeat(0, 100_000).cast(pa.int32()), ["x" * 100_000])
    parquet.write_table(pa.table({"a": repeated}), sink)
    assert len(sink.getvalue()) < 300_000
    with pytest.raises(BodyTooLarge):
        bodies.read_body(PARQUET, sink.getvalue())


@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_arrow_ends_no_process(places: list[tuple[float, int]]) -> None:
    body = bytearray(packed(pa.table({"a": list(range(50)), "t": [str(n) for n in range(50)]}), "zstd"))
    for place, value in places:
        body[int(place * (len(body) - 1))] = value
    with contextlib.suppress(BodyInvalid, BodyTooLarge):
        bodies.read_body(ARROW, bytes(body))


def test_a_thousand_rows_are_written_and_read_back() -> None:
    rows = pa.table({f"c{n}": [n + row / 7 for row in range(1000)] for n in range(12)})
    assert bodies.read_body("application/json", legible.json_array(rows)).equals(rows)
    assert msgspec.json.decode(legible.json_array(rows)) == rows.to_pylist()
