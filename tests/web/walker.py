"""Somebody who goes through pages with a mouse, or by keys alone; with scripts or without."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FOCUS = """(target) => {
  const at = document.activeElement;
  if (!at || at === document.body) return { is_there: false, is_seen: true, told: "the page", is_after: true };
  const style = getComputedStyle(at.closest(".editor") ?? at);
  const box = at.getBoundingClientRect();
  const ringed = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  return {
    is_there: at === target || target.getRootNode().host === at || Boolean(target.closest(".editor")?.contains(at)),
    is_seen: ringed && box.width > 0 && box.bottom > 0 && box.top < innerHeight,
    told: at.outerHTML.slice(0, 160),
    is_after: Boolean(at.compareDocumentPosition(target) & Node.DOCUMENT_POSITION_FOLLOWING),
  };
}"""
MOST_STOPS = 400
FORGETS = 1_100  # milliseconds after which a closed list forgets what was typed into it


class Walker:
    """Presses, writes and chooses; by keys every stop on the way must show that it has the focus."""

    def __init__(self, page: Any, layout: str, mode: str) -> None:
        self.page = page
        self._layout = layout
        self.is_scripted = mode != "plain"
        self.is_by_keys = mode == "keys"
        self.seen: set[str] = set()  # the paths of what was asked for: pages, and parts of them
        page.on("request", lambda asked: self.seen.add(urlsplit(asked.url).path))

    def press(self, target: Any) -> None:
        """A link, a button, a box to tick."""
        target = target.first
        target.wait_for()
        if not self.is_by_keys:
            target.click()
            return
        self._reach(target)
        is_link = target.evaluate("(one) => one.tagName === 'A'")
        self.page.keyboard.press("Enter" if is_link else "Space")

    def follow(self, address: str, within: str = "main") -> None:
        """The first link to an address; with any query, or one that begins so where a `?` stands in it."""
        begins = address if "?" in address else f"{address}?"
        link = self.page.locator(f'{within} :is(a[href="{address}"], a[href^="{begins}"]):visible')
        with self.page.expect_navigation(url=_begins(address)):
            self.press(link)

    def go(self, address: str) -> None:
        """To a place of the main menu, which a narrow window folds."""
        fold = self.page.locator(".top .only-narrow > summary")
        if fold.is_visible():
            self.press(fold)
        with self.page.expect_navigation(url=_begins(address)):
            self.press(self.page.locator(f'.top nav a[href="{address}"]:visible'))

    def arrive(self, address: str) -> None:
        """Wait for a page of another address than the one before."""
        self.page.wait_for_url(_begins(address))

    def write(self, target: Any, text: str) -> None:
        """Into a field."""
        if not self.is_by_keys:
            target.fill(text)
            return
        self._reach(target)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def query(self, sql: str) -> None:
        """Into the editor of SQL, and run."""
        if not self.is_scripted:
            self.write(self.page.locator("#editor"), sql)
            self.press(self.page.locator("#run-button"))
            return
        area = self.page.locator(".editor .cm-content")
        self._reach(area) if self.is_by_keys else self.press(area)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(sql)
        self.page.keyboard.press("Control+Enter")

    def choose(self, target: Any, label: str) -> None:
        """One of a list."""
        if not self.is_by_keys:
            target.select_option(label=label)
            return
        for _ in range(5):  # what is typed slowly, or into a list that was brought anew meanwhile, begins anew
            self._reach(target)
            self.page.keyboard.type(label)
            if target.evaluate("(one) => one.selectedOptions[0].label") == label:
                return
            self.page.wait_for_timeout(FORGETS)
        raise AssertionError(f"{label!r} is not chosen by typing it")

    def attach(self, target: Any, file: Path) -> None:
        """A file."""
        if not self.is_by_keys:
            target.set_input_files(file)
            return
        # Chromium takes a key before what waits of DevTools: asked for just before Enter, the window for files would be
        # the system's own, which nobody here can see. On the way to the field the page answers, and knows by then.
        with self.page.expect_file_chooser() as asked:
            self._reach(target)
            self.page.keyboard.press("Enter")
        asked.value.set_files(file)

    def look(self) -> None:
        """Nothing is cut, nothing lies on anything else, nothing is wider than the window."""
        found = self.page.evaluate(self._layout)
        assert found == [], f"{self.page.url}: {found}"

    def _reach(self, target: Any) -> None:
        """By Tab, or by Shift and Tab where it lies before."""
        target.wait_for()
        at = target.evaluate(FOCUS)
        key = "Tab" if at["is_after"] else "Shift+Tab"
        for _ in range(MOST_STOPS):
            if at["is_there"]:
                return
            self.page.keyboard.press(key)
            at = target.evaluate(FOCUS)
            assert at["is_seen"], f"the focus is not seen on {at['told']}"
        raise AssertionError(f"{key} does not reach {target}")


def _begins(address: str) -> re.Pattern[str]:
    """What begins so; an address without an end of its own ends there, or at its query."""
    end = "" if address.endswith(("/", "?", "=")) else r"(?:[?#&]|$)"
    return re.compile(rf"^https?://[^/]+{re.escape(address)}{end}")
