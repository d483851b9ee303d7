"""What is added to the engine reaches the pages with no change of a page."""

import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pynomaly import macros, plugins, registry

from .analyst import Desk, running, words

ADDED = """
from typing import Annotated, Literal
import msgspec, numpy as np
from pynomaly.algorithm import Params, State, algorithm

class ReefParams(Params, frozen=True):
    n_polyps: Annotated[int, msgspec.Meta(ge=1, le=99, description="How many polyps")] = 7
    depth: Annotated[float, msgspec.Meta(ge=0.0, le=24.0, description="How deep it lies")] = 12.0
    is_alive: Annotated[bool, msgspec.Meta(description="Whether it grows")] = True
    ocean: Annotated[Literal["arctic", "pacific"], msgspec.Meta(description="Where it is")] = "pacific"
    motto: Annotated[str, msgspec.Meta(max_length=40, description="What it says")] = "grow"

class ReefState(State, frozen=True):
    depth: float

@algorithm(kind="table", family="statistics", reference="the sea 2026", complexity="O(d * n)", params=ReefParams)
class coral_reef:
    "Distance from the reef."
    @staticmethod
    def fit(X, params, seed):
        return ReefState(params.depth)
    @staticmethod
    def score(state, X, own):
        return np.abs(X - state.depth).max(axis=1)
    @staticmethod
    def explain(state, X):
        return np.abs(X - state.depth) * 0.25
"""
MORE = {  # columns that macros give besides those that they give today
    "    from query(_saved_results(": "    select 'tidal' as how_sure, * from query(_saved_results(",
    "unnest(reasons, recursive := true) from": "unnest(reasons, recursive := true), 'salt' as told_by from",
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A server whose engine lists an algorithm more, and whose macros give more columns."""
    (tmp_path / "reef.py").write_text(ADDED)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("coral_reef", "reef:coral_reef", "pynomaly.algorithms")
    monkeypatch.setattr(plugins, "found", lambda: {entry.name: entry})
    known = macros.library()
    text = dict(known.text)
    for before, after in MORE.items():
        assert any(before in sql for sql in text.values()), before
        text = {path: sql.replace(before, after) for path, sql in text.items()}
    monkeypatch.setattr(macros, "library", lambda: msgspec.structs.replace(known, text=text))
    yield from running(tmp_path)
    for kept in (registry._record, registry._native_names):
        kept.cache_clear()


def test_an_algorithm_its_parameters_its_reasons_and_columns_are_on_the_pages(desk: Desk) -> None:
    ada = desk.as_("ada")
    form = ada.get("/detect?source=payments&algorithm=coral_reef").text
    for told in (
        "coral_reef",
        "How many polyps",
        "How deep it lies",
        "Whether it grows",
        "Where it is",
        "What it says",
    ):
        assert told in form
    fields = {}
    for name in ("n_polyps", "depth", "is_alive", "ocean", "motto"):
        start = form.index(f'name="p.{name}"')
        fields[name] = form[form.rindex("<", 0, start) : form.index(">", start)]
    assert all(one in fields["n_polyps"] for one in ('type="number"', 'min="1"', 'max="99"', 'step="1"'))
    assert all(one in fields["depth"] for one in ('type="number"', 'max="24', 'step="any"'))
    assert fields["ocean"].startswith("<select")
    assert '<option value="arctic"' in form
    given: dict[str, Any] = {
        "p.n_polyps": "3",
        "p.depth": "11.5",
        "p.is_alive": "false",
        "p.ocean": "arctic",
        "p.motto": "drift on",
    }
    columns: dict[str, Any] = {
        "role:id": "key",
        "role:paid_at": "exclude",
        "role:channel": "exclude",
        "role:fraud": "exclude",
    }
    sent = ada.post(
        "/detect", source="payments", algorithm="coral_reef", of="coral_reef", top_k="5", **given, **columns
    )
    assert sent.status_code == 303, words(sent.text)
    run = sent.headers["location"].rpartition("/")[2]  # a job makes the run of its id
    assert "event: done" in ada.get(f"{sent.headers['location']}/progress").text
    told = desk.rows(f"select parameters::varchar from runs() where id::varchar = '{run}'")[0][0]
    assert json.loads(told) == {"n_polyps": 3, "depth": 11.5, "is_alive": False, "ocean": "arctic", "motto": "drift on"}
    page = words(ada.get(f"/results/{run}").text)
    assert "how_sure" in page
    assert "tidal" in page
    drawer = words(ada.get(f"/results/{run}/rows/97").text)
    assert "told_by salt" in drawer
    parts = desk.rows(f"select contribution from explain_row('{run}', '97')")
    assert any(f"{part:.4g}" in drawer for (part,) in parts)


def test_an_algorithm_is_on_the_pages_of_models_and_sql(desk: Desk) -> None:
    ada = desk.as_("ada")
    with desk.workspace.acting(desk._identity("ada")) as db:
        db.train("reefs", "payments", algorithm="coral_reef", features=["amount"])
    card = words(ada.get("/models/reefs").text)
    assert all(told in card for told in ("coral_reef", "Distance from the reef", "the sea 2026", "motto", "grow"))
    found = ada.get("/sql/names").json()
    assert {"coral_reef", "n_polyps"} <= {one["label"] for one in found if one["kind"] in ("algorithm", "parameter")}
    grid = ada.post("/sql/run", True, q="from detect_anomalies('payments', algorithm := 'coral_reef')", token="t")
    assert grid.status_code == 200, words(grid.text)
