"""What an engine does besides detecting: stages, files and plain SQL of models, and judging by labels."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import duckdb
import msgspec

from pynomaly import access
from pynomaly.calls import curves_call, evaluate_call, macro_call
from pynomaly.catalog.migrations import migrate
from pynomaly.datasets import Datasets
from pynomaly.insights import Insights
from pynomaly.keeping import Keeping
from pynomaly.pipeline_commands import PipelineCommands
from pynomaly.quoting import literal
from pynomaly.result import Computed, Evaluation, ModelRow, Query, Rows
from pynomaly.sharing import Sharing
from pynomaly.validating import Validating

if TYPE_CHECKING:
    from pynomaly.engine import Engine


class Commands(Insights, Keeping, PipelineCommands, Sharing, Validating):
    """The methods of the engine that change or read rows of the catalogue by its macros."""

    _con: duckdb.DuckDBPyConnection
    execute: Callable[..., Rows]
    sql: Callable[..., Query]
    _guard: Callable[..., Any]
    _as_name: Callable[[object], AbstractContextManager[str]]

    @property
    def datasets(self) -> Datasets:
        """The datasets of the database: add, versions, export, remove."""
        return Datasets(cast("Engine", self))

    def promote(self, model: str, version: int, stage: str = "champion") -> None:
        """Bring a version to a stage: draft, staging, champion or retired; a champion that is replaced retires."""
        self.check_owned("model", model)
        self._insert("model_stages", macro_call("promote_model", ("stage",), (model, version), {"stage": stage}))

    def retire(self, model: str, version: int) -> None:
        """Bring a version to the stage retired."""
        self.check_owned("model", model)
        self._insert("model_stages", macro_call("retire_model", (), (model, version), {}))

    def roll_back(self, model: str) -> None:
        """Make the champion before the present one champion again."""
        self.check_owned("model", model)
        self._insert("model_stages", macro_call("roll_back_model", (), (model,), {}))

    def export_model(self, model: str, path: str | Path, version: int | None = None) -> None:
        """Write a model to one file, Parquet with its row; without a version the champion or the newest."""
        call = macro_call("export_model", ("version",), (model,), {"version": version})
        self.execute(f"copy (from {call}) to {literal(str(path))} (format parquet)").fetchall()

    def import_model(self, path: str | Path, name: str | None = None) -> ModelRow:
        """Keep the model in a file as the next version of its name, or of another name; return its row."""
        self._guard(lambda: migrate(self._con))
        call = macro_call("import_model", ("model",), (str(path),), {"model": name})
        with access.vouching() if isinstance(path, Path) else nullcontext():
            called = self.execute(f"select name from {call}").fetchall()[0][0]
            self.check_owned("model", called)
            return self._kept(call)

    def export_detector_sql(self, model: str, version: int | None = None, called: str | None = None) -> str:
        """A statement of plain SQL that makes a model a macro, called like the model or as told."""
        call = macro_call(
            "export_detector_sql", ("version", "called"), (model,), {"version": version, "called": called}
        )
        return str(self.execute(f"select {call}").fetchall()[0][0])

    def evaluate(self, source: object, label: str | None = None, **options: Any) -> Evaluation:
        """How well scored rows agree with a label.

        `source` is a result of `detect` or `score`, any other source of scored rows, or the id of a saved run, which
        without a label is judged by what people said of its rows. `options` are the other parameters of the macro
        `evaluate`. Raises a PynomalyError.
        """
        with self._as_name(_rows_of(source)) as name:
            rows = self.execute(f"from {evaluate_call(name, label=label, **options)}")
            return Evaluation(*rows.fetchall()[0])

    def evaluation_curves(self, source: object, label: str | None = None, **options: Any) -> Computed:
        """The ROC curve and the precision by recall of scored rows: a row for each threshold, the highest first.

        `source` is as in `evaluate`; `options` are the other parameters of the macro `evaluation_curves`.
        """
        with self._as_name(_rows_of(source)) as name:
            return Computed(self.sql(f"from {curves_call(name, label=label, **options)}").arrow(), self._relate)

    def export_numpy(self, model: str, path: str | Path, version: int | None = None) -> None:
        """Write a model to a folder that scores with numpy alone; without a version the champion or the newest.

        The folder may be there if it is empty or an earlier export, which is replaced. Raises NotExportable.
        """
        from pynomaly import export_numpy  # with the kernels, which are slow to load
        from pynomaly.catalog.models import restored

        call = macro_call("export_model", ("version",), (model,), {"version": version})
        ((name, number, digest, state),) = self.execute(f"select name, version, digest, state from {call}").fetchall()
        about = {"model": name, "version": number, "digest": digest}
        export_numpy.write(restored(state, digest, 0), path, about)

    def _kept(self, call: str) -> ModelRow:
        """Insert a model and return its row."""
        columns = ModelRow.__struct_fields__
        inserted = f"insert into pynomaly.models by name from {call} returning {', '.join(columns)}"
        found = dict(zip(columns, self.execute(inserted).fetchall()[0], strict=True))
        return msgspec.convert({**found, "metrics": msgspec.json.decode(found["metrics"] or "null")}, ModelRow)

    def _insert(self, table: str, call: str) -> None:
        self._guard(lambda: migrate(self._con))
        self.execute(f"insert into pynomaly.{table} by name from {call}").fetchall()


def _rows_of(source: object) -> object:
    """The rows of what a detection returned; another source as it is."""
    return source.arrow() if isinstance(source, Computed) else source
