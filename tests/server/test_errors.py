"""The errors that the document tells of every operation, each provoked."""

from typing import Any

import pytest
from litestar.datastructures import State

from pynomaly_server.document import document
from pynomaly_server.permissions import Permission
from server.team import Team
from server.test_roles import filled, operations

BODIES = frozenset({"POST", "PUT", "PATCH"})
UNSAFE = BODIES | {"DELETE"}
FORMS = ("/datasets/upload", "/score", "/models/import")  # which read bodies of many kinds


def documented(team: Team, status: int) -> list[tuple[str, str]]:
    """The operations that tell of a status, filled with names of nothing."""
    found = [
        (method.upper(), filled(path))
        for path, item in document(team.app)["paths"].items()
        for method, operation in item.items()
        if str(status) in operation["responses"] and not path.endswith("/events")
    ]
    assert found
    return found


def provoked(team: Team, status: int, ask: Any, *, only: Any = lambda _method, _path: True) -> None:
    """Hold that every operation that tells of a status gives it when it is asked so."""
    wrong = []
    for method, path in documented(team, status):
        if only(method, path):
            answer = ask(method, path)
            if answer.status_code != status or answer.json()["status"] != status or not answer.json()["mend"]:
                wrong.append((method, path, answer.status_code, answer.text[:200]))
    assert wrong == []


def test_400_of_a_host_that_is_not_served(team: Team) -> None:
    provoked(team, 400, lambda method, path: team.ada.request(method, path, headers={"Host": "evil.example"}))


def test_401_without_a_credential_and_with_a_wrong_one(team: Team) -> None:
    def is_asked_of_all(_method: str, path: str) -> bool:
        return "/auth/" not in path or path.endswith("/me")

    provoked(team, 401, team.nobody.request, only=is_asked_of_all)
    wrong = {"Authorization": "Bearer pyn_0123456789abcdef_" + 64 * "0"}
    provoked(
        team,
        401,
        lambda method, path: team.nobody.request(method, path, headers=wrong),
        only=is_asked_of_all,
    )


def test_403_with_a_key_that_may_nothing(team: Team) -> None:
    made = team.ada.post("/api/v1/api-keys", json={"name": "metrics only", "scopes": ["metrics"]}).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    open_to_all = {
        (method, filled(path))
        for method, path, needed in operations(team)
        if needed in (Permission.PUBLIC, Permission.SIGNED_IN)
    }
    provoked(
        team,
        403,
        lambda method, path: team.nobody.request(method, path, headers=headers),
        only=lambda method, path: (method, path) not in open_to_all and path != "/metrics",
    )


@pytest.mark.parametrize("sent", [b"{", b"[" * 100_000, b"\xff\xfe"])
def test_a_body_that_is_no_json_is_400_or_422(team: Team, sent: bytes) -> None:
    for method, path in documented(team, 415):
        if path.endswith((*FORMS, "/replay", "/rollback", "/link")) or "/auth/" in path:  # another form, or no body
            continue
        answer = team.ada.request(method, path, content=sent, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 404, 409, 422, 428), (method, path, answer.text)


def test_413_of_what_is_too_large(team: Team) -> None:
    large = b'{"name": "' + b"x" * 34_000_000 + b'"}'
    for path in ("/api/v1/detectors", "/api/v1/queries", "/api/v1/detection/detect", "/api/v1/models/fraud/score"):
        answer = team.ada.post(path, content=large, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413, (path, answer.text[:200])
        assert answer.json()["mend"]


def test_429_beyond_the_limit_with_the_time_to_wait(team: Team, own_team: Team) -> None:
    paths = documented(team, 429)
    team = own_team
    assert team.ada.put("/api/v1/settings/requests_per_minute", json={"value": 1}).status_code == 200
    for method, path in paths:
        if "/auth/" in path:
            continue
        answer = team.ben.request(method, path)
        if answer.status_code != 429:  # the one request that a minute has
            answer = team.ben.request(method, path)
        assert answer.status_code == 429, (method, path, answer.text)
        assert int(answer.headers["retry-after"]) >= 1


def test_503_while_the_server_stops(team: Team, own_team: Team) -> None:
    paths = documented(team, 503)
    team = own_team
    team.workspace.is_draining = True
    for method, path in paths:
        if method in UNSAFE and "/auth/" not in path:
            answer = team.ada.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (503, "draining"), (method, path, answer.text)


def test_500_tells_nothing_but_the_id(own_team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: State) -> None:
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr("pynomaly_server.options.Options.listed", broken)
    answer = own_team.ada.get("/api/v1/settings")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_failure")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["mend"]
