"""A page or its part: what a browser is shown, and where it is sent."""

from typing import Any

from litestar import Request, Response
from litestar.datastructures import Cookie

from pynomaly_server.identity import Identity
from pynomaly_server.pages.environment import SEEING, environment
from pynomaly_server.requests import request_id
from pynomaly_server.workspace import Workspace

HTML = "text/html"
THEME, ZONE = "pynomaly_theme", "pynomaly_zone"
_YEAR = 31_536_000  # seconds
Asked = Request[Any, Any, Any]


def shown(
    request: Asked, part: str, title: str, *, nav: str = "", status: int = 200, cookies: list[Cookie] | None = None,
    headers: dict[str, str] | None = None, **context: Any,
) -> Response[str]:  # fmt: skip
    """The page of a template; its part alone for htmx.

    `part` is a template under web/templates/pages/, `nav` the key of the place in the header (see nav.html). Templates
    have `context` and what `common` gives.
    """
    frame = "part.html" if is_part(request) else "page.html"
    given = {**common(request), "part": f"pages/{part}", "title": title, "nav": nav, "toasts": [], **context}
    html = environment().get_template(frame).render(given)
    return _answer(html, status, cookies, headers)


def fragment(
    request: Asked, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **context: Any
) -> Response[str]:
    """A template as it is, without a frame or a title: a count, a list that a form swaps."""
    return _answer(rendered(request, template, **context), status, None, headers)


def rendered(request: Asked, template: str, **context: Any) -> str:
    """The text of a template, for what is no response: a server-sent event."""
    return environment().get_template(template).render({**common(request), **context})


def common(request: Asked) -> dict[str, Any]:
    """What every template has."""
    identity: Identity | None = request.scope.get("user")
    SEEING.set(identity)
    return {
        "identity": identity,
        "csrf": csrf_token(request, identity),
        "theme": theme if (theme := request.cookies.get(THEME)) in ("light", "dark") else "",
        "zone": request.cookies.get(ZONE, "UTC"),
        "request_id": request_id(),
        "here": here(request),
        "is_part": is_part(request),
        "is_whole": request.headers.get("hx-target") == "main",  # a part that takes the place of a whole page
    }


def csrf_token(request: Asked, identity: Identity | None) -> str:
    """What a form sends along; empty where there is no session that could be abused."""
    if identity is None or identity.credential != "session":
        return ""
    workspace: Workspace = request.app.state.workspace
    return workspace.accounts.sessions.csrf_token(identity.credential_id)


def here(request: Asked) -> str:
    """The address of this page, query included, as links on it begin."""
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def is_htmx(request: Asked) -> bool:
    """Whether htmx asks."""
    return request.headers.get("hx-request") == "true"


def is_part(request: Asked) -> bool:
    """Whether a part is wanted: htmx asks, and not for a whole page that it boosts or has forgotten."""
    whole = ("hx-boosted", "hx-history-restore-request")
    return is_htmx(request) and not any(request.headers.get(name) == "true" for name in whole)


def sent_to(request: Asked, address: str, cookies: list[Cookie] | None = None) -> Response[None]:
    """Another page: what a form that was posted ends with."""
    if is_htmx(request):
        return Response(None, status_code=204, headers={"HX-Redirect": address}, cookies=cookies)
    return Response(None, status_code=303, headers={"Location": address}, cookies=cookies)


def own_address(address: str | None, otherwise: str = "/") -> str:
    """An address of this site that somebody gave; `otherwise` for one of another site."""
    given = address or ""
    path = given.replace("\\", "/")  # as browsers read it; where two slashes begin it, or more, a host follows
    return given if path.startswith("/") and not path.startswith("//") and given.isprintable() else otherwise


def preference(request: Asked, name: str, value: str) -> Cookie:
    """A cookie of how somebody wants the console; scripts may change it too."""
    secure = request.scope["scheme"] == "https"
    return Cookie(name, value=value, max_age=_YEAR if value else 0, path="/", samesite="lax", secure=secure)


def _answer(html: str, status: int, cookies: list[Cookie] | None, headers: dict[str, str] | None) -> Response[str]:
    return Response(
        html, status_code=status, media_type=HTML, cookies=cookies, headers={"Vary": "HX-Request", **(headers or {})}
    )
