"""Two people walk through the console: with scripts, without, and by keys alone; on a phone, a tablet and a desk; by day and night."""

import csv
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from showcase import Site, showcase

from .walker import Walker
from .watched import watched

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # Playwright's own loop at its end
]
Walks = Callable[..., Walker]
NUMBER = itertools.count(1)
WAYS = [  # every mode at every width, both themes in each mode
    (mode, width, ("light", "dark")[(n + m) % 2])
    for n, mode in enumerate(("scripts", "plain", "keys"))
    for m, width in enumerate((360, 768, 1440))
]
every_way = pytest.mark.parametrize(("mode", "width", "theme"), WAYS, ids=["-".join(map(str, way)) for way in WAYS])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with showcase(tmp_path_factory.mktemp("walks")) as made:
        yield made


@pytest.fixture
def walks(site: Site, chromium: Any, layout: str) -> Iterator[Walks]:
    """Begins a walk; every word in red and every request that failed fails the test at its end."""
    contexts: list[Any] = []
    red: list[str] = []

    def begin(who: str, mode: str, width: int, theme: str) -> Walker:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce",
            java_script_enabled=mode != "plain", accept_downloads=True,
        )  # fmt: skip
        contexts.append(context)
        context.add_cookies([site.cookie(who)])
        return Walker(watched(context.new_page(), red), layout, mode)

    yield begin
    for context in contexts:
        context.close()
    assert [one for one in red if "ERR_ABORTED" not in one] == []  # what a page asks for while it is left


def somebody(site: Site, role: str) -> str:
    """A user who has nothing yet."""
    name = f"{role}{next(NUMBER)}"
    site.workspace.accounts.users.add(name, role, "ada")
    return name


def shown_number(text: str) -> int:
    """The first number of a text, as people write it."""
    return int(re.search(r"[\d,]+", text)[0].replace(",", ""))  # type: ignore[index]


@every_way
def test_a_newcomer_finds_what_is_odd(
    site: Site, walks: Walks, tmp_path: Path, mode: str, width: int, theme: str
) -> None:
    who = somebody(site, "user")
    file = tmp_path / "orders.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened)
        rows.writerow(["order", "shop", "amount", "weight"])
        for n in range(300):
            is_odd = n in (77, 191)
            rows.writerow([f"A{n:05}", n % 9 + 1, 9_000 + n if is_odd else 20 + n * 7 % 31, 3 + n % 5])
    walker = walks(who, mode, width, theme)
    page = walker.page
    page.goto(site.address)
    walker.look()
    _upload(walker, file)
    name = _commit(walker, site, who)
    run = _detect(walker, name)
    _understand(walker, site, who, run)
    _report(walker, site, run)


def _upload(walker: Walker, file: Path) -> None:
    page = walker.page
    walker.press(page.get_by_role("link", name="Upload a file"))
    page.wait_for_url("**/upload")
    walker.look()
    walker.attach(page.locator("input[type=file]"), file)
    if not walker.is_scripted:
        walker.press(page.get_by_role("button", name="Upload", exact=True))
    page.wait_for_url("**/upload/*")
    assert shown_number(page.locator(".verdict-line").inner_text()) == 300


def _commit(walker: Walker, site: Site, who: str) -> str:
    """The shops are numbers that count nothing: they become text."""
    page = walker.page
    label = page.locator("#t1 option[value=VARCHAR]").inner_text()
    walker.choose(page.locator("#t1"), label)
    if not walker.is_scripted:
        walker.press(page.get_by_role("button", name="Look again").last)
    page.wait_for_url(re.compile("t1=VARCHAR"))
    walker.look()
    name = f"orders of {who}"
    walker.write(page.locator("#name"), name)
    walker.press(page.get_by_role("button", name="Make it a dataset"))
    page.wait_for_url("**/datasets/*")
    assert unquote(page.url).endswith(name)
    types = dict(site.rows("select column_name, column_type from (describe from dataset_rows(?))", name))
    assert types["shop"] == "VARCHAR"
    ((n_rows, n_columns),) = site.rows("select n_rows, n_columns from datasets() where name = ?", name)
    assert f"{n_rows} rows, {n_columns} columns" in page.locator(".page-head").inner_text()
    walker.look()
    return name


def _detect(walker: Walker, name: str) -> str:
    page = walker.page
    walker.press(page.get_by_role("link", name="Detect anomalies"))
    page.wait_for_url("**/detect?*")
    page.locator("#estimate dl").wait_for() if walker.is_scripted else None
    walker.look()
    walker.press(page.get_by_role("button", name="Detect anomalies"))
    page.wait_for_url("**/results/*", timeout=120_000)
    return str(re.search(r"/results/([0-9a-f-]{36})", page.url)[1])  # type: ignore[index]


def _understand(walker: Walker, site: Site, who: str, run: str) -> None:
    """The verdict, a row, its reasons, and a word on it."""
    page = walker.page
    (n_flagged, n_rows), *_ = site.rows(
        "select count(*) filter (is_anomaly), count(*) from pynomaly.results where run_id = ?", run
    )
    verdict = page.locator(".verdict-line").inner_text()
    assert [int(one.replace(",", "")) for one in re.findall(r"[\d,]+", verdict)][:2] == [n_flagged, n_rows], verdict
    if walker.is_scripted:
        page.locator("#scores canvas").wait_for()
    walker.look()
    link = page.locator("#rows tbody a").first
    key = link.inner_text()
    walker.press(link)
    place = page.locator("dialog[open]") if walker.is_scripted else page.locator("main")
    place.get_by_text("Is it an anomaly?").wait_for()
    place.locator(".contribution").first.wait_for()
    ((reasons,),) = site.rows("select len(reasons) from pynomaly.results where run_id = ? and key = ?", run, key)
    assert place.locator(".contribution").count() >= reasons > 0
    walker.look()
    walker.write(place.locator("#note"), "far too much")
    walker.press(place.get_by_role("button", name="Anomaly", exact=True))
    page.get_by_text("far too much").wait_for()
    said = site.rows("select label, note, labelled_by from pynomaly.labels where run_id = ? and key = ?", run, key)
    assert said == [("anomaly", "far too much", who)]
    if walker.is_scripted:
        page.keyboard.press("Escape")
        page.locator("dialog").wait_for(state="detached")
        assert link.evaluate("(one) => one === document.activeElement"), "the focus goes back to where it was"
        assert page.locator("#rows tbody tr").first.locator("td").nth(2).inner_text() == "anomaly"
    else:
        page.goto(f"{site.address}/results/{run}")


def _report(walker: Walker, site: Site, run: str) -> None:
    page = walker.page
    walker.press(page.locator("main details.menu > summary"))
    walker.look()
    with page.expect_download() as started:
        walker.press(page.get_by_role("link", name=re.compile("Report")))
    text = started.value.path().read_text(encoding="utf-8")
    ((n_flagged,),) = site.rows("select n_flagged from runs() where id = ?", run)
    assert re.search(rf"\b{n_flagged}\b.{{0,60}} of 300 rows flagged", text.replace("<strong>", "").replace("</strong>", "")), text[:600]
