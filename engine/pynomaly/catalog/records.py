"""The functions that check what is said of runs, as DuckDB sees them."""

from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pyarrow as pa

from pynomaly import access, arrays, versions
from pynomaly.calls import OPTIONS
from pynomaly.catalog import detectors, migrations
from pynomaly.catalog.runs import RunFunctions
from pynomaly.errors import (
    BadParameter,
    UnknownDataset,
    UnknownDetector,
    UnknownKey,
    UnknownObject,
    UnknownRun,
    did_you_mean,
)

if TYPE_CHECKING:
    from pynomaly.functions import Session

LABELS = ("anomaly", "normal")
_OBJECTS = """
select distinct stored.name from {models} as stored where stored.run_id is null
union
select distinct stored.source from {models} as stored
union
select distinct recorded.source from {runs} as recorded
"""


class RecordFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._runs = RunFunctions(session)

    def labelled_key(self, *args: pa.Array) -> pa.Array:
        """(run, key, n_named) to the key; UnknownKey unless it is one of the run's results."""
        run, key, n_named = arrays.constants(args)
        if not n_named:
            raise UnknownKey(
                f"run {run} has no row with the key {key!r}",
                "give a value of `key` in pynomaly.results, which is text",
            )
        return args[1]

    def label(self, *args: pa.Array) -> pa.Array:
        """(label) to itself; BadParameter for what is no label."""
        (label,) = arrays.constants(args)
        if label not in LABELS:
            raise BadParameter(f"the label is {label!r}", "give 'anomaly' or 'normal'")
        return args[0]

    @access.by_user
    def object_names(self, *args: pa.Array) -> pa.Array:
        """(object) to the names that it may have in pynomaly.lineage, versions of a model apart."""
        (given,) = arrays.constants(args)
        if not isinstance(given, str) or not given:
            raise BadParameter(
                f"the object is {given!r}", "give a source, a model, a dataset, the id of a run or a snapshot"
            )
        names = [given, *(f"{kind}:{given}" for kind in ("source", "dataset", "model", "snapshot"))]
        with suppress(UnknownDataset), closing(self._session.lookup_cursor("")) as cursor:
            names += [f"dataset:{version.address}" for version in versions.live(cursor, given.removeprefix("dataset:"))]
        with suppress(UnknownRun, BadParameter):
            names.append(f"run:{self._runs.recorded(given.removeprefix('run:')).id}")
        return pa.array([names] * len(args[0]), pa.list_(pa.string()))

    def versions_prefix(self, *args: pa.Array) -> pa.Array:
        """(object) to what the versions of a model of that name begin with in pynomaly.lineage."""
        given = str(arrays.constants(args)[0])
        return arrays.texts([f"model:{given.removeprefix('model:')}@"] * len(args[0]))

    @access.by_user
    def known_objects(self, *args: pa.Array) -> pa.Array:
        """(object, names) to the names; UnknownObject where there are none."""
        given, names = arrays.constants(args)
        if not names:
            with closing(self._session.lookup_cursor("")) as cursor:
                objects = _OBJECTS.format(models=access.visible("models"), runs=access.visible("runs"))
                known = cursor.execute(objects).fetchall() if migrations.check_table(cursor, "runs") else []
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
