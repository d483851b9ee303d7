"""Names and values full of markup, and numbers at the edge: charts and exports show them as they are."""

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from pynomaly.quoting import identifier, literal
from pynomaly_server.pages import filters, pictures, ticks
from pynomaly_server.pages.environment import environment

from .conftest import Site
from .detected import HTML, asked, foreign

TEXTS = (
    "<script>alert(1)</script>",
    "</title></svg><img src=x onerror=alert(1)>",
    "\u202edrow a\u2066 שלום",
    "line\nbreak\ttab\x01",
    "\"double\" 'single' `tick` \\",
    "${1+1} {{ 7*7 }} {% raw %} {a|b} %s",
    "=1+cmd|'/c calc'!A0",
    "x" * 10_000,
)
EDGES = (None, float("nan"), float("inf"), -float("inf"), 0.0, -1e308, 1e308, 5e-324, -3)
DRAWN = {"figure", "svg", "path", "rect", "circle", "line", "text", "title", "desc", "details", "summary", "table"}
DRAWN |= {"thead", "tbody", "tr", "th", "td", "div", "p", "span", "h3", "bdi", "figcaption", "button", "output"}
DRAWN |= {"form", "input", "label"}


class Elements(HTMLParser):
    """The names of all elements, the texts between them, and the attributes that could run or draw something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.words: list[str] = []
        self.shown: dict[str, Any] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element."""
        self.names.add(tag)
        given = dict(attrs)
        assert not [name for name in given if name.startswith("on") or name == "style"]
        if "data-shown" in given:
            self.shown = json.loads(given["data-shown"] or "", parse_constant=lambda name: pytest.fail(name))

    def handle_data(self, data: str) -> None:
        """Remember a text."""
        self.words.append(data)


def drawn(kind: str, data: dict[str, Any]) -> Elements:
    source = f'{{% from "components/charts.html" import {kind} %}}{{{{ {kind}("c", data, "select 1", title) }}}}'
    html = environment().from_string(source).render(data=data, title=data.get("name", "title"), zone="UTC")
    assert not re.search(r'="[^"]*(nan|inf)[^a-z"]*"', re.sub(r'data-shown="[^"]*"', "", html), re.IGNORECASE)
    return Elements(html)


def charts_of(text: str, values: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    n = len(values)
    points = [[value, values[-1 - place], value, place % 2, text] for place, value in enumerate(values)]
    brush = {"select": f"/x?q={'a' * 3}", "target": "#rows"}
    times = ["2026-01-01T00:00:00", "infinity", "290309-12-22T00:00:00", "2026-01-01T00:00:00+00"] * n
    yield "histogram", {"edges": [0.0, 1.0, 2.0], "counts": [3, 0], "threshold": 1.5, "name": text}
    line = {"y": values, "lower": values, "upper": values, "flagged": list(range(n)), "name": text, "x_name": text}
    yield "series", {"x": times[:n], **line}
    yield "series", {"x": values, **line}
    yield "scatter", {"points": points, "x_name": text, "y_name": text, **brush}
    yield "heatmap", {"rows": [text], "columns": [text] * n, "values": [values], "name": text}


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_chart_shows_any_name_as_text(text: str) -> None:
    for kind, data in charts_of(text, [1.0, 2.5, 4.0]):
        found = drawn(kind, data)
        assert found.names - DRAWN <= {"pre", "code", "use", "a"}, kind
        assert any(text[:10] in words or text[:16].rstrip() in words for words in found.words), kind


def test_a_name_turns_no_sentence_around() -> None:
    assert filters.plain(" a\u202e\n b\u2069" + "x" * 99) == f"\u2068a\u202e b{'x' * 55}…\u2069"
    found = drawn("scatter", {"points": [], "x_name": "\u202ex", "y_name": "y"})
    assert "\u2068\u202ex\u2069 across, \u2068y\u2069 up: 0 rows, of which 0 are flagged." in found.words


@pytest.mark.parametrize("values", [EDGES, EDGES[:1], EDGES[1:4], (7.0,), (7.0, 7.0), (1e-9, 2e-9), (1e15, 1e15 + 2)])
def test_a_chart_draws_any_numbers(values: tuple[Any, ...]) -> None:
    for kind, data in charts_of("v", list(values)):
        if kind != "histogram":
            drawn(kind, data)
    shape = pictures.scatter({"points": [[value, value, value, False] for value in values]})
    assert all(0 <= mark.x <= 100 and 0 <= mark.y <= 100 for mark in shape["marks"])
    line = pictures.sparkline(values)["line"]
    assert bool(line) == any(value is not None and math.isfinite(value) for value in values)
    assert "nan" not in line


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 1, "0.00 0.25 0.50 0.75 1.00"),
        (0, 1.5e6, "0 0.5M 1.0M 1.5M"),
        (1_000_001, 1_000_005, "1,000,001 1,000,002 1,000,003 1,000,004 1,000,005"),
        (0, 4e-9, "0 1e-9 2e-9 3e-9 4e-9"),
        (-4e20, 0, "-4e20 -3e20 -2e20 -1e20 0"),
        (5, 5, "2 4 6 8"),
        (-1e308, 1e308, "-4e307 -2e307 0 2e307 4e307"),
    ],
)
def test_ticks_of_numbers(low: float, high: float, texts: str) -> None:
    assert " ".join(text for _, text in ticks.axis(low, high).ticks) == texts


@pytest.mark.parametrize(
    ("days", "texts"),
    [
        (0, "18:00 2 Feb 06:00 12:00"),
        (1, "06:00 12:00 18:00 3 Feb"),
        (10, "3 Feb 6 Feb 9 Feb 12 Feb"),
        (1800, "2028 2030"),
    ],
)
def test_ticks_of_moments(days: int, texts: str) -> None:
    start = 1_770_000_000
    assert " ".join(text for _, text in ticks.time_axis(start, start + 86_400 * days).ticks) == texts


@pytest.fixture(scope="module")
def hostile_run(site: Site) -> str:
    """A run of a table whose name, columns and values are hostile."""
    names = [identifier(text) for text in TEXTS[:7]]
    rows = ", ".join(f"({n}, {literal(TEXTS[n % 8])}, {n % 5 + (900 if n == 30 else 0)}, {n % 3})" for n in range(60))
    with site.workspace.own() as db:
        db.act_as("ada", True)
        columns = f"i as {names[4]}, t as {names[1]}, a as {names[6]}, b as {names[3]}"
        moment = f"timestamp '2026-01-01' + to_hours(i) as {names[2]}"
        values = f"(values {rows}) as v(i, t, a, b)"
        db.execute(f"create or replace table {names[5]} as select {columns}, {moment} from {values}")
        db.detect(TEXTS[5], algorithm="mad", key=TEXTS[4], explain=3, save=True, contamination=0.02).arrow()
        found = db.execute("select id::varchar from runs() where source = ?", [TEXTS[5]]).fetchall()
        return str(found[0][0])


def asks(site: Site, path: str) -> httpx.Response:
    headers = {**HTML, "Cookie": f"pynomaly_session={site.cookie()['value']}"}
    return httpx.get(site.address + path, headers=headers, timeout=60)


@pytest.mark.parametrize("view", ["scores", "pairs", "axes&draw=1", "time", "entities"])
def test_a_result_of_hostile_data_is_shown(site: Site, hostile_run: str, view: str) -> None:
    page = asks(site, f"/results/{hostile_run}?view={view}")
    assert page.status_code == 200
    assert "<figure" in page.text
    assert foreign(page.text) == []


def test_its_report_is_text(site: Site, hostile_run: str) -> None:
    report = asks(site, f"/results/{hostile_run}/report")
    assert report.status_code == 200
    assert foreign(report.text) == []
    assert not {"script", "img", "iframe", "link"} & Elements(report.text).names


def test_its_exports_hold_what_the_sql_has(site: Site, hostile_run: str) -> None:
    path = f"/api/v1/detection/results/{hostile_run}"
    expected = {row[0] for row in asked(site, f"select {identifier(TEXTS[1])} from {identifier(TEXTS[5])}")}
    found = asks(site, f"{path}.parquet?columns=true")
    table = pq.read_table(io.BytesIO(found.content))
    assert set(table[TEXTS[1]].to_pylist()) == expected
    assert set(TEXTS[:7]) & set(table.column_names) == {TEXTS[n] for n in (1, 2, 3, 4, 6)}
    told = json.loads(asks(site, f"{path}.json?columns=true").text)
    rows = told["items"] if isinstance(told, dict) else told
    assert {row[TEXTS[1]] for row in rows} <= expected
    cells = list(csv.reader(io.StringIO(asks(site, f"{path}.csv?columns=true").text)))
    assert len(cells) == 61
    assert not [cell for row in cells for cell in row if cell[:1] in ("=", "@")]
    assert "'" + TEXTS[6] in {cell for row in cells for cell in row}
