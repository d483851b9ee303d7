"""Models: the list, the card, the stages and the row that somebody makes up."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from .analyst import Desk, running, words


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One server for this file."""
    yield from running(tmp_path_factory.mktemp("models"))


def test_the_card_tells_what_the_row_tells(desk: Desk) -> None:
    ada = desk.as_("ada")
    assert "version 1" in words(ada.get("/models").text)
    page = words(ada.get("/models/fraud?version=2").text)
    ((summary, auroc),) = desk.rows(
        "select known.summary, (models.metrics->>'auroc')::double from models() as models join algorithms() as known "
        "on known.name = models.algorithm where models.name = 'fraud' and version = 2"
    )
    assert summary.replace("'", "&#39;") in page
    assert f"AUROC {auroc:.3f}" in page
    assert desk.as_("ben").get("/models/fraud").status_code == 404


def test_importance_is_that_of_the_macro(desk: Desk) -> None:
    page = words(desk.as_("ada").get("/models/fraud/importance?version=1").text)
    for feature, share in desk.rows("select feature, importance from feature_importance('fraud', version := 1)"):
        assert re.search(rf"{feature}\s+{100 * share:.3g} %", page)


def test_stages_change_when_it_is_confirmed(desk: Desk) -> None:
    ada = desk.as_("ada")
    stages = "select version, stage from models() where name = 'fraud' order by version"
    assert "Make version 2 of fraud champion?" in words(ada.get("/models/fraud/change?to=champion&version=2").text)
    assert desk.rows(stages) == [(1, "champion"), (2, "draft")]
    assert ada.post("/models/fraud/change?to=champion&version=2").status_code == 303
    assert desk.rows(stages) == [(1, "retired"), (2, "champion")]
    assert ada.post("/models/fraud/change?to=back").status_code == 303
    assert desk.rows(stages) == [(1, "champion"), (2, "retired")]
    assert ada.get("/models/fraud/change?to=nothing").status_code == 422
    assert desk.as_("vera").post("/models/fraud/change?to=back").status_code == 403


def test_a_row_that_somebody_makes_up_is_scored(desk: Desk) -> None:
    ada = desk.as_("ada")
    page = ada.get("/models/fraud/score").text
    assert 'type="range"' in page
    assert 'max="516.0"' in page
    assert all(f'<option value="c{n}"' in page for n in range(3))
    for amount, told in (("12", "Normal"), ("900", "An anomaly")):
        part = ada.get(f"/models/fraud/score/one?f.amount={amount}&f.channel=c1", part=True)
        row = f"{{'amount': {amount}, 'channel': 'c1'}}"
        ((score,),) = desk.rows(f"select anomaly_score('fraud', {row})")
        assert told in words(part.text)
        assert f"score {score:.4g}" in words(part.text)
        assert f"f.amount={amount}" in part.headers["hx-replace-url"]
    assert "score" in words(ada.get("/models/fraud/score/one?f.amount=&f.channel=new").text)
    assert desk.as_("vera").get("/models/fraud/score").status_code == 403


def test_a_model_is_shared_and_hidden_again(desk: Desk) -> None:
    ada, ben = desk.as_("ada"), desk.as_("ben")
    assert ada.post("/models/fraud/share", user="ben").status_code == 303
    assert ben.get("/models/fraud").status_code == 200
    ada.post("/models/fraud/share", user="ben", end="yes")
    assert ben.get("/models/fraud").status_code == 404


@pytest.mark.parametrize(("path", "most"), [("/models", 2), ("/models/fraud", 7), ("/models/fraud/score", 6)])
def test_a_page_runs_a_handful_of_queries(desk: Desk, path: str, most: int) -> None:
    ada = desk.as_("ada")
    assert 0 < desk.n_queries(lambda: ada.get(path)) <= most


def test_a_name_with_a_slash_has_a_page(desk: Desk) -> None:
    ada = desk.as_("ada")
    with desk.workspace.acting(desk._identity("ada")) as db:
        db.train("team/fraud %2F", "payments", algorithm="mad")
    address = quote("team/fraud %2F", safe="")
    assert f'href="/models/{address}"' in ada.get("/models").text
    card = ada.get(f"/models/{address}")
    assert (card.status_code, f'href="/models/{address}/score' in card.text) == (200, True)
    assert ada.get(f"/models/{address}/score").status_code == 200
    assert ada.get("/models/" + address.replace("team%2F", "team%2f")).status_code == 200
    assert ada.get("/models/team/fraud").status_code == 404
    assert ada.get(f"/api/v1/models/{address}/versions").json()["items"][0]["name"] == "team/fraud %2F"
