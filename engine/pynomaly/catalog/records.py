"""The functions that check what is said of runs, as DuckDB sees them."""

import re
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa

from pynomaly import arrays
from pynomaly.catalog import migrations
from pynomaly.errors import BadParameter, RunNotSaved, UnknownKey, UnknownRun

if TYPE_CHECKING:
    from pynomaly.functions import Session

LABELS = ("anomaly", "normal")
ID_LENGTH = 32  # hexadecimal digits of a UUID
SHORTEST_PREFIX = 8
_BETWEEN = "select recorded.id from pynomaly.runs as recorded where recorded.id between ?::uuid and ?::uuid limit 2"


class RecordFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def run_id(self, *args: pa.Array) -> pa.Array:
        """(run) to its id, from the id itself or its first characters; UnknownRun for what can be none."""
        (run,) = arrays.constants(args)
        text = str(run).lower().replace("-", "")
        if not re.fullmatch(f"[0-9a-f]{{{SHORTEST_PREFIX},{ID_LENGTH}}}", text):
            raise _unknown_run(run)
        found = text if len(text) == ID_LENGTH else self._begun(text)
        return arrays.texts([str(uuid.UUID(found))] * len(args[0]))

    def _begun(self, prefix: str) -> str:
        """The id of the one run that begins so."""
        ends = [str(uuid.UUID(prefix.ljust(ID_LENGTH, digit))) for digit in "0f"]
        with closing(self._session.lookup_cursor("")) as cursor:
            known = cursor.execute(_BETWEEN, ends).fetchall() if migrations.applied(cursor) else []
        if len(known) > 1:
            raise UnknownRun(f"several runs begin with `{prefix}`", "give more of the id")
        if not known:
            raise _unknown_run(prefix)
        return str(known[0][0]).replace("-", "")

    def known_run(self, *args: pa.Array) -> pa.Array:
        """(run, n_runs) to the run; UnknownRun where there is none."""
        run, n_runs = arrays.constants(args)
        if not n_runs:
            raise _unknown_run(run)
        return arrays.texts([str(run)] * len(args[0]))

    def labelled_key(self, *args: pa.Array) -> pa.Array:
        """(run, key, saved, n_rows, n_named) to the key; an error unless it is one of a saved run's results."""
        run, key, saved, n_rows, n_named = arrays.constants(args)
        if saved is None:
            raise _unknown_run(run)
        if not saved:
            raise RunNotSaved(f"the results of run `{run}` were not saved", "run it again with save=True")
        if not n_rows:
            raise RunNotSaved(f"the results of run `{run}` were removed", "run it again with save=True")
        if not n_named:
            raise UnknownKey(
                f"run `{run}` has no row with the key {key!r}",
                "give a value of `key` in pynomaly.results, which is text",
            )
        return args[1]

    def label(self, *args: pa.Array) -> pa.Array:
        """(label) to itself; BadParameter for what is no label."""
        (label,) = arrays.constants(args)
        if label not in LABELS:
            raise BadParameter(f"the label is {label!r}", "give 'anomaly' or 'normal'")
        return args[0]


def _unknown_run(run: object) -> UnknownRun:
    return UnknownRun(f"there is no run `{run}`", "`from runs()` lists them")
