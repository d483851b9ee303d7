"""The functions of the macros over datasets, as DuckDB sees them."""

from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa

from pynomaly import access, arrays, snapshots, source, versions
from pynomaly.errors import BadParameter, UnknownColumn, UnknownSource, did_you_mean
from pynomaly.quoting import identifier, literal

if TYPE_CHECKING:
    from pynomaly.functions import Session


class DatasetFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def loaded(self, *args: pa.Array) -> pa.Array:
        """(load) to TRUE for each row, which counts as loaded."""
        progress = self._session.runs.get(str(args[0][0].as_py()))
        if progress is not None:
            progress.n_rows += len(args[0])
        return pa.repeat(pa.scalar(True), len(args[0]))

    @access.by_user
    def address(self, *args: pa.Array) -> pa.Array:
        """(source) to the address of the version that it names; to itself where it is no dataset."""
        (name,) = arrays.constants(args)
        version = self._session.version(str(name))
        return arrays.texts([version.address if version is not None else name] * len(args[0]))

    @access.by_user
    def dataset_name(self, *args: pa.Array) -> pa.Array:
        """(name) to itself; UnknownDataset where no dataset has it."""
        (name,) = arrays.constants(args)
        with closing(self._session.lookup_cursor("")) as cursor:
            versions.live(cursor, str(name))
        return args[0]

    @access.by_user
    def version_rows(self, *args: pa.Array) -> pa.Array:
        """(dataset) to a SELECT of the rows of the version that is meant, each with its number."""
        (name,) = arrays.constants(args)
        with closing(self._session.lookup_cursor("")) as cursor:
            version = versions.find(cursor, str(name)) or versions.live(cursor, str(name))[-1]
        rows = source.numbered(snapshots.path_of(self._session.workspace, version.snapshot))
        return arrays.texts([f"from {rows}"] * len(args[0]))

    @access.by_user
    def version_changes(self, *args: pa.Array) -> pa.Array:
        """(a, b, key) to a SELECT of what differs between two sources, a row a change."""
        a, b, key = arrays.constants(args)
        (before, old), (after, new) = self._columns(a), self._columns(b)
        keys = source.names(key, "key")
        for name in keys:
            if name.lower() not in old or name.lower() not in new:
                near = did_you_mean(name, [column for column, _ in new.values()])
                raise UnknownColumn(f"column `{name}` is not in both versions", near)
        changes = _schema_changes(old, new)
        if before != after:
            shared = [(old[name], new[name]) for name in old if name in new]
            changes += _matched_changes(before, after, shared, keys) if keys else _row_changes(before, after, shared)
        empty = _change(None, n_rows="null::bigint")
        where = "n_rows is null or n_rows > 0"
        found = " union all ".join([f"({empty} limit 0)", *changes])
        return arrays.texts([f"select * from ({found}) where {where}"] * len(args[0]))

    def _columns(self, name: object) -> tuple[str, dict[str, tuple[str, str]]]:
        """A source as it stands in FROM, and its columns with their types, by their lower-case names."""
        if not isinstance(name, str) or not name:
            raise BadParameter(f"the version is {name!r}", "give one as in 'payments@3'")
        relation, columns = self._session.resolved(name)
        if columns is None:
            raise UnknownSource(f"source `{name}` not found", "give two versions of a dataset, as in 'payments@3'")
        return relation, {column.lower(): (column, type_) for column, type_ in columns.items()}


def _change(
    change: str | None, column: str | None = None, before: str | None = None, after: str | None = None, n_rows: str = ""
) -> str:
    """The SELECT of one change."""
    texts = {"change": change, "column": column, "before": before, "after": after}
    values = ", ".join(f"{literal(value)}::varchar as {identifier(name)}" for name, value in texts.items())
    return f"select {values}, {n_rows or 'null::bigint'} as n_rows"


def _schema_changes(old: dict[str, tuple[str, str]], new: dict[str, tuple[str, str]]) -> list[str]:
    removed = [_change("column removed", *old[name]) for name in old if name not in new]
    added = [_change("column added", new[name][0], None, new[name][1]) for name in new if name not in old]
    both = [(old[name], new[name]) for name in old if name in new]
    return removed + added + [_change("type changed", b[0], a[1], b[1]) for a, b in both if a[1] != b[1]]


Shared = list[tuple[tuple[str, str], tuple[str, str]]]  # columns of both: name and type before, and after


def _row_changes(before: str, after: str, shared: Shared) -> list[str]:
    """Rows of one that the other has not, equal rows counted as often as they occur."""
    rows = [", ".join(_value(pair[place], pair) for pair in shared) or "1" for place in (0, 1)]
    first, second = f"select {rows[0]} from {before}", f"select {rows[1]} from {after}"
    return [
        _change(change, n_rows=f"(select count(*) from ({one} except all {other}))")
        for change, one, other in (("rows removed", first, second), ("rows added", second, first))
    ]


def _matched_changes(before: str, after: str, shared: Shared, keys: tuple[str, ...]) -> list[str]:
    """Rows that only one has by their key, and for each column how many values differ."""
    on = " and ".join(f"a.{identifier(key)} is not distinct from b.{identifier(key)}" for key in keys)
    changes = [
        _change(change, n_rows=f"(select count(*) from {one} as a where not exists (from {other} as b where {on}))")
        for change, one, other in (("rows removed", before, after), ("rows added", after, before))
    ]
    for pair in shared:
        differ = " is distinct from ".join(
            _value(column, pair, alias) for column, alias in zip(pair, ("a.", "b."), strict=True)
        )
        joined = f"(select count(*) from {before} as a join {after} as b on {on} where {differ})"
        changes.append(_change("values changed", pair[1][0], n_rows=joined))
    return changes


def _value(column: tuple[str, str], pair: tuple[tuple[str, str], tuple[str, str]], alias: str = "") -> str:
    """A column's value, as text where its type has changed."""
    text = "" if pair[0][1] == pair[1][1] else "::varchar"
    return f"{alias}{identifier(column[0])}{text}"
