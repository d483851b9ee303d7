"""Every route declares what it demands, and every role gets exactly what it has."""

import re
from typing import Any

import pytest

from pynomaly_server.permissions import ROLES, Permission
from server.team import PEOPLE, Asking, Team

VALUES = {"id": (ANY_ID := "11111111-1111-1111-1111-111111111111"), "job_id": ANY_ID, "version": "1", "number": "1"}


def operations(team: Team) -> list[tuple[str, str, Permission]]:
    """Method, path and permission of every route."""
    return [
        (method, route.path_format, Permission(handler.opt["permission"]))
        for route in team.app.routes
        for handler in getattr(route, "route_handlers", ())
        for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"})
    ]


def filled(path: str) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda name: VALUES.get(name[1], "nothing_of_this_name"), path)


def test_every_route_declares_a_permission(team: Team) -> None:
    undeclared = [
        route.path
        for route in team.app.routes
        for handler in (*getattr(route, "route_handlers", ()), getattr(route, "route_handler", None))
        if handler is not None
        and "permission" not in handler.opt
        and handler.fn.__module__.startswith("pynomaly_server")
    ]
    assert undeclared == []


@pytest.mark.parametrize("person", [None, *PEOPLE])
def test_a_role_gets_what_it_has_and_nothing_else(team: Team, person: str | None) -> None:
    held = ROLES[PEOPLE[person]] if person else frozenset({Permission.PUBLIC})
    wrong = []
    for method, path, needed in operations(team):
        if path.endswith(("/events", "/sign-out")):  # a stream is open for ever; held below
            continue
        answer: Any = team.as_(person).request(method, filled(path))
        refused = answer.status_code in (401, 403) and answer.json()["code"] in ("unauthenticated", "forbidden")
        if refused == (needed in held) and not (person is None and path.startswith("/api/v1/auth")):
            wrong.append((method, path, needed, answer.status_code))
    assert wrong == []


def test_streams_and_sign_out_are_refused_to_nobody(team: Team) -> None:
    for method, path, needed in operations(team):
        if (path.endswith(("/events", "/sign-out"))) and needed is not Permission.PUBLIC:
            assert team.nobody.request(method, filled(path)).status_code == 401


def test_a_key_has_its_scopes_alone(team: Team) -> None:
    made = team.ada.post("/api/v1/api-keys", json={"name": "metrics only", "scopes": ["metrics"]})
    assert made.status_code == 201, made.text
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    assert team.client.get("/metrics", headers=headers).status_code == 200
    assert team.client.get("/api/v1/datasets", headers=headers).json()["code"] == "forbidden"


def test_a_key_that_reads_changes_nothing(team: Team) -> None:
    team.workspace.engine.execute("create or replace table seen as select range as id from range(9)")
    asked = {"json": {"source": "seen", "algorithm": "mad"}, "headers": {"Idempotency-Key": "of the person"}}
    job = team.ben.post("/api/v1/detection/detect", **asked).json()["id"]
    key = team.ben.post("/api/v1/api-keys", json={"name": "reads", "scopes": ["read"]}).json()["key"]
    reading = Asking(team.client, key)
    assert reading.get(f"/api/v1/jobs/{job}").status_code == 200
    for answer in (
        reading.delete(f"/api/v1/jobs/{job}"),
        reading.post("/api/v1/detection/detect", **asked),  # what the person was answered is not told again
        reading.post("/api/v1/datasets/seen/validate", json={"rules": [], "save": True}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
