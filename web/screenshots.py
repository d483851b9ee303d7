"""Pictures of every page of the console and of its states, in both themes and at three widths.

`just screenshots [FOLDER] [NAME ...]`: a server is started on a workspace of its own (see showcase.py), and Chromium
looks at it; names choose among the pages. `--readme` writes the three pictures that README shows instead.
"""

import base64
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import structlog
from chromium import launched
from playwright.sync_api import Browser, Error, sync_playwright
from showcase import Exhibit, Site, pages, showcase
from states import states

WIDTHS = (360, 768, 1440)
THEMES = ("light", "dark")
README = {  # the file and the height in pixels
    "results-{run}": ("console-results", 1480),
    "detect-form": ("console-detect", 700),
    "sql-chart": ("console-sql", 1150),
}
DOCS = Path(__file__).parents[1] / "docs"


def main(folder: Path, names: list[str], is_readme: bool = False) -> None:
    """Write the pictures and say where they are."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as place,
        showcase(Path(place)) as site,
        sync_playwright() as playwright,
    ):
        chromium = launched(playwright)
        listed = [*pages(site), *states(site)]
        chosen = [one for one in listed if not names or one.name.startswith(tuple(names))]
        if is_readme:
            chosen = [one for one in chosen if one.name in README]
        for one in chosen:
            if is_readme:
                _show(chromium, site, one, folder)
            else:
                _look(chromium, site, one, folder)
        chromium.close()
    print(f"pictures of {len(chosen)} pages and states in {folder}")


def _opened(chromium: Browser, site: Site, one: Exhibit) -> Any:
    """The page in its state."""
    context = chromium.new_context(
        viewport={"width": WIDTHS[-1], "height": 900}, reduced_motion="reduce", timezone_id="Europe/Berlin"
    )
    if one.who:
        context.add_cookies([site.cookie(one.who)])
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(site.address + one.path)
    try:
        if one.act:
            one.act(page)
    except Error as error:
        print(f"{one.name}: {str(error)[:300]}")
    page.wait_for_timeout(400)  # charts are drawn when they are seen
    return page


def _look(chromium: Browser, site: Site, one: Exhibit, folder: Path) -> None:
    page = _opened(chromium, site, one)
    for width in reversed(WIDTHS):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("scrollTo(0, 0)")
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            page.wait_for_timeout(120)  # charts are drawn anew
            is_dialog = page.locator("dialog[open]").count() > 0
            page.screenshot(path=folder / f"{one.name}-{width}-{theme}.png", full_page=not is_dialog)
    page.context.close()


def _show(chromium: Browser, site: Site, one: Exhibit, folder: Path) -> None:
    """One picture for README, as small as it can be read."""
    name, height = README[one.name]
    page = _opened(chromium, site, one)
    page.set_viewport_size({"width": WIDTHS[-1], "height": height})
    page.evaluate("document.querySelector('dialog[open]') ?? scrollTo(0, 0)")
    page.wait_for_timeout(300)
    devtools = page.context.new_cdp_session(page)  # Playwright itself has no WebP
    data = devtools.send("Page.captureScreenshot", {"format": "webp", "quality": 80})["data"]
    (folder / f"{name}.webp").write_bytes(base64.b64decode(data))
    page.context.close()


if __name__ == "__main__":
    given = [one for one in sys.argv[1:] if one != "--readme"]
    if "--readme" in sys.argv:
        main(DOCS, list(README), is_readme=True)
    else:
        main(Path(given[0] if given else "build/screenshots"), given[1:])
