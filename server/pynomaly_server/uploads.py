"""Uploaded files: received piece by piece into a folder of their own, kept for a while, and previewed."""

import asyncio
import contextlib
import re
import shutil
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import multipart
import structlog
from anyio import to_thread
from litestar import Request

from pynomaly.errors import PynomalyError, StorageFull
from pynomaly_server.errors import BadRequest, BodyInvalid, UnknownUpload, UploadTooLarge
from pynomaly_server.formats import file_name
from pynomaly_server.sniffing import sniffed

if TYPE_CHECKING:
    from pynomaly_server.workspace import Workspace

LOG = structlog.get_logger("pynomaly.uploads")
FOLDER = "uploads"
RESERVED = 268_435_456  # bytes of the disk that uploads leave free
MOST_FILES = 20  # of one request
WRITTEN_AT_ONCE = 1_048_576
SWEPT_EVERY = 3_600  # seconds
ABOUT = "upload.json"
_ID = re.compile(r"[0-9a-f]{32}")
_SCRATCH = "pynomaly-"  # what a load keeps here for a while begins so


class Upload(msgspec.Struct, frozen=True):
    """An uploaded file; `file` is its name in the folder of uploads, `filename` what its sender called it."""

    id: str
    user: str
    filename: str
    format: str
    n_bytes: int
    uploaded_at: datetime
    file: str


class Uploads:
    """The uploads in the folder of a workspace."""

    def __init__(self, workspace: Path) -> None:
        self._folder = workspace / FOLDER

    def path(self, upload: Upload) -> Path:
        """Where the file is."""
        return self._folder / upload.id / upload.file

    def find(self, upload_id: str, user: str) -> Upload:
        """An upload of a user; UnknownUpload for another."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            if _ID.fullmatch(upload_id):
                found = msgspec.json.decode((self._folder / upload_id / ABOUT).read_bytes(), type=Upload)
                if found.user == user:
                    return found
        raise UnknownUpload(f"there is no upload `{upload_id[:40]}`", "upload the file again: uploads expire")

    def listed(self, user: str) -> list[Upload]:
        """The uploads of a user, the newest first."""
        found = []
        for folder in self._folders():
            with contextlib.suppress(UnknownUpload):
                found.append(self.find(folder.name, user))
        return sorted(found, key=lambda upload: upload.uploaded_at, reverse=True)

    def remove(self, upload: Upload) -> None:
        """Remove an upload."""
        shutil.rmtree(self._folder / upload.id, ignore_errors=True)

    def expiry(self, upload: Upload, keep_seconds: float) -> datetime:
        """When an upload is removed."""
        return upload.uploaded_at + timedelta(seconds=keep_seconds)

    def sweep(self, keep_seconds: float, is_start: bool = False) -> int:
        """Remove what has expired, and at the start what was not received whole; return how many."""
        n_removed = 0
        for folder in [*self._folders(), *self._folder.glob(f"{_SCRATCH}*")]:
            with contextlib.suppress(OSError):
                is_whole = (folder / ABOUT).is_file()
                if time.time() - folder.stat().st_mtime > keep_seconds or (is_start and not is_whole):
                    shutil.rmtree(folder, ignore_errors=True)
                    n_removed += 1
        return n_removed

    def _folders(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from (folder for folder in self._folder.iterdir() if _ID.fullmatch(folder.name))

    async def receive(
        self, request: Request[Any, Any, Any], user: str, filename: str | None, limit: int
    ) -> list[Upload]:
        """Receive the files of a request, the parts of a form or the body itself; all of them, or none.

        Raises UploadTooLarge for a file of more than `limit` bytes, and StorageFull.
        """
        found: list[Upload] = []
        try:
            async with contextlib.aclosing(self._files(request, limit, filename)) as files:
                async for name, received in files:
                    found.append(await to_thread.run_sync(self._kept, received, name, user, limit))
        except BaseException:
            for upload in found:
                self.remove(upload)
            raise
        if not found:
            raise BodyInvalid("the form has no file", "send one as a part with a filename, or as the body")
        return found

    def fetched(self, fetch: Callable[[Path], None], user: str, limit: int) -> Upload:
        """Keep what a function writes into a file."""
        self._check_room(0)
        receiving = _Receiving(self._folder, limit, self._check_room)
        folder = receiving.begin()
        try:
            fetch(folder / _Receiving.NAME)
            return self._kept(folder, "fetched", user, limit)
        finally:
            if not (folder / ABOUT).is_file():
                receiving.give_up()

    async def _files(
        self, request: Request[Any, Any, Any], limit: int, filename: str | None
    ) -> AsyncGenerator[tuple[str, Path], None]:
        """The files of a request, each with its name, while they are received."""
        content_type, options = multipart.parse_options_header(request.headers.get("content-type", ""))
        self._check_room(int(request.headers.get("content-length") or 0))
        receiving = _Receiving(self._folder, limit, self._check_room)
        try:
            if content_type != "multipart/form-data":
                receiving.begin()
                async for piece in request.stream():
                    await receiving.write(piece)
                yield filename or "upload", await receiving.end()
                return
            async for name, path in _parts(request.stream(), options.get("boundary", ""), receiving):
                yield name, path
        finally:
            receiving.give_up()

    def _check_room(self, n_bytes: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        if free - n_bytes < RESERVED:
            raise StorageFull(f"the disk of the workspace has room for {free:,} bytes", "make room, or send less")

    def _kept(self, folder: Path, name: str, user: str, limit: int) -> Upload:
        """The upload in a folder that has received its file."""
        received = folder / _Receiving.NAME
        try:
            kind = sniffed(received, limit)
            path = received.rename(folder / f"data{kind.suffix}")
            shown = file_name(name, 200)
            upload = Upload(
                folder.name, user, shown, kind.suffix[1:], path.stat().st_size, datetime.now(UTC), path.name
            )
            (folder / ABOUT).write_bytes(msgspec.json.encode(upload))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return upload


class _Receiving:
    """One file after another as it comes in; what is not ended is removed."""

    NAME = "receiving"

    def __init__(self, folder: Path, limit: int, check_room: Callable[[int], None]) -> None:
        self._folder = folder
        self._limit = limit
        self._check_room = check_room
        self._current: Path | None = None
        self._waiting = bytearray()
        self._n_bytes = 0

    def begin(self) -> Path:
        """Begin a file in a folder of its own."""
        self._current = self._folder / uuid.uuid4().hex
        self._current.mkdir(mode=0o700, parents=True)
        self._waiting, self._n_bytes = bytearray(), 0
        return self._current

    async def write(self, piece: bytes | bytearray) -> None:
        """Take some bytes; UploadTooLarge where they are too many."""
        self._n_bytes += len(piece)
        if self._n_bytes > self._limit:
            raise UploadTooLarge(
                f"the file has more than {self._limit:,} bytes", "send it in parts, or ask to raise max_upload_bytes"
            )
        self._waiting += piece
        if len(self._waiting) >= WRITTEN_AT_ONCE:
            await to_thread.run_sync(self._flush)

    async def end(self) -> Path:
        """The folder of the file that has come in."""
        await to_thread.run_sync(self._flush)
        found, self._current = self._current, None
        assert found is not None  # noqa: S101 - begin() comes first
        return found

    def give_up(self) -> None:
        """Remove the file that has not come in whole."""
        if self._current is not None:
            shutil.rmtree(self._current, ignore_errors=True)
            self._current = None

    def _flush(self) -> None:
        assert self._current is not None  # noqa: S101 - begin() comes first
        self._check_room(len(self._waiting))
        with (self._current / self.NAME).open("ab") as file:
            file.write(self._waiting)
        self._waiting.clear()


async def _parts(stream: AsyncIterator[bytes], boundary: str, receiving: _Receiving) -> AsyncIterator[tuple[str, Path]]:
    """The files among the parts of a form; its other fields are passed over."""
    filename: str | None = None
    n_files = 0
    try:
        with multipart.PushMultipartParser(boundary, max_segment_count=1_000, max_header_size=20_000) as parser:
            async for piece in stream:
                for event in parser.parse(piece):
                    if isinstance(event, multipart.MultipartSegment):
                        filename = event.filename
                        if filename is not None:
                            n_files += 1
                            _check_number(n_files)
                            receiving.begin()
                    elif event:
                        if filename is not None:
                            await receiving.write(event)
                    elif filename is not None:
                        yield filename, await receiving.end()
                        filename = None
    except multipart.MultipartError as error:
        raise BadRequest(f"the form cannot be read: {error}", "send multipart/form-data with a boundary") from None


def _check_number(n_files: int) -> None:
    if n_files > MOST_FILES:
        raise BodyInvalid(f"the form has more than {MOST_FILES} files", "send several forms")


@contextlib.asynccontextmanager
async def sweeping(workspace: "Workspace") -> AsyncGenerator[None, None]:
    """A block during which what has expired is removed, at the start and every hour."""
    task = asyncio.create_task(_sweep_hourly(workspace))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _sweep_hourly(workspace: "Workspace") -> None:
    uploads, is_start = Uploads(workspace.folder), True
    while True:
        try:
            seconds = await to_thread.run_sync(keep_seconds, workspace)
            await to_thread.run_sync(uploads.sweep, seconds, is_start)
        except (PynomalyError, OSError) as error:
            LOG.error("uploads that have expired were not removed", error=str(error))
        is_start = False
        await asyncio.sleep(SWEPT_EVERY)


def keep_seconds(workspace: "Workspace") -> float:
    """How long an upload is kept."""
    with workspace.own() as db:
        text = "select epoch(?::interval)"
        return float(db.execute(text, [str(workspace.options["keep_uploads"] or "1 day")]).fetchall()[0][0])
