"""A server that has accounts and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from litestar import Litestar, Request, get, post, websocket
from litestar.connection import WebSocket
from litestar.datastructures import State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.testing import TestClient

from pynomaly_server.accounts import Accounts
from pynomaly_server.api.api_keys import ApiKeysController
from pynomaly_server.api.auth import AuthController
from pynomaly_server.api.roles import RolesController
from pynomaly_server.api.users import UsersController
from pynomaly_server.options import Start
from pynomaly_server.permissions import Permission, permitted
from pynomaly_server.problems import answer
from pynomaly_server.rate_limits import Buckets, RateLimits
from pynomaly_server.recognition import Recognition
from pynomaly_server.requests import RequestLog
from pynomaly_server.security import SameSite, Secured
from pynomaly_server.served import provide_identity, provide_workspace
from pynomaly_server.workspace import Workspace
from server.accounts_help import PASSWORD, Clock, open_accounts

API = "/api/v1"
Client = TestClient[Litestar]
SITE = "http://127.0.0.1:8808"


@get("/health/live", permission=Permission.PUBLIC)
async def live() -> str:
    return "live"


@get("/api/v1/fails", permission=Permission.PUBLIC)
async def fails() -> str:
    password = "hidden in a local variable"
    raise RuntimeError(f"cannot reach postgres://me:{password.replace(' ', '')}@host/db")


@post("/form", permission=Permission.SIGNED_IN)
async def form(request: Request[Any, Any, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in (await request.form()).items() if isinstance(value, str)}


@websocket("/ws", permission=Permission.SIGNED_IN)
async def socket(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def make_app(accounts: Accounts, start: Start, options: dict[str, int], buckets: Buckets) -> Litestar:
    workspace = Served(accounts, options)
    app = Litestar(
        route_handlers=[
            AuthController, UsersController, RolesController, ApiKeysController, live, fails, form, socket,
        ],
        guards=[permitted],
        middleware=[Recognition, DefineMiddleware(RateLimits, buckets=buckets), SameSite],
        dependencies={
            "workspace": Provide(provide_workspace, sync_to_thread=False),
            "identity": Provide(provide_identity, sync_to_thread=False),
        },
        exception_handlers={Exception: answer},
        state=State({"workspace": workspace}),
        logging_config=None,
    )  # fmt: skip
    app.asgi_handler = RequestLog(Secured(app.asgi_handler, start))
    return app


class Served(Workspace):
    """What the handlers of the accounts want of a workspace, without its database."""

    def __init__(self, accounts: Accounts, options: Any) -> None:
        self.accounts, self.options, self.is_draining = accounts, options, False


class Site:
    """An application with its accounts, its clock, and as many browsers as a test wants."""

    def __init__(self, folder: Path, **start: Any) -> None:
        self.clock = Clock()
        self.seconds = 0.0
        self.accounts = open_accounts(folder / "files", self.clock)
        self.options = {"requests_per_minute": 60_000, "unknown_requests_per_minute": 60_000}
        self.buckets = Buckets(lambda: self.seconds)
        self.start = msgspec.convert(start, Start)
        self.app = make_app(self.accounts, self.start, self.options, self.buckets)

    @contextmanager
    def browser(self, base: str = SITE) -> Iterator[TestClient[Litestar]]:
        with TestClient(self.app, base_url=base, raise_server_exceptions=False) as client:
            client.follow_redirects = False
            yield client


def tokens(client: Client, user: str = "ann", password: str = PASSWORD) -> dict[str, Any]:
    answered = client.post(f"{API}/auth/sign-in", json={"user": user, "password": password})
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.json()
    return found


def by(client: Client, user: str = "ann") -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens(client, user)['access_token']}"}


def console(client: Client, user: str = "ann") -> dict[str, str]:
    answered = client.post(f"{API}/auth/sign-in", json={"user": user, "password": PASSWORD, "session": True})
    assert answered.status_code == 200, answered.text
    return {"X-CSRF-Token": answered.json()["csrf_token"]}


def code(answered: httpx.Response) -> tuple[int, str]:
    assert answered.headers["content-type"] == "application/problem+json", answered.text
    return answered.status_code, answered.json()["code"]
