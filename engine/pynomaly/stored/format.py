"""The container of a stored model: a header in JSON, aligned arrays, a digest. docs/model-format.md describes it.

Nothing here knows what a model is. What is read is checked against the bytes that there are before room is made.
"""

import hashlib
import struct
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import msgspec
import numpy as np

from pynomaly.errors import ModelCorrupt, ModelNewer
from pynomaly.layout import require

MAGIC = b"PYNOMODL"
VERSION = 1
ALIGNMENT = 64
DIGEST = 32  # bytes of a SHA-256
UPGRADE = "upgrade pynomaly"
PREAMBLE = struct.Struct("<8sII")  # magic, version, length of the header

DTYPES = frozenset({"<f8", "<f4", "<i8", "<i4", "<u8", "<u4", "<u2", "|u1", "|i1", "|b1"})


class Described(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the header says of one array; they follow one another, each from the next multiple of 64 bytes on."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The size; whole numbers of Python do not overflow."""
        return np.dtype(self.dtype).itemsize * prod(self.shape)


class Opened(NamedTuple):
    """A file whose digest is right: its header, all before the digest, and where the header ends."""

    header: bytes
    body: memoryview
    end_of_header: int


def described(array: Any) -> Described:
    """What the header says of an array; ValueError for a dtype that is not stored."""
    dtype = array.dtype.newbyteorder("<").str
    if dtype not in DTYPES:
        raise ValueError(f"an array of {array.dtype}")
    return Described(dtype, array.shape)


def packed(header: bytes, arrays: Sequence[Any]) -> bytearray:
    """A file without signature and digest."""
    out = bytearray(PREAMBLE.pack(MAGIC, VERSION, len(header)) + header)
    for array in arrays:
        out += bytes(-len(out) % ALIGNMENT)
        out += np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data.cast("B") if array.size else b""
    return out


def sealed(body: bytearray) -> bytes:
    """A file with its digest."""
    body += hashlib.sha256(body).digest()
    return bytes(body)


def opened(data: bytes) -> Opened:
    """The parts of a file; ModelCorrupt where they are not as they were written, ModelNewer for a later version."""
    view = memoryview(data)
    if len(view) < PREAMBLE.size + DIGEST or bytes(view[: len(MAGIC)]) != MAGIC:
        raise ModelCorrupt("these bytes are not a model of Pynomaly", "give what was exported, as it was")
    if hashlib.sha256(view[:-DIGEST]).digest() != view[-DIGEST:]:
        raise ModelCorrupt("the model is damaged: its digest does not match", "take it again from where it came from")
    _, version, length = PREAMBLE.unpack_from(view)
    if version > VERSION:
        raise ModelNewer(f"the model is in format {version}, and this release reads up to {VERSION}", UPGRADE)
    body, end = view[:-DIGEST], PREAMBLE.size + length
    require(version >= 1 and end <= len(body), "its header is cut off")
    return Opened(bytes(body[PREAMBLE.size : end]), body, end)


def unpacked(body: memoryview, start: int, arrays: Sequence[Described]) -> list[Any]:
    """The arrays of a file that begin after its header, in one block of memory of their own, writable and aligned.

    They must fill the file: what they claim to hold is compared with what is there before there is room for it.
    """
    places, end = [], start
    for array in arrays:
        require(array.dtype in DTYPES and all(0 <= n <= len(body) for n in array.shape), "an array cannot be")
        places.append(end + -end % ALIGNMENT)
        end = places[-1] + array.nbytes
    require(end == len(body), "its arrays do not fill it")
    block = np.empty(len(body) - start + 2 * ALIGNMENT, np.uint8)
    base = -block.ctypes.data % ALIGNMENT + start % ALIGNMENT
    block[base : base + len(body) - start] = body[start:]
    found = []
    for array, place in zip(arrays, places, strict=True):
        at = base + place - start
        values = block[at : at + array.nbytes]
        require(array.dtype != "|b1" or not values.size or values.max() <= 1, "a flag is neither 0 nor 1")
        found.append(values.view(array.dtype).reshape(array.shape))
    return found
