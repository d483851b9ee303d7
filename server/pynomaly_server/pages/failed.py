"""Errors as pages: for people, where `problems` is for programs."""

from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog
from litestar import Request, Response
from msgspec.structs import replace

from pynomaly_server import problems
from pynomaly_server.pages.shown import fragment, here, is_htmx, own_address, sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.problems import Problem
from pynomaly_server.recognition import identity_of

LOG = structlog.get_logger("pynomaly.errors")
_FOR_PROGRAMS = ("/api", "/static", "/health", "/metrics", "/graphql")
_TITLES = {
    400: "This request cannot be read",
    403: "You may not do this",
    404: "There is nothing here",
    405: "This address takes no such request",
    409: "This does not go with what is there",
    413: "This is too large",
    422: "This cannot be done so",
    429: "Too many requests",
    500: "Something failed that should not",
    503: "The server is being restarted",
}
_AGAIN = (429, 500, 503)  # what may go well the next time
_DOES = {
    Permission.QUERY: "write SQL",
    Permission.LABEL: "label rows",
    Permission.DETECT: "run detections and score rows",
    Permission.WRITE_DATASETS: "upload or change data",
    Permission.CONNECT_SOURCES: "connect to other systems",
    Permission.WRITE_MODELS: "change models",
    Permission.SHARE: "share anything",
    Permission.SEE_ALL: "see what belongs to others",
    Permission.MANAGE_USERS: "manage accounts",
    Permission.MANAGE_SETTINGS: "change settings",
}


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The response to a request that failed: a page where a page was asked for, a problem otherwise."""
    told = problems.answer(request, error)
    status = told.status_code or 500
    if not wants_page(request):
        return told
    if status == 401:
        return sent_to(request, f"/sign-in?{urlencode({'next': _seen(request)})}")
    try:
        return (_toast if is_htmx(request) else _page)(request, told, status)
    except Exception as second:  # whatever a template does wrong, there is an answer
        LOG.error("the page of an error failed", exc_info=second)
        return told


def _seen(request: Request[Any, Any, Any]) -> str:
    """The page that somebody was on: a form, or a piece of a page, is none that one could be sent back to."""
    told = request.headers.get("hx-current-url", "")
    if request.method == "GET" and not told:
        return here(request)
    parts = urlsplit(told or request.headers.get("referer", ""))
    address = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return own_address(address) if parts.netloc == request.headers.get("host") else "/"


def wants_page(request: Request[Any, Any, Any]) -> bool:
    """Whether a person asked, by a browser."""
    if request.scope["path"].startswith(_FOR_PROGRAMS):
        return False
    return is_htmx(request) or "text/html" in request.headers.get("accept", "")


def _page(request: Request[Any, Any, Any], told: Response[Problem], status: int) -> Response[str]:
    if request.scope.get("user") is None:  # no route, so nobody was recognised on the way to one
        request.scope["user"] = identity_of(request.scope)
    problem = _for_people(request, told)
    title = _TITLES.get(status, problem.title)
    again = here(request) if status in _AGAIN and request.method == "GET" else ""
    return shown(request, "failed.html", title, status=status, headers=_kept(told), problem=problem, again=again)


def _for_people(request: Request[Any, Any, Any], told: Response[Problem]) -> Problem:
    """A problem in words for somebody in front of a page; what is said of addresses and tokens is for programs."""
    problem = told.content
    said = _said(request, problem, told.headers.get("Retry-After", ""))
    return replace(problem, detail=said[0], mend=said[1]) if said else problem


def _said(request: Request[Any, Any, Any], problem: Problem, seconds: str) -> tuple[str, str] | None:
    """What happened and what to do, where the problem itself does not say it for people."""
    match problem.code:
        case "not_found":
            return "No page has this address", "It may have been moved, or mistyped."
        case "forbidden":
            role = identity.role if (identity := request.scope.get("user")) else "guest"
            needed = Permission(request.route_handler.opt["permission"])
            return (
                f"Your account is that of a {role}, which may not {_DOES.get(needed, 'do this')}",
                "If you need it, ask an administrator of this server. What you may see is open to you as before.",
            )
        case "csrf_failed" | "foreign_origin":
            mend = "Nothing was changed. Go back, reload it and try again."
            return "The page was open for too long, or is not from here", mend
        case "body_invalid" if problem.errors:
            names = ", ".join(f"`{one['pointer'].strip('/')}`" for one in problem.errors[:5])
            return f"The address has values that cannot be read: {names}", "Leave them out, or go there by a link."
        case "rate_limited":
            return (
                "More was asked than the server answers at once",
                f"Wait {seconds or 'a few'} seconds, then try again.",
            )
        case "draining":
            return "It stops what it does and comes back", "Try again in a few seconds. Nothing that was kept is lost."
        case _ if problem.status == 500:
            return (
                "This is not your doing, and it was written down for the administrators",
                "See whether what you wanted has happened, then try again. If it fails again, tell them this id.",
            )
    return None


def _toast(request: Request[Any, Any, Any], told: Response[Problem], status: int) -> Response[str]:
    """Within a page: what stands there stays, and a message tells."""
    headers = {**_kept(told), "HX-Retarget": "#toasts", "HX-Reswap": "beforeend", "HX-Push-Url": "false"}
    headers["HX-Reselect"] = ".toast"
    return fragment(
        request, "pages/failed_toast.html", status=status, headers=headers, problem=_for_people(request, told)
    )


def _kept(told: Response[Problem]) -> dict[str, str]:
    return {name: value for name, value in told.headers.items() if name.lower() != "www-authenticate"}
