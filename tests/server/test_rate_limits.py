"""How many requests a user, a key and an address may send."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from pynomaly_server import rate_limits
from pynomaly_server.rate_limits import Buckets
from server.accounts_app import Site
from server.accounts_help import add, bearer

ME = "/api/v1/auth/me"
Client = TestClient[Litestar]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    add(found.accounts, "ann")
    add(found.accounts, "bob")
    found.options["requests_per_minute"] = 5
    found.options["unknown_requests_per_minute"] = 3
    yield found
    found.accounts.close()


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with site.browser() as found:
        yield found


def signed(site: Site, name: str = "ann") -> dict[str, str]:
    return {"Authorization": bearer(site.accounts, site.accounts.users.get(name))}


def test_a_user_has_a_minutes_requests_and_they_come_back_evenly(site: Site, client: Client) -> None:
    headers = signed(site)
    left = [client.get(ME, headers=headers).headers["ratelimit"] for _ in range(5)]
    assert left[0] == '"user";r=4;t=0'
    assert left[-1] == '"user";r=0;t=12'
    refused = client.get(ME, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "12"
    assert refused.headers["ratelimit-policy"] == '"user";q=5;w=60'
    assert refused.headers["x-content-type-options"] == "nosniff"
    site.seconds += 11.9
    assert client.get(ME, headers=headers).status_code == 429
    site.seconds += 0.2
    assert client.get(ME, headers=headers).status_code == 200
    assert client.get(ME, headers=headers).status_code == 429


def test_another_sign_in_of_the_same_user_is_the_same_user(site: Site, client: Client) -> None:
    for _ in range(5):
        assert client.get(ME, headers=signed(site)).status_code == 200
    assert client.get(ME, headers=signed(site)).status_code == 429
    assert client.get(ME, headers=signed(site, "bob")).status_code == 200


def test_a_key_has_its_own(site: Site, client: Client) -> None:
    _, key = site.accounts.keys.make("ann", "ci", ["read"], None)
    for _ in range(5):
        assert client.get(ME, headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert client.get(ME, headers={"Authorization": f"Bearer {key}"}).status_code == 429
    assert client.get(ME, headers=signed(site)).status_code == 200


def test_who_is_unknown_is_counted_by_address_guesses_of_keys_too(site: Site, client: Client) -> None:
    for number in range(3):
        assert client.get(ME, headers={"Authorization": f"Bearer pyn_{number}_x"}).status_code == 401
    for headers in ({}, {"Authorization": "Bearer pyn_9_x"}, {"X-Forwarded-For": "198.51.100.7"}):
        assert client.get(ME, headers=headers).json()["code"] == "rate_limited"
    refresh = client.post("/api/v1/auth/refresh", json={"refresh_token": "x"})
    assert refresh.json()["code"] == "rate_limited"
    assert client.get(ME, headers=signed(site)).status_code == 200


def test_routes_share_the_buckets(site: Site, client: Client) -> None:
    headers = signed(site)
    paths = [ME, "/api/v1/roles", "/api/v1/api-keys", ME, "/api/v1/roles"]
    assert [client.get(path, headers=headers).status_code for path in paths] == [200] * 5
    assert client.get("/api/v1/api-keys", headers=headers).status_code == 429


def test_a_limit_changes_while_the_server_runs(site: Site, client: Client) -> None:
    headers = signed(site)
    for _ in range(5):
        client.get(ME, headers=headers)
    site.options["requests_per_minute"] = 600
    site.seconds += 1
    assert [client.get(ME, headers=headers).status_code for _ in range(10)] == [200] * 10
    site.options["requests_per_minute"] = 1
    assert client.get(ME, headers=headers).status_code == 429


def test_health_is_never_refused_nor_counted(site: Site, client: Client) -> None:
    for _ in range(50):
        answered = client.get("/health/live")
        assert answered.status_code == 200
    assert "ratelimit" not in answered.headers
    assert len(site.buckets) == 0


def test_the_memory_is_bounded_and_who_was_refused_last_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MOST", 100)
    buckets = Buckets(lambda: 0.0)
    for number in range(1000):
        buckets.take(f"address {number}", 1)
        assert number < 1 or not buckets.take("address 0", 1)[0]
    assert len(buckets) == 100


def test_a_clock_that_stands_gives_nothing_back() -> None:
    buckets = Buckets(lambda: 0.0)
    assert [buckets.take("a", 2)[0] for _ in range(5)] == [True, True, False, False, False]
