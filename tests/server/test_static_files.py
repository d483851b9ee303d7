"""Files that browsers load: kept for good under their digest, asked for again under their name, compressed once."""

import gzip

import pytest

from pynomaly_server.places import web_folder
from pynomaly_server.static_files import asset

from .team import Team

SCRIPT = (web_folder() / "static" / "app.js").read_bytes()


def test_under_its_digest_a_file_is_kept_for_good(team: Team) -> None:
    answer = team.nobody.get(asset("app.js"), headers={"Accept-Encoding": "gzip"})
    assert (answer.status_code, answer.content) == (200, SCRIPT)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert int(answer.headers["content-length"]) == len(gzip.compress(SCRIPT, 9))


def test_under_its_name_it_is_asked_for_again(team: Team) -> None:
    plain = team.nobody.get("/static/app.js", headers={"Accept-Encoding": "identity"})
    assert (plain.content, plain.headers["cache-control"]) == (SCRIPT, "public, no-cache")
    assert "content-encoding" not in plain.headers
    known = team.nobody.get("/static/app.js", headers={"If-None-Match": plain.headers["etag"]})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", plain.headers["etag"])
    head = team.nobody.request("HEAD", asset("app.js"))
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("name", ["000000000000/app.js", "../templates/base.html", "vendor/", ""])
def test_what_is_no_file_is_not_found(team: Team, name: str) -> None:
    assert team.nobody.get(f"/static/{name}").status_code == 404


def test_an_asset_that_is_not_there_is_a_mistake_of_a_template() -> None:
    with pytest.raises(FileNotFoundError):
        asset("nothing.js")
