"""The settings that the database keeps."""

from typing import Any

import msgspec
from litestar import Controller, get, put
from litestar.params import FromPath, JSONBody

from pynomaly.errors import UnknownSetting, did_you_mean
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Db, Place


class NewValue(msgspec.Struct, forbid_unknown_fields=True):
    """What a setting shall be from now on."""

    value: bool | int | str | None


class SettingsController(Controller):
    """Limits and flags: rows of the database, in force as soon as they change."""

    path = "/api/v1/settings"
    tags = ["settings"]

    @get("/", permission=Permission.MANAGE_SETTINGS, sync_to_thread=True)
    def list_settings(self, workspace: Place) -> dict[str, Any]:
        """Every option of the server with its value and who said so."""
        return {"items": [msgspec.structs.asdict(told) for told in workspace.options.listed()], "next_cursor": None}

    @put("/{name:str}", permission=Permission.MANAGE_SETTINGS, sync_to_thread=True)
    def change_setting(self, db: Db, workspace: Place, name: FromPath[str], data: JSONBody[NewValue]) -> dict[str, Any]:
        """Change one; what a flag, the environment or a file says goes before it."""
        listed = {told.name: told for told in workspace.options.listed()}
        if name not in listed or not listed[name].changes_live:
            known = [told.name for told in listed.values() if told.changes_live]
            raise UnknownSetting(
                f"there is no setting `{name}` that changes while the server runs", did_you_mean(name, known)
            )
        db.change_setting(name, data.value)
        workspace.read_settings()
        told = next(told for told in workspace.options.listed() if told.name == name)
        return msgspec.structs.asdict(told)
