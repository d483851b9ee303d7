"""Files that were uploaded and are no dataset yet."""

from typing import Any

import msgspec
from anyio import to_thread
from litestar import Controller, Request, Response, delete, get, post
from litestar.params import FromPath, FromQuery

from pynomaly_server import previews
from pynomaly_server.identity import Identity
from pynomaly_server.permissions import Permission
from pynomaly_server.previews import Uploaded
from pynomaly_server.served import Caller, Db, Place
from pynomaly_server.uploads import Upload, Uploads
from pynomaly_server.workspace import Workspace


class UploadsController(Controller):
    """Uploads of the caller, until they are committed as datasets or expire."""

    path = "/api/v1"
    tags = ("uploads",)

    @post(
        "/datasets/upload",
        permission=Permission.WRITE_DATASETS,
        request_max_body_size=None,  # the setting max_upload_bytes counts, while the body is received
        statuses=(413, 415, 422, 507),
    )
    async def upload_dataset(
        self,
        request: Request[Any, Any, Any],
        identity: Caller,
        workspace: Place,
        filename: FromQuery[str | None] = None,
        options: FromQuery[str | None] = None,
    ) -> Response[Uploaded]:
        """Upload a file, as the body or in a form, and see what is in it.

        What the file is, its bytes tell. `options` is a JSON object of what the reader of the format takes, such as
        `{"sheet": "Q3"}`. POST /datasets makes a dataset of the upload.
        """
        given = previews.decoded_options(options)
        uploads = Uploads(workspace.folder)
        found = await uploads.receive(request, identity.user, filename, workspace.options["max_upload_bytes"])
        told = await to_thread.run_sync(_told, workspace, identity, found, given)
        first = msgspec.structs.replace(told[0], others=told[1:])
        return Response(first, status_code=201, headers={"Location": f"/api/v1/uploads/{first.upload_id}"})

    @get("/uploads", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def list_uploads(self, identity: Caller, workspace: Place) -> dict[str, Any]:
        """The caller's uploads, the newest first."""
        found = Uploads(workspace.folder).listed(identity.user)
        return {"items": [previews.listed(upload) for upload in found], "next_cursor": None}

    @get("/uploads/{upload_id:str}", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def get_upload(
        self,
        db: Db,
        identity: Caller,
        workspace: Place,
        upload_id: FromPath[str],
        options: FromQuery[str | None] = None,
    ) -> Uploaded:
        """What is in an upload, read with other options."""
        upload = Uploads(workspace.folder).find(upload_id, identity.user)
        return previews.told(db, workspace, upload, previews.decoded_options(options))

    @delete("/uploads/{upload_id:str}", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def delete_upload(self, identity: Caller, workspace: Place, upload_id: FromPath[str]) -> None:
        """Remove an upload before it expires."""
        uploads = Uploads(workspace.folder)
        uploads.remove(uploads.find(upload_id, identity.user))


def _told(workspace: Workspace, identity: Identity, found: list[Upload], options: dict[str, Any]) -> list[Uploaded]:
    with workspace.acting(identity) as db:
        return [previews.told(db, workspace, upload, options) for upload in found]
