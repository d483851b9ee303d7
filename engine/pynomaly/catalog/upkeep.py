"""The functions of settings and retention, as DuckDB sees them."""

from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from pynomaly import access, arrays
from pynomaly.catalog import retention, settings
from pynomaly.schema import SETTING, WORKSPACE_FILE

if TYPE_CHECKING:
    from pynomaly.functions import Session


class UpkeepFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def settings(self, *args: pa.Array) -> pa.Array:  # noqa: ARG002 - a variadic function takes one or more
        """(NULL) to every setting there is."""
        known = [
            {
                "name": setting.name,
                "type": setting.type,
                "default_value": msgspec.json.encode(setting.default).decode(),
                "description": setting.description,
            }
            for setting in settings.SETTINGS.values()
        ]
        return pa.array([known], pa.list_(SETTING))

    @access.by_user
    def setting_value(self, *args: pa.Array) -> pa.Array:
        """(setting, value) to the value as JSON."""
        access.refuse_restricted("settings can be changed by administrators alone")
        name, value = arrays.constants(args)
        with closing(self._session.lookup_cursor("")) as cursor:
            found = settings.checked(name, value, cursor)
        return arrays.texts([msgspec.json.encode(found).decode()] * len(args[0]))

    @access.by_user
    def interval(self, *args: pa.Array) -> pa.Array:
        """(parameter, text) to a length of time; NULL for ever."""
        name, value = arrays.constants(args)
        with closing(self._session.lookup_cursor("")) as cursor:
            return arrays.texts([settings.interval(name, value, cursor)] * len(args[0]))

    @access.by_user
    def workspace_files(self, *args: pa.Array) -> pa.Array:
        """(NULL) to the files of the workspace that snapshots are in."""
        access.refuse_restricted("the files of the workspace are for administrators alone")
        return pa.array([retention.files(self._session.workspace)] * len(args[0]), pa.list_(WORKSPACE_FILE))
