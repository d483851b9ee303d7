"""What browsers are told, hosts, other sites, CSRF, and that a log holds no secret."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from litestar import Litestar
from litestar.exceptions import WebSocketDisconnect
from litestar.testing import TestClient

from pynomaly_server import logs
from pynomaly_server.redaction import GONE, redacted, without_secrets
from server.accounts_app import SITE, Site
from server.accounts_help import PASSWORD, add

API = "/api/v1"
Client = TestClient[Litestar]
ORIGIN = "https://partner.example"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path, allowed_hosts=["data.example", "*.team.example"], allowed_origins=[ORIGIN])
    add(found.accounts, "ann")
    yield found
    found.accounts.close()


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with site.browser() as found:
        yield found


def console(client: Client) -> str:
    answered = client.post(f"{API}/auth/sign-in", json={"user": "ann", "password": PASSWORD, "session": True})
    assert answered.status_code == 200, answered.text
    return str(answered.json()["csrf_token"])


def bearer(client: Client) -> dict[str, str]:
    found = client.post(f"{API}/auth/sign-in", json={"user": "ann", "password": PASSWORD}).json()
    return {"Authorization": f"Bearer {found['access_token']}"}


# Headers


@pytest.mark.parametrize("path", ["/health/live", f"{API}/auth/me", "/nothing", f"{API}/fails"])
def test_every_answer_has_the_headers(client: Client, path: str) -> None:
    answered = client.get(path)
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert answered.headers["x-frame-options"] == "DENY"
    assert answered.headers["referrer-policy"] == "same-origin"
    assert answered.headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in answered.headers["permissions-policy"]
    policy = answered.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "strict-transport-security" not in answered.headers
    assert "server" not in answered.headers
    assert "access-control-allow-origin" not in answered.headers
    assert answered.headers["x-request-id"]


def test_transport_security_is_told_under_tls_alone(site: Site) -> None:
    with site.browser(SITE.replace("http", "https")) as client:
        assert client.get("/health/live").headers["strict-transport-security"].startswith("max-age=")


def test_what_is_private_is_not_kept(client: Client) -> None:
    assert client.get(f"{API}/auth/me", headers=bearer(client)).headers["cache-control"] == "no-store"
    assert "cache-control" not in client.get("/health/live").headers
    console(client)
    assert client.get("/health/live").headers["cache-control"] == "no-store"


# Hosts


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8808",
        "localhost:1",
        "LOCALHOST",
        "[::1]:8808",
        "[::1]",
        "data.example",
        "a.team.example:443",
        "localhost.",
    ],
)
def test_hosts_that_are_served(client: Client, host: str) -> None:
    assert client.get("/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "", "127.0.0.1.evil.example", "evil.example:8808", "team.example", "xteam.example", "::1"),
        *("localhost:80:80", "localhost@evil.example", "data.example/evil", "127.0.0.1:8808, evil.example"),
        *("[::1].evil.example", "a.team.example.evil"),
    ],
)
def test_hosts_that_are_not(client: Client, host: str) -> None:
    answered = client.get("/health/live", headers={"Host": host})
    assert (answered.status_code, answered.json()["code"]) == (400, "untrusted_host")
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.json()["request_id"] == answered.headers["x-request-id"]
    assert answered.headers["x-content-type-options"] == "nosniff"


def test_two_hosts_are_none(client: Client) -> None:
    hosts = [("Host", "localhost"), ("Host", "evil.example")]
    assert client.get("/health/live", headers=hosts).json()["code"] == "untrusted_host"


# Other origins


def test_an_allowed_origin_reads_with_a_token_and_never_with_the_cookie(client: Client) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answered = client.options(f"{API}/api-keys", headers=asked)
    assert answered.status_code == 204
    assert answered.headers["access-control-allow-origin"] == ORIGIN
    assert "Authorization" in answered.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answered.headers
    read = client.get(f"{API}/auth/me", headers={**bearer(client), "Origin": ORIGIN})
    assert read.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in read.headers["vary"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"{ORIGIN}.evil", "http://partner.example", "*", ""]
)
def test_another_origin_is_not_allowed(client: Client, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for answered in (client.options(f"{API}/api-keys", headers=asked), client.get("/health/live", headers=asked)):
        assert not [name for name in answered.headers if name.startswith("access-control")]


def test_none_is_allowed_by_default(tmp_path: Path) -> None:
    closed = Site(tmp_path / "closed")
    with closed.browser() as client:
        for origin in (SITE, ORIGIN, ""):
            assert "access-control-allow-origin" not in client.get("/health/live", headers={"Origin": origin}).headers
    closed.accounts.close()


# Changes by cookie


def change(client: Client, **headers: str) -> tuple[int, str]:
    answered = client.post(f"{API}/api-keys", json={"name": "ci", "scopes": ["read"]}, headers=headers)
    return answered.status_code, answered.json().get("code", "")


def test_a_change_by_cookie_needs_the_token_of_the_page(client: Client, site: Site) -> None:
    token = console(client)
    assert change(client) == (403, "csrf_failed")
    for wrong in ("", "x", token[:-1], token + "0", token.upper(), "\u00ff"):
        assert change(client, **{"X-CSRF-Token": wrong.encode("latin-1")}) == (403, "csrf_failed")  # type: ignore[arg-type]
    other = site.accounts.open_console(site.accounts.users.get("ann"))[0]
    assert change(client, **{"X-CSRF-Token": site.accounts.sessions.csrf_token(other.id)}) == (403, "csrf_failed")
    assert change(client, **{"X-CSRF-Token": token}) == (201, "")
    assert client.get(f"{API}/api-keys").status_code == 200


def test_a_change_by_token_or_key_needs_none(client: Client) -> None:
    headers = bearer(client)
    console(client)
    assert change(client, **headers)[0] == 201
    assert change(client, **headers, Origin=ORIGIN)[0] == 201


FORMS: list[dict[str, Any]] = [
    {"data": {"csrf_token": "TOKEN", "a": "1"}},
    {"data": {"a": "1", "csrf_token": "TOKEN"}},
    {"data": {"csrf_token": "TOKEN", "a": "1"}, "files": {"f": ("f.csv", b"x" * 200_000)}},
]


@pytest.mark.parametrize("body", FORMS)
def test_a_form_carries_the_token_in_a_field_and_arrives_whole(client: Client, body: dict[str, Any]) -> None:
    token = console(client)
    answered = client.post("/form", **{**body, "data": {**body["data"], "csrf_token": token}})
    assert (answered.status_code, answered.json().get("a")) == (201, "1"), answered.text
    bad = client.post("/form", **{**body, "data": {**body["data"], "csrf_token": "pyc_" + "0" * 64}})
    assert (bad.status_code, bad.json()["code"]) == (403, "csrf_failed")
    without = client.post("/form", data={"a": "1", "b": "csrf_token"})
    assert (without.status_code, without.json()["code"]) == (403, "csrf_failed")


def test_a_token_in_the_address_or_in_json_is_none(client: Client) -> None:
    token = console(client)
    assert client.post(f"/form?csrf_token={token}", data={"a": "1"}).json()["code"] == "csrf_failed"
    body = json.dumps({"csrf_token": token})
    for kind in ("application/json", "text/plain"):
        answered = client.post("/form", content=body, headers={"Content-Type": kind})
        assert answered.json()["code"] == "csrf_failed"


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://127.0.0.1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": SITE},
    {"Origin": ORIGIN},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_page_of_another_site_changes_nothing_even_with_the_token(client: Client, headers: dict[str, str]) -> None:
    token = console(client)
    assert change(client, **{"X-CSRF-Token": token}, **headers) == (403, "foreign_origin")


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_page_of_another_site_signs_nobody_in(client: Client, headers: dict[str, str]) -> None:
    body = {"user": "ann", "password": PASSWORD, "session": True}
    answered = client.post(f"{API}/auth/sign-in", json=body, headers=headers)
    assert (answered.status_code, answered.json()["code"]) == (403, "foreign_origin")
    assert "set-cookie" not in answered.headers


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": SITE}, {"Sec-Fetch-Site": "same-origin", "Origin": SITE}, {"Sec-Fetch-Site": "none"}]
)
def test_our_own_pages_may(client: Client, headers: dict[str, str]) -> None:
    assert change(client, **{"X-CSRF-Token": console(client)}, **headers) == (201, "")


def test_a_plain_origin_is_foreign_under_tls(site: Site) -> None:
    with site.browser(SITE.replace("http", "https")) as client:
        token = console(client)
        assert change(client, **{"X-CSRF-Token": token, "Origin": SITE}) == (403, "foreign_origin")


def test_a_socket_is_opened_by_our_own_pages_alone(client: Client) -> None:
    console(client)
    cookie = f"pynomaly_session={client.cookies['pynomaly_session']}"
    with client.websocket_connect("/ws", headers={"Cookie": cookie, "Origin": SITE}) as socket:
        assert socket.receive_text() == "hello"
    for headers in (
        {"Cookie": cookie, "Origin": "https://evil.example"},
        {"Cookie": cookie, "Host": "evil.example"},
        {},
    ):
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("/ws", headers={"Cookie": "", **headers}) as socket,
        ):
            socket.receive_text()


# Logs


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.def.ghi", "abc.def.ghi"),
        ("authorization=Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("GET /sign-in#link=pyl_" + "a" * 64, "a" * 64),
        ("Cookie: pynomaly_session=pys_" + "b" * 64, "b" * 64),
        ("bad token eyJhbGciOiJI.eyJzdWIiOiI.c2lnbmF0dXJl here", "c2lnbmF0dXJl"),
        ("key pyn_0123_" + "c" * 64, "c" * 64),
        ("postgres://me:hunter2hunter2@host/db failed", "hunter2hunter2"),
        ('{"user": "ann", "password": "four words and one"}', "four words and one"),
        ("SignIn(user='ann', password='four words and one')", "four words and one"),
        (r'body "{\"password\": \"four words\"}"', "four words"),
        ("https://bucket/key?X-Amz-Signature=deadbeef&x=1", "deadbeef"),
        ("password=hunter2&user=ann", "hunter2"),
        ("csrf_token=pyc_" + "d" * 64, "d" * 64),
        ("secret: s3cr3t", "s3cr3t"),
    ],
)
def test_secrets_leave_a_text(text: str, secret: str) -> None:
    assert secret not in without_secrets(text)
    assert GONE in without_secrets(text) or "://me@host" in without_secrets(text)


def test_what_is_no_secret_stays() -> None:
    for text in (
        "37 of 10000 rows flagged",
        "column `amount` not found",
        "the basic statistics of a column",
        "a bearer of news",
    ):
        assert without_secrets(text) == text


def test_an_entry_is_redacted_at_every_depth() -> None:
    entry = {
        "event": "x",
        "headers": [("cookie", b"pynomaly_session=pys_00"), {"Authorization": "whatever"}],
        "body": {"password": "p", "new_password": None, "user": "ann", "deep": [{"refresh_token": "r"}]},
        "exception": [{"frames": [{"name": "f", "locals": {"data": "p"}}]}],
        "n": 3,
    }
    told = redacted(None, "info", entry)
    assert told["headers"][1] == {"Authorization": GONE}
    assert told["body"] == {"password": GONE, "new_password": None, "user": "ann", "deep": [{"refresh_token": GONE}]}
    assert told["exception"][0]["frames"][0] == {"name": "f", "locals": GONE}
    assert told["n"] == 3
    assert "pys_00" not in str(told)


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    logs.configure("debug", redacted)
    root.handlers[0].setStream(stream)  # type: ignore[attr-defined]
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_the_log_of_a_whole_session_holds_no_secret(site: Site, written: io.StringIO) -> None:
    told = [PASSWORD, "hiddeninalocalvariable", "hidden in a local variable"]
    site.accounts.users.change("ann", role="admin")
    add(site.accounts, "root", "admin")
    with site.browser() as client:
        signed = client.post(f"{API}/auth/sign-in", json={"user": "ann", "password": PASSWORD}).json()
        again = client.post(f"{API}/auth/refresh", json={"refresh_token": signed["refresh_token"]}).json()
        client.post(f"{API}/auth/refresh", json={"refresh_token": signed["refresh_token"]})
        csrf = console(client)
        key = client.post(
            f"{API}/api-keys", json={"name": "ci", "scopes": ["read"]}, headers={"X-CSRF-Token": csrf}
        ).json()["key"]
        link = client.post(f"{API}/users/ann/link", headers={"X-CSRF-Token": csrf}).json()["token"]
        told += [client.cookies["pynomaly_session"], csrf, key, link]
        told += [item[name] for item in (signed, again) for name in ("access_token", "refresh_token")]
        client.get(f"{API}/auth/me", headers={"Authorization": f"Bearer {key}"})
        client.get(f"{API}/auth/me", headers={"Authorization": f"Bearer {key}x"})
        for path in ("/health/live", f"{API}/fails", f"{API}/auth/link", "/nothing"):
            for secret in (key, link, signed["access_token"]):
                client.get(f"{path}/{secret}?token={secret}", headers={"X-Request-Id": "r"})
        client.get(f"{API}/fails")
        client.post(f"{API}/auth/sign-in", json={"user": PASSWORD, "password": "wrong"})
        client.post(f"{API}/auth/link", json={"token": link, "password": "another good one"})
        client.post(f"{API}/auth/sign-in", content=b'{"user": "ann", "password": "' + PASSWORD.encode() + b'"')
    text = written.getvalue()
    assert len(text.splitlines()) > 15
    assert "unexpected error" in text
    for secret in [*told, "another good one"]:
        assert secret not in text
        assert secret[-40:] not in text


@pytest.mark.parametrize("path", [f"{API}/api-keys", f"{API}/users/x", "/health/live", "/nothing"])
def test_options_never_fails(client: Client, path: str) -> None:
    for headers in ({}, {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}, {"Authorization": "Bearer x"}):
        assert client.options(path, headers=headers).status_code < 500
