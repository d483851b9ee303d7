"""The formats of rows over HTTP: which one a request wants, and an answer in it, batch by batch in bounded memory."""

import io
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import duckdb
import msgspec
import pyarrow as pa
from litestar import Request, Response
from litestar.response import Stream
from pyarrow import parquet

from pynomaly.errors import InternalFailure, PynomalyError
from pynomaly.translate import translate
from pynomaly_server import legible
from pynomaly_server.errors import NotAcceptable

BATCH_ROWS = 16_384
SMALL_BYTES = 262_144  # of an answer that is sent at once
Batches = Iterator[pa.RecordBatch]
Writer = Callable[[pa.Schema, Batches, bool], Iterator[bytes]]


class Format(msgspec.Struct, frozen=True):
    """A format with its suffix, the media types that mean it (the first is told), and what writes it."""

    name: str
    media_types: tuple[str, ...]
    write: Writer


def _json(schema: pa.Schema, batches: Batches, _: bool) -> Iterator[bytes]:
    """An array of objects."""
    opening = b"["
    for batch in _whole(schema, batches):
        yield opening + legible.json_array(batch)[1:-1]
        opening = b"," if batch.num_rows else opening
    yield b"[]" if opening == b"[" else b"]"


def _ndjson(schema: pa.Schema, batches: Batches, _: bool) -> Iterator[bytes]:
    for batch in _whole(schema, batches):
        yield legible.json_lines(batch)


def _csv(schema: pa.Schema, batches: Batches, escape: bool) -> Iterator[bytes]:
    yield legible.csv_lines(schema.empty_table(), header=True, escape=escape)
    for batch in _whole(schema, batches):
        yield legible.csv_lines(batch, header=False, escape=escape)


def _arrow(schema: pa.Schema, batches: Batches, _: bool) -> Iterator[bytes]:
    sink = _Sink()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


def _parquet(schema: pa.Schema, batches: Batches, _: bool) -> Iterator[bytes]:
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


FORMATS = {
    found.name: found
    for found in (
        Format("json", ("application/json",), _json),
        Format("ndjson", ("application/x-ndjson", "application/ndjson", "application/jsonl"), _ndjson),
        Format("csv", ("text/csv",), _csv),
        Format("arrow", ("application/vnd.apache.arrow.stream",), _arrow),
        Format("parquet", ("application/vnd.apache.parquet", "application/x-parquet"), _parquet),
    )
}
# how pages write them, and in which order
LABELS = {"csv": "CSV", "parquet": "Parquet", "arrow": "Arrow", "ndjson": "NDJSON", "json": "JSON"}
OF_MEDIA_TYPE = {media_type: found for found in FORMATS.values() for media_type in found.media_types}
MEDIA_TYPES = tuple(found.media_types[0] for found in FORMATS.values())
_SUFFIX = re.compile(rf"\.({'|'.join(FORMATS)})$")


class _Sink(io.RawIOBase):
    """A file of which what was written is taken away piece by piece."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._n_taken = 0

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any) -> int:
        """Keep some bytes until they are taken."""
        self._buffer += data
        return len(data)

    def tell(self) -> int:
        """How much was written since the beginning."""
        return self._n_taken + len(self._buffer)

    def taken(self) -> bytes:
        """What was written since the last time."""
        found = bytes(self._buffer)
        self._n_taken += len(found)
        self._buffer.clear()
        return found


def paths(path: str) -> list[str]:
    """A path of rows, and the same with the suffix of each format."""
    return [path, *(f"{path}.{name}" for name in FORMATS)]


def without_suffix(text: str) -> str:
    """The last part of a path without the suffix of a format."""
    return _SUFFIX.sub("", text)


def wanted(request: Request[Any, Any, Any]) -> Format:
    """The format that a request asks for, by suffix or else by Accept; NotAcceptable for none of ours."""
    if suffix := _SUFFIX.search(request.url.path):
        return FORMATS[suffix[1]]
    accept = request.headers.get("accept", "*/*")
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen = None
    for media_range, quality in _ranges(accept):
        for place, found in enumerate(FORMATS.values()):
            closeness = max(_closeness(media_range, name) for name in found.media_types)
            if closeness and (quality, closeness, -place) > best and quality > 0 and not _refused(accept, found):
                best, chosen = (quality, closeness, -place), found
    if chosen is None:
        raise NotAcceptable(f"the header Accept asks for {accept[:200]!r}", f"ask for one of {', '.join(MEDIA_TYPES)}")
    return chosen


def _ranges(accept: str) -> list[tuple[str, float]]:
    """The media ranges of an Accept header with their qualities; what cannot be read does not count."""
    found = []
    for part in accept.split(",")[:50]:
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        given = next((item[2:] for item in parameters if item.startswith("q=")), "1")
        if re.fullmatch(r"(0(\.\d*)?|1(\.0*)?)", given):
            found.append((media_range or "*/*", float(given)))
    return found


def _refused(accept: str, chosen: Format) -> bool:
    """Whether a format is named with quality 0."""
    return any(quality == 0 and media_range in chosen.media_types for media_range, quality in _ranges(accept))


def _closeness(media_range: str, media_type: str) -> int:
    """How exactly a range names a media type: 3 by itself, 1 as one of all, 0 not at all."""
    if media_range == media_type:
        return 3
    return 1 if media_range == "*/*" else 2 if media_range == f"{media_type.partition('/')[0]}/*" else 0


def respond(
    request: Request[Any, Any, Any],
    rows: pa.Table | pa.RecordBatchReader,
    name: str = "rows",
    *,
    escape: bool = True,
    headers: dict[str, str] | None = None,
    done: Callable[[], None] | None = None,
) -> Response[Any]:
    """Rows in the format that a request asks for, as a file called like `name`.

    A large reader is read while the answer is sent, and `done` called when that has ended. `escape` is as in
    `legible.csv_lines`. Raises NotAcceptable, and what reading raises where that is before anything was sent.
    """
    chosen = wanted(request)
    sent = {"Vary": "Accept", **disposition(name, chosen.name), **(headers or {})}
    if isinstance(rows, pa.Table):
        whole = b"".join(chosen.write(rows.schema, iter(rows.to_batches(BATCH_ROWS)), escape))
        return Response(whole, media_type=chosen.media_types[0], headers=sent)
    sending = pieces(chosen, rows, escape, done)
    first = b""
    for piece in sending:
        first += piece
        if len(first) > SMALL_BYTES:
            return Stream(itertools.chain([first], sending), media_type=chosen.media_types[0], headers=sent)
    return Response(first, media_type=chosen.media_types[0], headers=sent)


def disposition(name: str, suffix: str) -> dict[str, str]:
    """The header that names the file which a browser keeps; a JSON answer is shown."""
    if suffix == "json":
        return {}
    clean = f"{file_name(name)}.{suffix}"
    plain = clean.encode("ascii", "replace").decode().replace("?", "_")
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(clean, safe='')}"}


def file_name(name: str, most: int = 100) -> str:
    """A name as a file may be called: its last part, without what a shell, a header or a screen would misread."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(letter for letter in last if unicodedata.category(letter)[0] not in "CZ" or letter == " ")
    return re.sub(r'[<>:"|?*;%\s]+', "_", kept).strip("._ ")[:most] or "rows"


def pieces(
    chosen: Format, reader: pa.RecordBatchReader, escape: bool, done: Callable[[], None] | None
) -> Iterator[bytes]:
    """The bytes of an answer; what fails breaks it off, so that nobody takes a part for the whole."""
    try:
        yield from (piece for piece in chosen.write(reader.schema, iter(reader), escape) if piece)
    except PynomalyError:
        raise
    except Exception as error:  # a ValueError, as Arrow's are, would pass for the end of the answer
        raise _translated(error) from error
    finally:
        reader.close()
        if done is not None:
            done()


def _translated(error: Exception) -> PynomalyError:
    if isinstance(error, duckdb.Error | pa.ArrowException | OSError | MemoryError):
        return translate(error)
    return InternalFailure("the rows could not be written", "report it")


def _whole(schema: pa.Schema, batches: Batches) -> Iterator[pa.Table]:
    for batch in batches:
        yield pa.Table.from_batches([batch], schema)
