"""Objects of an S3-compatible store: fetched in pieces to the folder of the load, and read there as files.

Who asks, and where, is told by the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
AWS_REGION, AWS_ENDPOINT_URL; AWS_SKIP_SIGNATURE=true for a bucket that everybody may read.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from pynomaly.datasets.opened import Asked, Opened, Opener, missing
from pynomaly.datasets.remote import breaker, patience
from pynomaly.errors import (
    BadParameter,
    PynomalyError,
    SourceRefused,
    SourceUnavailable,
    SourceUnreadable,
    StorageFull,
    UnknownSource,
    did_you_mean,
)
from pynomaly.quoting import literal

PIECE = 16 * 2**20  # bytes of a request
MOST_NAMED = 1000  # keys that are looked through for one that was meant
_ADDRESS = re.compile(r"s3://([^/]*)/?(.*)", re.IGNORECASE | re.DOTALL)
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)  # fmt: skip


class Bucket(msgspec.Struct, frozen=True):
    """A bucket, the store that reaches it, and how long it may be silent."""

    name: str
    store: Any
    seconds: float

    def ask(self, action: Callable[[], Any]) -> Any:
        """What a request gives, patiently, or its error by name."""

        def asked() -> Any:
            try:
                return action()
            except Exception as error:  # noqa: BLE001 - what is none of the store's comes back as it is
                raise self._problem(error) from None

        return patience.patiently(asked, self.seconds)

    def _problem(self, error: Exception) -> Exception:
        from obstore import exceptions

        if not isinstance(error, exceptions.BaseError | OSError) or isinstance(error, PynomalyError):
            return error
        text = str(error).partition("\n\nDebug source")[0]
        code = re.search(r"<Code>(\w+)</Code>", text)
        status = re.search(r"status code: (\d+ [\w ]+)", text)
        told = ": ".join(found[1].strip() for found in (status, code) if found)
        cause = f"`s3://{self.name}`: {told or ' '.join(text.rpartition(' - ')[2].split())}"
        if code and code[1] == "NoSuchBucket":
            return UnknownSource(f"bucket `{self.name}` does not exist", "check its name and AWS_ENDPOINT_URL")
        if isinstance(error, FileNotFoundError):
            return error
        if isinstance(error, exceptions.PreconditionError):
            return SourceUnreadable(f"{cause}: it changed while it was read", "load it again")
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError) or (
            status and status[1].startswith(("401", "403"))
        ):
            return SourceRefused(cause, "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the rights of that key")
        if status and status[1].startswith("4") and status[1][:3] not in ("408", "429"):
            return SourceUnreadable(cause, "check the bucket, AWS_REGION and AWS_ENDPOINT_URL")
        return SourceUnavailable(cause, "nothing was loaded: load it again when the store answers")


def objects(opener: Callable[[str], Opener | None]) -> Opener:
    """What opens a key, a pattern of keys, or all Parquet files below a key that ends in a slash."""

    @contextmanager
    def opened(asked: Asked) -> Iterator[Opened]:
        found = _ADDRESS.fullmatch(asked.address)
        if found is None or not found[1] or "@" in found[1] or ":" in found[1]:
            raise BadParameter(
                f"`{asked.source}` names no bucket", "write s3://bucket/key; credentials: AWS_ACCESS_KEY_ID"
            )
        folder = asked.folder / "objects"
        local = folder / found[2]
        inner = opener(str(local)) if found[2] and not found[2].endswith("/") else None
        if inner is None and not found[2].endswith("/"):
            raise BadParameter(f"`{asked.source}` has no suffix that is known", "name a file, a pattern, or a folder/")
        bucket = _bucket(found[1], asked)
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or "s3:/"
        with breaker.of(f"{endpoint}/{bucket.name}").guarding():
            _fetch(bucket, found[2], folder, asked)
        with _told(folder, bucket):
            opening = inner or opener(str(local))
            yield from _inner(opening, asked, local, folder, bucket)

    return opened


def _inner(opening: Opener | None, asked: Asked, local: Path, folder: Path, bucket: Bucket) -> Iterator[Opened]:
    if opening is None:
        raise UnknownSource(f"`{asked.source}` has no Parquet file", "name a file or a pattern")
    options = {name: value for name, value in asked.options.items() if name != "timeout"}
    held: AbstractContextManager[Opened] = opening(msgspec.structs.replace(asked, source=str(local), options=options))
    with held as rows:
        if rows.bad is not None:
            here, there = (literal(f"{place}/") for place in (folder, f"s3://{bucket.name}"))
            rows.bad = f"select * replace (replace(file, {here}, {there}) as file) from ({rows.bad})"
        yield rows


@contextmanager
def _told(folder: Path, bucket: Bucket) -> Iterator[None]:
    """A block whose errors name the objects rather than their copies."""
    try:
        yield
    except PynomalyError as error:
        raise type(error)(_remote(error.cause, folder, bucket), _remote(error.mend, folder, bucket)) from None


def _remote(text: str, folder: Path, bucket: Bucket) -> str:
    return text.replace(f"{folder}/", f"s3://{bucket.name}/")


def _bucket(name: str, asked: Asked) -> Bucket:
    try:
        from obstore.store import S3Store
    except ImportError:
        raise missing("obstore", "S3") from None
    if not any(os.environ.get(variable) for variable in _CREDENTIALS):
        raise SourceRefused(
            f"`{asked.source}` needs credentials, and the environment has none",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket",
        )
    limit = patience.seconds(asked)
    moment = timedelta(milliseconds=100)
    store = S3Store(
        name,
        client_options={
            "allow_http": True,  # the endpoint says whether
            "timeout": timedelta(seconds=limit),
            "connect_timeout": timedelta(seconds=min(patience.CONNECT_SECONDS, limit)),
        },
        # One place asks again: patience.
        retry_config={
            "max_retries": 0,
            "retry_timeout": timedelta(seconds=limit),
            "backoff": {"init_backoff": moment, "max_backoff": moment, "base": 2},
        },
    )
    return Bucket(name, store, limit)


def _fetch(bucket: Bucket, key: str, folder: Path, asked: Asked) -> None:
    """Fetch what a key, a pattern or a folder names; UnknownSource where there is nothing."""
    import obstore

    if any(sign in key for sign in "*?[") or key.endswith("/"):
        prefix = re.split(r"[*?\[]", key)[0].rpartition("/")[0]
        wanted = re.compile(_pattern(key))
        found = [item for item in _listed(bucket, prefix) if wanted.fullmatch(item["path"])]
        if not found:
            raise UnknownSource(f"no object matches `{asked.source}`", "check the pattern")
    else:
        try:
            found = [bucket.ask(lambda: obstore.head(bucket.store, key))]
        except FileNotFoundError:
            beside = [item["path"] for item in _listed(bucket, key.rpartition("/")[0])]
            raise UnknownSource(
                f"`{asked.source}` does not exist", did_you_mean(key, beside) or "the bucket is empty"
            ) from None
    _check_room(sum(item["size"] for item in found), folder, asked.source)
    for item in found:
        _fetch_one(bucket, item, folder, asked)


def _pattern(key: str) -> str:
    """A pattern of keys as a regular expression: a star stays within its folder, two do not."""
    if key.endswith("/"):
        return f"{re.escape(key)}.*\\.parquet"
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[!?[^\]]+\])", key)
    return "".join(
        signs.get(piece)
        or (piece.replace("[!", "[^") if piece.startswith("[") and piece.endswith("]") else re.escape(piece))
        for piece in pieces
    )


def _listed(bucket: Bucket, prefix: str) -> list[Any]:
    import obstore

    return list(
        bucket.ask(lambda: [item for page in obstore.list(bucket.store, prefix=prefix or None) for item in page])
    )


def _check_room(n_bytes: int, folder: Path, called: str) -> None:
    free = shutil.disk_usage(folder.parent).free
    if n_bytes > free:
        raise StorageFull(
            f"`{called}` has {n_bytes:,} bytes and `{folder.parent.parent}` room for {free:,}", "name another in TMPDIR"
        )


def _fetch_one(bucket: Bucket, item: Any, folder: Path, asked: Asked) -> None:
    """Fetch an object piece by piece; SourceUnreadable where it changes meanwhile."""
    key, size = str(item["path"]), int(item["size"])
    if PurePosixPath(key).is_absolute() or ".." in key.split("/"):
        raise SourceUnreadable(f"the key `{key}` is no path of a file", "rename the object")
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for begin in range(0, size, PIECE):
            asked.check_stopped()
            options = {"range": (begin, min(begin + PIECE, size)), "if_match": item["e_tag"]}
            file.write(bucket.ask(partial(_piece, bucket.store, key, options)))


def _piece(store: Any, key: str, options: dict[str, Any]) -> Any:
    import obstore

    return obstore.get(store, key, options=options).bytes()
