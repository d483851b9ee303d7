"""Pages of what memory holds: a cursor names the last item of the page before."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from litestar import Request

from pynomaly.errors import BadParameter

Item = TypeVar("Item")


def page(
    items: Sequence[Item], key: Callable[[Item], str], limit: int, cursor: str | None
) -> tuple[list[Item], str | None]:
    """The items after a cursor, at most `limit`, and the cursor of the next page; `items` are in the order of `key`."""
    after = None if cursor is None else _read(cursor)
    left = [item for item in items if after is None or key(item) > after]
    following = _written(key(left[limit - 1])) if len(left) > limit else None
    return left[:limit], following


def link(request: Request[Any, Any, Any], following: str | None) -> dict[str, str]:
    """The header Link to the next page."""
    if following is None:
        return {}
    query = urlencode({**dict(request.query_params), "cursor": following})
    return {"Link": f'<{request.scope["path"]}?{query}>; rel="next"'}


def _written(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _read(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise BadParameter("`cursor` is none that this server gave", "begin again without a cursor") from None
