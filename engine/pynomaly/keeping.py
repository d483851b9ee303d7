"""What an engine keeps besides models: labels, detectors and settings; where things came from, and when they go."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from pynomaly.calls import OPTIONS, key_of, macro_call
from pynomaly.catalog import retention
from pynomaly.catalog.detectors import overridden
from pynomaly.errors import CatalogChanged
from pynomaly.result import Removal, Rows, Step

if TYPE_CHECKING:
    from pynomaly.engine import Engine
    from pynomaly.session import Session

# What is removed with the rows of the catalogue, by its kind; the other kinds are files.
REMOVALS = {
    "results": "delete from pynomaly.results where 'run:' || run_id in (select unnest(?::varchar[]))",
    "model": "delete from pynomaly.models where 'model:' || name || '@' || version in (select unnest(?::varchar[]))",
}


class Keeping:
    """The methods of the engine that change or read those rows by their macros."""

    _session: "Session"
    cursor: Callable[[], "Engine"]
    execute: Callable[..., Rows]
    _insert: Callable[[str, str], None]
    check_owned: Callable[[str, object], None]
    check_sees_all: Callable[[str], None]

    def label(self, run: str, key: object, label: str, note: str | None = None) -> None:
        """Say of a row of a saved run that it is an 'anomaly' or 'normal'; the last saying about a row counts.

        A key of several columns is a list.
        """
        self._insert("labels", macro_call("label_row", ("note",), (run, key_of(key), label), {"note": note}))

    def define_detector(self, name: str, **options: Any) -> None:
        """Keep parameters of `detect` under a name; defined again it has another version."""
        self.check_owned("detector", name)
        self._insert("detectors", macro_call("define_detector", OPTIONS, (name,), options))

    def remove_detector(self, name: str) -> None:
        """End a detector; its versions stay in the catalogue."""
        self.check_owned("detector", name)
        self._insert("detectors", macro_call("remove_detector", (), (name,), {}))

    def expanded(self, options: dict[str, Any]) -> dict[str, Any]:
        """Parameters of `detect` with those of the detector that they name; the others go before what it keeps."""
        given = {name: value for name, value in options.items() if name != "detector"}
        if options.get("detector") is None:
            return given
        call = macro_call("_detector", (), (options["detector"],), {})
        name, stored = self.execute(f"from {call}").fetchall()[0]
        try:
            return overridden(msgspec.json.decode(stored, type=dict[str, Any]), given)
        except msgspec.ValidationError:
            raise CatalogChanged(f"detector `{name}` has no parameters but {stored}", "define it again") from None

    def change_setting(self, name: str, value: object) -> None:
        """Set what `settings()` lists, from now on and for everybody who opens the database."""
        self.check_sees_all("settings can be changed")
        self._insert("settings", macro_call("change_setting", (), (name, value), {}))

    def vacuum_catalog(self, keep: str | int | None = None, remove: bool = False) -> list[Removal]:
        """What the catalogue could do without, removed if told: old results with their models, files nothing needs.

        `keep` is a length of time such as '30 days', or a number of days; by default the setting `keep_results` counts.
        Rows go in a transaction of their own, files after it.
        """
        self.check_sees_all("the catalogue can be emptied")
        call = f"from {macro_call('vacuum_catalog', ('keep',), (), {'keep': keep})}"
        if not remove:
            return [Removal(*row) for row in self.execute(call).fetchall()]
        own = self.cursor()
        try:
            own.execute("begin").fetchall()
            listed = [Removal(*row) for row in own.execute(call).fetchall()]
            for kind, statement in REMOVALS.items():
                own.execute(statement, [[item.object for item in listed if item.kind == kind]]).fetchall()
            own.commit()
        finally:
            own.close()
        retention.remove(self._session.workspace, [item.object for item in listed if item.kind not in REMOVALS])
        return listed

    def lineage(self, object_: str) -> list[Step]:
        """All that an object of the catalogue came from and all that came from it, the nearest first.

        An object is a source, a model or a version of it (`fraud@2`), a run by its id or the hash of a snapshot.
        """
        steps = f"from {macro_call('lineage', (), (object_,), {})} order by direction, depth, parent, child"
        return [Step(*row) for row in self.execute(steps).fetchall()]
