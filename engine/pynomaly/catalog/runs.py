"""The functions of the macros over runs, as DuckDB sees them."""

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pyarrow as pa

from pynomaly import access, arrays, registry
from pynomaly.calls import call, macro_call
from pynomaly.catalog import models
from pynomaly.catalog.migrations import check_table
from pynomaly.errors import BadParameter, CatalogChanged, PynomalyError, RunNotSaved, RunsNotComparable, UnknownRun
from pynomaly.frames import is_by_value
from pynomaly.quoting import identifier, literal, texts
from pynomaly.snapshots import path_of
from pynomaly.source import PLACE, SNAPSHOT, numbered

if TYPE_CHECKING:
    from pynomaly.functions import Session

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BEGINNING = re.compile(r"[0-9a-f-]{8,36}")
_COLUMNS = (
    "id::varchar, kind, source, snapshot, key, options, model, model_version, libraries, algorithm, saved, status, "
    "n_rows"
)
_RESULTS = "select 1 from pynomaly.results where run_id = ? limit 1"
_PLAIN = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER", "UUID", "DATE")  # the text tells the value


class Recorded(msgspec.Struct, frozen=True):
    """What the functions need of a run's row."""

    id: str
    kind: str
    source: str
    snapshot: str | None
    key: list[str]
    options: dict[str, Any]
    model: str | None
    model_version: int | None
    libraries: dict[str, str]
    algorithm: str
    saved: bool
    status: str
    n_rows: int | None

    @property
    def read(self) -> str:
        """The source that has the run's rows, as a macro takes it; RunNotSaved where none has."""
        if self.snapshot is not None:
            return SNAPSHOT + self.snapshot
        if is_by_value(self.source):
            raise RunNotSaved(
                f"the rows of run {self.id} were given by value", "save such a run without `key`: a snapshot is kept"
            )
        return self.source

    @property
    def key_columns(self) -> list[str]:
        """The columns that identify a row of `read`."""
        return self.key or [PLACE]

    def check_saved(self) -> None:
        """Raise RunNotSaved for a run without results."""
        if not self.saved:
            why = (
                "failed"
                if self.status == "failed"
                else "was not saved"
                if self.status == "succeeded"
                else "was stopped"
            )
            raise RunNotSaved(f"run {self.id} {why}, so it has no results", "run it again with save=True")


def key_text(key: list[str] | tuple[str, ...]) -> str:
    """The expression of a row's key as `pynomaly.results` has it; the number in the snapshot where no column is."""
    if len(key) > 1:
        return f"json_array({', '.join(map(identifier, key))})::varchar"
    return f"{identifier(key[0] if key else PLACE)}::varchar"


class RunFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._there: set[str] = set()  # tables that were there

    @access.by_user
    def run_id(self, *args: pa.Array) -> pa.Array:
        """(run) to the whole id of the run that is meant; UnknownRun, or RunNotSaved for one without results."""
        run = self.saved(arrays.constants(args)[0])
        return arrays.texts([run.id] * len(args[0]))

    @access.by_user
    def recorded_id(self, *args: pa.Array) -> pa.Array:
        """(run) to the whole id of the run that is meant, saved or not; UnknownRun where there is none."""
        return arrays.texts([self.recorded(arrays.constants(args)[0]).id] * len(args[0]))

    @access.by_user
    def saved_results(self, *args: pa.Array) -> pa.Array:
        """(run, keys) to a SELECT of its results; of these keys alone unless they are NULL."""
        run, keys = arrays.constants(args)
        return arrays.texts([self._results(self.saved(run).id, keys)] * len(args[0]))

    def _results(self, run: str, keys: list[object] | None = None) -> str:
        among = "" if keys is None else f" and {_among('seen.key', keys)}"
        return (
            f"select seen.key, seen.anomaly_score, seen.is_anomaly, seen.reasons "
            f"from {access.visible('results', True, run)} as seen where seen.run_id = {literal(run)}::uuid{among}"
        )

    @access.by_user
    def said_labels(self, *args: pa.Array) -> pa.Array:
        """(run) to a SELECT of all that was said of its rows."""
        run = self.recorded(arrays.constants(args)[0]).id
        select = f"select * from {access.visible('labels', True, run)} as seen where seen.run_id = {literal(run)}::uuid"
        return arrays.texts([select] * len(args[0]))

    @access.by_user
    def run_source(self, *args: pa.Array) -> pa.Array:
        """(run, keys, n_rows) to a SELECT of the rows of its source, with their keys.

        Of these keys alone, or of about so many rows, where they are not NULL. Rows of a few keys are found by the
        values of the key's column, which skips blocks, and then by their texts.
        """
        run, keys, n_rows = arrays.constants(args)
        found = self.saved(run)
        relation, types = self._session.resolved(found.read)
        rest = f"* exclude ({PLACE})" if found.snapshot is not None else "*"
        text = key_text(found.key_columns)
        if keys is None:
            some = sampled(found.key_columns, found.n_rows or 0, n_rows)
            select = f"select {text} as _pynomaly_key, {rest} from (from {relation}{some})"
        else:
            if found.snapshot is not None and not found.key:
                numbers = [int(key) for key in map(str, keys) if re.fullmatch(r"[0-9]{1,15}", key)]
                relation = numbered(path_of(self._session.workspace, found.snapshot), numbers)
            few = f"(from {relation}{_pruned(found.key, types or {}, keys)})"
            select = f"select {text} as _pynomaly_key, {rest} from {few} where {_among(text, keys)}"
        return arrays.texts([select] * len(args[0]))

    @access.by_user
    def replay(self, *args: pa.Array) -> pa.Array:
        """(run) to a SELECT that runs it again and gives its results anew."""
        run = self.saved(arrays.constants(args)[0])
        if run.kind == "score":
            options = {"version": run.model_version, "explain": run.options.get("explain")}
            again = macro_call("score_anomalies", tuple(options), (run.read, run.model), options)
        else:
            again = call(run.read, **{**run.options, "key": run.key_columns})
        key = key_text(run.key_columns)
        return arrays.texts([f"select {key} as key, anomaly_score, is_anomaly, reasons from {again}"] * len(args[0]))

    @access.by_user
    def changed_libraries(self, *args: pa.Array) -> pa.Array:
        """(run) to the libraries whose version is another one now."""
        run = self.saved(arrays.constants(args)[0])
        then, now = run.libraries, _libraries_now(run.algorithm)
        changed = [
            f"{name} {then[name]}, now {now.get(name) or 'none'}" for name in then if then[name] != now.get(name)
        ]
        return pa.array([changed] * len(args[0]), pa.list_(pa.string()))

    @access.by_user
    def seen_run(self, *args: pa.Array) -> pa.Array:
        """(run, n_seen) to the id of a run of whose results so many were seen; RunNotSaved where all are too new."""
        run, n_seen = arrays.constants(args)
        found = self.saved(run)
        if found.n_rows != 0 and not n_seen:
            raise RunNotSaved(
                f"run {found.id} was saved after this transaction began, which does not see its results",
                "commit or roll back first",
            )
        return arrays.texts([found.id] * len(args[0]))

    @access.by_user
    def comparable(self, *args: pa.Array) -> pa.Array:
        """(a, b) to TRUE; RunsNotComparable where their rows are told apart in different ways."""
        a, b = map(self.saved, arrays.constants(args))
        if [name.lower() for name in a.key] != [name.lower() for name in b.key] or (
            not a.key and a.snapshot != b.snapshot
        ):
            raise RunsNotComparable(
                f"run {a.id} tells its rows apart by {_told(a)}, and run {b.id} by {_told(b)}",
                "save both with the same `key`",
            )
        return pa.array([True] * len(args[0]))

    def saved(self, run: object) -> Recorded:
        """The run that is meant; RunNotSaved for one without results."""
        return access.once((self, "saved", run), lambda: self._saved(self.recorded(run)))

    def _saved(self, found: Recorded) -> Recorded:
        found.check_saved()
        if found.n_rows != 0 and not self._has_results(found.id):
            raise RunNotSaved(f"the results of run {found.id} were removed", "run it again with save=True")
        return found

    def recorded(self, run: object) -> Recorded:
        """The run with this id, or with an id that begins so."""
        return access.once((self, "recorded", run), lambda: self._recorded(run))

    def _recorded(self, run: object) -> Recorded:
        text = str(run).strip().lower() if run is not None else ""
        if not _BEGINNING.fullmatch(text):
            raise BadParameter(f"the run is {run!r}", "give its id, or the first eight digits or more of it")
        rows = self._beginning_with(text)
        if rows is None:
            raise UnknownRun(f"there is no run `{text}`", "this database has no recorded run")
        if not rows:
            raise UnknownRun(f"there is no run `{text}`", "`from runs()` lists them")
        if len(rows) > 1:
            raise UnknownRun(f"several runs have an id that begins with `{text}`", "give more of its digits")
        return rows[0]

    def _has_results(self, run: str) -> bool:
        with closing(self._session.lookup_cursor("")) as cursor:
            return self._asked(cursor, "results", _RESULTS, run) not in (None, [])

    def is_meant(self, name: str) -> bool:
        """Whether a name that is no source's is that of a run: an id, or what the id of a recorded run begins with."""
        text = name.strip().lower()
        return bool(_UUID.fullmatch(text) or (_BEGINNING.fullmatch(text) and self._beginning_with(text)))

    def _beginning_with(self, text: str) -> list[Recorded] | None:
        """The run, or the first two, whose id begins so; None where the database has no runs."""
        chosen = "id = ?::uuid" if _UUID.fullmatch(text) else "starts_with(id::varchar, ?)"
        with closing(self._session.lookup_cursor("")) as cursor:
            select = f"select {_COLUMNS} from {access.visible('runs')} where {chosen} limit 2"
            rows = self._asked(cursor, "runs", select, text)
        if rows is None:
            return None
        return [_recorded(dict(zip(Recorded.__struct_fields__, row, strict=True))) for row in rows]

    def _asked(self, cursor: duckdb.DuckDBPyConnection, table: str, select: str, value: str) -> list[Any] | None:
        """The rows of a SELECT from a table of the catalogue; None where it is not there yet."""
        if table not in self._there and not check_table(cursor, table):
            return None
        self._there.add(table)
        try:
            return cursor.execute(select, [value]).fetchall()
        except duckdb.Error:
            check_table(cursor, table)  # somebody has dropped it
            raise


def _recorded(row: dict[str, Any]) -> Recorded:
    """A row of `pynomaly.runs`; CatalogChanged for one that somebody else wrote."""
    try:
        documents = {name: msgspec.json.decode(row[name]) for name in ("options", "libraries")}
        return msgspec.convert({**row, **documents}, Recorded)
    except msgspec.MsgspecError as error:
        raise CatalogChanged(
            f"run {row['id']} is not as Pynomaly records one: {error}", "delete its row from pynomaly.runs"
        ) from None


def _among(expression: str, keys: list[object]) -> str:
    """A condition that a text is one of the keys; of many a join is quicker."""
    known = [str(key) for key in keys if key is not None]
    if len(known) == 1:
        return f"{expression} = {literal(known[0])}"
    return f"{expression} in (select unnest({texts(known)}))"


def _pruned(names: list[str], types: dict[str, str], keys: list[object]) -> str:
    """A condition by the values that texts of keys stand for, which their rows keep; nothing where none is sure."""
    if len(names) != 1:
        return ""
    kind = {name.lower(): kind for name, kind in types.items()}.get(names[0].lower(), "")
    if kind not in _PLAIN:
        return ""
    known = [str(key) for key in keys if key is not None]
    if len(known) == 1:
        return f" where {identifier(names[0])} = try_cast({literal(known[0])} as {kind})"
    return f" where {identifier(names[0])} in (select try_cast(unnest({texts(known)}) as {kind}))"


def sampled(key: list[str], n_rows: int, n_wanted: object) -> str:
    """A condition by which about so many rows are chosen, always the same ones; nothing where all are wanted."""
    if n_wanted is not None and (not isinstance(n_wanted, int) or n_wanted < 1):
        raise BadParameter(f"`sample_rows` is {n_wanted!r}", "give a whole number of rows, or leave it out")
    if n_wanted is None or n_wanted >= n_rows:
        return ""
    most = n_wanted * (2**64 - 1) // n_rows
    return f" where hash({', '.join(map(identifier, key))}) <= {most}::ubigint"


def _told(run: Recorded) -> str:
    if run.key:
        return f"the key {', '.join(f'`{name}`' for name in run.key)}"
    return f"the rows of snapshot {(run.snapshot or '')[:8]}"


def _libraries_now(algorithm: str) -> dict[str, str]:
    """The versions of what an algorithm depends on; what all depend on where it is a combination or gone."""
    try:
        return models.libraries(registry.get(algorithm))
    except PynomalyError:
        return models.libraries(None)
