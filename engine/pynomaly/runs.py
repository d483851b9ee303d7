"""Runs: what a detection or a scoring was, written to the catalogue once, when it ends."""

import time
import uuid
from contextlib import closing, suppress
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from pynomaly.cache import Progress
from pynomaly.catalog import models
from pynomaly.catalog.migrations import check_table, migrate
from pynomaly.catalog.runs import key_text
from pynomaly.errors import Interrupted, KeyNotUnique, PynomalyError, without_passwords
from pynomaly.memory import PeakMemory
from pynomaly.model import Model
from pynomaly.options import Options
from pynomaly.quoting import identifier
from pynomaly.result import Verdict, verdict
from pynomaly.source import PLACE, names
from pynomaly.translate import translate

TABLES = ("runs", "results", "models")


class Run:
    """One detection or scoring, while it goes on and when it has ended; one without a kind is not recorded."""

    def __init__(
        self,
        kind: str | None = None,
        source: str = "",
        asked: dict[str, Any] | None = None,
        save: bool = False,
        id: str | None = None,  # noqa: A002 - what it is
    ) -> None:
        self.id = id or str(uuid.uuid4())
        self.kind = kind
        self.source = source
        self.asked = msgspec.to_builtins(asked or {}, enc_hook=_plain)
        self.save = save
        self.key = names(self.asked.get("key"), "key")
        self.snapshot: str | None = None
        self.source_version: int | None = None  # where the source is a dataset
        self.model: tuple[str, int] | None = None  # name and version of the one that scores
        self.who = ""
        self.sql = ""
        self.seconds = 0.0
        self.progress = Progress(keep=save)
        self.rows: pa.Table | None = None
        self.error: PynomalyError | None = None
        self._memory = PeakMemory()
        self._peak: int | None = None
        self._started = time.perf_counter()

    def is_recorded(self, records: bool) -> bool:
        """Whether the catalogue gets a row of this run, in a database that records every run or only saved ones."""
        return self.kind is not None and (self.save or records)

    def end(self, error: BaseException | None = None) -> None:
        """Stop the clock; `error` is what ended the run, if it did not succeed."""
        self.seconds = time.perf_counter() - self._started
        self._peak = self._memory.rise()
        if isinstance(error, Exception):
            self.error = translate(error)
        elif error is not None:
            self.error = Interrupted("the run was stopped", "run it again")

    @property
    def verdict(self) -> Verdict:
        """What the run found."""
        return verdict(self.progress.fitted, self.sql, self.seconds, self.asked)

    @property
    def found(self) -> pa.Table:
        """The scored rows as a person gets them, when the run has succeeded."""
        rows = self.rows if self.rows is not None else pa.table({})
        return rows.drop_columns([PLACE]) if PLACE in rows.column_names else rows

    def models(self) -> list[Model]:
        """The models that scored: none, one, or one for each group."""
        return [item.entry.model for item in self.progress.fitted if item.entry is not None]

    def row(self) -> dict[str, object]:
        """The run as a row of `pynomaly.runs`, without the columns that only the database knows."""
        found, fitted = self.verdict, self.models()
        said = (found.n_rows, found.n_flagged, found.n_unscored, found.threshold, found.cut_off)
        counted = dict.fromkeys(("n_rows", "n_flagged", "n_unscored", "threshold", "cut_off"))
        if self.error is None:
            counted = dict(zip(counted, said, strict=True))
        return {
            "id": self.id,
            "kind": self.kind,
            "sql": without_passwords(self.sql),
            "source": self.source,
            "source_version": self.source_version,
            "snapshot": self.snapshot,
            "key": list(self.key),
            "options": without_passwords(
                _json({name: value for name, value in self.asked.items() if value is not None})
            ),
            "algorithm": found.algorithm if fitted or self.kind == "detect" else "",  # the model's is filled in
            "parameters": self._parameters(fitted),
            "seed": fitted[0].seed if fitted else found.seed,
            "model": self.model[0] if self.model else None,
            "model_version": self.model[1] if self.model else None,
            "libraries": _json(models.libraries(fitted[0].algorithm if fitted else None)),
            **counted,
            "notes": [*found.notes, *(f"`{item.column}` left out: {item.why}" for item in found.left_out)],
            "rows_per_second": found.n_rows / self.seconds if self.error is None and self.seconds else None,
            "seconds": self.seconds,
            "peak_memory_bytes": self._peak,
            "status": self._status(),
            "error_code": self.error.code if self.error else None,
            "error": str(self.error).partition("] ")[2] if self.error else None,
            "saved": self.save and self.error is None,
            "created_by": self.who,
        }

    def _parameters(self, fitted: list[Model]) -> str:
        asked = self.progress.asked
        return models.parameters(fitted[0], asked) if fitted and asked is not None else "{}"

    def _status(self) -> str:
        if self.error is None:
            return "succeeded"
        return "cancelled" if isinstance(self.error, Interrupted) else "failed"


def make_ready(con: duckdb.DuckDBPyConnection) -> None:
    """Bring the catalogue to where a run can be saved; CatalogChanged where a table of it is gone."""
    with closing(con.cursor()) as cursor:
        migrate(cursor)
        for table in TABLES:
            check_table(cursor, table)


def record(cursor: duckdb.DuckDBPyConnection, run: Run) -> None:
    """Write a run that has ended, and what of it is saved, in one transaction."""
    row, kept = run.row(), None
    if run.save and run.error is None and run.kind == "detect":
        row, kept = _with_model(run, row)
    if run.save:
        migrate(cursor)
    cursor.execute("begin")
    try:
        if run.model is not None:
            row |= _of_model(cursor, *run.model)
        _insert(cursor, "runs", row, {"started_at": f"now() - to_microseconds({int(run.seconds * 1e6)})"})
        if kept is not None:
            _insert(cursor, "models", kept, {})
        if run.rows is not None and row["saved"]:
            _save(cursor, run)
        cursor.execute("commit")
    except BaseException:
        with suppress(duckdb.Error):  # where the commit itself failed there is nothing to undo
            cursor.execute("rollback")
        raise


def _with_model(run: Run, row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The row of a run with its model named, and the row of that model; the reason in a note where there is none."""
    fitted, asked = run.models(), run.progress.asked
    if len(fitted) != 1 or asked is None or asked.grouped:
        why = "every group has a model of its own"
    elif run.asked.get("pipeline") is not None:
        why = "it would need its pipeline fitted to the same rows; train_detector keeps both"
    else:
        try:
            kept = _model_row(run, fitted[0], asked)
        except PynomalyError as error:
            why = str(error)
        else:
            return {**row, "model": run.id, "model_version": 1}, kept
    return {**row, "notes": [*row["notes"], f"the model was not kept: {why}"]}, None


def _model_row(run: Run, fitted: Model, asked: Options) -> dict[str, Any]:
    found = models.trained(fitted, asked, run.verdict.n_rows, run.progress.fit_seconds)
    of_run = {"name": run.id, "version": 1, "source": run.source, "run_id": run.id, "created_by": run.who}
    return {**msgspec.structs.asdict(found), **of_run}


def _insert(cursor: duckdb.DuckDBPyConnection, table: str, row: dict[str, Any], computed: dict[str, str]) -> None:
    columns = ", ".join(map(identifier, (*row, *computed)))
    values = ", ".join((*(f"${name}" for name in row), *computed.values()))
    cursor.execute(f"insert into pynomaly.{table} ({columns}) values ({values})", row)


def _of_model(cursor: duckdb.DuckDBPyConnection, name: str, version: int) -> dict[str, Any]:
    """What the row of a model tells of a run that scores with it, even of one that failed before it did."""
    told = ("algorithm", "parameters", "seed")
    found = cursor.execute(
        f"select {', '.join(told)} from pynomaly.models where name = ? and version = ?", [name, version]
    ).fetchall()
    return dict(zip(told, found[0], strict=True)) if found else {}


def keyed(run: Run) -> str:
    """What goes before the FROM of a run's statement: where it is saved by a key, that key as text.

    Only DuckDB has the text: on the way through Arrow a BIT or a JSON becomes something else.
    """
    return f"select *, {key_text(run.key)} as {PLACE}" if run.save and run.key else ""


def _save(cursor: duckdb.DuckDBPyConnection, run: Run) -> None:
    """Insert the scored rows under their keys: the flagged ones first, which are looked at most.

    Side by side they are read with the few blocks that hold them, and the blocks of the others are passed over.
    """
    cursor.register("_pynomaly_scored", run.rows)  # as long as the cursor lives
    if run.kind == "score" and run.key:
        _check_key(cursor, run.key)
    for chosen in ("is_anomaly order by anomaly_score desc", "not coalesce(is_anomaly, false)"):
        cursor.execute(
            "insert into pynomaly.results (run_id, key, anomaly_score, is_anomaly, reasons) "
            f"select ?::uuid, {PLACE}, anomaly_score, is_anomaly, reasons from _pynomaly_scored where {chosen}",
            [run.id],
        )


def _check_key(cursor: duckdb.DuckDBPyConnection, key: tuple[str, ...]) -> None:
    known = " and ".join(f"{identifier(name)} is not null" for name in key)
    n_rows, n_keys = cursor.execute(
        f"select count(*), count(distinct {PLACE}) filter ({known}) from _pynomaly_scored"
    ).fetchall()[0]
    if n_keys < n_rows:
        raise KeyNotUnique(
            f"the key has {n_keys:,} different values in {n_rows:,} rows",
            "name columns that identify each row and are never NULL",
        )


def _plain(value: Any) -> object:
    """A value of numpy's as Python's own; another as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
