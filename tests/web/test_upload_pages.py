"""Files as people have them: other encodings and decimal signs, hardly a row; and loads that take a while."""

import html
import re
import threading
from typing import Any

import pytest

from pynomaly.engine import Engine
from pynomaly.validating import Validating
from pynomaly_server.pages import upload
from server.shop import until

from .test_data_pages import Team, team

__all__ = ["team"]
AMOUNTS = "Tag;Betrag;Ort\r\n" + "".join(f"{n % 28 + 1:02}.03.2026;{n},{n % 90 + 10};Köln\r\n" for n in range(60))
GROUPED = "Tag;Betrag\n" + "".join(f"2026-03-01;{n}.{n + 100},{n % 90 + 10}\n" for n in range(1, 60))


def way(page: Any, words: str) -> str:
    """The address of a link."""
    found = re.search(rf'href="([^"]+)">{words}', page.text)
    assert found, words
    return html.unescape(found[1])


@pytest.mark.parametrize(("text", "name"), [(AMOUNTS, "betrag"), (GROUPED, "grouped")])
def test_a_decimal_comma_is_one_click(team: Team, text: str, name: str) -> None:
    address = team.ben.sends(text, f"{name}.csv")
    page = team.ben.get(address)
    assert "looks like numbers with a decimal comma" in page.text
    assert "may tell rows apart" not in page.text
    read = team.ben.get(way(page, "Read them as numbers"))
    assert "looks like numbers" not in read.text
    points = "." if text is GROUPED else ""
    assert ('<option value="." selected>point' in read.text) == bool(points)
    made = team.ben.post(address, {"name": name, "o.decimal": ",", "o.thousands": points})
    assert made.status_code == 303, made.text
    with team.workspace.own() as db:
        version = db.datasets.version(name)
        assert version.columns["Betrag"] == "DOUBLE"
        assert db.execute("select count(Betrag) from dataset_rows(?)", [name]).fetchall()[0][0] == version.n_rows


def test_another_encoding_is_one_click(team: Team) -> None:
    sent = team.ben.post("/upload", files={"files": ("alt.csv", AMOUNTS.encode("latin-1"))})
    page = team.ben.get(sent.headers["location"])
    assert "is not UTF-8" in page.text
    read = team.ben.get(way(page, "Read it as Latin-1"))
    assert "Köln" in html.unescape(read.text)
    assert "every row</strong> can be read" in read.text


def test_a_line_for_excel_alone_is_left_out_by_one_click(team: Team) -> None:
    address = team.ben.sends(f"\ufeffsep=;\r\n{AMOUNTS}", "excel.csv")
    read = team.ben.get(way(team.ben.get(address), "Read what follows it"))
    assert "60 rows and 3 columns" in re.sub(r"<[^>]+>", "", read.text)
    assert "every row</strong> can be read" in read.text


def test_a_look_at_many_columns_profiles_none(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Validating, "profile")
    monkeypatch.delattr(Validating, "suggest_rules")
    address = team.ben.sends("id,a,b,c\n" + "".join(f"{n},1,,{n % 9}\n" for n in range(100)), "few.csv")
    told = re.sub(r"<[^>]+>", "", team.ben.get(address).text)
    for words in ("id may tell rows apart", "a has one value alone", "b has no value at all"):
        assert words in told
    team.ben.post(f"{address}/remove")


@pytest.mark.parametrize(
    ("text", "told"),
    [("a,b,c\n", "There are columns and no rows"), ("value\n1.5\n2.5\n", "2 rows and 1 column"),
     ("\ufeffa,b\n1,2\n", "1 row and 2 columns"), ("a,a\n1,2\n", "a_1"),
     (",".join(f"c{n}" for n in range(60)) + "\n" + ",".join("1" * 60) + "\n", "60 columns"),
     (",".join(f"c{n}" for n in range(300)) + "\n" + ",".join("1" * 300) + "\n", "300 columns")],
)  # fmt: skip
def test_odd_files_are_read(team: Team, text: str, told: str) -> None:
    address = team.ben.sends(text)
    assert told in re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", team.ben.get(address).text)))
    team.ben.post(f"{address}/remove")


def test_an_empty_file_is_refused_in_words(team: Team) -> None:
    refused = team.ben.post("/upload", files={"files": ("none.csv", b"")})
    assert refused.status_code == 422
    assert "The file is empty" in refused.text


def test_a_load_that_takes_long_shows_how_far_it_is(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PATIENCE", 0.0)
    go_on, loaded = threading.Event(), Engine.datasets.fget  # type: ignore[attr-defined]
    begun = threading.Event()

    def slow(db: Engine) -> Any:
        if threading.current_thread().name.startswith("job"):
            begun.set()
            assert go_on.wait(60)
        return loaded(db)

    address = team.ben.sends("a\n1\n2\n", "slow.csv")
    monkeypatch.setattr(Engine, "datasets", property(slow))
    going = team.ben.post(address, {"name": "slow one"}).headers["location"]
    assert begun.wait(60)
    page = team.ben.get("/upload").text
    assert "it becomes a dataset by itself" in page
    assert 'hx-trigger="every 2s"' in page
    assert team.ben.get(address).headers["location"] == going, "a file that is loaded is not looked at meanwhile"
    go_on.set()
    until(lambda: team.ben.get(going).status_code == 303)
    assert team.ben.get(going).headers["location"] == "/datasets/slow%20one"
    assert "slow.csv" not in team.ben.get("/upload").text
    assert team.ben.get(address).status_code == 404


def test_a_load_that_failed_says_so_beside_its_file(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    address = team.ben.sends("a,b\n1,2\nx,y,z,1\n", "broken.csv")
    assert team.ben.post(address, {"name": "broken", "strict": "true"}).status_code == 422
    page = team.ben.get("/upload").text
    assert "broken.csv" in page
    assert "cannot be read" in page
    assert team.ben.get(address).status_code == 200
