"""The jobs that make datasets: of an upload, or of a source that is served from elsewhere."""

import threading
import uuid
from pathlib import Path
from typing import Any

import msgspec

from pynomaly import urls
from pynomaly.engine import Engine
from pynomaly.errors import PynomalyError, SourceRefused
from pynomaly.versions import Version
from pynomaly_server import addresses, fetching, previews
from pynomaly_server.jobs import Work, register
from pynomaly_server.uploads import Upload, Uploads

MOST_SECRETS = 10_000


class Secrets:
    """Addresses with passwords, which no row of the database shall have; they are lost when the server stops."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}
        self._lock = threading.Lock()

    def keep(self, address: str) -> str:
        """Keep an address and return what it is found by."""
        token = uuid.uuid4().hex
        with self._lock:
            self._kept[token] = address
            while len(self._kept) > MOST_SECRETS:
                del self._kept[next(iter(self._kept))]
        return token

    def find(self, token: str) -> str:
        """A kept address; SourceRefused where the server was started anew since."""
        if token not in self._kept:
            raise SourceRefused("the server has forgotten the password of the source", "connect the source again")
        return self._kept[token]


SECRETS = Secrets()


class NewDataset(msgspec.Struct, forbid_unknown_fields=True):
    """Rows for the next version of a dataset: an upload, or the address of a source.

    `types` are types in SQL by column, of a CSV alone; `options` what the reader of the format or source takes; with
    `strict` a row that cannot be read is an error.
    """

    name: str
    upload_id: str | None = None
    url: str | None = None
    types: dict[str, str] = {}
    options: dict[str, Any] = {}
    strict: bool = False


def request_of(data: NewDataset, user: str, allow_private: bool, most_bytes: int) -> dict[str, Any]:
    """The request of the job that loads a dataset, once its address is checked; no password is in it."""
    asked = {"name": data.name, "user": user, "options": data.options, "strict": data.strict, "types": data.types}
    if data.url is None:
        return {**asked, "upload_id": data.upload_id}
    if urls.scheme(data.url) in fetching.SCHEMES:
        fetching.check(data.url, allow_private)
    else:
        addresses.checked(data.url, allow_private)
    is_secret = (shown := urls.shown(data.url)) != data.url
    told = {"url": shown, "allow_private": allow_private, "most_bytes": most_bytes}
    return {**asked, **told, "secret": SECRETS.keep(data.url) if is_secret else None}


@register("dataset")
def load(db: Engine, request: dict[str, Any], work: Work) -> dict[str, Any]:  # noqa: ARG001 - one form for all
    """Load the next version of a dataset; loaded again, the same bytes are the same version."""
    uploads = Uploads(db.datasets.workspace)
    if request.get("upload_id") is not None:
        upload = uploads.find(request["upload_id"], request["user"])
        found = _of_upload(db, uploads.path(upload), upload, request)
    elif urls.scheme(request["url"]) in fetching.SCHEMES:
        found = _of_fetched(db, uploads, request)
    else:
        url = SECRETS.find(request["secret"]) if request["secret"] else request["url"]
        address = addresses.checked(url, request["allow_private"])
        found = db.datasets.add(request["name"], address, request["strict"], url, **request["options"])
    return {"dataset": {**msgspec.to_builtins(found), "address": found.address}}


def _of_upload(db: Engine, path: Path, upload: Upload, request: dict[str, Any]) -> Version:
    try:
        options = previews.typed(db, path, request["options"], request["types"])
        return db.datasets.add(request["name"], path, request["strict"], upload.filename, **options)
    except PynomalyError as error:
        raise previews.named(error, upload) from None


def _of_fetched(db: Engine, uploads: Uploads, request: dict[str, Any]) -> Version:
    """The version of a file that is fetched, and gone afterwards."""
    url = SECRETS.find(request["secret"]) if request["secret"] else request["url"]

    def fetch(path: Path) -> None:
        fetching.fetch(url, path, request["most_bytes"], request["allow_private"])

    upload = uploads.fetched(fetch, request["user"], request["most_bytes"])
    try:
        named = msgspec.structs.replace(upload, filename=request["url"])
        return _of_upload(db, uploads.path(upload), named, request)
    finally:
        uploads.remove(upload)
