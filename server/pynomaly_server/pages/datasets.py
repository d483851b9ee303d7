"""Datasets: the list, and of each what its columns are like, its rows, versions, quarantine and lineage."""

import re
import threading
from collections import OrderedDict
from typing import Any
from urllib.parse import quote, urlencode

from litestar import Controller, Request, Response, get
from litestar.params import FromPath, FromQuery

from pynomaly.engine import Engine
from pynomaly.errors import BadParameter
from pynomaly.quoting import literal
from pynomaly.versions import Version
from pynomaly_server import paging
from pynomaly_server.api.datasets import kept_rules
from pynomaly_server.identity import Identity
from pynomaly_server.pages import lineage_picture
from pynomaly_server.pages.shown import shown
from pynomaly_server.permissions import Permission
from pynomaly_server.rowsets import Rows, spelled
from pynomaly_server.served import Caller, Db

Asked = Request[Any, Any, Any]
MOST_CELLS, MOST_COLUMNS = 1_000_000, 12  # looked at while a page waits; more is asked for by the page itself
KEPT_PROFILES = 64
ROWS_SHOWN = 50
PLACE = "_pynomaly_place"
OPERATORS = {
    "eq": "is",
    "ne": "is not",
    "lt": "below",
    "le": "at most",
    "gt": "above",
    "ge": "at least",
    "contains": "contains",
    "starts": "begins with",
    "null": "has no value",
    "known": "has a value",
}
_NESTED = ("STRUCT", "MAP", "UNION", "VARIANT")
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
            "UHUGEINT", "DOUBLE", "FLOAT", "DECIMAL")  # fmt: skip
_QUARANTINE = (
    "select file, line, reason, content from query(_catalog('quarantine', getvariable('pynomaly_user'))) "
    "where name = ? and version = ?"
)


class DatasetsPage(Controller):
    """The datasets that somebody sees."""

    path = "/datasets"
    include_in_schema = False

    @get("/", permission=Permission.READ, sync_to_thread=True)
    def get_datasets(
        self,
        request: Asked,
        db: Db,
        search: FromQuery[str] = "",
        sort: FromQuery[str] = "-loaded_at",
        cursor: FromQuery[str | None] = None,
    ) -> Response[str]:
        """The list."""
        select, values = "from datasets()", list[object]()
        if search:
            select, values = f"{select} where contains(lower(name), lower(?))", [search]
        order = paging.sorting(sort, paging.described(db, select, values), ["loaded_at desc", "name"], "name")
        found = paging.page(db, select, values, order, 25, cursor)
        by = ", ".join(paging.key(one).sql for one in order)
        return shown(
            request, "datasets.html", "Datasets", nav="datasets", datasets=found.items, next_cursor=found.next_cursor,
            search=search, sort=sort, sql=f"{spelled(select, values)}\norder by {by}",
        )  # fmt: skip

    @get("/{name:str}", permission=Permission.READ, sync_to_thread=True)
    def get_profile(
        self,
        request: Asked,
        db: Db,
        identity: Caller,
        name: FromPath[str],
        version: FromQuery[int | None] = None,
        part: FromQuery[int] = 1,
        wait: FromQuery[bool] = False,
    ) -> Response[str]:
        """What the columns are like."""
        about = of_dataset(db, identity, name, version)
        found: Version = about["dataset"]
        columns = PROFILES.find(found.snapshot)
        n_columns = len(found.columns)
        if columns is None and (wait or (n_columns <= MOST_COLUMNS and found.n_rows * n_columns <= MOST_CELLS)):
            columns = PROFILES.keep(found.snapshot, paging.records(db, "from profile(?)", [found.address]))
        return shown(
            request, "dataset.html", found.name, tab="profile", columns=columns, place=max(part, 1),
            sql=f"from profile({literal(found.address)})", **about,
        )  # fmt: skip

    @get("/{name:str}/rows", permission=Permission.READ, sync_to_thread=True)
    def get_rows(
        self,
        request: Asked,
        db: Db,
        identity: Caller,
        name: FromPath[str],
        version: FromQuery[int | None] = None,
        sort: FromQuery[str] = "",
        cursor: FromQuery[str | None] = None,
        broken: FromQuery[int | None] = None,
    ) -> Response[str]:
        """The rows, filtered, sorted, or those that break a rule."""
        about = of_dataset(db, identity, name, version)
        found: Version = about["dataset"]
        filters = _filters(request)
        rule, predicate = _broken(db, found, broken) if broken is not None else (None, "")
        select = f"from dataset_rows(?){f' where {predicate}' if predicate else ''}"
        rows = Rows(select, [found.address], PLACE, [PLACE], (PLACE,)).filtered(db, filters, found.columns)
        order = paging.sorting(sort, {**found.columns, PLACE: "BIGINT"}, rows.usual, PLACE)
        page = paging.page(db, rows.select, rows.parameters, order, ROWS_SHOWN, cursor, rows.hidden)
        asked = [("version", version), ("broken", broken), ("sort", sort or None), ("cursor", cursor)]
        asked += [("filter", text) for text in filters]
        here = _address(f"/datasets/{quote(found.name)}/rows", asked)
        return shown(
            request, "dataset_rows.html", f"Rows of {found.name}", tab="rows", rows=page.items, sort=sort, rule=rule,
            next_cursor=page.next_cursor, columns=_shown_columns(found),
            filters=_chips(here, filters, found.columns, asked[:2]),
            operators=OPERATORS, sql=told(rows.select, rows.parameters, found, order if sort else []),
            n_total=None if filters or rule else found.n_rows, clear=_address(here.partition("?")[0], asked[:1]),
            **{**about, "here": here},
        )  # fmt: skip

    @get("/{name:str}/versions", permission=Permission.READ, sync_to_thread=True)
    def get_versions(
        self,
        request: Asked,
        db: Db,
        identity: Caller,
        name: FromPath[str],
        a: FromQuery[int | None] = None,
        b: FromQuery[int | None] = None,
        key: FromQuery[list[str] | None] = None,
    ) -> Response[str]:
        """Every version, and what differs between two."""
        about = of_dataset(db, identity, name, None)
        keys, changes, sql = [one for one in key or () if one], None, ""
        if a is not None and b is not None:
            before, after = (db.datasets.version(f"{name}@{number}").address for number in (a, b))
            matched = f", key := {literal(keys)}" if keys else ""
            sql = f"from diff_versions({literal(before)}, {literal(after)}{matched})"
            changes = paging.records(db, "from diff_versions(?, ?, key := ?)", [before, after, keys or None])
        return shown(
            request, "dataset_versions.html", f"Versions of {name}", tab="versions", a=a, b=b, keys=keys,
            changes=changes, sql=sql, **about,
        )  # fmt: skip

    @get("/{name:str}/quarantine", permission=Permission.READ, sync_to_thread=True)
    def get_quarantine(
        self,
        request: Asked,
        db: Db,
        identity: Caller,
        name: FromPath[str],
        version: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[str]:
        """The rows that could not be read."""
        about = of_dataset(db, identity, name, version)
        found: Version = about["dataset"]
        page = paging.page(db, _QUARANTINE, [found.name, found.version], ["file", "line"], ROWS_SHOWN, cursor)
        return shown(
            request, "dataset_quarantine.html", f"Quarantine of {found.name}", tab="quarantine", rows=page.items,
            next_cursor=page.next_cursor, **about,
        )  # fmt: skip

    @get("/{name:str}/lineage", permission=Permission.READ, sync_to_thread=True)
    def get_lineage(self, request: Asked, db: Db, identity: Caller, name: FromPath[str]) -> Response[str]:
        """Where it came from, and what was made of it."""
        about = of_dataset(db, identity, name, None)
        select = 'select direction, depth, parent, relation, child, "at" from lineage(?) order by all'
        steps = paging.records(db, select, [f"dataset:{about['dataset'].name}"])
        return shown(
            request, "dataset_lineage.html", f"Lineage of {name}", tab="lineage", steps=steps,
            picture=lineage_picture.drawn(steps, about["dataset"].name),
            sql=f"from lineage({literal(about['dataset'].name)}) order by direction, depth", **about,
        )  # fmt: skip


class Profiles:
    """The last profiles, by what a version's rows are known by for ever: the hash of its snapshot."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, snapshot: str) -> list[dict[str, Any]] | None:
        """A profile that was made before."""
        with self._lock:
            if snapshot in self._kept:
                self._kept.move_to_end(snapshot)
            return self._kept.get(snapshot)

    def keep(self, snapshot: str, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep a profile, and return it."""
        with self._lock:
            self._kept[snapshot] = columns
            while len(self._kept) > KEPT_PROFILES:
                self._kept.popitem(last=False)
        return columns


PROFILES = Profiles()


def of_dataset(db: Engine, identity: Identity, name: str, number: int | None) -> dict[str, Any]:
    """What every page of a dataset shows; UnknownDataset where the caller sees none of that name or number."""
    versions = db.datasets.versions(name)
    chosen = next((one for one in versions if one.version == number), None)
    if number is not None and chosen is None:
        chosen = db.datasets.version(f"{name}@{number}")  # which says what versions there are
    version = chosen or versions[-1]
    return {
        "nav": "datasets",
        "dataset": version,
        "versions": versions,
        "base": f"/datasets/{quote(version.name)}",
        "is_newest": version.version == versions[-1].version,
        "is_mine": identity.sees_all or db.owner("dataset", version.name) == identity.user,
    }


def told(select: str, parameters: list[object], version: Version, order: list[str]) -> str:
    """A statement with its values as a person would write it, without the folder of the server in it."""
    text = spelled(select, parameters)
    inner = r"\(select \*, file_row_number[^()]* from read_parquet\('[^']*'\)\)"
    text = re.sub(inner, lambda _: f"dataset_rows({literal(version.address)})", text)
    by = ", ".join(paging.key(one).sql for one in order if paging.key(one).name != PLACE)
    return f"{text}\norder by {by}" if by else text


def _broken(db: Engine, version: Version, number: int) -> tuple[dict[str, Any], str]:
    """A rule that is kept, by its number, and the predicate of the rows that break it; nothing where none does."""
    _, rules = kept_rules(db, version.name)
    if not 1 <= number <= len(rules):
        raise BadParameter(f"there is no rule {number}", "choose one on the page of the rules")
    found = db.validate(version.address, [rules[number - 1]]).findings
    return rules[number - 1], found[0].predicate if found else "false"


def _filters(request: Asked) -> list[str]:
    """The filters in an address: as the API takes them, and one more from the form."""
    given = [text for text in request.query_params.getall("filter", []) if text]
    column, operator = request.query_params.get("column"), request.query_params.get("operator", "eq")
    if column:
        text = f"{column}:{operator}:{request.query_params.get('value', '')}"
        given += [text] if text not in given else []
    return given


def _chips(here: str, filters: list[str], types: dict[str, str], others: list[tuple[str, Any]]) -> list[dict[str, str]]:
    """Filters in words, each with the address without it."""
    found = []
    path, _, _ = here.partition("?")
    for text in filters:
        name = max((one for one in types if text.startswith(f"{one}:")), key=len)
        operator, _, value = text[len(name) + 1 :].partition(":")
        left = [*others, *(("filter", other) for other in filters if other != text)]
        found.append({"name": name, "operator": OPERATORS[operator], "value": value, "text": text,
                      "without": _address(path, left)})  # fmt: skip
    return found


def _address(path: str, asked: list[tuple[str, Any]]) -> str:
    query = urlencode([(name, str(value)) for name, value in asked if value is not None])
    return f"{path}?{query}" if query else path


def _shown_columns(version: Version) -> list[dict[str, Any]]:
    """The columns as a table has them."""
    found = []
    for name, kind in version.columns.items():
        is_nested = kind.endswith("]") or kind.startswith(_NESTED)
        column: dict[str, Any] = {"name": name, "label": name or "(no name)", "sortable": not is_nested, "help": kind}
        if kind.startswith(_NUMBERS) and not is_nested:
            column["kind"] = "number"
        elif kind.startswith("TIMESTAMP") and not is_nested:
            column["kind"] = "time"
        found.append(column)
    return found
