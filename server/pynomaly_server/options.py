"""What a server can be told, where it was told, and which of the tellings holds.

A flag comes before the environment, then `./pynomaly.toml`, the user's own file, a row of the database, the default.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from pynomaly.catalog.settings import SETTINGS
from pynomaly.errors import BadParameter, did_you_mean
from pynomaly.paths import config_folder, settings_in

FILE_NAME = "pynomaly.toml"
TABLE = "server"  # of that file


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What is settled when a server starts, with the defaults."""

    database: str = "workspace.duckdb"
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8808
    read_only: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None
    memory_limit: str | None = None
    threads: int | None = None
    allowed_hosts: list[str] = []
    allowed_origins: list[str] = []
    trusted_proxies: list[str] = []
    log_level: str = "info"
    drain_seconds: float = 30.0


class Told(msgspec.Struct, frozen=True):
    """One option with its value, and who said so."""

    name: str
    value: Any
    origin: str
    changes_live: bool
    description: str


DESCRIPTIONS = {
    "database": "Database file that is served",
    "host": "Address to listen on",
    "port": "Port to listen on",
    "read_only": "Whether the database is served without being changed",
    "tls_cert": "File of the certificate; TLS 1.3 is spoken where one is given",
    "tls_key": "File of the certificate's key",
    "memory_limit": "Memory that queries may use, such as 4GB",
    "threads": "Threads that queries may use",
    "allowed_hosts": "Names that requests may be addressed to, besides the address listened on",
    "allowed_origins": "Origins of other sites that may read answers in a browser",
    "trusted_proxies": "Addresses of proxies that are believed whom a request comes from, and whether by TLS",
    "log_level": "Least level of the log: debug, info, warning or error",
    "drain_seconds": "Seconds that running jobs get when the server is stopped",
}


LISTS = ("allowed_hosts", "allowed_origins", "trusted_proxies")


class Options:
    """The options of one server; those that the database keeps change while it runs."""

    def __init__(self, flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> None:
        user_file, own_file = config_folder(environment) / FILE_NAME, Path(FILE_NAME)
        self._layers: list[tuple[str, dict[str, Any]]] = [
            ("flag", _known({name: value for name, value in flags.items() if value is not None}, "a flag")),
            ("environment", _of_environment(environment)),
            (f"`{own_file}`", _of_file(own_file)),
            (f"`{user_file}`", _of_file(user_file)),
        ]
        self._rows: dict[str, Any] = {}
        self.start: Start = _converted({name: self._said(name)[0] for name in DESCRIPTIONS if self._said(name)[1]})

    def __getitem__(self, name: str) -> Any:
        """What holds for an option of the database, now."""
        value, origin = self._said(name)
        if origin:
            return value
        return self._rows.get(name, SETTINGS[name].default)

    def set_rows(self, rows: Mapping[str, Any]) -> None:
        """Take what the database's rows say."""
        self._rows = dict(rows)

    def listed(self) -> list[Told]:
        """Every option with its value and its origin."""
        found = []
        for name, description in DESCRIPTIONS.items():
            origin = self._said(name)[1] or "default"
            found.append(Told(name, getattr(self.start, name), origin, False, description))
        for name, setting in SETTINGS.items():
            origin = self._said(name)[1] or ("database" if name in self._rows else "default")
            found.append(Told(name, self[name], origin, True, setting.description))
        return found

    def _said(self, name: str) -> tuple[Any, str]:
        """What flags, environment or files say of an option, and which of them; an empty origin where none does."""
        return next(((layer[name], origin) for origin, layer in self._layers if name in layer), (None, ""))


def _of_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    names = {"PYNOMALY_DB": "database", **{f"PYNOMALY_{name.upper()}": name for name in (*DESCRIPTIONS, *SETTINGS)}}
    given = {name: environment[key] for key, name in names.items() if environment.get(key)}
    lists = {name: value.split(",") for name, value in given.items() if name in LISTS}
    return _known({**given, **lists}, "the environment")


def _of_file(path: Path) -> dict[str, Any]:
    """What the table `server` of a file says, and what the file says of every verb."""
    given = settings_in(path)
    shared: dict[str, Any] = {name: given[name] for name in ("database", "memory_limit", "threads") if name in given}
    if "database" in shared:
        shared["database"] = str(path.parent / Path(str(shared["database"])).expanduser())
    return _known({**shared, **given.get(TABLE, {})}, f"`{path}`")


def _known(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = [*DESCRIPTIONS, *SETTINGS]
    found = {}
    for name, value in given.items():
        if name not in known:
            raise BadParameter(f"{where} has no option `{name}`", did_you_mean(name, known))
        found[name] = getattr(_converted({name: value}), name) if name in DESCRIPTIONS else _setting(name, value, where)
    return found


def _setting(name: str, value: Any, where: str) -> Any:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    kind = SETTINGS[name].type
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind == "integer" and text.isdigit():
        return int(text)
    if kind == "interval":
        return text
    raise BadParameter(f"{where} sets `{name}` to {value!r}", f"give {'true or false' if kind == 'boolean' else kind}")


def _converted(given: Mapping[str, Any]) -> Start:
    try:
        return msgspec.convert(dict(given), Start, strict=False)
    except msgspec.ValidationError as error:
        name = next(iter(given)) if len(given) == 1 else "an option"
        raise BadParameter(f"`{name}` cannot be set so: {error}", "see `pynomaly serve --help`") from None
