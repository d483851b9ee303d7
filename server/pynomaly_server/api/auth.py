"""Signing in and out, and one's own account."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread
from litestar import Controller, Request, Response, get, patch, post, put
from litestar.params import JSONBody

from pynomaly_server import cookies
from pynomaly_server.accounts import Accounts
from pynomaly_server.accounts.accounts import signed_in_only
from pynomaly_server.accounts.passwords import AT_ONCE, WAITING
from pynomaly_server.accounts.records import User
from pynomaly_server.accounts.sessions import Tokens
from pynomaly_server.api.users import DisplayName
from pynomaly_server.errors import RefreshReused, Unauthenticated
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Caller, Place

Asked = Request[Any, Any, Any]
Done = TypeVar("Done")
_THREADS = CapacityLimiter(AT_ONCE + WAITING + 8)  # more than may wait, so that who comes too late is told at once


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """A name with its password; `session` asks for the cookie of the console instead of tokens."""

    user: str
    password: str
    session: bool = False


class Redeem(msgspec.Struct, forbid_unknown_fields=True):
    """The token of a sign-in link with the password that is chosen; `user` names the first administrator."""

    token: str
    password: str
    user: str | None = None
    session: bool = False


class Refresh(msgspec.Struct, forbid_unknown_fields=True):
    """The last refresh token."""

    refresh_token: str


class NewPassword(msgspec.Struct, forbid_unknown_fields=True):
    """Another password."""

    current_password: str
    new_password: str


class ConsoleSession(msgspec.Struct):
    """A session by cookie; every change sends `csrf_token` in the header X-CSRF-Token."""

    user: str
    csrf_token: str
    expires_at: datetime


class Preferences(msgspec.Struct, forbid_unknown_fields=True):
    """How somebody wants the console."""

    theme: Literal["system", "light", "dark"] = "system"
    time_zone: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_+/-]{1,64}$")] = "UTC"


class Me(msgspec.Struct):
    """Who asks, by what, and what that allows."""

    user: str
    display_name: str
    role: str
    permissions: list[str]
    credential: str
    csrf_token: str | None
    settings: Preferences


class MyChanges(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody changes of the own account; what is left out stays."""

    display_name: DisplayName | msgspec.UnsetType = msgspec.UNSET
    settings: Preferences | msgspec.UnsetType = msgspec.UNSET


class AuthController(Controller):
    """Who somebody is."""

    path = "/api/v1/auth"
    tags = ["accounts"]

    @post("/sign-in", permission=Permission.PUBLIC, status_code=200, elsewhere=True, secret=True, statuses=(401, 403))
    async def sign_in(
        self, request: Asked, workspace: Place, data: JSONBody[SignIn]
    ) -> Response[Tokens | ConsoleSession]:
        """Sign in with a password, for an access token and a refresh token, or for a cookie."""
        known = workspace.accounts.users.find(data.user)
        audited(request, known.name if known is not None else None)
        user = await costly(workspace.accounts.sign_in, data.user, data.password, address(request))
        return entered(request, workspace.accounts, user, data.session)

    @post("/link", permission=Permission.PUBLIC, status_code=200, elsewhere=True, secret=True, statuses=(401, 403))
    async def redeem_link(
        self, request: Asked, workspace: Place, data: JSONBody[Redeem]
    ) -> Response[Tokens | ConsoleSession]:
        """Choose a password with a sign-in link, and sign in; the first link makes the first administrator."""
        user = await costly(workspace.accounts.redeem, data.token, data.password, data.user)
        audited(request, user.name)
        return entered(request, workspace.accounts, user, data.session)

    @post("/refresh", permission=Permission.PUBLIC, status_code=200, elsewhere=True, secret=True, sync_to_thread=True,
          statuses=(401, 403))  # fmt: skip
    def refresh(self, request: Asked, workspace: Place, data: JSONBody[Refresh]) -> Response[Tokens]:
        """The next tokens; a refresh token is used once, and using it twice ends the sign-in."""
        try:
            tokens = workspace.accounts.sessions.refresh(data.refresh_token)
        except RefreshReused as error:
            audited(request, error.user)
            raise
        return Response(tokens, headers={"Cache-Control": "no-store"})

    @post("/sign-out", permission=Permission.SIGNED_IN, status_code=204, elsewhere=True, sync_to_thread=True,
          statuses=(403,))  # fmt: skip
    def sign_out(self, request: Asked, identity: Caller, workspace: Place) -> Response[None]:
        """End this sign-in: its tokens and its cookie are worth nothing from now on."""
        signed_in_only(identity)
        workspace.accounts.sessions.end(identity.credential_id, "signed out")
        return Response(None, status_code=204, cookies=[cookies.cookie(request.scope, None)])

    @get("/me", permission=Permission.SIGNED_IN)
    async def get_me(self, identity: Caller, workspace: Place) -> Me:
        """Who asks, and what the credential allows."""
        is_console = identity.credential == "session"
        user = workspace.accounts.users.get(identity.user)
        return Me(
            user=user.name,
            display_name=user.display_name,
            role=identity.role,
            permissions=sorted(identity.permissions),
            credential=identity.credential,
            csrf_token=workspace.accounts.sessions.csrf_token(identity.credential_id) if is_console else None,
            settings=msgspec.convert(user.settings, Preferences),
        )

    @patch("/me", permission=Permission.SIGNED_IN, elsewhere=True, sync_to_thread=True, statuses=(403,))
    def change_me(self, identity: Caller, workspace: Place, data: JSONBody[MyChanges]) -> Preferences:
        """Change the own display name or the settings of the console; answers with the settings."""
        signed_in_only(identity)
        changes: dict[str, Any] = msgspec.to_builtins(data)
        user = workspace.accounts.users.change(identity.user, **changes)
        return msgspec.convert(user.settings, Preferences)

    @put("/password", permission=Permission.SIGNED_IN, status_code=204, elsewhere=True, statuses=(403,))
    async def change_password(
        self, request: Asked, identity: Caller, workspace: Place, data: JSONBody[NewPassword]
    ) -> Response[None]:
        """Set another password; every sign-in ends, this one too, and API keys stay."""
        given = (data.current_password, data.new_password, address(request))
        await costly(workspace.accounts.change_password, identity, *given)
        return Response(None, status_code=204, cookies=[cookies.cookie(request.scope, None)])


async def costly(work: Callable[..., Done], *given: Any) -> Done:
    """Do what computes a digest of a password in a thread apart: guessing takes no thread from other requests."""
    return await to_thread.run_sync(partial(work, *given), limiter=_THREADS)


def entered(request: Asked, accounts: Accounts, user: User, wants_session: bool) -> Response[Tokens | ConsoleSession]:
    """The answer to somebody who has just signed in; a session that was there before ends."""
    headers = {"Cache-Control": "no-store"}
    if not wants_session:
        return Response(accounts.grant_tokens(user), headers=headers)
    _end_former(request, accounts)
    session, cookie = accounts.open_console(user)
    told = ConsoleSession(user.name, accounts.sessions.csrf_token(session.id), session.expires_at)
    return Response(told, headers=headers, cookies=[cookies.cookie(request.scope, cookie)])


def audited(request: Asked, user: str | None) -> None:
    """Tell the audit whose account a request is about; a name that nobody has may be a password, and is not told."""
    request.scope["state"]["audit_object"] = user


def address(request: Asked) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else ""


def _end_former(request: Asked, accounts: Accounts) -> None:
    former = cookies.value(request.scope)
    if former is not None:
        try:
            accounts.sessions.end(accounts.sessions.of_cookie(former).id, "signed in again")
        except Unauthenticated:
            return
