"""What handlers are given: the cursor of their request, the workspace, who asks; and the rows of a statement."""

from collections.abc import Iterator, Sequence
from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency

from pynomaly.engine import Engine
from pynomaly_server.identity import Identity
from pynomaly_server.scoring import Scoring
from pynomaly_server.workspace import Workspace

Db = NamedDependency[Engine]
Caller = NamedDependency[Identity]
Place = NamedDependency[Workspace]


def provide_workspace(state: State) -> Workspace:
    """The workspace that is served."""
    found: Workspace = state.workspace
    return found


def provide_scoring(state: State) -> Scoring:
    """Where rows that requests bring are scored."""
    found: Scoring = state.scoring
    return found


def provide_identity(request: Request[Any, Any, Any]) -> Identity | None:
    """Who asks; None on a public route."""
    found: Identity | None = request.scope["user"]
    return found


def provide_db(identity: NamedDependency[Identity | None], workspace: Place) -> Iterator[Engine]:
    """A cursor that acts as the caller, for as long as the handler runs."""
    with workspace.acting(identity) as cursor:
        yield cursor


def rows(db: Engine, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
    """The rows of a statement as objects; its columns are whatever the statement gives."""
    found: list[dict[str, Any]] = db.sql(sql, list(parameters) or None).arrow().to_pylist()
    return found
