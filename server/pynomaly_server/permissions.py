"""What may be done, which role may do it, and the one place where that is checked."""

from enum import StrEnum
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from pynomaly_server.errors import Draining, Forbidden, Unauthenticated

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Permission(StrEnum):
    """What a route demands; every route declares one as `permission=`."""

    PUBLIC = "public"  # nobody needs to be signed in
    SIGNED_IN = "signed_in"  # one's own account
    READ = "read"
    QUERY = "query"
    LABEL = "label"
    DETECT = "detect"
    WRITE_DATASETS = "write_datasets"
    CONNECT_SOURCES = "connect_sources"
    WRITE_MODELS = "write_models"
    SHARE = "share"
    WRITE_SQL = "write_sql"
    SEE_ALL = "see_all"
    METRICS = "metrics"
    MANAGE_USERS = "manage_users"
    MANAGE_SETTINGS = "manage_settings"


_VIEWER = frozenset({Permission.PUBLIC, Permission.SIGNED_IN, Permission.READ})
_USER = _VIEWER | {
    Permission.QUERY,
    Permission.LABEL,
    Permission.DETECT,
    Permission.WRITE_DATASETS,
    Permission.WRITE_MODELS,
    Permission.SHARE,
}

# A role is a bundle of permissions.
ROLES: dict[str, frozenset[Permission]] = {"admin": frozenset(Permission), "user": _USER, "viewer": _VIEWER}


async def permitted(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a request through that holds the permission of its route; Unauthenticated or Forbidden otherwise.

    It is async so that no request waits for a thread here.
    """
    if connection.scope.get("method") == "OPTIONS":  # what a route can do is no secret, and its handler has no opt
        return
    if connection.app.state.workspace.is_draining and connection.scope.get("method", "GET") not in _READS:
        raise Draining("the server is being stopped", "ask again in a few seconds")
    needed = Permission(handler.opt["permission"])
    identity = connection.scope.get("user")
    if needed is Permission.PUBLIC:
        return
    if identity is None:
        refused: Unauthenticated | None = connection.scope["state"].get("unauthenticated")
        raise refused or Unauthenticated(
            "nobody is signed in", "send an access token or an API key: Authorization: Bearer ..."
        )
    if not identity.may(needed):
        raise Forbidden(
            f"this needs the permission `{needed}`, which `{identity.user}` does not have with this credential",
            "ask an administrator",
        )
