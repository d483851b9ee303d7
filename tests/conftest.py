"""What all tests share: hypothesis draws the same examples in every run, and has no deadline, since kernels compile."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import pynomaly
from databases import new_database
from pynomaly.datasets.remote import breaker

SLOW = ("pyod_anogan",)  # algorithms that search for every row anew: minutes where torch is installed

settings.register_profile("pynomaly", deadline=None, derandomize=True)
settings.load_profile("pynomaly")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the slowest algorithms, wherever they are parametrised."""
    for item in items:
        if any(f"[{name}" in item.name or f"-{name}" in item.name for name in SLOW):
            item.add_marker("slow")


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pynomaly.Engine]:
    """A database file of its own, in the folder that the test works in."""
    monkeypatch.chdir(tmp_path)
    with pynomaly.connect(new_database(Path("team.duckdb"))) as engine:
        yield engine


@pytest.fixture
def no_open_circuit() -> Iterator[None]:
    """No circuit is open before a test, nor stays so after it."""
    breaker.forget()
    yield
    breaker.forget()
