"""Who may see a dataset, a model or a detector besides its owner."""

from typing import Any

import msgspec
from litestar import Controller, Request, delete, get, put
from litestar.params import FromPath

from pynomaly_server import rowsets
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Db

_KINDS = {"datasets": "dataset", "models": "model", "detectors": "detector"}


def _paths(rest: str) -> list[str]:
    return [f"/{noun}/{{name:str}}/shares{rest}" for noun in _KINDS]


class SharesController(Controller):
    """What is shared with whom; only an owner may ask and change it."""

    path = "/api/v1"
    tags = ("shares",)

    @get(_paths(""), permission=Permission.SHARE)
    @rowsets.in_thread
    def list_shares(self, request: Request[Any, Any, Any], db: Db, name: FromPath[str]) -> dict[str, Any]:
        """The users who see something of the caller's; `*` is everybody."""
        found = [msgspec.to_builtins(share) for share in db.shares(_kind(request), name)]
        return {"items": found, "next_cursor": None}

    @put(_paths("/{user:str}"), status_code=204, permission=Permission.SHARE)
    @rowsets.in_thread
    def put_share(self, request: Request[Any, Any, Any], db: Db, name: FromPath[str], user: FromPath[str]) -> None:
        """Let a user see something of the caller's, or everybody by `*`."""
        db.share(_kind(request), name, user)

    @delete(_paths("/{user:str}"), permission=Permission.SHARE)
    @rowsets.in_thread
    def delete_share(self, request: Request[Any, Any, Any], db: Db, name: FromPath[str], user: FromPath[str]) -> None:
        """Hide it from that user again."""
        db.unshare(_kind(request), name, user)


def _kind(request: Request[Any, Any, Any]) -> str:
    return _KINDS[request.url.path.removeprefix("/api/v1/").partition("/")[0]]
