"""When the first of a page of the console is seen, in Chromium on loopback: `python -m benchmarks.console_paint`.

Each kind of page is opened a few times, by a browser that was never here and by one that was; the times are those from
the request to the first contentful paint, which is wanted within half a second.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright

import pynomaly
from benchmarks.server.served import PASSWORD, served

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))
from chromium import launched

N_TRIES, WANTED_MS = 5, 500
PAINTED = """
new Promise((resolve) => new PerformanceObserver((list) => {
  for (const one of list.getEntriesByName("first-contentful-paint")) resolve(one.startTime);
}).observe({ type: "paint", buffered: true }))
"""
ROWS = """
create table payments as
select i as id, timestamp '2026-01-01' + to_minutes(i::integer) as paid_at, 'shop ' || i % 9 as shop,
    i % 17 + case when i % 1009 = 7 then 500 else 0 end as amount, i % 23 / 7.0 as fee
from range(20000) as numbers(i)
"""


def main() -> None:
    """Print the median and the slowest paint of each page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workspace.duckdb"
        with pynomaly.connect(path) as db:
            db.execute(ROWS).fetchall()
            run = db.detect("payments", algorithm="mad", key="id", exclude=["paid_at"], explain=2, save=True).run_id
        pages = {
            "home": "/",
            "upload": "/upload",
            "detect": "/detect?source=payments",
            "results": "/results",
            "result, scores": f"/results/{run}",
            "result, two columns": f"/results/{run}?view=pairs",
            "result, over time": f"/results/{run}?view=time",
            "SQL": "/sql?q=from+payments",
        }
        with served(path) as server, sync_playwright() as playwright:
            address = f"http://127.0.0.1:{server.port}"
            chromium = launched(playwright)
            state = _signed_in(chromium, address)
            print(f"{'page':<24} {'first p50':>10} {'again p50':>10} {'slowest':>10}  ms", flush=True)
            for name, place in pages.items():
                _show(name, *_measured(chromium, state, address + place))
            chromium.close()


def _signed_in(chromium: Any, address: str) -> Any:
    """What a browser keeps of somebody who has signed in."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{address}/sign-in")
    page.locator("input[name=user]").first.fill("ada")
    page.locator("input[name=password]").first.fill(PASSWORD)
    page.locator("input[name=password]").first.press("Enter")
    page.locator(".brand").wait_for()
    page.wait_for_url(lambda url: httpx.URL(url).path != "/sign-in")
    state = context.storage_state()
    context.close()
    return state


def _measured(chromium: Any, state: Any, address: str) -> tuple[list[float], list[float]]:
    """The paints of pages that are opened for the first time, and once more."""
    first: list[float] = []
    again: list[float] = []
    for _ in range(N_TRIES):
        context = chromium.new_context(storage_state=state)
        page = context.new_page()
        for found in (first, again):
            page.goto(address)
            found.append(page.evaluate(PAINTED))
        context.close()
    return first, again


def _show(name: str, first: list[float], again: list[float]) -> None:
    p50 = statistics.median(first)
    told = "held" if p50 < WANTED_MS else "MISSED"
    print(
        f"{name:<24} {p50:>10.0f} {statistics.median(again):>10.0f} {max(*first, *again):>10.0f}"
        f"  wanted {WANTED_MS}  {told}",
        flush=True,
    )


if __name__ == "__main__":
    main()
