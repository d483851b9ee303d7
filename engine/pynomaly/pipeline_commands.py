"""What an engine does with pipelines of features: define, suggest and remove them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import duckdb

from pynomaly.calls import macro_call
from pynomaly.catalog.migrations import migrate
from pynomaly.result import PipelineRow, Rows


class PipelineCommands:
    """The methods of the engine for pipelines."""

    _con: duckdb.DuckDBPyConnection
    execute: Callable[..., Rows]
    _guard: Callable[..., Any]
    _as_name: Callable[[object], AbstractContextManager[str]]
    check_owned: Callable[[str, object], None]

    def define_pipeline(self, name: str, steps: str | Sequence[str]) -> PipelineRow:
        """Keep a list of steps as the next version of a pipeline; return its row.

        A step is a feature macro as SQL would call it, `robust_zscore(amount)`, or a column that stays as it is.
        Raises a PynomalyError.
        """
        self._guard(lambda: migrate(self._con))
        self.check_owned("pipeline", name)
        call = macro_call("define_pipeline", (), (name, [steps] if isinstance(steps, str) else steps), {})
        inserted = f"insert into pynomaly.pipelines by name from {call} returning name, version, steps"
        return PipelineRow(*self.execute(inserted).fetchall()[0])

    def suggest_features(self, source: object, order_by: str | None = None, by: object = None) -> list[str]:
        """The steps that suit the columns of a source, for `define_pipeline`; `source` is as in `detect`."""
        with self._as_name(source) as known:
            call = macro_call("suggest_features", ("order_by", "by"), (known,), {"order_by": order_by, "by": by})
            return [str(row[0]) for row in self.execute(f"select step from {call}").fetchall()]

    def remove_pipeline(self, name: str, version: int | None = None) -> int:
        """Remove a version of a pipeline, or all; how many there were. Models keep what they were trained with."""
        self._guard(lambda: migrate(self._con))
        self.check_owned("pipeline", name)
        self.pinned_pipeline(name if version is None else f"{name}@{version}")
        removed = "delete from pynomaly.pipelines where name = ? and (version = ? or ? is null) returning version"
        return len(self.execute(removed, [name, version, version]).fetchall())

    def pinned_pipeline(self, pipeline: str) -> str:
        """A pipeline as name@version; without a version the newest."""
        pinned = "select _pinned_pipeline(?, getvariable('pynomaly_user'))"
        return str(self.execute(pinned, [pipeline]).fetchall()[0][0])
