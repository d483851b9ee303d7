"""Rows of datasets and runs as an answer: filtered, sorted, in pages or as one stream, in every format."""

import contextlib
import hashlib
import re
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
from anyio import to_thread
from litestar import Request, Response

from pynomaly.engine import Engine
from pynomaly.errors import UnknownColumn, did_you_mean
from pynomaly.quoting import identifier, literal
from pynomaly_server import formats, paging
from pynomaly_server.errors import BodyInvalid
from pynomaly_server.identity import Identity
from pynomaly_server.workspace import Workspace

Handler = TypeVar("Handler", bound=Callable[..., Any])

MOST_FILTERS = 20
_COMPARISONS = {"eq": "=", "ne": "is distinct from", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_TEXTS = {"contains": "contains", "starts": "starts_with"}
_ALONE = {"null": "is null", "known": "is not null"}
OPERATORS = (*_COMPARISONS, *_TEXTS, *_ALONE)


class Asked(msgspec.Struct, frozen=True):
    """What a request wants of rows: `filters` are such as 'amount:ge:100', `sort` such as '-amount,id'."""

    filters: Sequence[str] = ()
    sort: str | None = None
    limit: int | None = None
    cursor: str | None = None
    escape: bool = True


class Rows(msgspec.Struct, frozen=True):
    """A SELECT with its values, the order it has by itself, and the column that tells any two rows apart."""

    select: str
    parameters: list[object]
    unique: str
    usual: list[str]
    hidden: tuple[str, ...] = ()
    name: str = "rows"
    more: Callable[[Engine, pa.Table], pa.Table] | None = None  # adds columns to a page, which all rows would cost much

    def filtered(self, db: Engine, filters: Sequence[str], types: dict[str, str]) -> "Rows":
        """The rows that pass every filter."""
        if not filters:
            return self
        if len(filters) > MOST_FILTERS:
            raise _wrong(filters[MOST_FILTERS], f"there are more than {MOST_FILTERS}")
        found = [_condition(db, text, types) for text in filters]
        conditions = " and ".join(condition for condition, _ in found)
        values = [value for _, given in found for value in given]
        select = f"select * from ({self.select}\n) where {conditions}"
        return msgspec.structs.replace(self, select=select, parameters=[*self.parameters, *values])


def spelled(select: str, parameters: Sequence[object]) -> str:
    """A statement with its values in it, as a person would write it."""
    values = iter(parameters)
    quoted = r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'|\?"
    return re.sub(quoted, lambda found: literal(next(values)) if found[0] == "?" else found[0], select)


def answer(
    request: Request[Any, Any, Any],
    db: Engine,
    workspace: Workspace,
    identity: Identity,
    rows: Rows,
    asked: Asked,
    headers: dict[str, str] | None = None,
) -> Response[Any]:
    """Rows as JSON in pages, and in another format whole, or in pages where `limit` or `cursor` asks for one."""
    chosen = formats.wanted(request)
    order = rows.usual
    if asked.filters or asked.sort:
        types = paging.described(db, rows.select, rows.parameters)
        order = paging.sorting(asked.sort, types, rows.usual, rows.unique)
        rows = rows.filtered(db, asked.filters, types)
    if chosen.name == "json" or asked.limit is not None or asked.cursor is not None:
        found = paging.page(db, rows.select, rows.parameters, order, asked.limit, asked.cursor, rows.hidden)
        if rows.more is not None:
            found = msgspec.structs.replace(found, rows=rows.more(db, found.rows))
        if chosen.name == "json":
            return found.response(request, headers)
        more = {**(headers or {}), **found.link(request)}
        return formats.respond(request, found.rows, rows.name, escape=asked.escape, headers=more)
    by = ", ".join(paging.key(text).sql for text in order) if asked.sort else ""
    return _stream(request, workspace, identity, rows, by, asked.escape, headers)


def _stream(
    request: Request[Any, Any, Any],
    workspace: Workspace,
    identity: Identity,
    rows: Rows,
    by: str,
    escape: bool,
    headers: dict[str, str] | None,
) -> Response[Any]:
    """All rows, by a cursor of their own: the request's is given back before the answer is sent."""
    shown = f"* exclude ({', '.join(map(identifier, rows.hidden))})" if rows.hidden else "*"
    sql = f"select {shown} from ({rows.select}\n){f' order by {by}' if by else ''}"
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(workspace.acting(identity))
        query = own.sql(sql, rows.parameters or None)
        reader = query.bare_relation().to_arrow_reader(formats.BATCH_ROWS)
        held = stack.pop_all()
    try:
        return formats.respond(request, reader, rows.name, escape=escape, headers=headers, done=held.close)
    except BaseException:
        held.close()
        raise


def _condition(db: Engine, text: str, types: dict[str, str]) -> tuple[str, list[object]]:
    """A filter as a condition, and its values."""
    name, operator, value = _parts(text, types)
    column, kind = identifier(name), types[name]
    if operator in _ALONE:
        return f"{column} {_ALONE[operator]}", []
    if operator in _TEXTS:
        return f"{_TEXTS[operator]}({column}::varchar, ?)", [value]
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION", "VARIANT")):
        raise _wrong(text, f"`{name}` is {kind}, which is compared with nothing")
    if db.execute(f"select try_cast(? as {kind}) is null", [value]).fetchall() == [(True,)]:
        raise _wrong(text, f"{value[:100]!r} is no {kind}")
    return f"{column} {_COMPARISONS[operator]} ?::{kind}", [value]


def _parts(text: str, types: dict[str, str]) -> tuple[str, str, str]:
    """Column, operator and value; a column's name may have colons itself."""
    for name in sorted(types, key=len, reverse=True):
        if text.startswith(f"{name}:"):
            operator, colon, value = text[len(name) + 1 :].partition(":")
            if operator in _ALONE or (operator in OPERATORS and colon):
                return name, operator, value
            raise _wrong(text, f"the operator is none of {', '.join(OPERATORS)}")
    name = text.partition(":")[0]
    if ":" not in text:
        raise _wrong(text, "write column:operator:value")
    raise UnknownColumn(f"column `{name[:100]}` not found", did_you_mean(name, types))


def _wrong(text: str, detail: str) -> BodyInvalid:
    mend = "write filter=column:operator:value, as in filter=amount:ge:100"
    return BodyInvalid(f"the filter {text[:100]!r} cannot be read", mend, [{"pointer": "/filter", "detail": detail}])


def in_thread(handler: Handler) -> Handler:
    """A handler of several paths that runs in a thread: Litestar's own `sync_to_thread` wraps it once a path."""

    @wraps(handler)
    async def call(*given: Any, **named: Any) -> Any:
        return await to_thread.run_sync(partial(handler, *given, **named))

    return call  # type: ignore[return-value]


def tag(request: Request[Any, Any, Any], *parts: object) -> str:
    """The strong ETag of an answer that `parts`, the query and the format decide for ever."""
    told = (*parts, request.url.query, formats.wanted(request).name)
    return f'"{hashlib.sha256(repr(told).encode()).hexdigest()[:32]}"'


def unchanged(request: Request[Any, Any, Any], etag: str) -> Response[Any] | None:
    """The answer 304 where the client has what the ETag names."""
    asked = request.headers.get("if-none-match", "")
    tags = {part.strip().removeprefix("W/") for part in asked.split(",")}
    if etag in tags or asked.strip() == "*":
        return Response(None, status_code=304, headers=cached(etag))
    return None


def cached(etag: str) -> dict[str, str]:
    """The headers of an answer that never changes, for whoever may see it."""
    return {"ETag": etag, "Cache-Control": "private, no-cache"}
