"""Serves a workspace until it is told to stop."""

import contextlib
import ipaddress
import signal
import socket
import ssl
import sys
import threading
import webbrowser
from collections.abc import Iterator, Mapping
from typing import Any

import uvicorn

from pynomaly.errors import BadParameter
from pynomaly_server import logs
from pynomaly_server.app import create_app
from pynomaly_server.connections import Connection
from pynomaly_server.errors import NoAccounts
from pynomaly_server.options import Options, Start
from pynomaly_server.security import redacted
from pynomaly_server.workspace import Workspace

BACKLOG = 2_048  # connections that wait to be taken


class Server(uvicorn.Server):
    """Stops in order when it is told to, and that is no failure."""

    def __init__(self, config: uvicorn.Config, workspace: Workspace) -> None:
        super().__init__(config)
        self._workspace = workspace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; streams that stay open end at once, which the rest waits for."""
        self._workspace.is_draining = True
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals to stop for as long as the server runs."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(flags: Mapping[str, Any], open_browser: bool = False) -> int:
    """Serve the workspace that flags, environment and files name; returns when the server has stopped."""
    options = Options(flags)
    start = options.start
    _check_tls(start)
    logs.configure(start.log_level, redacted)
    workspace = Workspace(options)
    try:
        _refuse_public(start, workspace)
        listener = _listening(start)
    except BaseException:
        workspace.close()
        raise
    address = _address(start, listener)
    link = _first_link(workspace, address)
    server = Server(_config(workspace, start), workspace)
    print(f"serving {start.database} at {address}", file=sys.stderr)  # noqa: T201
    if link:
        print(f"make the first administrator here, once, within the hour: {link}", file=sys.stderr)  # noqa: T201
    if open_browser:
        threading.Timer(0.5, webbrowser.open, [link or address]).start()
    server.run(sockets=[listener])
    return 0


def _config(workspace: Workspace, start: Start) -> uvicorn.Config:
    config = uvicorn.Config(
        create_app(workspace),
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(start.trusted_proxies),  # else anybody on this machine could name any address
        forwarded_allow_ips=start.trusted_proxies,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(start.drain_seconds) + 5,
        ssl_certfile=start.tls_cert,
        ssl_keyfile=start.tls_key,
        ws_max_size=65_536,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    return config


def _check_tls(start: Start) -> None:
    if (start.tls_cert is None) != (start.tls_key is None):
        raise BadParameter("a certificate needs its key, and a key its certificate", "give --tls-cert and --tls-key")
    if start.tls_cert is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(start.tls_cert, start.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise BadParameter(f"certificate `{start.tls_cert}` cannot be used: {error}", "check both files") from None


def _refuse_public(start: Start, workspace: Workspace) -> None:
    """A public address without an administrator would be anybody's who comes first."""
    if not _is_loopback(start.host) and not workspace.accounts.has_admin():
        raise NoAccounts(
            f"`{start.host}` can be reached by others, and nobody has an account",
            "serve 127.0.0.1 first and make the first administrator by the link it prints",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(start: Start) -> socket.socket:
    try:
        family, _, _, _, place = socket.getaddrinfo(start.host, start.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        raise BadParameter(
            f"{start.host}:{start.port} cannot be listened on: {error}", "choose another --port"
        ) from None
    listener.setblocking(False)
    return listener


def _address(start: Start, listener: socket.socket) -> str:
    host = f"[{start.host}]" if ":" in start.host else start.host
    return f"{'https' if start.tls_cert else 'http'}://{host}:{listener.getsockname()[1]}"


def _first_link(workspace: Workspace, address: str) -> str | None:
    if workspace.accounts.has_admin():
        return None
    return f"{address}/sign-in#link={workspace.accounts.sign_in_link()}"
