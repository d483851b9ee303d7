"""Accounts over HTTP: signing in by every way, keys, users, roles, and what is refused to whom."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from pynomaly_server.permissions import ROLES, Permission
from server.accounts_app import Site
from server.accounts_help import PASSWORD, add

API = "/api/v1"
Client = TestClient[Litestar]


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


def tokens(client: Client, user: str = "ann", password: str = PASSWORD) -> dict[str, Any]:
    answered = client.post(f"{API}/auth/sign-in", json={"user": user, "password": password})
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.json()
    return found


def by(client: Client, user: str = "ann") -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens(client, user)['access_token']}"}


def console(client: Client, user: str = "ann") -> dict[str, str]:
    answered = client.post(f"{API}/auth/sign-in", json={"user": user, "password": PASSWORD, "session": True})
    assert answered.status_code == 200, answered.text
    return {"X-CSRF-Token": answered.json()["csrf_token"]}


def code(answered: httpx.Response) -> tuple[int, str]:
    assert answered.headers["content-type"] == "application/problem+json", answered.text
    return answered.status_code, answered.json()["code"]


# Signing in


def test_sign_in_gives_tokens_that_are_kept_nowhere(client: Client) -> None:
    answered = client.post(f"{API}/auth/sign-in", json={"user": "ann", "password": PASSWORD})
    found = answered.json()
    assert sorted(found) == ["access_token", "expires_in", "refresh_token", "token_type"]
    assert (found["token_type"], found["expires_in"]) == ("Bearer", 900)
    assert answered.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answered.headers
    me = client.get(f"{API}/auth/me", headers={"Authorization": f"Bearer {found['access_token']}"}).json()
    assert (me["user"], me["role"], me["credential"], me["csrf_token"]) == ("ann", "user", "token", None)
    assert me["permissions"] == sorted(ROLES["user"])


@pytest.mark.parametrize(
    "body",
    [
        {"user": "ann", "password": "wrong"},
        {"user": "nobody", "password": PASSWORD},
        {"user": "", "password": ""},
        {"user": "ann' or 1=1 --", "password": PASSWORD},
        {"user": "ann\u0000", "password": PASSWORD},
        {"user": "x" * 100_000, "password": "y" * 100_000},
    ],
)
def test_whatever_is_wrong_is_told_alike(client: Client, body: dict[str, str]) -> None:
    answered = client.post(f"{API}/auth/sign-in", json=body)
    assert code(answered) == (401, "unauthenticated")
    assert answered.json()["detail"] == "the user or the password is wrong"
    assert answered.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("body", [b'{"user": "\\ud800", "password": "\\udfff"}', b"\xff", b"{}", b"[]", b'{"user":1,"password":2}',
                                  b'{"user":"a","password":"b","role":"admin"}'])  # fmt: skip
def test_no_body_makes_the_server_fail(client: Client, body: bytes) -> None:
    answered = client.post(f"{API}/auth/sign-in", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answered.status_code < 500


def test_guessing_is_answered_with_retry_after(client: Client) -> None:
    for _ in range(5):
        client.post(f"{API}/auth/sign-in", json={"user": "ann", "password": "wrong"})
    answered = client.post(f"{API}/auth/sign-in", json={"user": "ann", "password": PASSWORD})
    assert code(answered) == (429, "too_many_attempts")
    assert answered.headers["retry-after"] == "1"


def test_a_session_is_a_cookie_that_scripts_do_not_read(client: Client) -> None:
    answered = client.post(f"{API}/auth/sign-in", json={"user": "ann", "password": PASSWORD, "session": True})
    assert sorted(answered.json()) == ["csrf_token", "expires_at", "user"]
    cookie = answered.headers["set-cookie"]
    assert cookie.startswith("pynomaly_session=pys_")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    me = client.get(f"{API}/auth/me").json()
    assert (me["credential"], me["csrf_token"]) == ("session", answered.json()["csrf_token"])


def test_under_tls_the_cookie_has_the_prefix_and_another_name_is_none(site: Site) -> None:
    with site.browser("https://localhost:8808") as client:
        cookie = client.post(f"{API}/auth/sign-in", json={"user": "ann", "password": PASSWORD, "session": True})
        told = cookie.headers["set-cookie"]
        assert told.startswith("__Host-pynomaly_session=pys_")
        assert "Secure" in told
        value = client.cookies["__Host-pynomaly_session"]
        client.cookies.clear()
        tossed = client.get(f"{API}/auth/me", headers={"Cookie": f"pynomaly_session={value}"})
        assert code(tossed) == (401, "unauthenticated")


def test_signing_in_again_ends_the_former_session(client: Client) -> None:
    console(client)
    former = client.cookies["pynomaly_session"]
    console(client)
    assert client.cookies["pynomaly_session"] != former
    client.cookies.clear()
    assert code(client.get(f"{API}/auth/me", headers={"Cookie": f"pynomaly_session={former}"})) == (
        401,
        "unauthenticated",
    )


def test_a_cookie_that_somebody_planted_is_never_taken_over(client: Client) -> None:
    planted = "pys_" + "0" * 64
    client.cookies.set("pynomaly_session", planted)
    console(client)
    assert planted not in client.cookies.jar._cookies["localhost.local"]["/"]["pynomaly_session"].value  # type: ignore[attr-defined]


def test_a_stale_cookie_does_not_keep_anybody_from_signing_in(client: Client, site: Site) -> None:
    console(client)
    site.clock.move(days=8)
    assert code(client.get(f"{API}/auth/me")) == (401, "unauthenticated")
    console(client)
    assert client.get(f"{API}/auth/me").status_code == 200


def test_sign_out_ends_tokens_and_session(client: Client) -> None:
    headers = by(client)
    assert client.post(f"{API}/auth/sign-out", headers=headers).status_code == 204
    assert code(client.get(f"{API}/auth/me", headers=headers)) == (401, "unauthenticated")
    csrf = console(client)
    cookie = client.cookies["pynomaly_session"]
    answered = client.post(f"{API}/auth/sign-out", headers=csrf)
    assert answered.status_code == 204
    assert "Max-Age=0" in answered.headers["set-cookie"]
    client.cookies.clear()
    stale = client.get(f"{API}/auth/me", headers={"Cookie": f"pynomaly_session={cookie}"})
    assert code(stale) == (401, "unauthenticated")


def test_refresh_rotates_and_reuse_ends_the_sign_in(client: Client) -> None:
    first = tokens(client)
    second = client.post(f"{API}/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert second.status_code == 200
    assert second.headers["cache-control"] == "no-store"
    again = client.post(f"{API}/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert code(again) == (401, "refresh_token_reused")
    me = client.get(f"{API}/auth/me", headers={"Authorization": f"Bearer {second.json()['access_token']}"})
    assert code(me) == (401, "unauthenticated")
    for bad in ("", "x", "pyr_a_b_c_d", first["access_token"]):
        assert code(client.post(f"{API}/auth/refresh", json={"refresh_token": bad})) == (401, "unauthenticated")


def test_the_password_changes_with_the_current_one_and_ends_every_sign_in(client: Client) -> None:
    headers = by(client)
    for given, expected in (
        ({"current_password": "wrong", "new_password": "another good one"}, (401, "unauthenticated")),
        ({"current_password": PASSWORD, "new_password": "short"}, (422, "weak_password")),
    ):
        assert code(client.put(f"{API}/auth/password", json=given, headers=headers)) == expected
    good = {"current_password": PASSWORD, "new_password": "another good one"}
    assert client.put(f"{API}/auth/password", json=good, headers=headers).status_code == 204
    assert code(client.get(f"{API}/auth/me", headers=headers)) == (401, "unauthenticated")
    tokens(client, password="another good one")


def test_a_bad_header_is_not_saved_by_a_good_cookie(client: Client) -> None:
    console(client)
    for header in ("Bearer x", "Basic YTpi", "Bearer"):
        assert code(client.get(f"{API}/auth/me", headers={"Authorization": header})) == (401, "unauthenticated")
    two = [("Authorization", "Bearer x"), ("Authorization", by(client)["Authorization"])]
    assert code(client.get(f"{API}/auth/me", headers=two)) == (401, "unauthenticated")


def test_the_first_link_makes_the_first_administrator(tmp_path: Path) -> None:
    site = Site(tmp_path / "new")
    token = site.accounts.sign_in_link()
    with site.browser() as client:
        weak = {"token": token, "password": "short", "user": "boss"}
        assert code(client.post(f"{API}/auth/link", json=weak)) == (422, "weak_password")
        bad = {"token": token, "password": PASSWORD, "user": "../boss"}
        assert code(client.post(f"{API}/auth/link", json=bad)) == (422, "bad_parameter")
        good = {"token": token, "password": PASSWORD, "user": "boss"}
        found = client.post(f"{API}/auth/link", json=good).json()
        me = client.get(f"{API}/auth/me", headers={"Authorization": f"Bearer {found['access_token']}"})
        assert me.json()["role"] == "admin"
        assert code(client.post(f"{API}/auth/link", json=good)) == (404, "unknown_link")
    site.accounts.close()


def test_one_changes_ones_own_settings(client: Client) -> None:
    headers = by(client)
    answered = client.patch(
        f"{API}/auth/me", json={"settings": {"theme": "dark"}, "display_name": "Ann B."}, headers=headers
    )
    assert answered.json() == {"theme": "dark", "time_zone": "UTC"}
    assert client.get(f"{API}/auth/me", headers=headers).json()["display_name"] == "Ann B."
    for body in (
        {"role": "admin"},
        {"settings": {"theme": "pink"}},
        {"settings": {"time_zone": "../x y"}},
        {"disabled": False},
    ):
        assert client.patch(f"{API}/auth/me", json=body, headers=headers).status_code == 422


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
    assert secret.rpartition("_")[2] not in listed.text
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
        quoted = httpx.URL("http://x").copy_with(path=f"{API}/users/{name}").raw_path.decode()
        assert client.get(quoted, headers=root).status_code in (404, 422)


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
