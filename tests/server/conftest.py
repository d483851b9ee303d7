"""A team's server, for a file or for one test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pynomaly_server import asking
from pynomaly_server.accounts import Accounts
from server.accounts_help import Clock, add, open_accounts
from server.team import Team, running_team


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """Let `Prefer: wait=300` wait so long: a busy machine compiles kernels for more than half a minute."""
    kept, asking.LONGEST_WAIT = asking.LONGEST_WAIT, 300
    yield
    asking.LONGEST_WAIT = kept


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """One server for the tests of a file."""
    yield from running_team(tmp_path_factory.mktemp("team"))


@pytest.fixture
def own_team(tmp_path: Path) -> Iterator[Team]:
    """A server for one test, which may change what belongs to all."""
    yield from running_team(tmp_path)


@pytest.fixture
def clock() -> Clock:
    """A clock that a test moves."""
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    """Accounts of an administrator and a user, without a server."""
    found = open_accounts(tmp_path / "files", clock)
    add(found, "root", "admin")
    add(found, "ann")
    yield found
    found.close()
