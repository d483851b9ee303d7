"""Users, for who manages them."""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from pynomaly_server import keyset
from pynomaly_server.accounts.records import User
from pynomaly_server.errors import Forbidden
from pynomaly_server.identity import Identity
from pynomaly_server.permissions import ROLES, Permission
from pynomaly_server.served import Caller, Place

# Neither what cannot be seen nor what turns the direction of a text round.
_VISIBLE = r"^[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+$"
DisplayName = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=_VISIBLE)]
Limit = Annotated[int, QueryParameter(ge=1, le=1000)]


class Account(msgspec.Struct):
    """A user; `has_password` is false until the link was used."""

    name: str
    display_name: str
    role: str
    disabled: bool
    has_password: bool
    created_at: datetime
    created_by: str


class AccountPage(msgspec.Struct):
    """Some users, and where the next ones begin."""

    items: list[Account]
    next_cursor: str | None


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """A user to add; a name has letters a to z, digits and . _ - @."""

    name: str
    role: str = "user"
    display_name: DisplayName | None = None


class UserChanges(msgspec.Struct, forbid_unknown_fields=True):
    """What changes of a user; what is left out stays."""

    display_name: DisplayName | msgspec.UnsetType = msgspec.UNSET
    role: str | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET


class UserLink(msgspec.Struct):
    """A token by which a user chooses a password, once, within the hour: POST /api/v1/auth/link takes it."""

    user: str
    token: str
    path: str
    expires_at: datetime


class UsersController(Controller):
    """Who may sign in."""

    path = "/api/v1/users"
    tags = ["accounts"]

    @get("/", permission=Permission.MANAGE_USERS)
    async def list_users(
        self,
        request: Request[Any, Any, Any],
        workspace: Place,
        limit: Limit = 100,
        cursor: FromQuery[str | None] = None,
    ) -> Response[AccountPage]:
        """The users by name."""
        found, following = keyset.page(workspace.accounts.users.all(), lambda user: user.name.lower(), limit, cursor)
        return Response(AccountPage(list(map(_account, found)), following), headers=keyset.link(request, following))

    @post("/", permission=Permission.MANAGE_USERS, elsewhere=True, sync_to_thread=True)
    def add_user(self, identity: Caller, workspace: Place, data: JSONBody[NewUser]) -> Response[Account]:
        """Add a user, who chooses a password by a link; the name of a user who was removed stays taken."""
        _check_holds(identity, data.role)
        user = workspace.accounts.users.add(data.name, data.role, identity.user, data.display_name or "")
        return Response(_account(user), status_code=201, headers={"Location": f"/api/v1/users/{quote(user.name)}"})

    @get("/{name:str}", permission=Permission.MANAGE_USERS)
    async def get_user(self, workspace: Place, name: FromPath[str]) -> Account:
        """One user."""
        return _account(workspace.accounts.users.get(name))

    @patch("/{name:str}", permission=Permission.MANAGE_USERS, elsewhere=True, sync_to_thread=True)
    def change_user(
        self, identity: Caller, workspace: Place, name: FromPath[str], data: JSONBody[UserChanges]
    ) -> Account:
        """Change the display name or the role of a user, or keep the user out; the last administrator stays one."""
        _check_holds(identity, workspace.accounts.users.get(name).role)
        changes: dict[str, Any] = msgspec.to_builtins(data)
        if "role" in changes:
            _check_holds(identity, changes["role"])
        return _account(workspace.accounts.users.change(name, **changes))

    @delete("/{name:str}", permission=Permission.MANAGE_USERS, elsewhere=True, sync_to_thread=True, statuses=(409,))
    def remove_user(self, identity: Caller, workspace: Place, name: FromPath[str]) -> None:
        """Remove a user with all sign-ins and API keys; what the user made stays."""
        _check_holds(identity, workspace.accounts.users.get(name).role)
        workspace.accounts.remove_user(name)

    @post("/{name:str}/link", permission=Permission.MANAGE_USERS, elsewhere=True, secret=True, sync_to_thread=True)
    def make_link(self, identity: Caller, workspace: Place, name: FromPath[str]) -> UserLink:
        """A link by which a user chooses a password; it replaces an older one and is shown once."""
        _check_holds(identity, workspace.accounts.users.get(name).role)
        link, token = workspace.accounts.user_link(name, identity.user)
        return UserLink(str(link.user_name), token, f"/sign-in#link={token}", link.expires_at)


def _check_holds(identity: Identity, role: str) -> None:
    """Raise Forbidden unless the caller may do all that a role may: nobody gives what one does not have."""
    if not ROLES.get(role, frozenset()) <= identity.permissions:
        raise Forbidden(f"the role {role[:64]!r} may do what you may not with this credential", "ask an administrator")


def _account(user: User) -> Account:
    return Account(
        name=user.name,
        display_name=user.display_name,
        role=user.role,
        disabled=user.disabled,
        has_password=user.password is not None,
        created_at=user.created_at,
        created_by=user.created_by,
    )
