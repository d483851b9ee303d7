"""A team's server in this process, with people who are signed in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from litestar.testing import TestClient

from databases import new_database
from pynomaly_server.app import create_app
from pynomaly_server.options import Options
from pynomaly_server.workspace import Workspace

PEOPLE = {"ada": "admin", "ben": "user", "cleo": "user", "vera": "viewer"}


class Asking:
    """Requests of one person; nobody's without a credential."""

    def __init__(self, client: TestClient[Any], credential: str | None) -> None:
        self._client = client
        self.headers = {"Authorization": f"Bearer {credential}"} if credential else {}

    def request(self, method: str, path: str, **more: Any) -> Any:
        """One request; its headers are added to the person's own."""
        headers = {**self.headers, **(more.pop("headers", None) or {})}
        return self._client.request(method, path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> Any:
        return self.request("POST", path, **more)

    def put(self, path: str, **more: Any) -> Any:
        return self.request("PUT", path, **more)

    def patch(self, path: str, **more: Any) -> Any:
        return self.request("PATCH", path, **more)

    def delete(self, path: str, **more: Any) -> Any:
        return self.request("DELETE", path, **more)


class Team:
    """A running server and its people."""

    def __init__(self, client: TestClient[Any], workspace: Workspace) -> None:
        self.client = client
        self.workspace = workspace
        self.app = client.app
        self.nobody = Asking(client, None)
        accounts = workspace.accounts
        for name, role in PEOPLE.items():
            made = accounts.users.add(name, role, "test")
            setattr(self, name, Asking(client, accounts.grant_tokens(made).access_token))

    ada: Asking
    ben: Asking
    cleo: Asking
    vera: Asking

    def as_(self, name: str | None) -> Asking:
        found: Asking = self.nobody if name is None else getattr(self, name)
        return found


def running_team(folder: Path) -> Iterator[Team]:
    """A server on a workspace in a folder, for as long as its team is asked for."""
    database = new_database(folder / "workspace.duckdb")
    workspace = Workspace(Options({"database": str(database)}, {}))
    with TestClient(create_app(workspace), base_url="http://127.0.0.1") as client:
        yield Team(client, workspace)
