"""Turns a source (table, view, CTE, frame, file) and the roles of its columns into one quoted SELECT.

The SELECT passes every column on and adds six of its own, which the macros drop again:
`_pynomaly_row` (the struct of the features), `_pynomaly_group`, `_pynomaly_key`, `_pynomaly_label`,
`_pynomaly_note` (which columns were left out, as JSON) and `_pynomaly_guard` (never computed; its binding
refuses clashing names).
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import msgspec

from pynomaly import snapshots, urls, versions
from pynomaly.columns import TEXT_WIDTH
from pynomaly.encoding import LeftOut
from pynomaly.errors import (
    BadParameter,
    NoUsableColumn,
    PynomalyError,
    ResultColumnExists,
    SourceSingleUse,
    SourceUnreadable,
    UnknownColumn,
    UnknownSource,
    did_you_mean,
)
from pynomaly.paths import is_file, is_folder
from pynomaly.quoting import identifier, literal

RESULT_COLUMNS = ("anomaly_score", "is_anomaly", "reasons")
_ADDED = tuple(
    f"_pynomaly_{name}"
    for name in (
        "row",
        "group",
        "key",
        "label",
        "note",
        "guard",
        "number",
        "rows",
        "group_rows",
        "model",
        "score",
        "top",
        "place",
    )
)
_RESERVED = "_pynomaly_"  # columns that the macros add begin so
SNAPSHOT = "snapshot:"  # sources that are snapshots begin so
PLACE = "_pynomaly_place"  # the number of a row in its snapshot, from 1
DATA_SUFFIXES = (".parquet", ".pq", ".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".gz", ".zst")

_NUMBER = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|BIGNUM|DECIMAL\(.*\))$")
_TEXT = re.compile(r"(VARCHAR|UUID|JSON|ENUM\(.*\))$", re.DOTALL)
_TIMESTAMP = re.compile(r"(DATE|TIMESTAMP(_S|_MS|_NS)?)$")


class Roles(msgspec.Struct, frozen=True):
    """The columns that a call names, by the part they play."""

    features: tuple[str, ...] | None
    exclude: tuple[str, ...]
    label: tuple[str, ...]
    key: tuple[str, ...]
    by: tuple[str, ...]

    def named(self) -> list[str]:
        """Every column that the call names."""
        return [*(self.features or ()), *self.exclude, *self.label, *self.key, *self.by]

    def aside(self) -> dict[str, str]:
        """The columns that never reach fit, by their lower-case name, with the reason."""
        roles = {"excluded": self.exclude, "the label": self.label, "the key": self.key, "the group": self.by}
        return {name.lower(): why for why, names in roles.items() for name in names}


def names(value: object, parameter: str) -> tuple[str, ...]:
    """The column names in a parameter that takes a string or a list of strings; a name given twice counts once."""
    given = [value] if isinstance(value, str) else value
    if given is None:
        return ()
    if not isinstance(given, Sequence) or not all(isinstance(name, str) for name in given):
        raise BadParameter(f"`{parameter}` is {value!r}", "give a column name or a list of column names")
    return tuple({name.lower(): name for name in given}.values())


def roles(features: object, exclude: object, label: object, key: object, by: object) -> Roles:
    """The roles as the macro's parameters give them; a feature cannot have another role as well."""
    chosen = names(features, "features") if features is not None else None
    found = Roles(chosen, names(exclude, "exclude"), names(label, "label"), names(key, "key"), names(by, "by"))
    for parameter, given in (("features", features), ("key", key), ("by", by)):
        if given is not None and not isinstance(given, str) and not names(given, parameter):
            raise BadParameter(f"`{parameter}` is an empty list", f"name a column, or leave `{parameter}` out")
    for name in chosen or ():
        if name.lower() in found.aside():
            raise BadParameter(f"column `{name}` is a feature and {found.aside()[name.lower()]} at once", "drop one")
    return found


def select_relation(relation: str, columns: dict[str, str] | None, chosen: Roles, is_snapshot: bool = False) -> str:
    """The SELECT of a source as `resolve` found it."""
    if columns is None:
        return _select_unseen(relation, chosen)
    _refuse_result_columns(columns, is_snapshot)
    return _select_seen(relation, columns, chosen)


def resolve(
    cursor: duckdb.DuckDBPyConnection, source: str, workspace: Path | None, seen: bool = True
) -> tuple[str, dict[str, str] | None]:
    """The source as it stands in FROM, and its columns with their types (None where they cannot be seen).

    Where the cursor would see something else than the query (`seen` is False) it does not look. `workspace` is the
    folder that holds the snapshots.
    """
    if not seen:
        return identifier(source), None
    if source.startswith(SNAPSHOT):
        path = snapshots.path_of(workspace, source.removeprefix(SNAPSHOT))
        return numbered(path), described(cursor, numbered(path), source)
    if source.lower().startswith(("http://", "https://", "s3://", "/dev/stdin")):
        raise SourceSingleUse(f"source `{urls.shown(source)}` can be read once only", "load it into a table first")
    if urls.scheme(source) is not None:
        told = urls.shown(source)
        raise SourceSingleUse(f"source `{told}` is served from elsewhere", f"load it: pynomaly dataset add NAME {told}")
    for relation in _spellings(source):
        columns = described(cursor, relation, source)
        if columns is not None:
            _refuse_unsplit(columns, source)
            return relation, columns
    if _is_path(source) and is_folder(source):
        raise UnknownSource(f"`{source}` is a folder", f"name its files, such as '{source.rstrip('/')}/*.parquet'")
    is_dataset = versions.is_address(source) or not _is_path(source)
    if is_dataset and (version := versions.find(cursor, source)) is not None:
        return of_version(source, version, workspace), version.columns
    if _is_path(source):
        near = did_you_mean(source, _neighbours(source))
        raise UnknownSource(f"file `{source}` does not exist", near or "check the path")
    return identifier(source), None


def of_version(source: str, version: versions.Version, workspace: Path | None) -> str:
    """The rows of the version that a source names, as they stand in FROM."""
    kept = f"read_parquet({literal(str(snapshots.path_of(workspace, version.snapshot)))})"
    return kept if versions.is_address(source) else versions.unshadowed(kept, version)


def numbered(snapshot: Path, chosen: Sequence[int] | None = None) -> str:
    """The rows of a snapshot with their numbers, as they stand in FROM; the chosen ones alone if some are."""
    # DuckDB 2.0 fails, of a small file, where the number is filtered and the first rows by it are wanted: its filter
    # for these takes the number for a column of the file, unless another one takes part in it.
    number = "file_row_number + 1 + 0 * file_index"
    among = "" if chosen is None else f" where file_row_number in ({', '.join(str(n - 1) for n in chosen) or 'null'})"
    return f"(select *, {number} as {PLACE} from read_parquet({literal(str(snapshot))}){among})"


def is_relation(cursor: duckdb.DuckDBPyConnection, source: str) -> bool:
    """Whether a name is that of a table, a view or a file, which come before a dataset."""
    return any(described(cursor, relation, source) is not None for relation in _spellings(source))


def _spellings(source: str) -> Iterable[str]:
    """The ways to write a source in FROM, the most literal first."""
    yield identifier(source)
    parts = re.fullmatch(r'(?:(?:"(?:[^"]|"")+"|\w+)\.){0,2}(?:"(?:[^"]|"")+"|\w+)', source)
    if parts:
        pieces = re.findall(r'"((?:[^"]|"")+)"|(\w+)', source)
        yield ".".join(identifier(quoted.replace('""', '"') or plain) for quoted, plain in pieces)
    if _is_path(source) and is_file(source):
        yield f"read_csv({literal(source)})"


def _refuse_unsplit(columns: dict[str, str], source: str) -> None:
    only = next(iter(columns)) if len(columns) == 1 else ""
    if _is_path(source) and (found := unsplit(source, only)) is not None:
        raise found


def unsplit(source: str, only: str) -> SourceUnreadable | None:
    """A CSV whose lines have different numbers of fields is read as one column that is named like a whole line."""
    if not re.search(r"[,;\t|]", only):
        return None
    return SourceUnreadable(
        f"`{source}` does not parse: its lines do not split into the columns of its first line, `{only[:60]}`",
        "correct its lines, or read the file with read_csv and its options into a table",
    )


def described(cursor: duckdb.DuckDBPyConnection, relation: str, source: str) -> dict[str, str] | None:
    """The columns of a relation with their types; None where there is no such relation."""
    try:
        described = cursor.execute(f"describe select * from {relation}").fetchall()
    except duckdb.CatalogException:
        return None
    except duckdb.IOException as error:
        if "No files found" in str(error):
            return None
        raise SourceUnreadable(f"`{source}` cannot be read: {first_line(error)}", "check the file") from None
    except duckdb.InvalidInputException as error:
        if "not suitable for replacement scans" in str(error):
            return None
        if (known := csv_error(str(error))) is not None:
            raise known from None
        if "Error when sniffing file" in str(error):
            raise SourceUnreadable(
                f"`{source}` cannot be read: its delimiter, quotes or header line were not recognised",
                "read the file with read_csv and its options into a table",
            ) from None
        raise SourceUnreadable(f"`{source}` cannot be read: {first_line(error)}", "check the file") from None
    except duckdb.Error as error:
        raise SourceUnreadable(f"`{source}` cannot be read: {first_line(error)}", "check the source") from None
    return {str(row[0]): str(row[1]) for row in described}


def csv_error(text: str) -> SourceUnreadable | None:
    """File, line and reason of a CSV that does not parse, from DuckDB's message; None for another message."""
    line = re.search(r"CSV Error on Line: (\d+)", text)
    if line is None:
        return None
    reasons = [row for row in text.splitlines()[1:] if row.strip() and not row.startswith("Original Line")]
    file = re.search(r"file = (.+)", text)
    name = file[1].strip() if file else "file.csv"
    read = f"read_csv({literal(name)}, encoding = 'latin-1')"
    mend = "correct that line, or read the file with read_csv and its options into a table"
    return SourceUnreadable(
        f"{f'`{name}`' if file else 'the CSV'} does not parse at line {line[1]}: "
        f"{reasons[0].strip() if reasons else 'unknown reason'}",
        f"say its encoding: create table t as from {read}" if "utf-8" in text else mend,
    )


def first_line(error: Exception) -> str:
    """The first sentence of a DuckDB error, without its kind."""
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", text).strip()


def _is_path(source: str) -> bool:
    return "/" in source or "\\" in source or source.lower().endswith(DATA_SUFFIXES)


def _neighbours(source: str) -> list[str]:
    folder = Path(source).parent
    if "*" in source or not is_folder(str(folder)):
        return []
    return [str(folder / path.name) if "/" in source else path.name for path in folder.iterdir() if path.is_file()]


def _select_seen(relation: str, columns: dict[str, str], chosen: Roles) -> str:
    known = {name.lower() for name in columns}
    for name in chosen.named():
        if name.lower() not in known:
            raise UnknownColumn(f"column `{name}` not found", did_you_mean(name, columns))
    features, left_out = _features(columns, chosen)
    if not features:
        told = "; ".join(f"`{item.column}`: {item.why}" for item in left_out) or "the source has no column"
        raise NoUsableColumn(f"no column can be used as a feature ({told})", "name a usable column in `features`")
    pairs = [f"{identifier(name)} := {_feature(name, columns[name])}" for name in features]
    return _assemble(relation, f"struct_pack({', '.join(pairs)})", chosen, left_out, guard="null")


def _refuse_result_columns(columns: Iterable[str], is_snapshot: bool) -> None:
    known = {name.lower(): name for name in columns}
    for name in known:
        if name.startswith(_RESERVED) and not (is_snapshot and name == PLACE):
            raise BadParameter(f"column `{known[name]}` has a name that Pynomaly needs", "rename that column")
    taken = [known[name] for name in RESULT_COLUMNS if name in known]
    if taken:
        raise result_column_exists(taken)


def refuse_result_columns(names: Iterable[str]) -> None:
    """Raise ResultColumnExists for rows given by value that have a column of the result."""
    taken = [name for name in names if name.lower() in RESULT_COLUMNS]
    if taken:
        raise ResultColumnExists(f"the rows have {', '.join(f'`{name}`' for name in taken)} already", "leave it out")


def result_column_exists(taken: list[str]) -> PynomalyError:
    """The error for a source that already has result columns, with the statement that mends it."""
    if len(taken) == 1:
        change, others = "rename it", f"rename ({identifier(taken[0])} as label)"
    else:
        change, others = "leave them out", f"exclude ({', '.join(map(identifier, taken))})"
    mend = f"{change}: with s as (select * {others} from t) select * from detect_anomalies('s')"
    return ResultColumnExists(f"the source already has {_listed(taken)}", mend)


def _listed(columns: list[str]) -> str:
    return f"{'a column' if len(columns) == 1 else 'columns'} {', '.join(f'`{name}`' for name in columns)}"


def _features(columns: dict[str, str], chosen: Roles) -> tuple[list[str], list[LeftOut]]:
    """The columns that become features, by name and type alone, and those that do not."""
    aside = chosen.aside()
    wanted = None if chosen.features is None else {name.lower() for name in chosen.features}
    features: list[str] = []
    left_out: list[LeftOut] = []
    for name, type_name in columns.items():
        if name == PLACE:
            continue
        why = aside.get(name.lower()) or _unusable(type_name)
        if wanted is not None and name.lower() not in wanted:
            why = aside.get(name.lower(), "not among the named features")
        if why is None:
            features.append(name)
        else:
            left_out.append(LeftOut(name, why))
    return features, left_out


def _unusable(type_name: str) -> str | None:
    """Why a column of this type cannot be a feature; None when it can."""
    if _feature("x", type_name):
        return None
    kind = "nested type" if re.search(r"[\[(]", type_name) or type_name == "VARIANT" else "type"
    return f"{kind} {type_name if len(type_name) <= 40 else type_name[:40] + '...'}"


def is_number(type_name: str) -> bool:
    """Whether a type of DuckDB is one of numbers."""
    return _NUMBER.match(type_name) is not None


def is_text(type_name: str) -> bool:
    """Whether a type of DuckDB is one of texts."""
    return _TEXT.match(type_name) is not None


def is_time(type_name: str) -> bool:
    """Whether a type of DuckDB is a date, with or without a time of the day."""
    return _TIMESTAMP.match(type_name) is not None or type_name == "TIMESTAMP WITH TIME ZONE"


def _feature(name: str, type_name: str) -> str:
    """The expression that carries a column into the struct; empty for a type that cannot be a feature."""
    column = identifier(name)
    if type_name == "BOOLEAN" or type_name == "TIME":
        return column
    if type_name == "INTERVAL":
        return f"epoch({column})"
    if type_name == "TIME WITH TIME ZONE":
        return f"{column}::time"
    if type_name == "TIMESTAMP WITH TIME ZONE":
        return f"make_timestamp(epoch_us({column}))"
    if _TIMESTAMP.match(type_name):
        return f"case when isfinite({column}) then try_cast({column} as timestamp) end"
    if is_number(type_name):
        return f"{column}::double"
    if _TEXT.match(type_name):
        text = f"{column}::varchar"
        digest = f"left({text}, {TEXT_WIDTH}) || md5_number_lower({text})::varchar"
        return f"case when length({text}) <= {TEXT_WIDTH} then {text} else {digest} end"
    return ""


def _select_unseen(relation: str, chosen: Roles) -> str:
    """The SELECT of a source whose schema the lookup cannot see: DuckDB's binder checks the names instead."""
    aside = sorted(chosen.aside())
    if chosen.features is not None:
        row = ", ".join(f"{identifier(name)} := {identifier(name)}" for name in chosen.features)
    elif aside:
        row = f"*columns(lambda c: lower(c) not in ({', '.join(map(literal, aside))}))"
    else:
        row = "*columns(*)"
    reserved = ", ".join(f"{name} := null" for name in (*RESULT_COLUMNS, *_ADDED))
    known = f"*columns(* exclude ({', '.join(map(identifier, aside))}))" if aside else "*columns(*)"
    left_out = [LeftOut(name, why) for name, why in chosen.aside().items()]
    guard = f"struct_pack({reserved}, {known})"
    return _assemble(relation, f"struct_pack({row})", chosen, left_out, guard)


def _assemble(relation: str, row: str, chosen: Roles, left_out: list[LeftOut], guard: str) -> str:
    note = literal(msgspec.json.encode(left_out).decode())
    return (
        f"select *, {row} as _pynomaly_row, {_struct(chosen.by)} as _pynomaly_group, "
        f"{_known(chosen.key)} as _pynomaly_key, {_label(chosen.label)} as _pynomaly_label, "
        f"{note} as _pynomaly_note, {guard} as _pynomaly_guard "
        f"from {relation}"
    )


def _label(columns: tuple[str, ...]) -> str:
    return identifier(columns[0]) if columns else "null::boolean"


def _known(key: tuple[str, ...]) -> str:
    """The key as a struct, or NULL where any of its columns is: that identifies nothing."""
    known = " and ".join(f"{identifier(name)} is not null" for name in key)
    return f"case when {known} then {_struct(key)} end" if key else _struct(key)


def _struct(columns: tuple[str, ...]) -> str:
    if not columns:
        return "null::integer"
    return f"struct_pack({', '.join(f'{identifier(name)} := {identifier(name)}' for name in columns)})"
