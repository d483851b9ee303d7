"""How large the buffers of an Arrow stream say that they are once they are unpacked.

Arrow unpacks before anybody can look, and a megabyte may stand for a terabyte. The messages are flatbuffers, of which
https://arrow.apache.org/docs/format/Columnar.html tells the fields.
"""

import struct
from typing import Any

import pyarrow as pa

from pynomaly_server.errors import BodyTooLarge

_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2  # kinds of a message's header
_COMPRESSION = 3  # field of a record batch
_BUFFERS = 2


def check_size(body: bytes, most: int) -> None:
    """Raise BodyTooLarge where the packed buffers of a stream or file unpack to more bytes."""
    total = 0
    source = pa.BufferReader(body)
    if body.startswith(b"ARROW1"):
        source.seek(8)  # a file is a stream between two marks
    reader = pa.ipc.MessageReader.open_stream(source)
    while True:
        try:
            message = reader.read_next_message()
        except (StopIteration, EOFError):
            return
        total += _unpacked(message)
        if total > most:
            raise BodyTooLarge(f"the body unpacks to {total:,} bytes or more", "send less at once, or upload it")


def _unpacked(message: Any) -> int:
    """The bytes of a message's buffers once they are unpacked."""
    data = memoryview(message.metadata)
    try:
        return _declared(data, memoryview(message.body) if message.body is not None else memoryview(b""))
    except (struct.error, IndexError) as error:
        raise pa.ArrowInvalid(f"a message is damaged: {error}") from None


def _declared(data: memoryview, body: memoryview) -> int:
    root = _number("<I", data, 0)
    kind = _field(data, root, 1)
    header = _field(data, root, 2)
    if kind is None or header is None:
        return 0
    batch = _followed(data, header)
    if data[kind] == _DICTIONARY_BATCH:
        inner = _field(data, batch, 1)
        if inner is None:
            return 0
        batch = _followed(data, inner)
    elif data[kind] != _RECORD_BATCH:
        return 0
    if _field(data, batch, _COMPRESSION) is None:
        return len(body)
    buffers = _field(data, batch, _BUFFERS)
    return 0 if buffers is None else _sum(data, _followed(data, buffers), body)


def _sum(data: memoryview, vector: int, body: memoryview) -> int:
    """The unpacked sizes of the buffers that a vector lists: each begins with its own, -1 where it is not packed."""
    total = 0
    for place in range(_number("<I", data, vector)):
        offset, length = struct.unpack_from("<qq", data, vector + 4 + 16 * place)
        if length >= 8 and offset >= 0:
            said = _number("<q", body, offset)
            total += said if said >= 0 else length - 8
    return total


def _field(data: memoryview, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer's table is; None where it is left out."""
    entries = table - _number("<i", data, table)
    place = entries + 4 + 2 * number
    if entries < 0 or place + 2 > entries + _number("<H", data, entries):
        return None
    offset = _number("<H", data, place)
    return table + offset if offset else None


def _followed(data: memoryview, place: int) -> int:
    return place + _number("<I", data, place)


def _number(form: str, data: memoryview, place: int) -> int:
    if place < 0:
        raise IndexError("a field is outside")
    return int(struct.unpack_from(form, data, place)[0])
