"""What the walks of the two roles share: the ways to go, the console that is walked, what a number's SQL says."""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from showcase import Site, showcase

from .walker import Walker
from .watched import watched

Walks = Callable[..., Walker]
NUMBER = itertools.count(1)
WAYS = [  # every mode at every width, both themes in each mode
    (mode, width, ("light", "dark")[(n + m) % 2])
    for n, mode in enumerate(("scripts", "plain", "keys"))
    for m, width in enumerate((360, 768, 1440))
]
every_way = pytest.mark.parametrize("way", WAYS, ids=["-".join(map(str, way)) for way in WAYS])
Way = tuple[str, int, str]
NEWCOMER = {  # the pages that each of the two goes to, as the routes have them
    "/", "/upload", "/upload/{upload_id}", "/datasets", "/datasets/{name}", "/datasets/{name}/rows",
    "/datasets/{name}/rules", "/datasets/{name}/quarantine", "/datasets/{name}/versions", "/datasets/{name}/lineage",
    "/datasets/{name}/sharing", "/datasets/{name}/remove", "/detect", "/detect/jobs/{id}", "/results/{run}",
    "/results/{run}/rows/{key}", "/results", "/sql", "/account", "/sign-in",
}  # fmt: skip
ANALYST = {
    "/", "/runs", "/runs/compare", "/runs/compare/rows", "/runs/compare/metrics", "/runs/{id}", "/jobs", "/jobs/{id}",
    "/detect", "/detect/jobs/{id}", "/results/{run}", "/results/{run}/rows/{key}", "/sql", "/sql/history",
    "/sql/saved", "/models", "/models/{name}", "/models/{name}/importance", "/models/{name}/score",
}  # fmt: skip
ASKED_IN_DIALOGS = {"/sql/saved/delete", "/models/{name}/change", "/account/keys/{id}/revoke"}  # pages without scripts


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The console that is walked."""
    with showcase(tmp_path_factory.mktemp("walks")) as made:
        yield made


@pytest.fixture
def walks(site: Site, chromium: Any, layout: str) -> Iterator[Walks]:
    """Begins a walk; every word in red and every request that failed fails the test at its end."""
    contexts: list[Any] = []
    red: list[str] = []

    def begin(who: str, way: Way) -> Walker:
        mode, width, theme = way
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce",
            java_script_enabled=mode != "plain", accept_downloads=True,
        )  # fmt: skip
        contexts.append(context)
        context.add_cookies([site.cookie(who)])
        walker = Walker(watched(context.new_page(), red), layout, mode)
        walker.page.goto(site.address)  # all else is reached from here
        return walker

    yield begin
    for context in contexts:
        context.close()
    assert [one for one in red if "ERR_ABORTED" not in one] == []  # what a page asks for while it is left


def somebody(site: Site, role: str = "user") -> str:
    """A user who has nothing yet."""
    name = f"{role}{next(NUMBER)}"
    site.workspace.accounts.users.add(name, role, "ada")
    return name


def shown_number(text: str) -> int:
    """The first number of a text, as people write it."""
    return int(re.search(r"\d[\d,]*", text)[0].replace(",", ""))  # type: ignore[index]


def column_of(table: Any, place: int) -> list[str]:
    """The texts of a column of a table, folded or not; the first is 1."""
    return [text.strip() for text in table.locator(f"tbody tr > :nth-child({place})").all_text_contents()]


def sql_says(site: Site, who: str, place: Any) -> list[dict[str, Any]]:
    """The rows of the SQL that stands behind what is shown in a place, as somebody gets them."""
    behind = place.locator(".behind code").first
    behind.wait_for(state="attached")
    with site.acting(who) as db:
        return list(db.sql(behind.text_content()).arrow().to_pylist())


def detected(walker: Walker) -> str:
    """The run that is made when the link to the form of a detection is followed and its button pressed."""
    page = walker.page
    walker.follow("/detect?", ".page-head")
    page.locator("#estimate dl").wait_for() if walker.is_scripted else None
    walker.look()
    walker.press(page.locator("button[name=step][value=start]"))
    page.wait_for_url("**/results/*", timeout=180_000)
    return str(re.search(r"/results/([0-9a-f-]{36})", page.url)[1])  # type: ignore[index]


def unvisited(site: Site, walker: Walker, wanted: set[str]) -> set[str]:
    """The pages of a role that a walk did not come to."""
    patterns = {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in wanted}
    return {path for path, pattern in patterns.items() if not any(map(pattern.fullmatch, walker.seen))}
