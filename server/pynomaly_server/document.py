"""The OpenAPI document: what Litestar reads off the handlers, with the errors and the examples of every operation."""

from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin

from pynomaly_server.examples import STORY, Example
from pynomaly_server.formats import FORMATS, MEDIA_TYPES
from pynomaly_server.pages.shown import rendered
from pynomaly_server.permissions import Permission

SCHEMA = "/api/v1/schema"
_OPEN = frozenset({Permission.PUBLIC})
_ANYONE = frozenset({Permission.PUBLIC, Permission.SIGNED_IN})
_UNSAFE = frozenset({"post", "put", "patch", "delete"})
_WITH_BODY = frozenset({"post", "put", "patch"})
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "mend", "request_id"],
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "code", "detail", "mend", "request_id")},
        "status": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_DONE = {200: "Done in time", 201: "Done in time", 202: "It goes on as the job of this address"}
_WHY = {
    400: "The request cannot be read, or is addressed to a host that is not served",
    401: "Nobody is signed in, or the credential is not, or no longer, valid",
    403: "The credential does not have the permission",
    404: "There is nothing of this name that the caller sees",
    405: "The address does not know this method",
    406: "No form that is accepted is served",
    409: "The state of what this is about does not allow it",
    412: "If-Match names another state than the present one",
    413: "The body is too large",
    415: "The body is in a form that is not read",
    422: "A value is not as it must be; `errors` points at it",
    428: "If-Match is missing",
    429: "Too many requests; Retry-After says when to try again",
    500: "Something failed that should not",
    503: "The server is starting, is being stopped, or a source cannot be reached",
    507: "Memory or the disk is full",
}


class Document(JsonRenderPlugin):
    """Serves the document, whole."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        """The document as JSON."""
        return msgspec.json.encode(document(request.app))


class Reference(OpenAPIRenderPlugin):
    """Serves a page of the console on which every operation is read: whose it is, what it takes, and an example."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        """The page."""
        given = {"title": "API", "nav": "", "toasts": [], "part": "pages/api.html", "schema": SCHEMA}
        return rendered(request, "page.html", groups=_grouped(document(request.app)), **given).encode()


class Browser(OpenAPIRenderPlugin):
    """Serves Swagger UI, in which operations are tried."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        """The page."""
        return rendered(request, "api_docs.html", schema=f"{SCHEMA}/openapi.json").encode()


def _grouped(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The operations by what they are about, each as the page shows it."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in found["paths"].items():
        if path.rpartition(".")[2] in FORMATS:  # the same rows, asked for by suffix
            continue
        for method, operation in item.items():
            shown = {"method": method.upper(), "path": path, **operation}
            groups.setdefault((operation.get("tags") or ["other"])[0], []).append(shown)
    return dict(sorted(groups.items()))


def document(app: Litestar) -> dict[str, Any]:
    """The document of an application."""
    state = app.state
    if "document" not in state:
        state["document"] = _made(app)
    found: dict[str, Any] = state["document"]
    return found


def _made(app: Litestar) -> dict[str, Any]:
    made: dict[str, Any] = app.openapi_schema.to_schema()
    made.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
    made["paths"] = {path: item for path, item in made["paths"].items() if not path.startswith(SCHEMA)}
    told = _permissions(app)
    for path, item in made["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict) and (path, method) in told:
                _complete(app, operation, path, method, told[path, method])
    return made


def _permissions(app: Litestar) -> dict[tuple[str, str], dict[str, Any]]:
    """The opt of each operation."""
    return {
        (route.path_format, method.lower()): dict(handler.opt)
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        for method in getattr(handler, "http_methods", ())
    }


def _complete(app: Litestar, operation: dict[str, Any], path: str, method: str, opt: dict[str, Any]) -> None:
    permission = Permission(opt["permission"])
    operation["x-permission"] = str(permission)
    if said := str(operation.get("description", "")).strip():  # else it is called as its function is
        operation["summary"] = said.partition("\n")[0].rstrip(".")
    if permission in _OPEN:
        operation["security"] = []
    responses = operation.setdefault("responses", {})
    _succeed(responses, path, opt)
    for status in sorted(_statuses(operation, path, method, permission) | set(opt.get("statuses", ()))):
        responses[str(status)] = {
            "description": _WHY[status],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    if (body := opt.get("body")) is not None:
        operation["requestBody"] = body(app)
    for example in STORY:
        if (example.path, example.method.lower()) == (path, method):
            _exemplify(operation, example)
            break


def _succeed(responses: dict[str, Any], path: str, opt: dict[str, Any]) -> None:
    """Say with which statuses and in which forms an operation succeeds."""
    usual = next(status for status in responses if status.startswith("2"))
    if "answers" in opt:
        told = responses.pop(usual)
        responses.update({str(status): {**told, "description": _DONE[status]} for status in opt["answers"]})
    format_ = FORMATS.get(path.rpartition(".")[2])
    media_types = opt.get("media_types", ())
    if format_ is not None:
        media_types = format_.media_types[:1]
    elif 406 in opt.get("statuses", ()):
        media_types = MEDIA_TYPES
    if media_types:
        for status, told in responses.items():
            if status.startswith("2"):
                told["content"] = {media_type: {"schema": {}} for media_type in media_types}


def _statuses(operation: dict[str, Any], path: str, method: str, permission: Permission) -> set[int]:
    """The errors that an operation can give, by what it is."""
    found = {400, 500} if path.startswith("/api") else {400}
    if permission not in _OPEN:
        found |= {401, 429} if path.startswith("/api") else {401}
    if permission not in _ANYONE:
        found |= {403}
    if "{" in path:
        found |= {404, 422}
    if operation.get("parameters"):
        found |= {422}
    if method in _UNSAFE:
        found |= {409, 429, 503}
    if method in _WITH_BODY:
        found |= {404, 413, 415, 422, 507}
    return found


def _exemplify(operation: dict[str, Any], example: Example) -> None:
    for parameter in operation.get("parameters", ()):
        values = {**example.path_values, **example.query}
        if parameter["name"] in values:
            parameter["example"] = values[parameter["name"]]
    if example.body is not None:
        content = operation.setdefault("requestBody", {}).setdefault("content", {})
        content.setdefault("application/json", {})["example"] = example.body
    elif example.content is not None:
        content = operation.setdefault("requestBody", {}).setdefault("content", {})
        content.setdefault(example.content_type, {"schema": {}})["example"] = example.content
