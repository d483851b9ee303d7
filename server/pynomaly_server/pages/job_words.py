"""What a job was asked for and what it gave, as names and values for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from pynomaly_server.pages.filters import told
from pynomaly_server.pages.wording import FIELDS

Fact = tuple[str, Any]

MOST_FACTS = 60
NAMES = {
    **FIELDS,
    "cut_off": "Cut-off",
    "filename": "File",
    "n_flagged": "Flagged",
    "n_rows": "Rows",
    "n_unscored": "Without a score",
    "name": "Name",
    "save": "Kept as a result",
    "source": "Data",
}
OF_RUN = ("n_rows", "n_flagged", "n_unscored", "threshold", "cut_off", "algorithm", "notes")
_UNTOLD = ("id", "model_id", "run_id", "snapshot", "fingerprint", "schema_fingerprint", "sql", "path", "upload")


def asked(request: Mapping[str, Any]) -> list[Fact]:
    """The names and values of a request, those of its parts too."""
    return list(_facts(request))[:MOST_FACTS]


def gave(result: Mapping[str, Any]) -> list[Fact]:
    """What is worth telling of a result: of a run, what its page begins with."""
    run = result.get("run")
    if not isinstance(run, Mapping):
        return list(_facts(result))[:MOST_FACTS]
    found = {name: run[name] for name in OF_RUN if run.get(name)}
    return [(name, told(value) if isinstance(value, str) else value) for name, value in _facts(found)][:MOST_FACTS]


def _facts(given: Mapping[str, Any]) -> Iterator[Fact]:
    for name, value in given.items():
        if name in _UNTOLD or value is None or value in ([], {}):
            continue
        if isinstance(value, Mapping):
            yield from _facts(value)
        elif not isinstance(value, list):
            yield _named(name), value
        elif not any(isinstance(one, Mapping | list) for one in value):
            yield _named(name), ", ".join(map(str, value))


def _named(name: str) -> str:
    told = NAMES.get(name, name.replace("_", " "))
    return told[:1].upper() + told[1:]
