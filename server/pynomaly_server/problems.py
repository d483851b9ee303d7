"""Errors as `application/problem+json` (RFC 9457)."""

import re
from typing import Any

import duckdb
import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from pynomaly.errors import InternalFailure, PynomalyError
from pynomaly.translate import translate
from pynomaly_server import errors
from pynomaly_server.requests import request_id

LOG = structlog.get_logger("pynomaly.errors")
PROBLEM = "application/problem+json"
_HTTP: dict[int, type[PynomalyError]] = {
    400: errors.BadRequest,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.BodyTooLarge,
    415: errors.UnsupportedMediaType,
}
_MENDS = {
    400: "correct the request",
    401: "sign in",
    403: "ask an administrator",
    404: "check the address; /api/v1/schema lists them all",
    405: "use a method that the header Allow names",
    413: "send less at once, or upload it as a dataset",
    415: "send the media type that /api/v1/schema names",
}
_PLACE = re.compile(r" - at `\$(.*)`$")
_UNKNOWN = re.compile(r"unknown field `(.*?)`")
_TITLES = re.compile(r"(?<!^)(?=[A-Z])")


class Problem(msgspec.Struct, omit_defaults=True):
    """An error as a client reads it."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    mend: str
    request_id: str
    errors: list[dict[str, str]] = []


def problem(error: PynomalyError) -> Problem:
    """The problem that tells an error."""
    title = _TITLES.sub(" ", type(error).__name__).lower().capitalize()
    return Problem(
        type=f"urn:pynomaly:error:{error.code}",
        title=title,
        status=error.status,
        code=error.code,
        detail=error.cause,
        mend=error.mend,
        request_id=request_id(),
        errors=getattr(error, "errors", []),
    )


def translated(error: Exception) -> PynomalyError:
    """Any error as one of ours; what nobody foresaw is logged with its traceback and told without."""
    if isinstance(error, PynomalyError):
        return error
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, RecursionError):
        return errors.BadRequest("the body is nested too deeply", _MENDS[400])
    found = translate(error) if isinstance(error, duckdb.Error | MemoryError | OSError) else None
    if found is None or isinstance(found, InternalFailure):
        LOG.error("unexpected error", exc_info=error)
        return InternalFailure("something failed that should not", f"report it with the id {request_id()}")
    return found


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """The response to a request that failed."""
    found = translated(error)
    request.scope["state"]["error_code"] = found.code
    headers = {str(name): str(value) for name, value in (getattr(error, "headers", None) or {}).items()}
    if found.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    status = found.status if found.status != 499 else 409
    return Response(problem(found), status_code=status, media_type=PROBLEM, headers=headers)


def _of_http(error: HTTPException) -> PynomalyError:
    status = error.status_code
    if status == 400 and error.extra:
        return errors.BodyInvalid(
            str(error.detail), "correct what `errors` names", [_pointed(item) for item in _listed(error.extra)]
        )
    kind = _HTTP.get(status)
    if kind is None:
        LOG.error("unexpected error", exc_info=error)
        return InternalFailure("something failed that should not", f"report it with the id {request_id()}")
    cause = "there is nothing at this address" if status == 404 else str(error.detail)  # which may name our folders
    return kind(cause, _MENDS[status])


def _listed(extra: Any) -> list[Any]:
    return extra if isinstance(extra, list) else [extra]


def _pointed(item: Any) -> dict[str, str]:
    """One wrong field, with a JSON pointer to it."""
    told = item if isinstance(item, dict) else {"message": str(item)}
    message = str(told.get("message", ""))
    inner = _PLACE.search(message)
    path = [part for part in re.split(r"[.\[\]]+", inner[1] if inner else "") if part]
    if told.get("key", "data") != "data":
        path = [str(told["key"]), *path]
    if unknown := _UNKNOWN.search(message):
        path.append(unknown[1])
    return {"pointer": "".join(f"/{part}" for part in path), "detail": message[: inner.start()] if inner else message}
