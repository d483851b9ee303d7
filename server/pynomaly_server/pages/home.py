"""Where the console begins: what was found lately, the data, and what to do next."""

from typing import Any
from urllib.parse import quote, urlencode

from litestar import Controller, Request, Response, get, post
from litestar.params import URLEncodedBody

from pynomaly_server import paging
from pynomaly_server.pages.shown import THEME, own_address, preference, sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Db

RUNS = """
select id::varchar as id, kind, source, algorithm, model, status, n_rows, n_flagged, saved, started_at, error
from runs() order by started_at desc, id limit 6
"""
DATASETS = """
select *, count(*) over () as n_datasets from datasets() order by loaded_at desc, name limit 6
"""
MOST_STEPS = 3


class HomePage(Controller):
    """The first address, and what belongs to every page."""

    include_in_schema = False

    @get("/", permission=Permission.READ, sync_to_thread=True)
    def get_home(self, request: Request[Any, Any, Any], db: Db) -> Response[str]:
        """A short look at everything; a guide where there is nothing yet."""
        runs, datasets = paging.records(db, RUNS), paging.records(db, DATASETS)
        return shown(
            request, "home.html", "Start", runs=runs, datasets=datasets, next_steps=next_steps(runs, datasets),
            runs_sql=RUNS.strip(), datasets_sql="from datasets() order by loaded_at desc",
        )  # fmt: skip

    @post("/theme", permission=Permission.PUBLIC, changes_nothing=True)
    async def set_theme(self, request: Request[Any, Any, Any], data: URLEncodedBody[dict[str, Any]]) -> Response[None]:
        """Light, dark, or what the system says; kept by this browser."""
        theme = str(data.get("theme", ""))
        chosen = theme if theme in ("light", "dark") else ""
        return sent_to(request, own_address(data.get("next"), "/sign-in"), [preference(request, THEME, chosen)])


def next_steps(runs: list[dict[str, Any]], datasets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is worth doing, the most pressing first: {text, about, label, address}."""
    found: list[dict[str, Any]] = []
    looked_at = {str(run["source"]).rpartition("@")[0] or str(run["source"]) for run in runs}
    for run in runs:
        if run["saved"] and run["n_flagged"] and run["status"] == "succeeded":
            n = f"{run['n_flagged']:,} flagged {'row' if run['n_flagged'] == 1 else 'rows'}"
            found.append(_step(f"Look at the {n} of", run["source"], "Look", f"/runs/{run['id']}"))
            break
    for dataset in datasets:
        name, path = dataset["name"], quote(dataset["name"])
        if dataset["n_quarantined"]:
            n = f"{dataset['n_quarantined']:,} {'row' if dataset['n_quarantined'] == 1 else 'rows'}"
            found.append(_step(f"See the {n} that could not be read in", name, "See", f"/datasets/{path}/quarantine"))
        if name not in looked_at:
            found.append(_step("Find what is unusual in", name, "Detect", f"/detect?{urlencode({'source': name})}"))
    return found[:MOST_STEPS]


def _step(text: str, about: str, label: str, address: str) -> dict[str, Any]:
    return {"text": text, "about": about, "label": label, "address": address}
