"""What an uploaded file is, by its bytes and never by its name, and whether it unpacks to more than it may."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyarrow as pa

from pynomaly.errors import SourceUnreadable
from pynomaly_server.errors import UnsupportedMediaType, UploadTooLarge

HEAD_BYTES = 65_536
MOST_RATIO = 200  # bytes of one packed byte: tables pack to a tenth, a bomb to a thousandth
FREE_BYTES = 67_108_864  # may be unpacked whatever the ratio
MOST_WORKBOOK = 2_000_000_000  # bytes of a workbook unpacked: it is read whole
MOST_MEMBERS = 10_000
READ = 1_048_576
_PACKED = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst"}
CODECS = {"gz": "gzip", "zst": "zstd"}
_ZIP = b"PK\x03\x04"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BINARY = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\x89HDF\r\n\x1a\n": "h5",
    _OLD_EXCEL: "xls",
    b"\xff\xff\xff\xff": "arrow",
}
_SHEETS = {"xl/workbook.xml": "xlsx", "xl/workbook.bin": "xlsb"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
KNOWN = "CSV, JSON, Parquet, Arrow, Excel, OpenDocument or HDF5, text also packed by gzip or zstd"


class Kind(msgspec.Struct, frozen=True):
    """A format, and the packing around it, as suffixes that the engine knows."""

    format: str
    packing: str = ""

    @property
    def suffix(self) -> str:
        """The end of a file's name."""
        return f".{self.format}{f'.{self.packing}' if self.packing else ''}"


def sniffed(path: Path, most_bytes: int) -> Kind:
    """What a file is.

    Raises UnsupportedMediaType for what cannot be read, SourceUnreadable for an empty file and UploadTooLarge for a
    bomb, which unpacks to more than `most_bytes` or too far.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip():
        raise SourceUnreadable("the file is empty", "send one with a header line or rows")
    packing = next((name for magic, name in _PACKED.items() if head.startswith(magic)), "")
    if packing:
        head = _unpacked_head(path, packing, most_bytes)
        if not head.strip():
            raise SourceUnreadable("the file is empty once it is unpacked", "send one with rows")
        return Kind(_text(head), packing)
    if head.startswith(_ZIP):
        return Kind(_workbook(path, most_bytes))
    found = next((name for magic, name in _BINARY.items() if head.startswith(magic)), None)
    return Kind(found or _text(head))


def _text(head: bytes) -> str:
    """What a text is: JSON, or fields in lines."""
    if head.startswith(_UTF16):
        return "csv"
    if b"\x00" in head:
        raise UnsupportedMediaType("the bytes are of no format that is read", f"send {KNOWN}")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_object = text.startswith(b"{") and text[1:].lstrip()[:1] in (b'"', b"}")
    is_array = text.startswith(b"[") and text[1:].lstrip()[:1] in (b"{", b"]")
    return "json" if is_object or is_array else "csv"


def _unpacked_head(path: Path, packing: str, most_bytes: int) -> bytes:
    """The first bytes of a packed file, once all of it was unpacked and counted."""
    head, total, packed = b"", 0, path.stat().st_size
    try:
        with pa.CompressedInputStream(pa.OSFile(str(path)), CODECS[packing]) as stream:
            while piece := stream.read(READ):
                head = head or bytes(piece[:HEAD_BYTES])
                total += len(piece)
                _check_size(total, packed, most_bytes)
    except (OSError, pa.ArrowException) as error:
        raise SourceUnreadable(f"the file cannot be unpacked: {error}", "pack it again") from None
    return head


def _check_size(total: int, packed: int, most_bytes: int) -> None:
    if total > most_bytes or total > max(FREE_BYTES, MOST_RATIO * packed):
        raise UploadTooLarge(f"{packed:,} bytes unpack to {total:,} bytes or more", "send it unpacked, or in parts")


def _workbook(path: Path, most_bytes: int) -> str:
    """Which kind of workbook a zip archive is; what it says of its sizes is not believed."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                raise UploadTooLarge(f"the archive has {len(members):,} members", "send a workbook")
            total = 0
            for member in members:
                for n_bytes in _inflated(file, member):
                    total += n_bytes
                    _check_size(total, path.stat().st_size, min(most_bytes, MOST_WORKBOOK))
            names = {member.filename for member in members}
            found = next((kind for name, kind in _SHEETS.items() if name in names), None)
            if found is None and "mimetype" in names and "content.xml" in names:
                found = "ods"
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, OSError) as error:
        raise SourceUnreadable(f"the archive is damaged: {error}", "send the file again") from None
    if found is None:
        raise UnsupportedMediaType("the archive is no workbook", f"unpack it, and send {KNOWN}")
    return found


def _inflated(file: BinaryIO, member: zipfile.ZipInfo) -> Iterator[int]:
    """The sizes of the pieces of a member as they are unpacked."""
    file.seek(member.header_offset + 26)
    lengths = file.read(4)
    file.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError("a member is packed in an unusual way")
    left, inflating = member.compress_size, zlib.decompressobj(-zlib.MAX_WBITS)
    while left > 0 and (packed := file.read(min(left, READ))):
        left -= len(packed)
        if member.compress_type == zipfile.ZIP_STORED:
            yield len(packed)
            continue
        while packed:
            yield len(inflating.decompress(packed, READ))
            packed = inflating.unconsumed_tail
