"""Signing in and out of the console."""

from math import ceil
from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.params import FromQuery, URLEncodedBody

from pynomaly.errors import PynomalyError
from pynomaly_server import cookies
from pynomaly_server.accounts.records import User
from pynomaly_server.api import auth
from pynomaly_server.errors import TooManyAttempts
from pynomaly_server.pages.shown import THEME, ZONE, own_address, preference, sent_to, shown
from pynomaly_server.pages.wording import sentence
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Caller, Place

Asked = Request[Any, Any, Any]
Form = URLEncodedBody[dict[str, Any]]
_SAID = {  # what is wrong, and what to do, for somebody at the door
    "unknown_link": ("This link opens nothing", "It was used, is too old, or is for somebody else. Ask for another."),
    "administrator_exists": ("There is an administrator already", "Sign in, or ask them for a link."),
}


class SignInPage(Controller):
    """The door."""

    include_in_schema = False

    @get("/sign-in", permission=Permission.PUBLIC)
    async def get_sign_in(self, request: Asked, workspace: Place, next: FromQuery[str] = "/") -> Response[str]:  # noqa: A002
        """A name and a password; before there is any, the link that makes the first administrator."""
        return _page(request, workspace, {"next": own_address(next)})

    @post("/sign-in", permission=Permission.PUBLIC, elsewhere=True, secret=True, sync_to_thread=True)
    def sign_in(self, request: Asked, workspace: Place, data: Form) -> Response[Any]:
        """Open a session."""
        name = str(data.get("user", ""))
        try:
            known = workspace.accounts.users.find(name)
            auth.audited(request, known.name if known is not None else None)
            user = workspace.accounts.sign_in(name, str(data.get("password", "")), auth.address(request))
        except PynomalyError as error:
            return _page(request, workspace, data, error=error)
        return _entered(request, workspace, user, data)

    @post("/sign-in/link", permission=Permission.PUBLIC, elsewhere=True, secret=True, sync_to_thread=True)
    def redeem_link(self, request: Asked, workspace: Place, data: Form) -> Response[Any]:
        """Choose a password with a link, and open a session."""
        token = str(data.get("token", "")).strip().rpartition("link=")[2]
        try:
            user = workspace.accounts.redeem(token, str(data.get("password", "")), str(data.get("user", "")) or None)
        except PynomalyError as error:
            return _page(request, workspace, data, link_error=error)
        auth.audited(request, user.name)
        return _entered(request, workspace, user, data)

    @post("/sign-out", permission=Permission.SIGNED_IN, elsewhere=True, sync_to_thread=True)
    def sign_out(self, request: Asked, identity: Caller, workspace: Place) -> Response[None]:
        """End the session."""
        workspace.accounts.sessions.end(identity.credential_id, "signed out")
        return sent_to(request, "/sign-in", [cookies.cookie(request.scope, None)])


def _page(
    request: Asked,
    workspace: Place,
    data: dict[str, Any],
    error: PynomalyError | None = None,
    link_error: PynomalyError | None = None,
) -> Response[str]:
    failed = error or link_error
    return shown(
        request,
        "sign_in.html",
        "Sign in",
        status=_status(failed),
        user=str(data.get("user", "")),
        next=str(data.get("next", "/")),
        token=str(data.get("token", "")),
        has_admin=workspace.accounts.has_admin(),
        error=_said(error),
        link_error=_said(link_error),
    )


def _said(failed: PynomalyError | None) -> tuple[str, str] | None:
    """An error in words for people."""
    if failed is None:
        return None
    if isinstance(failed, TooManyAttempts) and (seconds := int(failed.headers["Retry-After"])) > 1:
        minutes = ceil(seconds / 60)
        wait = "a minute" if minutes == 1 else f"{minutes} minutes"
        return "Too many attempts failed", f"Wait {wait}, then try again."
    return _SAID.get(failed.code, (sentence(failed.cause), sentence(failed.mend)))


def _status(failed: PynomalyError | None) -> int:
    """A wrong password is a form that is wrong: nobody was to be signed in already, as 401 would say."""
    if failed is None:
        return 200
    return 422 if failed.status == 401 else failed.status


def _entered(request: Asked, workspace: Place, user: User, data: dict[str, Any]) -> Response[None]:
    """The session's cookie, and the console as the user wants it."""
    entered = auth.entered(request, workspace.accounts, user, True)
    settings = user.settings
    kept = [*entered.cookies]
    if settings.get("theme") in ("light", "dark"):
        kept.append(preference(request, THEME, settings["theme"]))
    if settings.get("time_zone"):
        kept.append(preference(request, ZONE, settings["time_zone"]))
    return sent_to(request, own_address(str(data.get("next", "/"))), kept)
