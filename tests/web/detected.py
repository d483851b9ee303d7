"""A workspace with results, and somebody's browser without scripts; the tests of Detect and Results share them."""

from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from .conftest import HTML, PART, Site, token

__all__ = ["HOSTILE", "HTML", "PART", "ROWS", "Foreign", "asked", "browser", "foreign", "run", "token"]
HOSTILE = '<img src=x onerror=alert(1)>\u202e"'
ROWS = f"""
create or replace table parcels as
select
    i as id, timestamp '2026-01-01' + to_hours(i::integer) as sent_at,
    ['north', 'south', '{HOSTILE}'][1 + i % 3] as depot,
    10 + i % 7 + case when i % 100 = 50 then 500 else 0 end as weight, i % 11 + 0.5 as "{HOSTILE.replace('"', '""')}"
from range(600) as t(i)
"""


@pytest.fixture(scope="session")
def run(site: Site) -> str:
    """The id of a saved run of 600 rows, whose key is a column."""
    with site.workspace.own() as db:
        db.act_as("ada", True)
        db.execute(ROWS)
        db.detect("parcels", algorithm="mad", key="id", explain=2, save=True, contamination=0.01).arrow()
        return str(db.execute("select id::varchar from runs() where source = 'parcels'").fetchall()[0][0])


@pytest.fixture
def browser(browser: httpx.Client, run: str) -> httpx.Client:
    """A browser without scripts, signed in, where there is a result."""
    return browser


def asked(site: Site, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What the SQL says itself."""
    with site.workspace.own() as db:
        return db.execute(sql, list(parameters)).fetchall()


class Foreign(HTMLParser):
    """What no page may hold: handlers and styles in markup, scripts and pictures of others."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        given = dict(attrs)
        is_foreign = tag == "script" and not (given.get("src") or "").startswith("/static/")
        is_foreign |= tag == "img" and not (given.get("src") or "").startswith("/static/")
        if is_foreign or any(name == "style" or name.startswith("on") for name in given):
            self.found.append(self.get_starttag_text() or tag)


def foreign(page: str) -> list[str]:
    """The elements of a page that should not be there."""
    parser = Foreign()
    parser.feed(page)
    return parser.found
