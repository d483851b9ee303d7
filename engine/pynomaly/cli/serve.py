"""`pynomaly serve`: the workspace for a team, over REST and in a browser."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pynomaly.errors import BadParameter, PackageMissing

if TYPE_CHECKING:
    from types import ModuleType


def serve(
    database: Annotated[str | None, Parameter(help="DuckDB database file; it is made where there is none.")] = None,
    /,
    *,
    db: Annotated[str | None, Parameter(help="The same, as the other verbs have it.")] = None,
    host: Annotated[str | None, Parameter(help="Address to listen on; by default 127.0.0.1.")] = None,
    port: Annotated[
        int | None, Parameter(help="Port to listen on; by default 8808, and 0 for any that is free.")
    ] = None,
    open_: Annotated[bool, Parameter(name="--open", help="Open the browser.")] = False,
    read_only: Annotated[bool, Parameter(help="Serve the database without changing it.")] = False,
    tls_cert: Annotated[str | None, Parameter(help="Certificate; with one, TLS 1.3 is spoken.")] = None,
    tls_key: Annotated[str | None, Parameter(help="Key of the certificate.")] = None,
    setting: Annotated[
        list[str] | None, Parameter(help="NAME=VALUE of any other option; `pynomaly config show` lists them.")
    ] = None,
) -> int:
    """Serve a workspace to a team: `pynomaly serve workspace.duckdb`. Ctrl-C stops it."""
    flags = {
        "database": database or db,
        "host": host,
        "port": port,
        "read_only": read_only or None,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        **_settings(setting or []),
    }
    return int(server("serve").serve(flags, open_))


def server(module: str) -> "ModuleType":
    """A module of the server; PackageMissing where it is not installed."""
    from importlib import import_module

    try:
        return import_module(f"pynomaly_server.{module}")
    except ModuleNotFoundError as error:
        raise PackageMissing(f"the server needs the package `{error.name}`", "pip install 'pynomaly[server]'") from None


def _settings(given: list[str]) -> dict[str, Any]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadParameter(f"`--setting {text}` has no value", "write --setting NAME=VALUE")
        found[name.strip()] = value.strip()
    return found
