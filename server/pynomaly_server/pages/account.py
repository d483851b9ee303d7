"""One's own account: how the console looks, the keys of programs, the password."""

from datetime import timedelta
from typing import Any
from zoneinfo import available_timezones

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, URLEncodedBody

from pynomaly.errors import PynomalyError
from pynomaly_server import cookies
from pynomaly_server.accounts.accounts import signed_in_only
from pynomaly_server.api import auth
from pynomaly_server.errors import UnknownKey
from pynomaly_server.pages.shown import THEME, ZONE, preference, sent_to, shown
from pynomaly_server.pages.wording import sentence
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Caller, Place

Asked = Request[Any, Any, Any]
Form = URLEncodedBody[dict[str, Any]]
LIVES = (("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "never"))
SCOPES = {  # what a permission lets a program do
    Permission.READ: "Read what you see",
    Permission.QUERY: "Run SQL",
    Permission.LABEL: "Label rows",
    Permission.DETECT: "Detect anomalies",
    Permission.WRITE_DATASETS: "Add and change datasets",
    Permission.WRITE_MODELS: "Train and change models",
    Permission.SHARE: "Share with others",
    Permission.CONNECT_SOURCES: "Connect sources",
    Permission.WRITE_SQL: "Run SQL that writes",
    Permission.METRICS: "Read the metrics",
    Permission.SEE_ALL: "See everybody's work",
    Permission.MANAGE_USERS: "Manage users",
    Permission.MANAGE_SETTINGS: "Manage settings",
}


class AccountPage(Controller):
    """The account of who is signed in."""

    path = "/account"
    include_in_schema = False

    @get("/", permission=Permission.SIGNED_IN, sync_to_thread=True)
    def get_account(self, request: Asked, identity: Caller, workspace: Place) -> Response[str]:
        """Everything on one page."""
        return _page(request, identity, workspace)

    @post("/settings", permission=Permission.SIGNED_IN, elsewhere=True, sync_to_thread=True)
    def change_settings(self, request: Asked, identity: Caller, workspace: Place, data: Form) -> Response[Any]:
        """Theme and time zone."""
        theme, zone = str(data.get("theme", "system")), str(data.get("time_zone", "UTC"))
        if zone not in available_timezones() or theme not in ("system", "light", "dark"):
            errors = {"time_zone": f"There is no time zone “{zone[:64]}”. Take one of the list, such as Europe/Berlin."}
            return _page(request, identity, workspace, status=422, errors=errors, values=data)
        workspace.accounts.users.change(identity.user, settings={"theme": theme, "time_zone": zone})
        chosen = [preference(request, THEME, "" if theme == "system" else theme), preference(request, ZONE, zone)]
        return sent_to(request, "/account", chosen)

    @post("/keys", permission=Permission.SIGNED_IN, elsewhere=True, secret=True, sync_to_thread=True)
    def make_key(self, request: Asked, identity: Caller, workspace: Place, data: Form) -> Response[str]:
        """A key, shown this once."""
        name, days, scopes = str(data.get("name", "")).strip(), str(data.get("days", "90")), data.get("scopes", [])
        chosen = [scopes] if isinstance(scopes, str) else list(scopes)
        if not name or not chosen or days not in dict(LIVES) or not set(chosen) <= set(identity.permissions):
            errors = {"key": "Give it a name, and tick at least one thing that it may do."}
            return _page(request, identity, workspace, status=422, errors=errors, values=data)
        ends = workspace.accounts.clock() + timedelta(days=int(days)) if days else None
        _, plain = workspace.accounts.make_key(identity, name[:100], chosen, ends)
        return _page(request, identity, workspace, new_key=plain)

    @get("/keys/{id:str}/revoke", permission=Permission.SIGNED_IN, sync_to_thread=True)
    def ask_revoke(self, request: Asked, identity: Caller, workspace: Place, id: FromPath[str]) -> Response[str]:  # noqa: A002
        """The question, as a page of its own."""
        key = next((key for key in workspace.accounts.keys.of(identity.user) if key.id == id), None)
        if key is None:
            raise UnknownKey("this key is no longer there", "it may be revoked already")
        return shown(request, "account_revoke.html", "Revoke a key", key=key)

    @post("/keys/{id:str}/revoke", permission=Permission.SIGNED_IN, elsewhere=True, sync_to_thread=True)
    def revoke_key(self, request: Asked, identity: Caller, workspace: Place, id: FromPath[str]) -> Response[None]:  # noqa: A002
        """End a key."""
        signed_in_only(identity)
        workspace.accounts.keys.revoke(identity.user, id)
        return sent_to(request, "/account")

    @post("/password", permission=Permission.SIGNED_IN, elsewhere=True, secret=True, sync_to_thread=True)
    def change_password(self, request: Asked, identity: Caller, workspace: Place, data: Form) -> Response[Any]:
        """Another password; every session ends."""
        given = (str(data.get("current", "")), str(data.get("new", "")))
        try:
            workspace.accounts.change_password(identity, *given, auth.address(request))
        except PynomalyError as error:
            errors = {"password": f"{sentence(error.cause)} {sentence(error.mend)}"}
            return _page(request, identity, workspace, status=422, errors=errors)
        return sent_to(request, "/sign-in", [cookies.cookie(request.scope, None)])


def _page(
    request: Asked,
    identity: Caller,
    workspace: Place,
    status: int = 200,
    errors: dict[str, str] | None = None,
    values: dict[str, Any] | None = None,
    new_key: str = "",
) -> Response[str]:
    user = workspace.accounts.users.get(identity.user)
    return shown(
        request,
        "account.html",
        "Account",
        status=status,
        user=user,
        settings={"theme": "system", "time_zone": "UTC", **user.settings},
        keys=workspace.accounts.keys.of(identity.user),
        abilities={str(one): text for one, text in SCOPES.items()},
        scopes=[(str(one), text) for one, text in SCOPES.items() if one in identity.permissions],
        zones=sorted(available_timezones()),
        lives=LIVES,
        errors=errors or {},
        values=values or {},
        new_key=new_key,
    )
