"""Two people walk through the console: with scripts, without, by keys alone; at three widths and in both themes."""

import csv
import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from showcase import PARCELS, Site, showcase

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
    assert re.search(
        rf"\b{n_flagged}\b.{{0,60}} of 300 rows flagged", text.replace("<strong>", "").replace("</strong>", "")
    ), text[:600]


@every_way
def test_an_analyst_compares_and_decides(site: Site, walks: Walks, mode: str, width: int, theme: str) -> None:
    who = somebody(site, "user")
    data, runs = _worked_on(site, who)
    walker = walks(who, mode, width, theme)
    walker.page.goto(f"{site.address}/runs")
    walker.look()
    _compare(walker, site, runs)
    _replay(walker, site, runs[0])
    _ask(walker, site, data)
    _promote(walker, site, f"model of {who}")
    _what_if(walker, site, f"model of {who}", who)


def _worked_on(site: Site, who: str) -> tuple[str, list[str]]:
    """A dataset of somebody with two runs and a model of two versions: its name, and the ids of the runs."""
    data = f"parcels of {who}"
    with site.acting(who) as db:
        db.datasets.add(data, f"select * from ({PARCELS}) limit 600")
        given: dict[str, Any] = {"key": "parcel", "label": "is_lost", "explain": 1, "save": True}
        runs = [str(db.detect(data, algorithm=name, top_k=6, **given).run_id) for name in ("mad", "hbos")]
        for name in ("mad", "hbos"):
            db.train(f"model of {who}", data, features=["weight_kg", "price"], algorithm=name)
        db.promote(f"model of {who}", 1)
    return data, runs


def _compare(walker: Walker, site: Site, runs: list[str]) -> None:
    page = walker.page
    for box in page.get_by_role("checkbox").all():
        walker.press(box)
    walker.press(page.get_by_role("button", name=re.compile("Compare")))
    page.get_by_role("heading", name="Compare 2 runs").wait_for()
    ((n_any, n_all),) = site.rows(
        "select count(*), count(*) filter (n = 2) from (select key, count(*) as n from pynomaly.results "
        "where run_id in (?::uuid, ?::uuid) and is_anomaly group by key)", *runs
    )  # fmt: skip
    told = page.locator(".page-head").inner_text()
    assert f"{n_any} rows are flagged" in told
    assert f"{n_all} by all" in told
    if walker.is_scripted:
        page.locator("#compare-metrics table").first.wait_for()
        page.locator("#compare-rows table, #compare-rows .state").first.wait_for()
        walker.look()
    else:
        walker.look()
        walker.press(page.get_by_role("link", name="Compare them with the labels"))
    row = page.locator("#compare-metrics tr", has=page.get_by_role("rowheader", name="AUROC"))
    shown = [float(one) for one in row.locator("td").all_inner_texts()]
    with site.acting("ada") as db:
        said = [db.execute("select auroc from evaluate(?, label := 'is_lost')", [run]).fetchall()[0][0] for run in runs]
    assert sorted(shown) == pytest.approx(sorted(said), abs=1e-5)
    walker.look()


def _replay(walker: Walker, site: Site, run: str) -> None:
    page = walker.page
    page.goto(f"{site.address}/runs/{run}")
    walker.look()
    walker.press(page.get_by_role("button", name="Replay"))
    page.wait_for_url("**/jobs/*")
    job = page.url.rpartition("/")[2]
    if walker.is_scripted:
        page.get_by_text("Done").first.wait_for()
    _until_ended(site, job)
    page.reload()
    walker.look()
    ((n_differ,),) = site.rows("select result->>'$.n_different' from pynomaly.jobs where id = ?", job)
    assert n_differ in (None, "0")


def _until_ended(site: Site, job: str) -> None:
    for _ in range(1_200):
        ((status,),) = site.rows("select status from pynomaly.jobs where id = ?", job)
        if status in ("succeeded", "failed", "cancelled"):
            break
        time.sleep(0.1)
    assert status == "succeeded"


def _ask(walker: Walker, site: Site, data: str) -> None:
    """A query, its picture, its rows as a dataset, and its address."""
    page = walker.page
    sql = f"select depot, count(*) as n, sum(price) as price from dataset_rows('{data}') group by depot order by depot"
    page.goto(f"{site.address}/sql")
    walker.look()
    if walker.is_scripted:
        area = page.locator(".editor .cm-content")
        walker.press(area) if not walker.is_by_keys else walker.write(area, sql)
        if not walker.is_by_keys:
            page.keyboard.press("Control+A")
            page.keyboard.insert_text(sql)
        page.keyboard.press("Control+Enter")
    else:
        walker.write(page.locator("#editor"), sql)
        walker.press(page.get_by_role("button", name="Run", exact=True))
    page.locator("#query-rows tbody tr").first.wait_for()
    shown = [row.locator("td").all_inner_texts() for row in page.locator("#query-rows tbody tr").all()]
    said = site.rows(sql)
    assert [(row[0], int(row[1])) for row in shown] == [row[:2] for row in said]
    assert [float(row[2].replace(",", "")) for row in shown] == pytest.approx([row[2] for row in said], rel=1e-4)
    walker.look()
    walker.choose(page.locator("#chart-y"), "price")
    walker.press(page.get_by_role("button", name="Chart this"))
    page.get_by_role("button", name="Back to the rows").wait_for()
    bars = page.locator("#result .contribution .is-number").all_inner_texts()
    assert sorted(float(one.replace(",", "")) for one in bars) == pytest.approx(sorted(r[2] for r in said), rel=1e-4)
    walker.look()
    walker.press(page.get_by_role("button", name="Back to the rows"))
    page.locator("#dataset-name").wait_for()
    kept = f"depots of {data}"
    walker.write(page.locator("#dataset-name"), kept)
    walker.press(page.get_by_role("button", name="Detect on this"))
    page.wait_for_url("**/detect?*")
    assert site.rows("select n_rows from datasets() where name = ?", kept) == [(len(said),)]
    walker.look()


def _promote(walker: Walker, site: Site, model: str) -> None:
    page = walker.page
    page.goto(f"{site.address}/models/{model}?version=2")
    walker.look()
    walker.press(page.locator("main").get_by_role("link", name=re.compile("champion")))
    asked = page.locator("dialog[open]") if walker.is_scripted else page.locator("main")
    walker.look()
    walker.press(asked.get_by_role("button", name="Make champion"))
    page.locator(".page-head").get_by_text("champion").first.wait_for()
    assert site.rows("select version from models() where name = ? and stage = 'champion'", model) == [(2,)]


def _what_if(walker: Walker, site: Site, model: str, who: str) -> None:
    page = walker.page
    page.goto(f"{site.address}/models/{model}/score")
    walker.write(page.get_by_label("weight_kg", exact=True), "41")
    if not walker.is_scripted:
        walker.press(page.get_by_role("button", name="Score", exact=True))
    behind = page.locator("#scored .behind code", has_text="41")
    behind.wait_for(state="attached")  # the SQL of the row that was made up
    with site.acting(who) as db:
        ((said,),) = db.execute(behind.text_content()).fetchall()
    shown = page.locator("#scored .verdict-facts b").first.inner_text()
    assert float(shown.replace(",", "")) == pytest.approx(said["anomaly_score"], rel=1e-3)
    walker.look()
