"""What an engine tells of saved runs and models: why a row, what would be normal, what drives a model; and of costs."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import duckdb
import pyarrow as pa

from pynomaly.calls import COST_OPTIONS, key_of, macro_call
from pynomaly.result import Computed, Query


class Insights:
    """The methods of the engine that only look; each gives the rows of the macro that bears its name."""

    _relate: Callable[[pa.Table], duckdb.DuckDBPyRelation]
    sql: Callable[..., Query]
    _as_name: Callable[[object], AbstractContextManager[str]]

    def explain_row(self, run: str, key: object) -> Computed:
        """What each feature contributes to the score of a row of a saved run; a key of several columns is a list."""
        return self._told("explain_row", (run, key_of(key)), {})

    def nearest_normal(self, run: str, key: object, k: int = 5, sample_rows: int | None = None) -> Computed:
        """The k rows of a saved run that were not flagged and are most like one row, and where they differ from it.

        With `sample_rows` they are looked for among about so many rows of the run, always the same.
        """
        return self._told("nearest_normal", (run, key_of(key)), {"k": k, "sample_rows": sample_rows})

    def project(
        self, run: str, n: int = 2, keys: Sequence[object] | None = None, sample_rows: int | None = None
    ) -> Computed:
        """The rows of a saved run, or those of some keys, along the n principal axes of its features.

        The axes are those of a sample of `sample_rows`, by default 262,144.
        """
        texts = None if keys is None else [key_of(key) for key in keys]
        return self._told("project", (run,), {"n": n, "keys": texts, "sample_rows": sample_rows})

    def replay_run(self, run: str) -> Computed:
        """A saved run once more: whether every score, flag and reason is the same bit for bit, and what differs."""
        return self._told("replay_run", (run,), {})

    def diff_runs(self, a: str, b: str) -> Computed:
        """The rows that two saved runs judge differently, matched by their key."""
        return self._told("diff_runs", (a, b), {})

    def feature_importance(self, model: str, version: int | None = None, source: object = None) -> Computed:
        """How much each feature drives the anomalies of a model, or of a saved run by its id.

        `source` is as in `detect`; by default what the model was trained on, or the rows of the run.
        """
        if source is None:
            return self._told("feature_importance", (model,), {"version": version})
        with self._as_name(source) as name:
            return self._told("feature_importance", (model,), {"version": version, "source": name})

    def estimate_cost(self, source: object, algorithm: str | list[str] = "auto", **options: Any) -> Computed:
        """Rows, features, seconds and bytes of a detection in a source, measured on some of its rows.

        `source` is as in `detect`; `options` are the other parameters of the macro `estimate_cost`.
        """
        with self._as_name(source) as name:
            return self._told("estimate_cost", (name,), {"algorithm": algorithm, **options})

    def _told(self, macro: str, leading: tuple[object, ...], options: dict[str, Any]) -> Computed:
        """The rows of a macro, computed now."""
        known = COST_OPTIONS if macro == "estimate_cost" else tuple(options)
        call = macro_call(macro, known, leading, options)
        return Computed(self.sql(f"from {call}").arrow(), self._relate)
