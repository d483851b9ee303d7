"""A page of a saved run's rows: filtered, sorted, with what stands in the source and what was said of them."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from pynomaly.engine import Engine
from pynomaly.errors import BadParameter
from pynomaly_server import paging
from pynomaly_server.api.results import chosen_rows, with_source
from pynomaly_server.pages.brushing import SIDES, brushed, needs_source
from pynomaly_server.pages.filters import number
from pynomaly_server.pages.result_pictures import Of, least_score
from pynomaly_server.paging import Found
from pynomaly_server.rowsets import Rows, spelled

N_ROWS = 40  # of a page: up to 50, DuckDB looks for these first and reads the rest of them alone
N_COLUMNS = 8  # of the source in a table
MANY = 20_000  # rows from which a table is not sorted by what stands in the source
FIRST = 2_000  # rows of the highest scores among which a page is looked for before all others
OWN = {"key": "VARCHAR", "anomaly_score": "DOUBLE", "is_anomaly": "BOOLEAN", "label": "VARCHAR", "reasons": "STRUCT[]"}
RANKED = "-anomaly_score"


def address_of(run: str, key: str) -> str:
    """The address of a row."""
    if not key or key in (".", "..") or "/" in key or not key.isprintable() or len(key) > 500:
        return f"/results/{run}/row?{urlencode({'key': key})}"
    return f"/results/{run}/rows/{quote(key, safe='')}"


def mark(key: str) -> str:
    """A key as part of an id."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


class Wanted(msgspec.Struct, frozen=True):
    """What the address of a page says of its rows."""

    sort: str
    choice: dict[str, Any]  # of results by themselves
    filters: list[str]
    brush: list[float] | None
    cursor: str | None
    is_joined: bool  # whether the columns of the source have a say

    @property
    def is_hard(self) -> bool:
        """Whether a row must be looked at closely to tell whether it is wanted."""
        return self.is_joined or self.brush is not None or self.choice["reason"] is not None


def wanted(of: Of, given: Mapping[str, str]) -> Wanted:
    """The order and the filters that an address holds."""
    everything = given.get("show") == "all"
    least = number_of(given["min_score"], "min_score") if given.get("min_score") else None
    choice: dict[str, Any] = {"is_anomaly": None if everything else True, "reason": given.get("reason") or None}
    choice["min_score"] = least if least is not None or everything else of.told["threshold"]
    choice["label"] = given.get("label") or None
    sort, filters, brush = given.get("sort") or RANKED, _filters(given), _brush(given)
    asked_of = {paging.key(sort).name, *(text.partition(":")[0] for text in filters)}
    is_joined = bool(of.columns) and ((brush is not None and needs_source(of, given)) or not asked_of <= OWN.keys())
    return Wanted(sort, choice, filters, brush, given.get("cursor"), is_joined)


def table(db: Engine, of: Of, given: Mapping[str, str]) -> dict[str, Any]:
    """A page of the rows, in their order and through the filters that the address holds."""
    asked = wanted(of, given)
    found, select = _found(db, of, asked, given)
    said = labels(db, of.run, found)
    if of.columns and not asked.is_joined and len(found.rows):
        found = msgspec.structs.replace(found, rows=with_source(of.run, db, found.rows))
    items = [{**item, "label": said.get(item["key"])} for item in found.items]
    for item in items:
        for reason in item["reasons"]:
            reason["value"] = _short(reason["value"])
        item["address"], item["mark"] = address_of(of.run, item["key"]), mark(item["key"])
    names = [name for name in (items[0] if items else ()) if name not in (*OWN, "address", "mark")]
    n_shown = len(names) if given.get("columns") == "all" else N_COLUMNS
    return {
        **unread(of, given), "rows": items, "next_cursor": found.next_cursor, "columns": names[:n_shown],
        "n_more_columns": len(names) - len(names[:n_shown]), "rows_sql": select,
    }  # fmt: skip


def unread(of: Of, given: Mapping[str, str]) -> dict[str, Any]:
    """The same without the rows, where a picture alone is asked for."""
    return {
        "rows": [], "next_cursor": None, "sort": given.get("sort") or RANKED, "columns": [], "n_more_columns": 0,
        "is_brushed": _brush(given) is not None, "can_sort": _n_rows(of, given) <= MANY, "rows_sql": "",
    }  # fmt: skip


def _n_rows(of: Of, given: Mapping[str, str]) -> int:
    """How many rows there are before any filter."""
    n_rows: int = of.told["n_rows"] if given.get("show") == "all" else of.told["n_flagged"]
    return n_rows


def _found(db: Engine, of: Of, asked: Wanted, given: Mapping[str, str]) -> tuple[Found, str]:
    """A page, and the SELECT of all rows like it.

    Where telling whether a row is wanted takes long, the rows of the highest scores are looked at first, which mostly
    fill the page.
    """
    rows = chosen_rows(of.run, asked.choice, asked.choice["label"] is not None, asked.is_joined)
    types = _types(db, of, rows, asked)
    order = paging.sorting(None if asked.sort == RANKED else asked.sort, types, rows.usual, rows.unique)
    shown = brushed(rows, of, given, asked.brush, types) if asked.brush else rows
    shown = shown.filtered(db, asked.filters, types)
    named = (shown.select, shown.parameters)
    by = ", ".join(paging.key(text).sql for text in order)
    made = f"{spelled(*named)}\norder by {by}"
    is_ranked = asked.sort == RANKED
    if is_ranked and asked.is_hard and (first := _first(db, of, asked)) is not None:
        choice = {**asked.choice, "min_score": first[1]}  # by which fewer blocks of rows are read
        few = chosen_rows(of.run, choice, asked.choice["label"] is not None, asked.is_joined, first[0])
        few = brushed(few, of, given, asked.brush, types, first[0]) if asked.brush else few
        few = few.filtered(db, asked.filters, types)
        found = paging.page(db, few.select, few.parameters, order, N_ROWS, asked.cursor, types=types, named=named)
        if found.next_cursor is not None:
            return found, made
    return paging.page(
        db, *named, order, N_ROWS, asked.cursor, types=types, named=named,
        is_ranked=is_ranked and not asked.is_hard and _n_rows(of, given) > MANY,
    ), made  # fmt: skip


def _first(db: Engine, of: Of, asked: Wanted) -> tuple[list[str], float] | None:
    """The keys of the rows that come first in the order, and the least of their scores; None where that are all."""
    place = paging.place_of(asked.cursor)
    choice = {name: asked.choice[name] for name in ("is_anomaly", "min_score")}
    most = None if place is None else number_of(place, "cursor")
    least = least_score(db, of, FIRST, most)
    if least is not None:
        choice["min_score"] = max(least, asked.choice["min_score"] if asked.choice["min_score"] is not None else least)
    rows = chosen_rows(of.run, {**choice, "max_score": most}, False, False)
    sql = f"select key, anomaly_score from ({rows.select}) order by anomaly_score desc nulls last, key limit {FIRST}"
    found = db.execute(sql, rows.parameters).fetchall()
    return ([row[0] for row in found], found[-1][1]) if len(found) == FIRST and found[-1][1] is not None else None


def _types(db: Engine, of: Of, rows: Rows, asked: Wanted) -> dict[str, str]:
    """The columns of the rows with their types; only DuckDB tells what it calls the second of a name."""
    own = {name: kind for name, kind in OWN.items() if name != "label" or asked.choice["label"] is not None}
    if not asked.is_joined:
        return own
    if own.keys().isdisjoint(name.lower() for name in of.columns):
        return {**own, **of.columns}
    return paging.described(db, rows.select, rows.parameters)


def _filters(given: Mapping[str, str]) -> list[str]:
    """The one filter of the form, as the server's lists read it."""
    column, test, value = (given.get(name, "") for name in ("column", "test", "is"))
    return [f"{column}:{test or 'eq'}:{value}"] if column and value else []


def _brush(given: Mapping[str, str]) -> list[float] | None:
    if not all(given.get(name) for name in SIDES):
        return None
    return [number_of(given[name], name) for name in SIDES]


def labelled(db: Engine, run: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with what was last said of them."""
    said = _said(db, run, [item["key"] for item in items])
    return [{**item, "label": said.get(item["key"])} for item in items]


def labels(db: Engine, run: str, found: Found) -> dict[str, str]:
    """What was last said of the rows of a page."""
    return _said(db, run, found.rows["key"].to_pylist()) if len(found.rows) else {}


def _said(db: Engine, run: str, keys: Sequence[str]) -> dict[str, str]:
    select = "select key, label from labels_of(?) where key in (select unnest(?::varchar[]))"
    return dict(db.execute(select, [run, list(keys)]).fetchall())


def number_of(text: str, name: str) -> float:
    """A number that somebody gave; BadParameter where it is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadParameter(f"`{name}` is {text[:40]!r}", "give a number")
    return value


def _short(text: str | None) -> str | None:
    """A number, which reasons have as a text, by the digits that count."""
    try:
        return text and number(float(text))
    except ValueError:
        return text
