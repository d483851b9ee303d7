"""What all tests share: hypothesis draws the same examples in every run, and has no deadline, since kernels compile."""

import pytest
from hypothesis import settings

SLOW = ("pyod_anogan",)  # algorithms that search for every row anew: minutes where torch is installed

settings.register_profile("pynomaly", deadline=None, derandomize=True)
settings.load_profile("pynomaly")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the slowest algorithms, wherever they are parametrised."""
    for item in items:
        if any(f"[{name}" in item.name or f"-{name}" in item.name for name in SLOW):
            item.add_marker("slow")
