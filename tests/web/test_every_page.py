"""Every page that the application has, and its states: accessible, within the window, nothing on anything else.

The pages are those of the application's own routes (web/showcase.py), so that a new one is looked at by itself.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from showcase import Exhibit, Site, pages, showcase
from states import states

from .watched import Watched

pytestmark = pytest.mark.browser
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
OF_COLOUR = ["color-contrast", "link-in-text-block"]  # all that a theme can change
WIDTHS = (1440, 768, 360)
PARTS = 4  # of the pages, so that a failure names few of them and none takes minutes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with showcase(tmp_path_factory.mktemp("showcase")) as made:
        yield made


@pytest.fixture(scope="module")
def exhibits(site: Site) -> list[Exhibit]:
    return [*pages(site), *states(site)]


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_is_accessible_and_nothing_overlaps(
    site: Site, exhibits: list[Exhibit], chromium: Any, axe: str, layout: str, part: int
) -> None:
    wrong = []
    with Watched(chromium, site) as watched:
        for one in exhibits[part::PARTS]:
            page = watched.page(one.path, one.who, status=one.status if one.act is None else 200)
            if one.act:
                one.act(page)
            watched.settled()
            found = []
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                found += [f"{width} px: {text}" for text in page.evaluate(layout)]
            found += [*_inaccessible(page, axe), *watched.said(one.status)]
            wrong += [f"{one.name}: {text}" for text in found]
    assert wrong == [], "\n".join(wrong)


def _inaccessible(page: Any, axe: str) -> list[str]:
    """What axe-core finds with all open that folds, in the light; of colours in the dark too."""
    page.evaluate("document.querySelectorAll('details:not([data-menu])').forEach((one) => (one.open = true))")
    page.evaluate(axe)
    found = _violations(page, {"type": "tag", "values": RULES})
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {text}" for text in _violations(page, {"type": "rule", "values": OF_COLOUR})]
    page.emulate_media(color_scheme="light")
    return found


def _violations(page: Any, rules: dict[str, Any]) -> list[str]:
    found = page.evaluate("rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", rules)
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]
