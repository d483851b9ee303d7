"""What a query gives back: rows in any form, and for a detection the verdict."""

import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pyarrow as pa

from pynomaly.cache import Fitted
from pynomaly.encoding import LeftOut

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Guard = Callable[[Callable[[], Any]], Any]
Relate = Callable[[pa.Table], duckdb.DuckDBPyRelation]  # rows to a relation


warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)  # DuckDB, of many rows


class Share(msgspec.Struct, frozen=True):
    """With whom something is shared: since when, and who said so."""

    grantee: str
    created_at: datetime
    created_by: str


class Found(msgspec.Struct, frozen=True):
    """What a confined query found: the first rows, the columns with their types, and whether there are more rows."""

    rows: pa.Table
    columns: list[tuple[str, str]]
    has_more: bool
    seconds: float
    query: str | None = None  # its id in the log

    @property
    def n_rows(self) -> int:
        """How many rows are here."""
        return int(self.rows.num_rows)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a detection found, and how."""

    n_rows: int
    n_flagged: int
    n_unscored: int
    threshold: float | None  # None with groups, with top_k, and where every score is equal
    cut_off: str
    algorithm: str
    seed: int
    seconds: float
    columns: list[str]
    left_out: list[LeftOut]
    notes: list[str]
    sql: str

    def __str__(self) -> str:
        """One sentence for a person."""
        share = f" ({100 * self.n_flagged / self.n_rows:.3g} %)" if self.n_flagged else ""
        unscored = f"; {_rows(self.n_unscored)} no score" if self.n_unscored else ""
        threshold = "" if self.threshold is None else f" above {self.threshold:.6g}"
        columns = "1 column" if len(self.columns) == 1 else f"{len(self.columns):,} columns"
        return (
            f"{self.n_flagged:,} of {self.n_rows:,} rows flagged{share}{threshold} by {self.algorithm} on {columns} "
            f"in {self.seconds:.2f} s; {self.cut_off}{unscored}"
        )


def _rows(n: int) -> str:
    return "1 row has" if n == 1 else f"{n:,} rows have"


def verdict(fitted: list[Fitted], sql: str, seconds: float, asked: dict[str, Any]) -> Verdict:
    """The verdict of a run from the models that it fitted and what they counted."""
    entries = [item.entry for item in fitted if item.entry is not None]
    too_small = [item.n_rows for item in fitted if item.entry is None]
    models = [entry.model for entry in entries]
    scored = [entry.tally.n_scored - entry.tally.n_unscored for entry in entries]
    top_k = asked.get("top_k")
    flagged = [min(top_k, n) for n in scored] if top_k else [entry.tally.n_flagged for entry in entries]
    left_out = {item.column: item for source in fitted for item in source.left_out}
    left_out.update({item.column: item for m in models for item in m.encoder.left_out})
    columns = dict.fromkeys(column.name for model in models for column in model.encoder.columns)
    notes = dict.fromkeys(note for model in models for note in model.notes)
    if too_small:
        notes[f"{len(too_small):,} of {len(fitted):,} groups have too few rows or nothing to compare: no score"] = None
    return Verdict(
        n_rows=sum(entry.tally.n_scored for entry in entries) + sum(too_small),
        n_flagged=sum(flagged),
        n_unscored=sum(entry.tally.n_unscored for entry in entries) + sum(too_small),
        threshold=models[0].threshold if len(fitted) == 1 and models else None,
        cut_off=" or ".join(dict.fromkeys(m.cut_off for m in models)) + (" in each group" if asked.get("by") else ""),
        algorithm=", ".join(dict.fromkeys(m.algorithm.name for m in models)) or str(asked.get("algorithm", "auto")),
        seed=asked.get("seed", 0),
        seconds=seconds,
        columns=list(columns),
        left_out=[item for name, item in left_out.items() if name not in columns],
        notes=list(notes),
        sql=sql,
    )


class ModelRow(msgspec.Struct, frozen=True):
    """A trained model as its row tells it."""

    name: str
    version: int
    algorithm: str
    features: list[str]
    threshold: float | None
    cut_off: str
    metrics: dict[str, float | None] | None
    fit_seconds: float
    notes: list[str]
    digest: str

    def __str__(self) -> str:
        """One sentence for a person."""
        columns = "1 column" if len(self.features) == 1 else f"{len(self.features):,} columns"
        auroc = (self.metrics or {}).get("auroc")
        told = f"; AUROC {auroc:.3f}" if auroc is not None else ""
        fitted = f"{self.algorithm} on {columns} in {self.fit_seconds:.2f} s"
        return f"{self.name} version {self.version}: {fitted}; {self.cut_off}{told}"


class PipelineRow(msgspec.Struct, frozen=True):
    """A version of a pipeline as its row tells it."""

    name: str
    version: int
    steps: list[str]

    def __str__(self) -> str:
        """One sentence for a person."""
        return f"{self.name} version {self.version}: {', '.join(self.steps)}"


class Step(msgspec.Struct, frozen=True):
    """One step of a lineage: `child` came from `parent`; `depth` steps from the object that was asked for."""

    direction: str
    depth: int
    parent: str
    child: str
    relation: str
    at: datetime


class Removal(msgspec.Struct, frozen=True):
    """One thing that a catalogue could do without: its results, a model, a snapshot, or an unfinished file."""

    kind: str
    object: str
    rows: int | None
    bytes: int | None
    why: str


class Evaluation(msgspec.Struct, frozen=True):
    """How well scored rows agree with a label; a figure is None where nothing tells it."""

    n_rows: int
    n_labelled: int
    n_anomalies: int
    auroc: float | None
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    true_positives: int | None
    false_positives: int | None
    false_negatives: int | None
    true_negatives: int | None
    k: int
    precision_at_k: float | None
    recall_at_k: float | None
    f1_at_k: float | None

    def __str__(self) -> str:
        """One sentence for a person."""
        labelled = "labelled rows" if self.n_labelled == self.n_rows else f"labelled of {self.n_rows:,} rows"
        ranking = {"AUROC": self.auroc, "average precision": self.average_precision}
        flags = {"precision": self.precision, "recall": self.recall, "F1": self.f1}
        first = {f"at k = {self.k:,} precision": self.precision_at_k, "recall": self.recall_at_k}
        told = [_figures(part) for part in (ranking, flags, first)]
        anomalies = "1 anomaly" if self.n_anomalies == 1 else f"{self.n_anomalies:,} anomalies"
        return "; ".join([f"{anomalies} among {self.n_labelled:,} {labelled}", *filter(None, told)])


def _figures(named: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in named.items() if value is not None)


class Finding(msgspec.Struct, frozen=True):
    """A rule that rows of a source break; `predicate` selects them."""

    rule: str
    column_name: str | None
    severity: str
    n_failing: int
    example: str
    predicate: str


class Validation(msgspec.Struct, frozen=True):
    """What a check of a source by rules found; `id` is that of its row where it was saved."""

    source: str
    n_rows: int
    findings: list[Finding]
    id: str | None = None

    @property
    def is_valid(self) -> bool:
        """Whether there is no finding of severity error."""
        return all(finding.severity != "error" for finding in self.findings)

    def __str__(self) -> str:
        """One sentence for a person."""
        n_errors = sum(finding.severity == "error" for finding in self.findings)
        n_warnings = len(self.findings) - n_errors
        counts = [
            f"{n} {name}{'' if n == 1 else 's'}" for n, name in ((n_errors, "error"), (n_warnings, "warning")) if n
        ]
        told = " and ".join(counts) or "nothing found"
        return f"{self.source} is {'valid' if self.is_valid else 'not valid'}: {told} in {_counted(self.n_rows)}"


def _counted(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


class Computed:
    """Rows that are already computed, in any form."""

    def __init__(self, table: pa.Table, relate: Relate) -> None:
        self._table = table
        self._relate = relate

    def __len__(self) -> int:
        """The number of rows."""
        return int(self._table.num_rows)

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self._table

    def pl(self) -> "pl.DataFrame":
        """The rows as a polars frame."""
        return _polars(self._table)

    def df(self) -> "pd.DataFrame":
        """The rows as a pandas frame; needs pandas."""
        frame: pd.DataFrame = self._table.to_pandas()
        return frame

    def relation(self) -> duckdb.DuckDBPyRelation:
        """The rows as a DuckDB relation, to go on in SQL."""
        return self._relate(self._table)


class Result(Computed):
    """The scored rows of a detection and its verdict."""

    def __init__(self, table: pa.Table, verdict: Verdict, run_id: str, relate: Relate) -> None:
        super().__init__(table, relate)
        self.run_id = run_id
        self.verdict = verdict

    def __repr__(self) -> str:
        """The verdict, as a person sees it at a prompt."""
        return f"<Result: {self.verdict}>"


class Comparison(Computed):
    """A row for each compared algorithm, and the SQL that made them."""

    def __init__(self, table: pa.Table, sql: str, run_id: str, relate: Relate) -> None:
        super().__init__(table, relate)
        self.run_id = run_id
        self.sql = sql

    def __repr__(self) -> str:
        """How many algorithms were compared, and which ranks best where a label tells."""
        columns = self._table.to_pydict()
        best = max(zip(columns["auroc"], columns["algorithm"], strict=True), key=lambda pair: pair[0] or 0.0)
        told = f", {best[1]} ranks best (AUROC {best[0]:.3f})" if best[0] is not None else ""
        return f"<Comparison: {len(self)} algorithms{told}>"


class Rows:
    """The rows of an executed statement, as tuples; what DuckDB raises while they are fetched is translated."""

    def __init__(self, con: duckdb.DuckDBPyConnection, guard: Guard) -> None:
        self._con = con
        self._guard = guard

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return [str(column[0]) for column in self._con.description or []]

    @property
    def types(self) -> list[str]:
        """The types of the columns, as SQL names them."""
        return [str(column[1]) for column in self._con.description or []]

    def arrow(self) -> pa.Table:
        """All rows that are left, as an Arrow table: of a few rows quicker than by a query, which is planned twice."""
        table: pa.Table = self._guard(self._con.to_arrow_table)
        return table

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The rows, one tuple each."""
        while (row := self.fetchone()) is not None:
            yield row

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None."""
        row: tuple[Any, ...] | None = self._guard(self._con.fetchone)
        return row

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """Up to `size` further rows."""
        rows: list[tuple[Any, ...]] = self._guard(lambda: self._con.fetchmany(size))
        return rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        rows: list[tuple[Any, ...]] = self._guard(self._con.fetchall)
        return rows


class Query:
    """A SELECT that runs when its rows are asked for, each time anew; what DuckDB raises is translated."""

    def __init__(self, relation: duckdb.DuckDBPyRelation, guard: Guard, run: Guard, ready: Callable[[], None]) -> None:
        self._relation = relation
        self._guard = guard
        self._run = run  # a guard that logs the query besides
        self._ready = ready  # makes everything there that another query over this one could name

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._guard(lambda: self._relation.columns))

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows as tuples."""
        rows: list[tuple[Any, ...]] = self._run(self._relation.fetchall)
        return rows

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self._run(self._relation.to_arrow_table)

    def reader(self, batch_rows: int = 131_072) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow batches, computed as they are asked for."""
        batches = iter(self._run(lambda: self._relation.to_arrow_reader(batch_rows)))
        while (batch := self._guard(lambda: next(batches, None))) is not None:
            yield batch

    def pl(self) -> "pl.DataFrame":
        """The rows as a polars frame."""
        return _polars(self.arrow())

    def df(self) -> "pd.DataFrame":
        """The rows as a pandas frame; needs pandas."""
        frame: pd.DataFrame = self.arrow().to_pandas()
        return frame

    def relation(self) -> duckdb.DuckDBPyRelation:
        """The query as a DuckDB relation, to go on with its own methods; its errors are DuckDB's."""
        self._guard(self._ready)
        return self.bare_relation()

    def bare_relation(self) -> duckdb.DuckDBPyRelation:
        """The same for those who name no macro in what they do with it."""
        self._run(lambda: self._relation.columns)  # which tells whether the engine was closed
        return self._relation


def _polars(table: pa.Table) -> "pl.DataFrame":
    import polars as pl

    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table becomes a frame, a column would become a series
    return frame
