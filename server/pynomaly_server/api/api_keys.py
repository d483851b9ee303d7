"""API keys: what programs sign their requests with."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from pynomaly_server import keyset
from pynomaly_server.accounts.accounts import signed_in_only
from pynomaly_server.accounts.records import Key
from pynomaly_server.api.users import DisplayName
from pynomaly_server.errors import Forbidden
from pynomaly_server.identity import Identity
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Caller, Place

LIFE = timedelta(days=90)
Limit = Annotated[int, QueryParameter(ge=1, le=1000)]


class ApiKey(msgspec.Struct):
    """An API key without its secret."""

    id: str
    user: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class ApiKeyPage(msgspec.Struct):
    """Some keys, and where the next ones begin."""

    items: list[ApiKey]
    next_cursor: str | None


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """A key to make; it ends after 90 days unless `expires_at` says otherwise, and never where that is null."""

    name: DisplayName
    scopes: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]
    expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET


class MadeKey(ApiKey):
    """A new key; `key` is what requests are signed with, and is shown this once."""

    key: str


class ApiKeysController(Controller):
    """The keys of a user."""

    path = "/api/v1/api-keys"
    tags = ["accounts"]

    @get("/", permission=Permission.SIGNED_IN, statuses=(403, 404))
    async def list_keys(
        self,
        request: Request[Any, Any, Any],
        identity: Caller,
        workspace: Place,
        user: FromQuery[str | None] = None,
        limit: Limit = 100,
        cursor: FromQuery[str | None] = None,
    ) -> Response[ApiKeyPage]:
        """One's own keys by id; who manages users may name another `user`."""
        owner = _owner(identity, workspace, user)
        found, following = keyset.page(workspace.accounts.keys.of(owner), lambda key: key.id, limit, cursor)
        return Response(ApiKeyPage(list(map(_shown, found)), following), headers=keyset.link(request, following))

    @post("/", permission=Permission.SIGNED_IN, elsewhere=True, secret=True, sync_to_thread=True, statuses=(403,))
    def make_key(self, identity: Caller, workspace: Place, data: JSONBody[NewKey]) -> Response[MadeKey]:
        """Make a key with some of one's own permissions; it is shown this once."""
        ends = workspace.accounts.clock() + LIFE if data.expires_at is msgspec.UNSET else data.expires_at
        made, plain = workspace.accounts.make_key(identity, data.name, data.scopes, ends)
        headers = {"Location": f"/api/v1/api-keys/{made.id}", "Cache-Control": "no-store"}
        return Response(MadeKey(**msgspec.structs.asdict(_shown(made)), key=plain), status_code=201, headers=headers)

    @delete("/{id:str}", permission=Permission.SIGNED_IN, elsewhere=True, sync_to_thread=True, statuses=(403,))
    def revoke_key(
        self,
        identity: Caller,
        workspace: Place,
        id: FromPath[str],  # noqa: A002
        user: FromQuery[str | None] = None,
    ) -> None:
        """Revoke a key at once; a key may revoke itself, and who manages users may name another `user`."""
        owner = _owner(identity, workspace, user)
        if owner == identity.user and identity.credential_id != id:
            signed_in_only(identity)
        workspace.accounts.keys.revoke(owner, id)


def _owner(identity: Identity, workspace: Place, user: str | None) -> str:
    """Whose keys are meant; raises Forbidden for somebody else's without the permission."""
    if user is None or user == identity.user:
        return identity.user
    if not identity.may(Permission.MANAGE_USERS):
        raise Forbidden("these are the keys of somebody else", "leave `user` out, or ask an administrator")
    return workspace.accounts.users.get(user).name


def _shown(key: Key) -> ApiKey:
    return ApiKey(
        id=key.id,
        user=key.user_name,
        name=key.name,
        scopes=key.scopes,
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
    )
