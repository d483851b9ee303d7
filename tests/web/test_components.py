"""How values, tables, forms and charts are written, whatever is in them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pynomaly_server import formats
from pynomaly_server.pages import filters, pictures, ticks
from pynomaly_server.pages.environment import environment
from web.gallery import HOSTILE, LONG, samples

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def rendered(call: str, component: str, **context: Any) -> str:
    """What a macro gives."""
    name = call.partition("(")[0]
    source = f'{{% from "components/{component}.html" import {name} %}}{{{{ {call} }}}}'
    return environment().from_string(source).render(zone="UTC", now=NOW, **context)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "\u2013"), (0.58733521, "0.5873"), (1e6, "1,000,000"), (12345.6, "12,346"), (1e-7, "1e-07")],
)
def test_a_score_keeps_what_stands_before_the_point(value: float | None, text: str) -> None:
    assert filters.score(value) == text


def test_names_in_a_sentence_are_code_and_text() -> None:
    assert (
        filters.told("`a<b` is a `key`") == "<bdi><code><bdi>a&lt;b</bdi></code> is a <code><bdi>key</bdi></code></bdi>"
    )
    assert filters.told("one ` alone") == "<bdi>one ` alone</bdi>"


def test_every_format_has_a_name_for_pages() -> None:
    assert formats.LABELS.keys() == formats.FORMATS.keys()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1_234_567, "1,234,567"),
        (-3.5, "-3.5"),
        (1234.5678, "1,234.6"),
        (0.1 + 0.2, "0.3"),
        (1e-7, "1e-07"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (None, "\u2013"),
        (10**30, f"{10**30:,}"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert filters.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_500, "1.5 kB"), (2_000_000_000, "2 GB"), (5e18, "5,000 PB")],
)
def test_bytes(value: int, text: str) -> None:
    assert filters.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "12.3 ms"), (1.5, "1.5 s"), (125, "2 min 5 s"), (7_320, "2 h 2 min")]
)
def test_seconds(value: float, text: str) -> None:
    assert filters.seconds(value) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (1, "just now"),
        (42, "42 s ago"),
        (300, "5 min ago"),
        (7_200, "2 h ago"),
        (86_400, "1 day ago"),
        (-7_200, "in 2 h"),
    ],
)
def test_ages_have_their_moment_as_a_title(age: int, text: str) -> None:
    html = (
        environment().from_string("{{ at | ago }}").render(at=NOW - timedelta(seconds=age), now=NOW, zone="Asia/Tokyo")
    )
    assert f">{text}<" in html
    assert "JST" in html


def test_a_zone_that_is_none_is_utc() -> None:
    for name in ("../../etc/passwd", "", "Nowhere/Land", "\0"):
        assert str(filters.zone_of(name)) == "UTC"


def test_a_text_is_text() -> None:
    html = filters.text(HOSTILE)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert html.count("<bdi") == html.count("</bdi>") == 2


def test_a_long_text_opens() -> None:
    html = filters.text(LONG)
    assert "<details" in html
    assert "10,000 characters" in html
    assert LONG in html


def test_every_component_shows_hostile_text_as_text() -> None:
    context = {
        "identity": None,
        "csrf": "",
        "theme": "",
        "zone": "UTC",
        "request_id": HOSTILE,
        "here": "/gallery",
        "is_part": False,
        "part": "pages/gallery_drawer.html",
        "title": HOSTILE,
        "nav": "",
        "toasts": [("good", HOSTILE)],
    }
    html = environment().get_template("page.html").render({**context, **samples()})
    assert "<script>" not in html
    assert " onload=x" not in re.sub(r"&#34;|>[^<]*<", "", html)


def test_a_table_sorts_by_links_that_work_without_scripts() -> None:
    columns = [{"name": "a b", "sortable": True}, {"name": "n", "sortable": True}]
    html = rendered(
        "data_table('t', 'T', columns, rows, sort='-n', here='/x?cursor=c&f=1')",
        "table",
        columns=columns,
        rows=[{"a b": 1, "n": 2}],
    )
    assert 'aria-sort="descending"' in html
    assert 'href="/x?f=1&amp;sort=n"' in html
    assert html.count("hx-get=") == html.count('href="/x') == 2


def test_a_table_without_rows_says_so() -> None:
    html = rendered("data_table('t', 'T', [], [], empty='Nothing here')", "table")
    assert "Nothing here" in html
    assert "<table" not in html


def test_a_table_tells_null_from_an_empty_text() -> None:
    columns = [{"name": "a"}, {"name": "b"}]
    html = rendered("data_table('t', 'T', columns, rows)", "table", columns=columns, rows=[{"a": None, "b": ""}])
    assert html.count("NULL") == 1


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (
            {"type": "integer", "minimum": 1, "maximum": 9, "default": 0},
            'type="number".* min="1" max="9" step="1" value="0"',
        ),
        ({"type": "number"}, 'step="any"'),
        ({"choices": ["a", "b"], "default": "b"}, '<option value="b" selected'),
        ({"type": "boolean", "default": True}, 'type="checkbox".* checked'),
        ({"type": "boolean", "default": False}, 'type="checkbox"(?!.* checked)'),
        ({"type": "text", "default": "<b>"}, "<textarea.*>&lt;b&gt;</textarea>"),
        ({"type": "password", "default": "secret"}, 'type="password".* value=""'),
    ],
)
def test_fields_by_their_record(kind: dict[str, Any], wanted: str) -> None:
    html = rendered("field(f)", "form", f={"name": "p", **kind})
    assert re.search(wanted, html, flags=re.DOTALL)
    assert 'for="p"' in html


def test_a_wrong_field_is_told_beside_it() -> None:
    html = rendered("field(f, 'x', 'no number')", "form", f={"name": "p", "help": "a number"})
    assert 'aria-invalid="true"' in html
    assert 'aria-describedby="p-help p-error"' in html


def test_histogram_bars_hold_every_row_and_split_at_the_threshold() -> None:
    shape = pictures.histogram({"edges": [0, 1, 2], "counts": [10, 4], "threshold": 1.5})
    assert [(bar.x, bar.width, bar.flagged) for bar in shape["bars"]] == [
        (0, 50, False),
        (50, 25, False),
        (75, 25, True),
    ]
    assert shape["threshold"] == 75


@pytest.mark.parametrize("edges", [[0, 0], [1e-12, 2e-12], [-1e12, 1e12], [5, 5.0001]])
def test_axes_of_any_range_have_a_few_ticks(edges: list[float]) -> None:
    found = ticks.axis(edges[0], edges[1])
    assert 2 <= len(found.ticks) <= 7
    assert found.low <= edges[0] <= edges[1] <= found.high
    assert len({text for _, text in found.ticks}) == len(found.ticks) or abs(edges[1] - edges[0]) < 1e-6


def test_a_series_leaves_its_gaps_open() -> None:
    shape = pictures.series({"x": [0, 1, 2, 3], "y": [1.0, None, 2.0, float("nan")], "flagged": [2, 3], "name": "v"})
    assert shape["line"].count("M") == 2
    assert len(shape["marks"]) == 1


@pytest.mark.parametrize("kind", ["histogram", "series", "scatter", "heatmap"])
def test_charts_say_what_they_show(kind: str) -> None:
    data = samples()[f"{kind}_data"]
    html = rendered(f"{kind}('c', data)", "charts", data=data)
    assert "<title>" in html
    assert "<desc>" in html
    assert "<figcaption" in html
    assert "The numbers as a table" in html
    assert "<script" not in html


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("histogram", {"edges": [0, 0], "counts": [0]}),
        ("series", {"x": [], "y": [], "name": "v"}),
        ("series", {"x": [1], "y": [None], "name": "v", "flagged": [0]}),
        ("scatter", {"points": [], "x_name": "a", "y_name": "b"}),
        ("heatmap", {"rows": ["a"], "columns": ["b"], "values": [[None]], "name": "v"}),
    ],
)
def test_charts_of_next_to_nothing(kind: str, data: dict[str, Any]) -> None:
    assert "<svg" in rendered(f"{kind}('c', data)", "charts", data=data)


def test_contributions_go_right_where_they_raise_the_score() -> None:
    up, down = pictures.contributions([{"feature": "a", "contribution": 4.0}, {"feature": "b", "contribution": -1.0}])
    assert (up["bar"].x, up["bar"].width) == (50, 50)
    assert (down["bar"].x, down["bar"].width) == (37.5, 12.5)


@pytest.mark.parametrize(
    ("address", "changes", "wanted"),
    [("/x", {"a": 1}, "/x?a=1"), ("/x?a=1&b=2", {"a": None}, "/x?b=2"), ("/x?q=%26", {"s": "-n"}, "/x?q=%26&s=-n")],
)
def test_addresses_with_another_query(address: str, changes: dict[str, Any], wanted: str) -> None:
    assert filters.with_query(address, **changes) == wanted
