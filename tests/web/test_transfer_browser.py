"""In Chromium: what comes over the wire for each kind of page, with nothing kept from before."""

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Site
from .detected import run

__all__ = ["run"]
pytestmark = pytest.mark.browser
KB = 1_000
CHARTS = ("", "?view=pairs", "?view=time", "?view=entities", "?view=axes&draw=1")
OTHERS = ("/", "/upload", "/datasets", "/detect?source=parcels", "/results", "/runs", "/models", "/jobs", "/account")


def listened(page: Any) -> list[int]:
    """The sizes of all that a page loads from now on, as they come."""
    sizes: list[int] = []
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda told: sizes.append(int(told["encodedDataLength"])))
    return sizes


def transferred(site: Site, chromium: Any, paths: list[str], ready: str) -> dict[str, int]:
    """The bytes that each address costs a browser that was never here."""
    found = {}
    for path in paths:
        context = chromium.new_context(reduced_motion="reduce")
        context.add_cookies([site.cookie()])
        page = context.new_page()
        sizes = listened(page)
        page.goto(site.address + path, wait_until="networkidle")
        page.locator(ready).first.wait_for()
        context.close()
        found[path] = sum(sizes)
    return found


def test_pages_with_charts_are_not_large(site: Site, chromium: Any, run: str) -> None:
    found = transferred(site, chromium, [f"/results/{run}{view}" for view in CHARTS], "figure canvas")
    assert {path: size for path, size in found.items() if not 200 * KB < size < 350 * KB} == {}


def test_the_sql_page_is_not_large(site: Site, chromium: Any, run: str) -> None:
    found = transferred(site, chromium, ["/sql?q=from+parcels"], ".editor .cm-content")
    assert all(130 * KB < size < 200 * KB for size in found.values()), found


def test_other_pages_are_small(site: Site, chromium: Any, run: str) -> None:
    found = transferred(site, chromium, [*OTHERS, f"/results/{run}/rows/50"], "h1, h2")
    assert {path: size for path, size in found.items() if not 20 * KB < size < 100 * KB} == {}


def test_what_was_loaded_is_not_asked_for_again(opened: Callable[..., Any], run: str) -> None:
    page = opened(f"/results/{run}")
    page.locator("figure canvas").first.wait_for()
    sizes = listened(page)
    page.goto(page.url + "?view=time&value=weight", wait_until="networkidle")
    page.locator("figure canvas").first.wait_for()
    assert 0 < sum(sizes) < 30 * KB
