"""What an engine does with the rows of a source: detect, compare, train and score, each run recorded."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeGuard

import duckdb
import pyarrow as pa

from pynomaly import frames, runs, snapshots
from pynomaly.cache import Progress
from pynomaly.calls import TRAINING_OPTIONS, call, compare_call, macro_call, score_call
from pynomaly.catalog.migrations import migrate
from pynomaly.ctrl_c import held
from pynomaly.errors import PynomalyError, ReadOnlyDatabase
from pynomaly.quoting import Name, literal
from pynomaly.result import Comparison, ModelRow, Query, Result, Rows
from pynomaly.runs import Run
from pynomaly.source import PLACE, SNAPSHOT, refuse_result_columns
from pynomaly.translate import translate
from pynomaly.validating import named_rules

if TYPE_CHECKING:
    from pynomaly.session import Session

FEW_ROWS = 64  # bound as a value they take half the time of a table, and more than it where they are many
LOG = logging.getLogger(__name__)


class Detecting:
    """The methods of the engine that read the rows of a source."""

    _con: duckdb.DuckDBPyConnection
    _session: "Session"
    _progress: Progress | None
    _user: str | None
    who: Callable[[], str]
    execute: Callable[..., Rows]
    sql: Callable[..., Query]
    expanded: Callable[[dict[str, Any]], dict[str, Any]]
    pinned_pipeline: Callable[[str], str]
    _guard: Callable[..., Any]
    _ask: Callable[..., Any]
    _copied: Callable[..., Any]
    _kept: Callable[[str], ModelRow]
    _relate: Callable[[pa.Table], duckdb.DuckDBPyRelation]
    _as_name: Callable[[object], AbstractContextManager[str]]
    _names: Callable[[], list[str]]
    _watched: Callable[..., AbstractContextManager[object]]
    check_owned: Callable[[str, object], None]

    def detect(self, source: object, save: bool = False, run_id: Any = None, **options: Any) -> Result:
        """Detect anomalies in a source and return the scored rows with the verdict.

        `source` is a table, view, frame variable or file by name, or a frame, 2-D array or list of records by
        value. `save` keeps the scored rows and the model in the catalogue, and without a `key` a snapshot of the
        source. `run_id` is the id that the run shall have, a UUID that no run has yet. `options` are the parameters of
        the macro `detect_anomalies`, and `detector` the name of stored ones that the others go before. Raises a
        PynomalyError.
        """
        options = self.expanded(options)
        run = Run("detect", frames.called(source), options, save, run_id)
        with self._as_name(source) as name, self.recorded(run):
            run.sql = f"select * from {call(run.source, **options)}"
            name = self._pinned(name, run)
            if options.get("pipeline") is not None:  # what is recorded names the version
                options["pipeline"] = run.asked["pipeline"] = self.pinned_pipeline(options["pipeline"])
            run.sql = f"select * from {call(run.source, **options)}"
            self._run(run, name, lambda read, key: f"from {call(read, **{**options, **key})}")
        return Result(run.found, run.verdict, run.id, self._relate)

    def compare(self, source: object, **options: Any) -> Comparison:
        """Run several algorithms on the same rows and return a row each: costs, rows flagged, and agreement.

        `source` is as in `detect`; `options` are the parameters of the macro `compare_detectors`. Raises a
        PynomalyError; an algorithm that fails is a row with its error.
        """
        with self._as_name(source) as name, self.recorded() as run:
            run.sql = f"from {compare_call(name, **options)}"
            table = self.sql(run.sql).arrow()
        return Comparison(table, run.sql, run.id, self._relate)

    def train(self, name: str, source: object, **options: Any) -> ModelRow:
        """Train a model and keep it as the next version of its name; return its row.

        `source` is as in `detect`; `options` are the parameters of the macro `train_detector`. Raises a PynomalyError.
        """
        self._guard(lambda: migrate(self._con))
        if (required := options.get("require_valid")) is not None and required is not False:
            options["require_valid"] = named_rules(source, None if required is True else required)
        with self._as_name(source) as known:
            self.check_owned("model", name)
            return self._kept(macro_call("train_detector", TRAINING_OPTIONS, (name, self._pinned(known)), options))

    def score(
        self,
        source: object,
        model: str,
        version: int | None = None,
        explain: int = 0,
        key: str | Sequence[str] | None = None,
        save: bool = False,
        run_id: str | None = None,
    ) -> Result:
        """Score a source with a trained model and return the rows with the verdict.

        Without a version the champion scores, or the newest where none was promoted. `source`, `save` and `run_id` are
        as in `detect`, `key` names the columns that identify a row. Raises a PynomalyError.
        """
        options: dict[str, Any] = {"version": version, "explain": explain}
        run = Run("score", frames.called(source), {"model": model, "key": key, **options}, save, run_id)

        def statement(read: str) -> str:
            return f"from {score_call(read, model, **options)}"

        with self._as_name(source) as name, self.recorded(run):
            run.sql = statement(run.source)
            name = self._pinned(name, run)
            options["version"] = self.version_of(model, version)
            run.model, run.sql = (model, options["version"]), statement(run.source)
            self._run(run, name, lambda read, _: statement(read))
        return Result(run.found, run.verdict, run.id, self._relate)

    def score_rows(self, rows: object, model: str, version: int | None = None, explain: int = 0) -> Any:
        """Score rows given by value, each by itself and without a run: the rows with score, flag and reasons.

        One row is a dictionary and comes back as one, a short list of them as a list; what is more is data as in
        `detect`, keeps its order and comes back as an Arrow table. A time may be given as text (ISO 8601). Raises a
        PynomalyError.
        """
        given = {"version": version, "explain": explain}
        if isinstance(rows, dict):
            return self.score_rows([rows], model, version, explain)[0]
        if _are_few(rows):
            refuse_result_columns(rows[0])
            call = macro_call("scored_row", tuple(given), (model, Name("r")), given)
            found = self.execute(f"select list_transform($rows, lambda r: {call})", {"rows": rows}).fetchall()[0][0]
            return [{**row, **scored} for row, scored in zip(rows, found, strict=True)]
        table = frames.landed(rows)
        table = table if isinstance(table, pa.Table) else pa.table(table)
        refuse_result_columns(table.column_names)
        return self._scored(table, lambda name: macro_call("scored_row", tuple(given), (model, Name(name)), given))

    def _scored(self, table: pa.Table, call: Callable[[str], str]) -> pa.Table:
        """A table with the fields of what a scalar macro gives for each of its rows."""
        name = f"_rows_{id(table)}"  # on this connection alone: nothing else reads it
        self._guard(lambda: self._con.register(name, table))
        try:
            statement = f"select {call(name)} as scored from {name}"
            with self._watched(lambda: statement):
                rows = self._ask(statement, lambda: self._con.sql(statement).to_arrow_table())
            found = rows.column(0).combine_chunks()
        finally:
            with contextlib.suppress(duckdb.Error):
                self._con.unregister(name)
        for field, column in zip(found.type, found.flatten(), strict=True):
            table = table.append_column(field, column)
        return table

    def version_of(self, model: str, version: int | None = None) -> int:
        """The version of a model that scores: the one named, the champion, or the newest where none was promoted."""
        call = macro_call("_wanted_model", (), (model, version), {})
        return int(self.execute(f"select number from {call}").fetchall()[0][0])

    def _run(self, run: Run, name: str, statement: Callable[[str, dict[str, Any]], str]) -> None:
        """Run a statement on the source, or on its snapshot where the run needs one."""
        key: dict[str, Any] = {}
        if run.save and run.source_version is not None and not run.key:
            name, key = f"{SNAPSHOT}{run.snapshot}", {"key": PLACE}
        elif run.save and not run.key:
            select = f"from {self._guard(lambda: self._session.relation(name))}"
            run.snapshot = self._copied(lambda: snapshots.write(self._con, select, self._session.workspace))
            run.progress.snapshot = run.snapshot
            name, key = SNAPSHOT + run.snapshot, {"key": PLACE}
        run.rows = self.sql(f"{runs.keyed(run)} {statement(name, key)}").arrow()

    def _pinned(self, name: str, run: Run | None = None) -> str:
        """The address of the version where a source is a dataset, which its run then names; else the source."""
        version = self._guard(lambda: self._session.version(name))
        if version is None or name.lower() in map(str.lower, self._names()):
            return name
        if run is not None:
            run.source, run.source_version, run.snapshot = version.address, version.version, version.snapshot
        return str(version.address)

    @property
    def progress(self) -> Progress | None:
        """How far the recorded run is that this engine is in, for another thread to show; None where there is none."""
        return self._progress

    @contextlib.contextmanager
    def recorded(self, run: Run | None = None) -> Iterator[Run]:
        """A block whose one detection is recorded: the run's `verdict` is there when the block ends."""
        run = run or Run()
        with self._watched(lambda: run.sql):
            self._begin(run)
            try:
                yield run
            except BaseException as error:
                self._finish(run, error)
                raise
            self._finish(run)

    def _begin(self, run: Run) -> None:
        """Make everything ready that a run needs; raises what would be in the way of saving it."""
        if run.save:
            if self._session.read_only:
                raise ReadOnlyDatabase("the database is open read-only", "open it without read_only, or do not save")
            if not run.key:
                snapshots.folder_of(self._session.workspace)
            self._guard(lambda: runs.make_ready(self._con))
        if run.is_recorded(self._session.records):
            run.who = self.who()
        run.progress.user = self._user
        self._progress = self._session.runs[run.id] = run.progress
        self.execute(f"set variable pynomaly_run = {literal(run.id)}").fetchall()

    def _finish(self, run: Run, error: BaseException | None = None) -> None:
        """Write the run's row; only what was to be saved and was not is worth an error."""
        run.end(error)
        self._progress = None
        self._session.runs.pop(run.id, None)
        with contextlib.suppress(PynomalyError):  # the block's own error is the one to tell
            self.execute("reset variable pynomaly_run").fetchall()
        if not run.is_recorded(self._session.records):
            return
        try:
            self._record(run)
        except (PynomalyError, duckdb.Error, KeyboardInterrupt) as failure:
            found = translate(failure) if isinstance(failure, Exception) else failure
            if error is None and (run.save or isinstance(found, KeyboardInterrupt)):
                run.end(found)
                with contextlib.suppress(PynomalyError, duckdb.Error):
                    self._record(run)
                raise found from None
            LOG.warning("the run was not recorded: %s", found)

    def _record(self, run: Run) -> None:
        """Write a run by a cursor of its own: no transaction of the user's is touched."""
        with contextlib.closing(self._con.cursor()) as cursor, held(cursor.interrupt):
            runs.record(cursor, run)


def _are_few(rows: object) -> TypeGuard[list[dict[str, Any]]]:
    """Whether rows are a short list of dictionaries with the same names."""
    if not isinstance(rows, list) or not 0 < len(rows) <= FEW_ROWS:
        return False
    return all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows)
