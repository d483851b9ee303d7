"""Pages in Chromium, with an eye on what they say in red and on what they ask for in vain."""

from typing import Any, Self

TOLD = ("the server responded with a status of", "Response Status Error Code")  # what a refused request is told by


class Watched:
    """Contexts of one browser on one site; closed at the end."""

    def __init__(self, chromium: Any, site: Any) -> None:
        self._chromium = chromium
        self._site = site
        self._contexts: dict[str, Any] = {}
        self._page: Any = None
        self._red: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for context in self._contexts.values():
            context.close()

    def page(self, path: str, who: str, status: int = 200) -> Any:
        """A page of somebody; the one before is closed."""
        if self._page is not None:
            self._page.close()
        if who not in self._contexts:
            context = self._chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
            if who:
                context.add_cookies([self._site.cookie(who)])
            self._contexts[who] = context
        self._red = []
        self._page = watched(self._contexts[who].new_page(), self._red)
        answer = self._page.goto(self._site.address + path)
        assert answer.status == status, f"{path} answered {answer.status}"
        return self._page

    def settled(self) -> None:
        """Until what the page asks for by itself has come, and its pictures are drawn."""
        self._page.locator("[hx-trigger~=load] .skeleton:visible").first.wait_for(state="detached", timeout=60_000)
        for figure in self._page.locator("figure[data-chart]:visible").all()[:3]:
            figure.scroll_into_view_if_needed()
            figure.locator("canvas").first.wait_for()

    def said(self, status: int = 200) -> list[str]:
        """What the page said in red; a page that is an error may say that it is."""
        return [text for text in self._red if status == 200 or not any(known in text for known in TOLD)]


def watched(page: Any, red: list[str]) -> Any:
    """A page that writes down what it says in red, and each request that failed."""
    page.set_default_timeout(60_000)  # a loaded machine is slow, and this is no test of speed
    page.set_default_navigation_timeout(120_000)
    page.on("console", lambda message: red.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: red.append(str(error)))
    page.on("requestfailed", lambda request: _noted(request, red))
    return page


def _noted(request: Any, red: list[str]) -> None:
    """What a page asks for while it is left comes to nothing, and nobody misses it."""
    if "ERR_ABORTED" not in str(request.failure):
        red.append(f"{request.method} {request.url}: {request.failure}")
