"""Every operation of the document has an example, and the examples run, one after another."""

import re
from typing import Any

import msgspec

from pynomaly_server.document import document
from pynomaly_server.examples import STORY, Example
from server.team import Team

ENDLESS = "/api/v1/runs/events"  # which test_events.py listens to


def filled(value: Any, kept: dict[str, Any]) -> Any:
    """A value with what earlier answers gave in its places."""
    if isinstance(value, dict):
        return {name: filled(item, kept) for name, item in value.items()}
    if not isinstance(value, str):
        return value
    if value[1:-1] in kept and value[0] == "{":
        return kept[value[1:-1]]
    return re.sub(r"{(\w+)}", lambda name: str(kept.get(name[1], name[0])), value)


def found_at(body: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        body = body[part]
    return body


def run(team: Team, example: Example, kept: dict[str, Any]) -> None:
    values = {name: str(value) for name, value in filled(example.path_values, kept).items()}
    path = re.sub(r"{(\w+)}", lambda name: values[name[1]], example.path)
    sent: dict[str, Any] = {"headers": filled(example.headers, kept), "params": filled(example.query, kept)}
    if "Prefer" in sent["headers"]:
        sent["headers"]["Prefer"] = "wait=300"
    if example.content is not None:
        sent["content"] = filled(example.content, kept)
        sent["headers"] |= {"Content-Type": example.content_type}
    elif example.body is not None:
        sent["json"] = filled(example.body, kept)
    answer = team.ada.request(example.method, path, **sent)
    assert answer.status_code == example.status, (example.method, path, answer.text)
    for name, pointer in example.keep.items():
        kept[name] = found_at(answer.json(), pointer) if pointer else answer.content


def test_the_examples_run_in_their_order(team: Team) -> None:
    kept: dict[str, Any] = {}
    for example in STORY:
        if example.path != ENDLESS:
            run(team, example, kept)


def test_every_operation_has_an_example(team: Team) -> None:
    operations = {(method.upper(), path) for path, item in document(team.app)["paths"].items() for method in item}
    assert operations - {(example.method, example.path) for example in STORY} == set()


def test_the_document_shows_the_examples(team: Team) -> None:
    told = document(team.app)["paths"]
    body = told["/api/v1/detection/detect"]["post"]["requestBody"]["content"]["application/json"]
    assert body["example"]["dataset"] == "payments"
    assert msgspec.json.encode(told)  # it is JSON, whole
