"""Accounts over HTTP: signing in by every way, and the own account."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pynomaly_server.permissions import ROLES
from server.accounts_app import API, Client, Site, by, code, console, tokens
from server.accounts_help import PASSWORD, add


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


@pytest.mark.parametrize(
    "body",
    [
        b'{"user": "\\ud800", "password": "\\udfff"}',
        b"\xff",
        b"{}",
        b"[]",
        b'{"user":1,"password":2}',
        b'{"user":"a","password":"b","role":"admin"}',
        b"[" * 100_000,
        b'{"user":' * 100_000,
    ],
)
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
    with site.browser("https://127.0.0.1:8808") as client:
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
    assert planted not in client.cookies.jar._cookies["127.0.0.1"]["/"]["pynomaly_session"].value  # type: ignore[attr-defined]


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
