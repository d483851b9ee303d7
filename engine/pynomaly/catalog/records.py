"""The functions that check what is said of runs, as DuckDB sees them."""

import re
import uuid
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pyarrow as pa

from pynomaly import arrays
from pynomaly.calls import OPTIONS
from pynomaly.catalog import detectors, migrations
from pynomaly.errors import (
    BadParameter,
    RunNotSaved,
    UnknownDetector,
    UnknownKey,
    UnknownObject,
    UnknownRun,
    did_you_mean,
)

if TYPE_CHECKING:
    from pynomaly.functions import Session

LABELS = ("anomaly", "normal")
ID_LENGTH = 32  # hexadecimal digits of a UUID
SHORTEST_PREFIX = 8
_BETWEEN = "select recorded.id from pynomaly.runs as recorded where recorded.id between ?::uuid and ?::uuid limit 2"
_OBJECTS = """
select distinct stored.name from pynomaly.models as stored where stored.run_id is null
union
select distinct stored.source from pynomaly.models as stored
union
select distinct recorded.source from pynomaly.runs as recorded
"""


class RecordFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def run_id(self, *args: pa.Array) -> pa.Array:
        """(run) to its id, from the id itself or its first characters; UnknownRun for what can be none."""
        return arrays.texts([self._id(arrays.constants(args)[0])] * len(args[0]))

    def _id(self, run: object) -> str:
        text = str(run).lower().replace("-", "")
        if not re.fullmatch(f"[0-9a-f]{{{SHORTEST_PREFIX},{ID_LENGTH}}}", text):
            raise _unknown_run(run)
        return str(uuid.UUID(text if len(text) == ID_LENGTH else self._begun(text)))

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

    def object_names(self, *args: pa.Array) -> pa.Array:
        """(object) to the names that it may have in pynomaly.lineage, versions of a model apart."""
        (given,) = arrays.constants(args)
        if not isinstance(given, str) or not given:
            raise BadParameter(f"the object is {given!r}", "give a source, a model, the id of a run or a snapshot")
        names = [given, *(f"{kind}:{given}" for kind in ("source", "model", "snapshot"))]
        with suppress(UnknownRun):
            names.append(f"run:{self._id(given.removeprefix('run:'))}")
        return pa.array([names] * len(args[0]), pa.list_(pa.string()))

    def versions_prefix(self, *args: pa.Array) -> pa.Array:
        """(object) to what the versions of a model of that name begin with in pynomaly.lineage."""
        given = str(arrays.constants(args)[0])
        return arrays.texts([f"model:{given.removeprefix('model:')}@"] * len(args[0]))

    def known_objects(self, *args: pa.Array) -> pa.Array:
        """(object, names) to the names; UnknownObject where there are none."""
        given, names = arrays.constants(args)
        if not names:
            with closing(self._session.lookup_cursor("")) as cursor:
                known = cursor.execute(_OBJECTS).fetchall() if migrations.applied(cursor) else []
            near = did_you_mean(str(given), [str(row[0]) for row in known])
            raise UnknownObject(
                f"nothing is called `{given}` in the catalogue",
                near or "`from runs()` and `from models()` list what there is",
            )
        return pa.array([names] * len(args[0]), pa.list_(pa.string()))

    def detector_name(self, *args: pa.Array) -> pa.Array:
        """(name) to itself; BadParameter for what cannot be the name of a detector."""
        (name,) = arrays.constants(args)
        if not isinstance(name, str) or not name.strip():
            raise BadParameter(f"the name of the detector is {name!r}", "give a name to find it by")
        return args[0]

    def detector_options(self, *args: pa.Array) -> pa.Array:
        """The parameters of detect_anomalies, NULL where not given, to those given as JSON, once they are checked."""
        given = dict(zip(OPTIONS, arrays.constants(args), strict=True))
        return arrays.texts([detectors.checked(given)] * len(args[0]))

    def present_detector(self, *args: pa.Array) -> pa.Array:
        """(name, names) to the name; UnknownDetector for one that there is not."""
        name, names = arrays.constants(args)
        if name not in (names or ()):
            near = did_you_mean(str(name), names or ()) or "define it with define_detector"
            raise UnknownDetector(f"there is no detector `{name}`", near)
        return args[0]


def _unknown_run(run: object) -> UnknownRun:
    return UnknownRun(f"there is no run `{run}`", "`from runs()` lists them")
