"""Roles: bundles of permissions."""

import msgspec
from litestar import Controller, get

from pynomaly_server.permissions import ROLES, Permission


class Role(msgspec.Struct):
    """A role with what it may do."""

    name: str
    permissions: list[str]


class RolePage(msgspec.Struct):
    """Every role."""

    items: list[Role]
    next_cursor: str | None = None


class RolesController(Controller):
    """What a user may be."""

    path = "/api/v1/roles"
    tags = ["accounts"]

    @get("/", permission=Permission.SIGNED_IN)
    async def list_roles(self) -> RolePage:
        """The roles, each a bundle of permissions."""
        return RolePage([Role(name, sorted(permissions)) for name, permissions in ROLES.items()])
