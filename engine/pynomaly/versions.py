"""Versions of datasets, and the addresses that name them: `payments`, `payments@3`, `payments AS OF '2026-11-01'`."""

import re
from datetime import datetime

import duckdb
import msgspec

from pynomaly import access
from pynomaly.errors import AmbiguousSource, BadParameter, UnknownDataset, did_you_mean
from pynomaly.quoting import literal

_NUMBERED = re.compile(r"(?P<name>[^@/\\]+)@(?P<version>\d{1,9})")
_AS_OF = re.compile(r"(?P<name>[^@/\\]+?)\s+as\s+of\s+'(?P<at>[^']+)'", re.IGNORECASE)
_COLUMNS = "name, version, snapshot, columns, n_rows, n_bytes, n_quarantined, source, parent, created_at, created_by"
_SHADOWS = """
select
    case
        when count(*) > 0 or regexp_matches(current_query(), {cte}) then error({error} || left(count(*)::varchar, 0))
        else true
    end
from (
    select table_name as name, schema_name, temporary from duckdb_tables()
    union all
    select view_name, schema_name, temporary from duckdb_views()
)
where lower(name) = {name} and (temporary or schema_name = current_schema())
"""


class Version(msgspec.Struct, frozen=True):
    """One immutable version of a dataset; `snapshot` is the SHA-256 of its Parquet file."""

    name: str
    version: int
    snapshot: str
    columns: dict[str, str]
    n_rows: int
    n_bytes: int
    n_quarantined: int
    source: str
    parent: int | None
    created_at: datetime
    created_by: str

    @property
    def address(self) -> str:
        """What names the version as a source."""
        return f"{self.name}@{self.version}"

    def __str__(self) -> str:
        """One sentence for a person."""
        n = len(self.columns)
        bad = f"; {self.n_quarantined:,} in quarantine" if self.n_quarantined else ""
        return f"{self.address}: {self.n_rows:,} rows, {n:,} column{'' if n == 1 else 's'}{bad}"


class Address(msgspec.Struct, frozen=True):
    """A name, and at most one of a version's number and a time."""

    name: str
    version: int | None = None
    at: str | None = None


def parse(source: str) -> Address:
    """The address that a source is, if it is one."""
    if found := _NUMBERED.fullmatch(source):
        return Address(found["name"], version=int(found["version"]))
    if found := _AS_OF.fullmatch(source.strip()):
        return Address(found["name"].strip(), at=found["at"])
    return Address(source)


def is_address(source: str) -> bool:
    """Whether a source can be nothing else than one version of a dataset."""
    return parse(source) != Address(source)


def find(cursor: duckdb.DuckDBPyConnection, source: str) -> Version | None:
    """The version that a source names; None for a bare name that is no dataset's.

    Raises UnknownDataset where no dataset has the name, or no version of it the number or that age.
    """
    address = parse(source)
    meant, values = "", [address.name]
    if address.version is not None:
        meant, values = " and version = ?", [address.name, str(address.version)]
    elif address.at is not None:
        meant, values = " and created_at <= ?::timestamptz", [address.name, address.at]
    newest = f"{_live()}{meant} order by version desc limit 1"
    rows = _rows(cursor, newest, values, address)
    if not rows and is_address(source):
        raise _unknown(cursor, address)
    return of_row(rows[0]) if rows else None


def names(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """The names of the datasets; none where they cannot be read."""
    try:
        select = f"select distinct name from {access.visible('live_dataset_versions')}"
        return [str(row[0]) for row in cursor.execute(select).fetchall()]
    except duckdb.Error:  # above all where there is no catalogue
        return []


def unshadowed(relation: str, version: Version) -> str:
    """The relation of a dataset by its bare name; the query fails where it has a table or CTE of that name as well.

    Only the query itself sees its CTEs, its temporary tables and those that are not committed yet.
    """
    name = version.name.lower()
    cte = (
        rf"""(?i)(with|,)\s*(recursive\s+)?"?{re.escape(name)}"?\s*(\([^)]*\)\s*)?as\s+(not\s+)?(materialized\s+)?\("""
    )
    error = AmbiguousSource(
        f"`{version.name}` is a dataset and also a table or CTE of this query",
        f"write `{version.address}` for the dataset, or call the other one something else",
    )
    return (
        f"(from {relation} where ({_SHADOWS.format(cte=literal(cte), name=literal(name), error=literal(str(error)))}))"
    )


def live(cursor: duckdb.DuckDBPyConnection, name: str) -> list[Version]:
    """Every version of a dataset, the oldest first; UnknownDataset where there is none."""
    found = _rows(cursor, f"{_live()} order by version", [name], Address(name))
    if not found:
        raise _unknown(cursor, Address(name))
    return [of_row(row) for row in found]


def of_row(row: tuple[object, ...]) -> Version:
    """A version from its row."""
    given = dict(zip(Version.__struct_fields__, row, strict=True))
    return msgspec.convert({**given, "columns": msgspec.json.decode(str(given["columns"]))}, Version)


def _live() -> str:
    return f"select {_COLUMNS} from {access.visible('live_dataset_versions')} where name = ?"


def _rows(cursor: duckdb.DuckDBPyConnection, sql: str, values: list[str], address: Address) -> list[tuple[object, ...]]:
    try:
        return cursor.execute(sql, values).fetchall()
    except duckdb.CatalogException:  # there is no catalogue, or it is of an older release
        return []
    except duckdb.ConversionException:
        raise BadParameter(
            f"`{address.at}` is no time", f"write it as in {address.name} AS OF '2026-11-01 09:30'"
        ) from None


def _unknown(cursor: duckdb.DuckDBPyConnection, address: Address) -> UnknownDataset:
    if address.name not in (known := names(cursor)):
        mend = did_you_mean(address.name, known) or "add it: pynomaly dataset add NAME SOURCE"
        return UnknownDataset(f"there is no dataset `{address.name}`", mend)
    versions = live(cursor, address.name)
    if address.at is not None:
        first = versions[0].created_at
        return UnknownDataset(f"`{address.name}` has no version as old as {address.at}", f"its first is of {first}")
    numbers = ", ".join(str(version.version) for version in versions[-5:])
    return UnknownDataset(f"`{address.name}` has no version {address.version}", f"it has {numbers}")
