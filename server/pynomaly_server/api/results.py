"""Results: the scored rows of saved runs, why a row, how scores are spread, and what people say of rows."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import msgspec
import pyarrow as pa
from litestar import Controller, Request, Response, get, put
from litestar.params import FromPath, FromQuery, JSONBody

from pynomaly.engine import Engine
from pynomaly.errors import BadParameter
from pynomaly_server import formats, paging, rowsets
from pynomaly_server.paging import Page
from pynomaly_server.permissions import Permission
from pynomaly_server.rowsets import Asked, Rows
from pynomaly_server.served import Caller, Db, Place

MOST_BINS = 1_000
_RUNS = "from runs() where saved"
_WITH_LABELS = """
select results.*, said.label
from {results} as results
left join labels_of(?) as said on said.key = results.key
"""
_OWN = frozenset({"key", "anomaly_score", "is_anomaly", "reasons", "label"})
_SOURCE_OF = """
select source.* exclude (_pynomaly_key)
from (select unnest(?::varchar[]) as key, generate_subscripts(?::varchar[], 1) as place) as wanted
left join _run_rows_of(?, ?::varchar[]) as source on source._pynomaly_key = wanted.key
order by wanted.place
"""
_WITH_COLUMNS = """
select results.*, source.* exclude (_pynomaly_key)
from {rows} as source
join ({results}) as results on results.key = source._pynomaly_key
"""


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """What a person says of a row."""

    label: Literal["anomaly", "normal"]
    note: str | None = None


class SaidOfKey(Said, kw_only=True):
    """What a person says of the row that has a key."""

    key: str


class ResultsController(Controller):
    """Saved runs and their rows."""

    path = "/api/v1/detection/results"
    tags = ("results",)

    @get("/", permission=Permission.READ, cached=True, sync_to_thread=True)
    def list_results(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        filter: FromQuery[list[str] | None] = None,  # noqa: A002 - the name of the parameter
        sort: FromQuery[str | None] = None,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Page]:
        """The runs whose rows are kept, the newest first; `filter` and `sort` are as in the rows of a dataset."""
        return runs_page(request, db, _RUNS, Asked(filter or (), sort, limit, cursor))

    @get("/{run:str}", permission=Permission.READ, sync_to_thread=True, statuses=(406, 409))
    def get_results(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        identity: Caller,
        workspace: Place,
        run: FromPath[str],
        columns: FromQuery[bool] = False,
        labels: FromQuery[bool] = False,
        is_anomaly: FromQuery[bool | None] = None,
        min_score: FromQuery[float | None] = None,
        max_score: FromQuery[float | None] = None,
        label: FromQuery[str | None] = None,
        reason: FromQuery[str | None] = None,
        filter: FromQuery[list[str] | None] = None,  # noqa: A002 - the name of the parameter
        sort: FromQuery[str | None] = None,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
        escape: FromQuery[bool] = True,
    ) -> Response[Any]:
        """The rows of a saved run with scores and reasons, the highest scores first; `.csv` and others as a suffix.

        `columns` adds those of the source, `labels` what people said. Rows are chosen by `is_anomaly`, a range of
        scores, a `label`, the feature of a `reason`, and `filter`; `sort` is by any column, such as `key`.
        """
        run_id = recorded(db, formats.without_suffix(run))
        is_page = formats.wanted(request).name == "json" or limit is not None or cursor is not None
        is_own = is_page and all(map(_is_own, [*(filter or ()), *(sort or "key").split(",")]))
        choice = {"is_anomaly": is_anomaly, "min_score": min_score, "max_score": max_score, "label": label}
        rows = chosen_rows(run_id, {**choice, "reason": reason}, labels or label is not None, columns and not is_own)
        if columns and is_own:
            rows = msgspec.structs.replace(rows, more=partial(with_source, run_id))
        asked = Asked(filter or (), sort, limit, cursor, escape)
        if labels or label is not None or columns:  # people go on talking, and a table changes
            return rowsets.answer(request, db, workspace, identity, rows, asked)
        etag = rowsets.tag(request, run_id)
        if (same := rowsets.unchanged(request, etag)) is not None:
            return same
        return rowsets.answer(request, db, workspace, identity, rows, asked, rowsets.cached(etag))

    @get("/{run:str}/histogram", permission=Permission.READ, sync_to_thread=True, statuses=(409,))
    def get_histogram(
        self, request: Request[Any, Any, Any], db: Db, run: FromPath[str], bins: FromQuery[int] = 50
    ) -> Response[dict[str, Any]]:
        """How the scores of a run are spread, with its threshold."""
        if not 1 <= bins <= MOST_BINS:
            raise BadParameter(f"`bins` is {bins}", f"give 1 to {MOST_BINS}")
        (told,) = paging.records(db, "from _run(?)", [run])
        etag = rowsets.tag(request, told["id"])
        if (same := rowsets.unchanged(request, etag)) is not None:
            return same
        items = paging.records(db, "from score_histogram(?, bins := ?)", [told["id"], bins])
        named = {name: told[name] for name in ("threshold", "n_rows", "n_flagged", "n_unscored")}
        return Response({"run_id": told["id"], **named, "items": items}, headers=rowsets.cached(etag))

    @get("/{run:str}/rows/{key:str}/explanation", permission=Permission.READ, sync_to_thread=True, statuses=(409,))
    def explain_row(
        self, db: Db, run: FromPath[str], key: FromPath[str], nearest: FromQuery[int] = 5
    ) -> dict[str, Any]:
        """Why a row has its score, and which rows that were not flagged are most like it."""
        return _explained(db, run, key, nearest)

    @get("/{run:str}/explanation", permission=Permission.READ, sync_to_thread=True, statuses=(409,))
    def explain(self, db: Db, run: FromPath[str], key: FromQuery[str], nearest: FromQuery[int] = 5) -> dict[str, Any]:
        """The same for a key that cannot be part of a path, since it is empty or has a slash."""
        return _explained(db, run, key, nearest)

    @get("/{run:str}/labels", permission=Permission.READ, sync_to_thread=True)
    def list_labels(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        run: FromPath[str],
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Page]:
        """The last saying about each row of a run that people spoke of."""
        return paging.listed(
            request, db, "from labels_of(?)", parameters=[run], order=["key"], limit=limit, cursor=cursor
        )

    @get("/{run:str}/rows/{key:str}/labels", permission=Permission.READ, sync_to_thread=True)
    def get_labels(self, db: Db, run: FromPath[str], key: FromPath[str]) -> dict[str, Any]:
        """What was said of a row, the last first."""
        select = (
            "select label, note, number, labelled_at, labelled_by "
            "from query(_catalog('labels', getvariable('pynomaly_user'))) "
            "where run_id = ?::uuid and key = ? order by number desc"
        )
        return {"items": paging.records(db, select, [recorded(db, run), key]), "next_cursor": None}

    @put("/{run:str}/rows/{key:str}/labels", permission=Permission.LABEL, sync_to_thread=True)
    def put_label(self, db: Db, run: FromPath[str], key: FromPath[str], data: JSONBody[Said]) -> dict[str, Any]:
        """Say of a row that it is an anomaly or normal; the last saying about a row counts."""
        return _said(db, run, key, data)

    @put("/{run:str}/labels", permission=Permission.LABEL, sync_to_thread=True)
    def put_label_of(self, db: Db, run: FromPath[str], data: JSONBody[SaidOfKey]) -> dict[str, Any]:
        """The same for a key that cannot be part of a path."""
        return _said(db, run, data.key, data)


def _said(db: Db, run: str, key: str, said: Said) -> dict[str, Any]:
    db.label(run, key, said.label, said.note)
    (found,) = paging.records(db, "from labels_of(?) where key = ?", [run, key])
    return found


def _explained(db: Db, run: str, key: str, nearest: int) -> dict[str, Any]:
    return {
        "key": key,
        "reasons": paging.records(db, "from explain_row(?, ?)", [run, key]),
        "nearest_normal": paging.records(db, "from nearest_normal(?, ?, k := ?)", [run, key, nearest]),
    }


def recorded(db: Db, run: str) -> str:
    """The whole id of a run; UnknownRun where the caller sees none of it."""
    return str(db.execute("select id::varchar from _run(?)", [run]).fetchall()[0][0])


def runs_page(request: Request[Any, Any, Any], db: Db, select: str, asked: Asked) -> Response[Page]:
    """A page of runs."""
    usual = ["started_at desc", "id"]
    rows, order = Rows(select, [], "id", usual), usual
    if asked.filters or asked.sort:
        types = paging.described(db, select)
        order = paging.sorting(asked.sort, types, usual, "id")
        rows = rows.filtered(db, asked.filters, types)
    return paging.listed(
        request, db, rows.select, parameters=rows.parameters, order=order, limit=asked.limit, cursor=asked.cursor
    )


def _is_own(text: str) -> bool:
    """Whether a filter or a part of an order is about a result alone, and not about its source."""
    return paging.key(text.partition(":")[0].strip()).name in _OWN


def with_source(run: str, db: Engine, rows: pa.Table) -> pa.Table:
    """The rows of a page with the columns of their source."""
    keys = rows["key"].to_pylist()
    found = db.execute(_SOURCE_OF, [keys, keys, run, keys]).arrow()
    names = list(rows.column_names)
    for name in found.column_names:  # called as DuckDB calls the second of a name
        text, n = name, 0
        while text in names:
            n += 1
            text = f"{name}_{n}"
        names.append(text)
    return pa.table([*rows.columns, *found.columns], names)


def chosen_rows(
    run: str, choice: dict[str, Any], with_labels: bool, with_columns: bool, keys: Sequence[str] | None = None
) -> Rows:
    """The rows of a run that are chosen, among those of some keys if they are given."""
    among = [] if keys is None else [list(keys)]
    of = ("_run_results(?)", "_run_rows(?)") if keys is None else ("_run_results_of(?, ?)", "_run_rows_of(?, ?)")
    select, values = f"from {of[0]}", [run, *among]
    if with_labels:
        select, values = _WITH_LABELS.format(results=of[0]), [run, *among, run]
    conditions = {
        "is_anomaly": "is_anomaly = ?",
        "min_score": "anomaly_score >= ?",
        "max_score": "anomaly_score <= ?",
        "label": "label = ?",
        "reason": "list_contains(list_transform(reasons, lambda reason: reason.feature), ?)",
    }
    given = {name: value for name, value in choice.items() if value is not None}
    if given:
        select = f"select * from ({select}) where {' and '.join(conditions[name] for name in given)}"
        values = [*values, *given.values()]
    if with_columns:
        select, values = _WITH_COLUMNS.format(rows=of[1], results=select), [run, *among, *values]
    return Rows(select, list(values), "key", ["anomaly_score desc", "key"], name=f"results {run[:8]}")
