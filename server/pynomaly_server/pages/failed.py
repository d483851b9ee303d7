"""Errors as pages: for people, where `problems` is for programs."""

from typing import Any
from urllib.parse import urlencode

import structlog
from litestar import Request, Response
from msgspec.structs import replace

from pynomaly_server import problems
from pynomaly_server.pages.shown import fragment, here, is_htmx, sent_to, shown
from pynomaly_server.problems import Problem

LOG = structlog.get_logger("pynomaly.errors")
_FOR_PROGRAMS = ("/api", "/static", "/health", "/metrics", "/graphql")
_TITLES = {
    403: "This is not yours to see",
    404: "There is nothing here",
    429: "Too many requests",
    500: "Something failed that should not",
    503: "The server is being stopped",
}


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The response to a request that failed: a page where a page was asked for, a problem otherwise."""
    told = problems.answer(request, error)
    status = told.status_code or 500
    if not wants_page(request):
        return told
    if status == 401:
        return sent_to(request, f"/sign-in?{urlencode({'next': here(request)})}")
    try:
        return (_toast if is_htmx(request) else _page)(request, told, status)
    except Exception as second:  # whatever a template does wrong, there is an answer
        LOG.error("the page of an error failed", exc_info=second)
        return told


def wants_page(request: Request[Any, Any, Any]) -> bool:
    """Whether a person asked, by a browser."""
    if request.scope["path"].startswith(_FOR_PROGRAMS):
        return False
    return is_htmx(request) or "text/html" in request.headers.get("accept", "")


def _page(request: Request[Any, Any, Any], told: Response[Problem], status: int) -> Response[str]:
    title = _TITLES.get(status, told.content.title)
    problem = told.content
    if problem.code == "not_found":  # what problems say of it is for programs
        problem = replace(problem, detail="No page has this address", mend="It may have been moved, or mistyped.")
    return shown(request, "failed.html", title, status=status, headers=_kept(told), problem=problem)


def _toast(request: Request[Any, Any, Any], told: Response[Problem], status: int) -> Response[str]:
    """Within a page: what stands there stays, and a message tells."""
    headers = {**_kept(told), "HX-Retarget": "#toasts", "HX-Reswap": "beforeend", "HX-Push-Url": "false"}
    headers["HX-Reselect"] = ".toast"
    return fragment(request, "pages/failed_toast.html", status=status, headers=headers, problem=told.content)


def _kept(told: Response[Problem]) -> dict[str, str]:
    return {name: value for name, value in told.headers.items() if name.lower() != "www-authenticate"}
