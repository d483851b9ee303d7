"""Every page of the console with hostile content, and what it offers to somebody who may only look."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from pynomaly_server.permissions import ROLES

from .hostile import COLUMN, JOB, LONG, MARK, MODEL, NAME, World, faults, running

GIVEN = frozenset({"self", "request", "db", "identity", "workspace"})
READ_BY_HAND = ("source", "algorithm", "features", "x", "y", "label", "filter", "column", "value")  # from the address


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One hostile server for this file."""
    yield from running(tmp_path_factory.mktemp("hostile"))


def pages(app: Any) -> list[tuple[str, Any]]:
    """Every address of a page that is looked at, with its handler."""
    found = []
    for route in app.routes:
        found_here = getattr(route, "route_handler_map", {}).get("GET")
        handler = found_here[0] if isinstance(found_here, tuple) else found_here
        if handler is not None and not handler.resolve_include_in_schema() and "/static" not in route.path_format:
            found.append((route.path_format, handler))
    return found


def values(world: World) -> dict[str, list[str]]:
    """What stands in the braces of an address; a page with a new one says here what it is."""
    return {
        "/datasets/{name}": [NAME],
        "/models/{name}": [MODEL],
        "/results/{run}": world.runs[:1],
        "/runs/{id}": world.runs[:1],
        "{key}": ["97"],
        "/jobs/{id}": [JOB],
        "/detect/jobs/{id}": [JOB],
        "/upload/loading/{job_id}": [JOB],
        "/upload/{upload_id}": [world.upload],
        "/account/keys/{id}": [str(world.key)],
    }


def queries(world: World) -> dict[str, list[str]]:
    """What a page is asked, where it shows little without."""
    run, other = world.runs
    return {
        "/datasets/{name}/rows": [urlencode({"filter": f"txt:contains:{NAME}"}), urlencode({"sort": COLUMN})],
        "/datasets/{name}/versions": ["a=1&b=2", "a=1&b=2&key=id"],
        "/datasets/{name}/rules": ["kind=set", "suggest=true", "check=true"],
        "/detect": [urlencode({"source": one}) for one in (NAME, MARK)],
        "/detect/estimate": [urlencode({"source": NAME, "algorithm": "mad"})],
        "/models/{name}/change": ["to=staging"],
        "/results/{run}/count": ["threshold=1"],
        "/results/{run}/row": ["key=97"],
        "/results/{run}/why": ["key=97"],
        "/results/{run}": [urlencode({"x": COLUMN, "y": LONG + " n"})],
        "/runs/compare": [f"run={run}&run={other}"],
        "/runs/compare/metrics": [f"run={run}&run={other}"],
        "/runs/compare/rows": [f"a={run}&b={other}"],
        "/sql": [urlencode({"q": MARK}), urlencode({"q": LONG})],
        "/sql/saved/delete": [urlencode({"name": f"{len(MARK)} {MARK}"[:100]})],
        "/sign-in": [urlencode({"next": MARK})],
    }


def addresses(world: World, path: str, handler: Any) -> list[str]:
    """A page with each of its values, what it is asked, and hostile text in everything that it may be asked."""
    found = [path]
    for start, given in values(world).items():
        name = start[start.index("{") :]
        if name in path and (path.startswith(start) or start == name):
            found = [one.replace(name, quote(value, safe="")) for one in found for value in given]
    assert not any("{" in one for one in found), f"say in `values` what stands in {path}"
    names = [name for name in handler.parsed_fn_signature.parameters if name not in GIVEN and f"{{{name}}}" not in path]
    odd = {name: (MARK, LONG[:2_000])[n % 2] for n, name in enumerate([*names, *READ_BY_HAND])}
    asked = ["", *queries(world).get(path, []), urlencode(odd)]
    return [f"{one}?{query}" if query else one for one in found for query in asked]


def test_hostile_content_is_text_on_every_page(world: World) -> None:
    bad: dict[str, list[str]] = {}
    served = pages(world.app)
    assert len(served) > 40
    for path, handler in served:
        answers = [(address, world.ada.get(address)) for address in addresses(world, path, handler)]
        assert any(answer.status_code in (200, 303) for _, answer in answers), f"no example shows {path}"
        for address, answer in answers:
            assert answer.status_code != 500, address
            found = faults(answer.text) if "text/html" in answer.headers.get("content-type", "") else []
            if found:
                bad.setdefault(f"{path} ({address[:150]})", []).extend(found)
    assert bad == {}


class Offers(HTMLParser):
    """Where a page leads, and by which method."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        given = dict(attrs)
        posts = tag == "form" and (given.get("method") or "get").lower() == "post"
        for name in ("href", "hx-get", "action", "formaction", "hx-post"):
            if (address := given.get(name) or "").startswith("/"):
                is_post = name in ("formaction", "hx-post") or (name == "action" and posts)
                self.found.append(("POST" if is_post else "GET", re.split(r"[?#]", address)[0]))


def permissions(app: Any) -> list[tuple[re.Pattern[str], str, Any]]:
    """What every address demands, those without braces first."""
    found = []
    for route in sorted(app.routes, key=lambda one: one.path_format.count("{")):
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(route.path_format)))
        for method, given in getattr(route, "route_handler_map", {}).items():
            handler = given[0] if isinstance(given, tuple) else given
            found.append((pattern, method, handler.opt.get("permission")))
    return found


def test_a_viewer_is_offered_nothing_that_is_refused(world: World) -> None:
    demanded, may, bad = permissions(world.app), ROLES["viewer"], set[str]()
    for path, handler in pages(world.app):
        if handler.opt["permission"] not in may:
            continue
        for address in addresses(world, path, handler)[:-1]:
            page = Offers()
            page.feed(world.vera.get(address).text)
            for method, to in page.found:
                needed = next((one[2] for one in demanded if one[1] == method and one[0].fullmatch(to)), "nothing")
                if needed not in may and not to.startswith("/static/"):
                    bad.add(f"{path}: {method} {to[-60:]} needs {needed}")
    assert bad == set()
