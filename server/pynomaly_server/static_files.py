"""The files that browsers load: compressed once, and kept by browsers for good under an address that changes with them.

The digest in an address is that of all files together, so that a relative import of a module is such an address too.
"""

import gzip
import hashlib
import mimetypes
from functools import cache
from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from pynomaly_server.permissions import Permission
from pynomaly_server.places import web_folder

FOREVER = "public, max-age=31536000, immutable"
ASKED_AGAIN = "public, no-cache"
_WORTH = 1_000  # bytes from which a file is compressed
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json"}


class File(msgspec.Struct, frozen=True):
    """A file as it is sent; `compressed` is None where that is not worth it."""

    content: bytes
    compressed: bytes | None
    media_type: str
    etag: str


@cache
def digest() -> str:
    """What all files are, in twelve characters."""
    found = hashlib.sha256()
    for path in sorted(_paths()):
        content = (web_folder() / "static" / path).read_bytes()
        found.update(f"{path}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:12]


def asset(path: str) -> str:
    """The address of a static file, which is another one when any of them is."""
    if path not in _paths():
        raise FileNotFoundError(f"there is no static file {path}")
    return f"/static/{digest()}/{path}"


@route("/static/{path:path}", http_method=["GET", "HEAD"], permission=Permission.PUBLIC, include_in_schema=False)
async def static_file(request: Request[Any, Any, Any], path: FromPath[str]) -> Response[bytes]:
    """A file, under its name or under the digest of all and its name."""
    first, _, rest = path.lstrip("/").partition("/")
    is_versioned = first == digest()
    name = rest if is_versioned else path.lstrip("/")
    if name not in _paths():
        raise NotFoundException
    file = _file(name)
    headers = {
        "Cache-Control": FOREVER if is_versioned else ASKED_AGAIN,
        "ETag": file.etag,
        "Vary": "Accept-Encoding",
    }
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
    if file.compressed is None or not takes_gzip:
        return Response(file.content, status_code=200, media_type=file.media_type, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(file.compressed, status_code=200, media_type=file.media_type, headers=headers)


@cache
def _paths() -> frozenset[str]:
    """The names of all files; nothing else of the disk can be asked for."""
    folder = web_folder() / "static"
    return frozenset(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@cache
def _file(path: str) -> File:
    content = (web_folder() / "static" / path).read_bytes()
    suffix = path[path.rfind(".") :]
    kind = _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "text/plain"
    compressed = gzip.compress(content, 9, mtime=0) if len(content) > _WORTH else None
    return File(content, compressed, kind, f'W/"{hashlib.sha256(content).hexdigest()[:16]}"')
