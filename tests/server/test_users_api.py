"""Accounts over HTTP: keys, users, roles, and what is refused to whom."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from pynomaly_server.examples import STORY
from pynomaly_server.permissions import ROLES, Permission
from server.accounts_app import API, Client, Site, by, code, tokens
from server.accounts_help import PASSWORD, add
from server.team import Team


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    add(found.accounts, "root", "admin")
    add(found.accounts, "ann")
    yield found
    found.accounts.close()


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with site.browser() as found:
        yield found


# API keys


def make_key(client: Client, headers: dict[str, str], **body: Any) -> httpx.Response:
    return client.post(f"{API}/api-keys", json={"name": "ci", "scopes": ["read"], **body}, headers=headers)


def test_a_key_is_shown_once_listed_without_secret_and_revoked(client: Client) -> None:
    headers = by(client)
    made = make_key(client, headers)
    assert made.status_code == 201
    key = made.json()
    secret = key.pop("key")
    assert made.headers["location"] == f"{API}/api-keys/{key['id']}"
    assert secret.startswith(f"pyn_{key['id']}_")
    assert key["expires_at"] == "2026-04-01T00:00:00Z"
    signed = {"Authorization": f"Bearer {secret}"}
    assert client.get(f"{API}/auth/me", headers=signed).json()["permissions"] == ["public", "read", "signed_in"]
    listed = client.get(f"{API}/api-keys", headers=headers)
    assert secret[-40:] not in listed.text
    assert listed.json()["items"][0]["last_used_at"] == "2026-01-01T00:00:00Z"
    assert client.delete(f"{API}/api-keys/{key['id']}", headers=headers).status_code == 204
    assert code(client.get(f"{API}/auth/me", headers=signed)) == (401, "unauthenticated")
    assert code(client.delete(f"{API}/api-keys/{key['id']}", headers=headers)) == (404, "unknown_api_key")


def test_a_key_does_nothing_that_needs_the_person(client: Client) -> None:
    headers = by(client, "root")
    made = make_key(client, headers, scopes=sorted(ROLES["admin"])).json()
    other = make_key(client, headers).json()["id"]
    signed = {"Authorization": f"Bearer {made['key']}"}
    good = {"current_password": PASSWORD, "new_password": "another good one"}
    for answered in (
        make_key(client, signed),
        client.put(f"{API}/auth/password", json=good, headers=signed),
        client.patch(f"{API}/auth/me", json={"display_name": "x"}, headers=signed),
        client.post(f"{API}/auth/sign-out", headers=signed),
        client.delete(f"{API}/api-keys/{other}", headers=signed),
    ):
        assert code(answered) == (403, "forbidden")
    assert client.delete(f"{API}/api-keys/{made['id']}", headers=signed).status_code == 204


def test_a_key_for_users_cannot_make_more_than_it_is(client: Client) -> None:
    secret = make_key(client, by(client, "root"), scopes=["manage_users"]).json()["key"]
    signed = {"Authorization": f"Bearer {secret}"}
    for answered in (
        client.post(f"{API}/users", json={"name": "evil", "role": "admin"}, headers=signed),
        client.patch(f"{API}/users/ann", json={"role": "admin"}, headers=signed),
        client.post(f"{API}/users/root/link", headers=signed),
        client.patch(f"{API}/users/root", json={"disabled": True}, headers=signed),
        client.delete(f"{API}/users/root", headers=signed),
    ):
        assert code(answered) == (403, "forbidden")


def test_keys_of_others_are_an_administrators(client: Client) -> None:
    ann, root = by(client), by(client, "root")
    mine, theirs = (make_key(client, headers).json()["id"] for headers in (ann, root))
    assert code(client.get(f"{API}/api-keys?user=root", headers=ann)) == (403, "forbidden")
    assert code(client.get(f"{API}/api-keys?user=nobody", headers=ann)) == (403, "forbidden")
    assert code(client.delete(f"{API}/api-keys/{theirs}", headers=ann)) == (404, "unknown_api_key")
    assert code(client.delete(f"{API}/api-keys/{theirs}?user=root", headers=ann)) == (403, "forbidden")
    assert [key["id"] for key in client.get(f"{API}/api-keys?user=ann", headers=root).json()["items"]] == [mine]
    assert code(client.get(f"{API}/api-keys?user=nobody", headers=root)) == (404, "unknown_user")
    assert client.delete(f"{API}/api-keys/{mine}?user=ann", headers=root).status_code == 204


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"scopes": ["see_all"]}, (403, "forbidden")),
        ({"scopes": ["read", "nonsense"]}, (403, "forbidden")),
        ({"scopes": []}, (422, "body_invalid")),
        ({"scopes": "read"}, (422, "body_invalid")),
        ({"name": ""}, (422, "body_invalid")),
        ({"name": "a\u0000b"}, (422, "body_invalid")),
        ({"name": "a\u202eb"}, (422, "body_invalid")),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, (422, "bad_parameter")),
        ({"expires_at": "2025-01-01T00:00:00Z"}, (422, "bad_parameter")),
        ({"expires_at": "2027-01-01T00:00:00"}, (422, "bad_parameter")),
        ({"expires_at": "soon"}, (422, "body_invalid")),
        ({"user": "root"}, (422, "body_invalid")),
    ],
)
def test_keys_that_cannot_be_made(client: Client, body: dict[str, Any], expected: tuple[int, str]) -> None:
    assert code(make_key(client, by(client), **body)) == expected


def test_a_key_without_an_end_is_asked_for(client: Client) -> None:
    assert make_key(client, by(client), expires_at=None).json()["expires_at"] is None


# Users and roles


def test_a_user_is_added_invited_and_signs_in(client: Client) -> None:
    root = by(client, "root")
    made = client.post(f"{API}/users", json={"name": "Bob.B", "role": "viewer"}, headers=root)
    assert made.status_code == 201
    assert made.headers["location"] == f"{API}/users/Bob.B"
    assert made.json()["created_by"] == "root"
    assert not made.json()["has_password"]
    for name in ("Bob.B", "bob.b"):
        again = client.post(f"{API}/users", json={"name": name}, headers=root)
        assert code(again) == (409, "user_exists")
    link = client.post(f"{API}/users/bob.b/link", headers=root)
    assert link.status_code == 201
    token = link.json()["token"]
    assert link.json()["path"] == f"/sign-in#link={token}"
    entered = client.post(f"{API}/auth/link", json={"token": token, "password": PASSWORD, "session": True})
    assert entered.json()["user"] == "Bob.B"
    assert client.get(f"{API}/auth/me").json()["role"] == "viewer"


def test_users_are_paged_by_name(client: Client, site: Site) -> None:
    root = by(client, "root")
    for number in range(5):
        site.accounts.users.add(f"user{number}", "user", "root")
    names: list[str] = []
    path: str | None = f"{API}/users?limit=3"
    while path:
        answered = client.get(path, headers=root)
        names += [user["name"] for user in answered.json()["items"]]
        told = answered.headers.get("link")
        assert (told is None) == (answered.json()["next_cursor"] is None)
        path = told[1:].partition(">")[0] if told else None
    assert names == ["ann", "root", "user0", "user1", "user2", "user3", "user4"]
    for query in ("limit=0", "limit=1001", "limit=x"):
        assert client.get(f"{API}/users?{query}", headers=root).status_code == 422
    for cursor in ("%00", "é", "////", "_w"):
        assert client.get(f"{API}/users?cursor={cursor}", headers=root).status_code in (200, 422)


def test_what_an_administrator_changes_holds_at_once(client: Client) -> None:
    root, ann = by(client, "root"), by(client)
    assert client.patch(f"{API}/users/ann", json={"role": "viewer"}, headers=root).json()["role"] == "viewer"
    assert client.get(f"{API}/auth/me", headers=ann).json()["role"] == "viewer"
    assert client.patch(f"{API}/users/ann", json={"disabled": True}, headers=root).json()["disabled"]
    assert code(client.get(f"{API}/auth/me", headers=ann)) == (401, "unauthenticated")
    client.patch(f"{API}/users/ann", json={"disabled": False}, headers=root)
    assert code(client.get(f"{API}/auth/me", headers=ann)) == (401, "unauthenticated")
    assert client.get(f"{API}/auth/me", headers=by(client)).status_code == 200
    assert client.delete(f"{API}/users/ann", headers=root).status_code == 204
    assert code(client.get(f"{API}/users/ann", headers=root)) == (404, "unknown_user")
    assert code(client.post(f"{API}/users", json={"name": "ann"}, headers=root)) == (409, "user_exists")


def test_the_last_administrator_stays(client: Client) -> None:
    root = by(client, "root")
    for body in ({"disabled": True}, {"role": "user"}):
        assert code(client.patch(f"{API}/users/root", json=body, headers=root)) == (409, "last_administrator")
    assert code(client.delete(f"{API}/users/ROOT", headers=root)) == (409, "last_administrator")


@pytest.mark.parametrize("name", ["*", "..", "a b", "a\u0000b", "\u0430nn", "x" * 65, "", "'; drop table users; --"])
def test_hostile_names(client: Client, name: str) -> None:
    root = by(client, "root")
    assert code(client.post(f"{API}/users", json={"name": name}, headers=root))[0] == 422
    if name not in ("", ".."):
        assert client.get(f"{API}/users/{quote(name, safe='')}", headers=root).status_code in (404, 422)


def test_roles_are_told(client: Client) -> None:
    items = client.get(f"{API}/roles", headers=by(client)).json()["items"]
    assert {item["name"]: set(item["permissions"]) for item in items} == {
        name: set(held) for name, held in ROLES.items()
    }


def routes(site: Site) -> list[tuple[str, str, Permission]]:
    found = []
    for route in site.app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if "permission" in handler.opt:
                path = route.path_format.replace("{name}", "ann").replace("{id}", "none")
                found += [
                    (method, path, handler.opt["permission"]) for method in handler.http_methods if method != "OPTIONS"
                ]
    return [item for item in found if item[1].startswith(API)]


@pytest.mark.parametrize("role", [None, *ROLES])
def test_every_route_is_refused_to_who_may_not(site: Site, client: Client, role: str | None) -> None:
    headers = {}
    if role is not None:
        add(site.accounts, "somebody", role)
        headers = by(client, "somebody")
    for method, path, permission in routes(site):
        if permission is Permission.PUBLIC or path.endswith("sign-out"):
            continue
        answered = client.request(
            method, path, headers=headers, json={} if method in ("POST", "PUT", "PATCH") else None
        )
        if role is None:
            assert code(answered) == (401, "unauthenticated"), path
        elif permission not in ROLES[role]:
            assert code(answered) == (403, "forbidden"), path
        else:
            assert answered.status_code not in (401, 403, 500), (method, path, answered.text)
        if role == "admin" and path.endswith("users/ann") and method == "DELETE":
            site.accounts.users._users.pop("ann")
            add(site.accounts, "ann")


def filled(value: Any, kept: dict[str, str]) -> Any:
    """A value of an example with what earlier answers gave."""
    if isinstance(value, dict):
        return {name: filled(item, kept) for name, item in value.items()}
    return value.format_map(kept) if isinstance(value, str) and value[-1:] == "}" else value


def test_the_examples_of_the_accounts_run_and_every_operation_has_one(site: Site, client: Client) -> None:
    headers, kept, seen = by(client, "root"), dict[str, str](), set()
    for example in STORY:
        if not example.path.startswith(("/api/v1/auth", "/api/v1/users", "/api/v1/roles", "/api/v1/api-keys")):
            continue
        path = example.path.format_map(filled(example.path_values, kept))
        sent = {**headers, **filled(example.headers, kept)}
        body = filled(example.body, kept)
        answered = client.request(example.method, path, params=example.query, json=body, headers=sent)
        assert answered.status_code == example.status, (example.path, answered.text)
        kept |= {name: answered.json()[pointer[1:]] for name, pointer in example.keep.items()}
        seen.add((example.method, example.path))
    operations = {
        (method, route.path_format)
        for route in site.app.routes
        for handler in getattr(route, "route_handlers", ())
        for method in handler.http_methods - {"OPTIONS", "HEAD"}
        if route.path_format.startswith("/api/v1/") and not route.path_format.endswith("fails")
    }
    assert operations == seen


def test_the_audit_says_whose_account_and_keeps_no_secret(own_team: Team) -> None:
    team = own_team
    add(team.workspace.accounts, "gil")
    for body in (
        {"user": "GIL", "password": "wrong"},
        {"user": PASSWORD, "password": "typed in the wrong field"},
        {"user": "gil", "password": PASSWORD},
    ):
        team.nobody.post("/api/v1/auth/sign-in", json=body)
    first = tokens(team.client, "gil")
    for _ in range(2):
        team.nobody.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
    team.app.state["audit"].close()
    found = team.workspace.engine.execute("select action, object, status, error_code from pynomaly.audit").fetchall()
    team.app.state["audit"] = None
    sign_in, refresh = "POST /api/v1/auth/sign-in", "POST /api/v1/auth/refresh"
    assert found == [
        (sign_in, "gil", 401, "unauthenticated"),
        (sign_in, "/api/v1/auth/sign-in", 401, "unauthenticated"),
        (sign_in, "gil", 200, None),
        (sign_in, "gil", 200, None),
        (refresh, "/api/v1/auth/refresh", 200, None),
        (refresh, "gil", 401, "refresh_token_reused"),
    ]
