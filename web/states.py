"""The states of the console's pages that are worth a look, beside the pages as they open."""

from typing import Any
from urllib.parse import quote

from showcase import IDS, QUERY, Exhibit, Site

SCORED = "select * from detect_anomalies('parcels', key := 'parcel', explain := 1) order by anomaly_score desc limit 50"


def states(site: Site) -> list[Exhibit]:
    """Every one of them."""
    return [*_first(), *_detecting(site), *_results(site), *_sql(), *_data(site), *_jobs(site), *_account()]


def _first() -> list[Exhibit]:
    """What somebody sees who has nothing yet, who may not, or who is nobody."""
    empty = ("/", "/runs", "/datasets", "/models", "/detect", "/jobs", "/sql", "/sql/history", "/sql/saved", "/upload")
    return [
        *(Exhibit(f"empty-{path.strip('/').replace('/', '-') or 'home'}", path, "nia") for path in empty),
        Exhibit("sign-in-nobody", "/sign-in", ""),
        Exhibit("api", "/api/v1/schema"),
        Exhibit("sign-in-wrong", "/sign-in", "", _sign_in, 401),
        Exhibit("error-404", "/nothing/is/here", status=404),
        Exhibit("error-403", "/upload", "vera", status=403),
        Exhibit("error-500", "/broken", status=500),
        Exhibit("menu-account", "/", act=lambda page: page.locator("details.menu:visible summary").first.click()),
        Exhibit("menu-narrow", "/", act=_narrow_menu),
        Exhibit("home-viewer", "/", "vera"),
    ]


def _detecting(site: Site) -> list[Exhibit]:
    wrong = {"contamination": "0.7", "top_k": "-3", "seed": "much"}
    form = "/detect?source=parcels"
    return [
        Exhibit("detect-form", form, act=_estimated),
        Exhibit("detect-more", f"{form}&algorithm=knn", act=_estimated),
        Exhibit("detect-wrong", f"{form}&algorithm=knn", act=lambda page: _send(page, "#detection", wrong), status=422),
        Exhibit("detect-queued", f"/detect/jobs/{IDS['queued']}"),
        Exhibit("detect-failed", f"/detect/jobs/{site.objects['failed_job']}"),
        Exhibit("detect-cancelled", f"/detect/jobs/{site.objects['cancelled_job']}"),
    ]  # fmt: skip


def _results(site: Site) -> list[Exhibit]:
    run = f"/results/{site.objects['run']}"
    pictures = ("pairs", "axes", "time", "entities")
    return [
        *(Exhibit(f"result-{view}", f"{run}?view={view}", act=_drawn) for view in pictures),
        Exhibit("result-drawer", run, act=_drawer),
        Exhibit("result-export", run, act=lambda page: page.locator("main details.menu summary").click()),
        Exhibit("result-open", run, act=_opened),
        Exhibit("result-all", f"{run}?show=all"),
        Exhibit("result-nothing", f"{run}?show=all&min_score=99"),
        Exhibit("result-calm", f"/results/{site.objects['calm']}"),
        Exhibit("run-failed", f"/runs/{site.objects['failed']}"),
        Exhibit("runs-none-like-that", "/runs?source=nothing"),
        Exhibit(
            "compare-whole", f"/runs/compare?run={site.objects['run']}&run={site.objects['second']}", act=_compared
        ),
        Exhibit("report", run, act=_report),
    ]


def _sql() -> list[Exhibit]:
    asked = f"/sql?q={quote(QUERY)}"
    return [
        Exhibit("sql-query", asked),
        Exhibit("sql-rows", asked, act=lambda page: _ask(page, "Run", "#query-rows")),
        Exhibit("sql-scored", f"/sql?q={quote(SCORED)}", act=lambda page: _ask(page, "Run", "#query-rows")),
        Exhibit("sql-chart", asked, act=_chart),
        Exhibit("sql-plan", asked, act=lambda page: _ask(page, "Plan", "#result pre")),
        Exhibit(
            "sql-wrong",
            "/sql?q=select%20dept%20from%20parcels",
            act=lambda page: _ask(page, "Run", "#result .state"),
            status=422,
        ),
        Exhibit(
            "sql-no-rows", "/sql?q=from%20parcels%20where%20false", act=lambda page: _ask(page, "Run", "#query-rows")
        ),
        Exhibit(
            "sql-names", asked, act=lambda page: [one.click() for one in page.locator("aside li summary").all()[:1]]
        ),
    ]


def _data(site: Site) -> list[Exhibit]:
    upload = f"/upload/{site.objects['upload_id']}"
    refused = {"#source-name": "orders", "#url": "https://localhost/orders.csv"}
    return [
        Exhibit("upload-preview-bad", f"{upload}?show=bad"),
        Exhibit("upload-preview-open", upload, act=_opened),
        Exhibit("upload-refused", "/upload", act=lambda page: _fill(page, refused, "Read it"), status=422),
        Exhibit("dataset-returns", "/datasets/returns"),
        Exhibit("dataset-quarantine-full", "/datasets/returns/quarantine"),
        Exhibit("rules-suggested", "/datasets/parcels/rules?suggest=true&kind=range"),
        Exhibit("model-open", "/models/odd_parcels?version=1", act=_opened),
        Exhibit("model-odd-row", "/models/odd_parcels/score?version=1&f.weight_kg=42"),
    ]


def _jobs(site: Site) -> list[Exhibit]:
    named = {
        "running": IDS["running"],
        "queued": IDS["queued"],
        "failed": site.objects["failed_job"],
        "cancelled": site.objects["cancelled_job"],
    }
    return [Exhibit(f"job-{state}", f"/jobs/{id_}") for state, id_ in named.items()] + [
        Exhibit("jobs-failed", "/jobs?status=failed")
    ]


def _account() -> list[Exhibit]:
    return [
        Exhibit("account-new-key", "/account", act=lambda page: _fill(page, {"#name": "my notebook"}, "Make")),
        Exhibit(
            "account-wrong", "/account", act=lambda page: _fill(page, {"#time_zone": "Mars/Base"}, "Save"), status=422
        ),
    ]


# ---- what brings a page into its state -----------------------------------------------------------------------------


def _narrow_menu(page: Any) -> None:
    """What there is of the navigation on a phone; wider windows have no such menu."""
    page.set_viewport_size({"width": 360, "height": 900})
    page.locator("details.only-narrow summary").click()


def _opened(page: Any) -> None:
    """Everything that folds, except menus."""
    for fold in page.locator("main details:not([data-menu]):not([open]) > summary").all():
        if fold.is_visible():
            fold.click()


def _estimated(page: Any) -> None:
    page.locator("#estimate dl").wait_for()


def _drawer(page: Any) -> None:
    page.locator("#rows tbody a").first.click()
    page.locator("dialog[open] .contribution").first.wait_for()


def _report(page: Any) -> None:
    """The file itself, as whoever gets it opens it."""
    page.locator("main details.menu summary").click()
    with page.expect_download() as started:
        page.locator("main a[href$=report]").click()
    file = started.value.path()
    page.goto(file.rename(file.with_suffix(".html")).as_uri())


def _drawn(page: Any) -> None:
    page.locator("#picture canvas, #picture .state").first.wait_for()


def _compared(page: Any) -> None:
    page.locator("#compare-metrics .skeleton").wait_for(state="detached")
    page.locator("#compare-rows .skeleton").wait_for(state="detached")


def _ask(page: Any, button: str, found: str) -> None:
    page.locator(".editor .cm-content").wait_for()
    page.get_by_role("button", name=button, exact=True).click()
    page.locator(found).first.wait_for()


def _chart(page: Any) -> None:
    _ask(page, "Run", "#query-rows")
    page.get_by_role("button", name="Chart this").click()
    page.locator("#result svg.plot, #result canvas, #result .bars").first.wait_for()


def _fill(page: Any, given: dict[str, str], button: str) -> None:
    for field, value in given.items():
        page.locator(field).fill(value)
    page.get_by_role("button", name=button).first.click()
    page.wait_for_load_state("networkidle")


def _sign_in(page: Any) -> None:
    page.locator("#user").first.fill("ada")
    page.locator("#password").fill("not her password")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state("networkidle")


def _send(page: Any, form: str, given: dict[str, str]) -> None:
    """A form with values that the browser would not let through."""
    page.locator(form).evaluate("form => { form.noValidate = true }")
    for name, value in given.items():
        field = page.locator(f"{form} [name={name}]")
        field.evaluate("(field) => { field.type = 'text' }")
        field.fill(value)
    page.locator(f"{form} button.button-primary").first.click()
    page.wait_for_load_state("networkidle")
