"""Pages of rows by keyset: a cursor holds the last row's place in the order, so that every row comes exactly once.

Rows that are written meanwhile come where their place is. In every order NULLs are last.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import pyarrow as pa
from litestar import Request, Response

from pynomaly.engine import Engine
from pynomaly.errors import BadParameter, UnknownColumn, did_you_mean
from pynomaly.quoting import identifier
from pynomaly_server import legible
from pynomaly_server.errors import BadCursor, BodyInvalid

MOST, USUAL = 1_000, 50
LONGEST_KEY = 4_000  # characters of a value that a cursor can hold: it travels in an address
_KEY = "_pynomaly_place_"
_NESTED = ("STRUCT", "MAP", "UNION", "VARIANT")


class Page(msgspec.Struct):
    """Some rows of a list; `next_cursor` asks for the following ones, and is null where there are none."""

    items: list[dict[str, Any]]
    next_cursor: str | None


class Found(msgspec.Struct, frozen=True):
    """A page as Arrow has it, with the names of the columns that hold JSON."""

    rows: pa.Table
    documents: frozenset[str]
    next_cursor: str | None

    @property
    def items(self) -> list[dict[str, Any]]:
        """The rows as objects."""
        found: list[dict[str, Any]] = msgspec.json.decode(legible.json_array(self.rows, self.documents))
        return found

    def response(self, request: Request[Any, Any, Any], headers: dict[str, str] | None = None) -> Response[Page]:
        """The page as JSON, with the address of the next one in the header Link."""
        cursor = msgspec.json.encode(self.next_cursor)
        items = legible.json_array(self.rows, self.documents)
        body: Any = b'{"items":' + items + b',"next_cursor":' + cursor + b"}"
        return Response(body, media_type="application/json", headers={**(headers or {}), **self.link(request)})

    def link(self, request: Request[Any, Any, Any]) -> dict[str, str]:
        """The header with the address of the next page; none on the last one."""
        if self.next_cursor is None:
            return {}
        asked = [pair for pair in parse_qsl(request.url.query, keep_blank_values=True) if pair[0] != "cursor"]
        query = urlencode([*asked, ("cursor", self.next_cursor)])
        return {"Link": f'<{request.url.path}?{query}>; rel="next"'}


class Key(msgspec.Struct, frozen=True):
    """A column of an order."""

    name: str
    descending: bool = False

    @property
    def sql(self) -> str:
        """The column as ORDER BY has it."""
        return f"{identifier(self.name)} {'desc' if self.descending else 'asc'} nulls last"


def key(text: str) -> Key:
    """A column of an order from 'name', 'name desc' or '-name'."""
    if text.startswith("-"):
        return Key(text[1:], True)
    name, _, direction = text.rpartition(" ")
    return Key(name, direction == "desc") if direction in ("asc", "desc") and name else Key(text)


def page(
    db: Engine,
    select: str,
    parameters: Sequence[object] = (),
    order: Sequence[str] = ("created_at desc", "id"),
    limit: int | None = None,
    cursor: str | None = None,
    hidden: Sequence[str] = (),
    types: dict[str, str] | None = None,
    is_ranked: bool = False,
    named: object = None,
) -> Found:
    """One page of the rows of a SELECT, in an order whose columns together tell any two rows apart.

    Values of the SELECT are bound to `?`; the columns in `hidden` may be sorted by and are not in the page; `types` are
    its columns where they are known. With `is_ranked` the page is looked for among the rows whose first column of the
    order is high enough, which a query of that column alone tells. A cursor belongs to `named`, by default the SELECT.
    Raises BodyInvalid for a limit outside 1..1000, BadCursor for the cursor of another list and UnknownColumn for an
    order by what the SELECT does not have.
    """
    n_rows = checked_limit(limit)
    keys = [key(text) for text in order]
    digest = hashlib.sha256(repr((named or (select, list(parameters)), keys)).encode()).hexdigest()[:16]
    after, values, places = "", list[str | None](), list[str | None]()
    if cursor is not None:
        places = _places(cursor, digest, len(keys))
        types = described(db, select, parameters) if types is None else types
        after, values = _after(keys, [_type(types, one) for one in keys], places)
    if is_ranked and None not in places[:1] and (bounds := _bounds(db, select, parameters, keys[0], n_rows, places)):
        after = f"{after} and {bounds[0]}" if after else f" where {bounds[0]}"
        values += bounds[1]
    texts = "".join(f", {identifier(one.name)}::varchar as {_KEY}{n}" for n, one in enumerate(keys))
    ordered = ", ".join(one.sql for one in keys)
    chosen = f"select * from ({select}\n){after} order by {ordered} limit {n_rows + 1}"
    sql = f"select *{texts} from ({chosen}) order by {ordered}"  # the texts of these rows alone
    rows, documents = _asked(db, sql, [*parameters, *values])
    found = _found(rows, n_rows, len(keys), digest, documents)
    return msgspec.structs.replace(found, rows=found.rows.drop_columns(list(hidden))) if hidden else found


def records(db: Engine, select: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
    """The rows of a statement as objects of what JSON has."""
    found: list[dict[str, Any]] = msgspec.json.decode(legible.json_array(*_asked(db, select, parameters)))
    return found


def _asked(db: Engine, select: str, parameters: Sequence[object]) -> tuple[pa.Table, frozenset[str]]:
    """The rows of a SELECT, and the names of the columns that hold JSON."""
    rows = db.execute(select, list(parameters) or None)
    documents = frozenset(name for name, kind in zip(rows.columns, rows.types, strict=True) if kind == "JSON")
    return rows.arrow(), documents


def listed(request: Request[Any, Any, Any], db: Engine, select: str, **asked: Any) -> Response[Page]:
    """The answer to a request for a page; `asked` is as in `page`."""
    return page(db, select, **asked).response(request)


def checked_limit(limit: int | None) -> int:
    """How many rows a page has; BodyInvalid where that is none of 1..1000."""
    if limit is not None and not 1 <= limit <= MOST:
        detail = f"{limit} is not between 1 and {MOST}"
        raise BodyInvalid(f"`limit` is {limit}", f"give 1 to {MOST}", [{"pointer": "/limit", "detail": detail}])
    return limit or USUAL


def described(db: Engine, select: str, parameters: Sequence[object] = ()) -> dict[str, str]:
    """The columns of a SELECT with their types."""
    relation = db.sql(select, list(parameters) or None).bare_relation()
    return dict(zip(relation.columns, map(str, relation.types), strict=True))


def sorting(sort: str | None, types: dict[str, str], usual: Sequence[str], unique: str) -> list[str]:
    """The order that `sort` asks for, such as '-amount,id', ending in the column that is unique."""
    if not sort:
        return list(usual)
    asked = [key(text.strip()) for text in sort.split(",")]
    for one in asked:
        _type(types, one)
    names = {one.name for one in asked}
    return [f"{one.name} {'desc' if one.descending else 'asc'}" for one in asked] + [unique] * (unique not in names)


def place_of(cursor: str | None) -> str | None:
    """The first column's value of the row that a cursor stands at."""
    places = None if cursor is None else _decoded(cursor)
    return places[1] if places is not None and len(places) > 1 else None


def _bounds(
    db: Engine, select: str, parameters: Sequence[object], first: Key, n_rows: int, places: list[str | None]
) -> tuple[str, list[str | None]] | None:
    """Between what numbers the first column of a page's rows lies; None where the rest of the rows may be on it."""
    column = identifier(first.name)
    below, given = (f" where {column} < ?::double", places[:1]) if places else ("", [])
    ranked = f"select {column} as place from ({select}\n){below} order by place desc nulls last limit {n_rows + 1}"
    found = db.execute(f"select min(place)::varchar, count(place) from ({ranked})", [*parameters, *given]).fetchall()[0]
    if found[1] <= n_rows:
        return None
    if places:
        return f"{column} between ?::double and ?::double", [found[0], places[0]]
    return f"{column} >= ?::double", [found[0]]


def _type(types: dict[str, str], one: Key) -> str:
    kind = types.get(one.name)
    if kind is None:
        raise UnknownColumn(f"column `{one.name}` not found", did_you_mean(one.name, types))
    if kind.endswith("]") or kind.startswith(_NESTED):
        raise BadParameter(f"`{one.name}` is {kind}, which has no order", "sort by another column")
    return kind


def _after(keys: list[Key], types: list[str], places: list[str | None]) -> tuple[str, list[str | None]]:
    """The condition that a row comes after a place in the order, and its values."""
    choices: list[str] = []
    values: list[str | None] = []
    for n, (one, kind, place) in enumerate(zip(keys, types, places, strict=True)):
        if place is None:  # nothing comes after the NULLs
            continue
        same = [f"{identifier(keys[m].name)} is not distinct from ?::{types[m]}" for m in range(n)]
        sign = "<" if one.descending else ">"
        later = f"({identifier(one.name)} {sign} ?::{kind} or {identifier(one.name)} is null)"
        choices.append(f"({' and '.join([*same, later])})")
        values += [*places[:n], place]
    return f" where ({' or '.join(choices) or 'false'})", values


def _found(rows: pa.Table, n_rows: int, n_keys: int, digest: str, documents: frozenset[str]) -> Found:
    """The page, of one row more than it has."""
    n_columns = rows.num_columns - n_keys
    shown = rows.slice(0, n_rows).select(range(n_columns))
    if len(rows) <= n_rows:
        return Found(shown, documents, None)
    places = [rows.column(n_columns + n)[n_rows - 1].as_py() for n in range(n_keys)]
    if any(place is not None and len(place) > LONGEST_KEY for place in places):
        raise BadParameter("the rows are sorted by a text that is too long for a cursor", "sort by another column")
    cursor = base64.urlsafe_b64encode(msgspec.json.encode([digest, *places])).decode().rstrip("=")
    return Found(shown, documents, cursor)


def _places(cursor: str, digest: str, n_keys: int) -> list[str | None]:
    """The place that a cursor holds; BadCursor where it is none of this list."""
    said, *places = _decoded(cursor) or [None]
    if said != digest or len(places) != n_keys:
        raise BadCursor("the cursor belongs to no page of this list", "ask for the first page, without `cursor`")
    return places


def _decoded(cursor: str) -> list[str | None] | None:
    """What a cursor holds; None where it is none."""
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.b64decode(padded, b"-_", True), type=list[str | None])
    except (ValueError, msgspec.MsgspecError):
        return None
