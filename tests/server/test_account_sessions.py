"""Accounts without HTTP: access tokens, refresh tokens, sessions of the console."""

import base64
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb
import jwt
import pytest

from pynomaly.errors import PynomalyError
from pynomaly_server import errors
from pynomaly_server.accounts import Accounts, secret
from pynomaly_server.accounts.records import Session
from pynomaly_server.identity import Identity
from server.accounts_help import HERE, PASSWORD, Clock, bearer, reopened, who

# Access tokens


def test_an_access_token_says_who_and_looks_the_role_up(accounts: Accounts) -> None:
    authorization = bearer(accounts, accounts.users.get("ann"))
    assert who(accounts, authorization).role == "user"
    assert "role" not in jwt.decode(authorization[7:], options={"verify_signature": False})
    accounts.users.change("ann", role="viewer")
    assert who(accounts, authorization).role == "viewer"


def test_an_access_token_ends_after_15_minutes(accounts: Accounts, clock: Clock) -> None:
    authorization = bearer(accounts, accounts.users.get("ann"))
    clock.move(minutes=14, seconds=59)
    who(accounts, authorization)
    clock.move(seconds=1)
    with pytest.raises(errors.Unauthenticated):
        accounts.identify(authorization, None)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _forged(header: dict[str, object], claims: dict[str, object], signature: str = "") -> str:
    return f"{_part(header)}.{_part(claims)}.{signature}"


def test_forged_access_tokens_are_refused(accounts: Accounts) -> None:
    token = bearer(accounts, accounts.users.get("ann"))[7:]
    claims = jwt.decode(token, options={"verify_signature": False})
    head, body, signature = token.split(".")
    as_root = claims | {"sub": "root"}
    foreign = b"k" * 32
    forged = [
        _forged({"alg": "none", "typ": "JWT"}, claims),
        _forged({"alg": "None"}, claims),
        _forged({"alg": "HS256"}, as_root, signature),
        jwt.encode(claims, foreign, "HS256"),
        jwt.encode(claims, foreign, "HS256", headers={"kid": "../../etc/passwd", "jku": "http://evil.test"}),
        jwt.encode(claims, b"k" * 64, "HS512"),
        f"{head}.{_part(as_root)}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-2]}AA",
        token + "A" * 5000,
        token[:-1],
        f"{head}.{body}",
        "",
        ".",
        "..",
        "\xff.\xff.\xff",
        "e30.e30.",
    ]
    for text in forged:
        with pytest.raises(errors.Unauthenticated):
            accounts.identify(f"Bearer {text}", None)
    assert who(accounts, f"Bearer {token}").user == "ann"


def _signed(accounts: Accounts, claims: dict[str, object], algorithm: str = "HS256") -> str:
    return "Bearer " + jwt.encode(claims, accounts.sessions._key, algorithm)


def test_tokens_with_our_key_but_other_claims_are_refused(accounts: Accounts) -> None:
    token = bearer(accounts, accounts.users.get("ann"))[7:]
    claims = jwt.decode(token, options={"verify_signature": False})
    wrongs: list[dict[str, object]] = [
        claims | {"iss": "somebody"},
        claims | {"aud": "somebody"},
        claims | {"sid": "none"},
        claims | {"sub": "root"},
        claims | {"exp": "soon"},
        *({name: value for name, value in claims.items() if name != left} for left in claims),
    ]
    for other in wrongs:
        with pytest.raises(errors.Unauthenticated):
            accounts.identify(_signed(accounts, other), None)
    for algorithm in ("HS384", "HS512"):
        with pytest.raises(errors.Unauthenticated), pytest.warns(jwt.InsecureKeyLengthWarning):
            accounts.identify(_signed(accounts, claims, algorithm), None)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "pyn_a_b", "Bearer pyn_", "Token x", "Bearer pys_x"]
)
def test_other_headers_are_refused_and_the_cookie_does_not_help(accounts: Accounts, header: str) -> None:
    _, cookie = accounts.open_console(accounts.users.get("ann"))
    with pytest.raises(errors.Unauthenticated):
        accounts.identify(header, cookie)


def test_no_credential_is_nobody(accounts: Accounts) -> None:
    assert accounts.identify(None, None) is None


# Refresh tokens


def test_refresh_tokens_rotate(accounts: Accounts) -> None:
    first = accounts.grant_tokens(accounts.users.get("ann"))
    second = accounts.sessions.refresh(first.refresh_token)
    third = accounts.sessions.refresh(second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert who(accounts, f"Bearer {third.access_token}").user == "ann"


def test_a_refresh_token_used_twice_ends_everything_of_the_sign_in(accounts: Accounts) -> None:
    first = accounts.grant_tokens(accounts.users.get("ann"))
    other = accounts.grant_tokens(accounts.users.get("ann"))
    second = accounts.sessions.refresh(first.refresh_token)
    with pytest.raises(errors.RefreshReused):
        accounts.sessions.refresh(first.refresh_token)
    for token in (first.access_token, second.access_token):
        with pytest.raises(errors.Unauthenticated):
            accounts.identify(f"Bearer {token}", None)
    with pytest.raises(errors.Unauthenticated):
        accounts.sessions.refresh(second.refresh_token)
    assert who(accounts, f"Bearer {other.access_token}").user == "ann"
    (ended,) = accounts._store.load(Session, "ended_at is not null")
    assert ended.ended_because == "a refresh token was used twice"


def test_of_two_refreshes_at_once_one_is_reuse(accounts: Accounts) -> None:
    token = accounts.grant_tokens(accounts.users.get("ann")).refresh_token
    outcomes: list[str] = []

    def refresh() -> None:
        try:
            accounts.sessions.refresh(token)
            outcomes.append("fine")
        except PynomalyError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=refresh) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["fine", "refresh_token_reused", *["unauthenticated"] * 6]


def test_a_forged_refresh_token_ends_nothing(accounts: Accounts) -> None:
    tokens = accounts.grant_tokens(accounts.users.get("ann"))
    session = who(accounts, f"Bearer {tokens.access_token}").credential_id
    plain = f"{secret.new(secret.REFRESH)}_{session}_1"
    seal = hmac.new(b"k" * 32, plain.encode(), "sha256").hexdigest()
    for forged in (
        f"{plain}_{seal}",
        plain,
        "",
        "pyr_",
        "____",
        "\ud800_a_b_1_c",
        tokens.refresh_token + "0",
        "x" * 10**6,
    ):
        with pytest.raises(errors.Unauthenticated):
            accounts.sessions.refresh(forged)
    accounts.sessions.refresh(tokens.refresh_token)


def test_a_family_ends_after_30_days(accounts: Accounts, clock: Clock) -> None:
    tokens = accounts.grant_tokens(accounts.users.get("ann"))
    for _ in range(29):
        clock.move(days=1)
        tokens = accounts.sessions.refresh(tokens.refresh_token)
    clock.move(hours=23, minutes=59)
    tokens = accounts.sessions.refresh(tokens.refresh_token)
    clock.move(minutes=1)
    with pytest.raises(errors.Unauthenticated):
        accounts.sessions.refresh(tokens.refresh_token)
    with pytest.raises(errors.Unauthenticated):
        accounts.identify(f"Bearer {tokens.access_token}", None)


ENDS: dict[str, Callable[[Accounts, Identity], object]] = {
    "signed out": lambda accounts, identity: accounts.sessions.end(identity.credential_id, "signed out"),
    "disabled": lambda accounts, identity: accounts.users.change("ann", disabled=True),
    "removed": lambda accounts, identity: accounts.remove_user("ann"),
    "password": lambda accounts, identity: accounts.change_password(identity, PASSWORD, "another good one", HERE),
    "link": lambda accounts, identity: accounts.redeem(accounts.user_link("ann", "root")[1], "another good one"),
}


@pytest.mark.parametrize("how", ENDS)
def test_what_ends_a_sign_in_ends_it_at_once_and_over_a_restart(
    accounts: Accounts, tmp_path: Path, clock: Clock, how: str
) -> None:
    tokens = accounts.grant_tokens(accounts.users.get("ann"))
    ENDS[how](accounts, who(accounts, f"Bearer {tokens.access_token}"))
    for current in (accounts, reopened(accounts, tmp_path, clock)):
        if current is not accounts:
            with pytest.raises(errors.Unauthenticated):
                current.sessions.refresh(tokens.refresh_token)
        with pytest.raises(errors.Unauthenticated):
            current.identify(f"Bearer {tokens.access_token}", None)
    current.close()


def test_sign_ins_survive_a_restart(accounts: Accounts, tmp_path: Path, clock: Clock) -> None:
    user = accounts.users.get("ann")
    tokens = accounts.grant_tokens(user)
    session, cookie = accounts.open_console(user)
    _, key = accounts.make_key(who(accounts, f"Bearer {tokens.access_token}"), "ci", ["read"], None)
    csrf = accounts.sessions.csrf_token(session.id)
    again = reopened(accounts, tmp_path, clock)
    assert who(again, f"Bearer {tokens.access_token}").user == "ann"
    assert who(again, None, cookie).credential_id == session.id
    assert who(again, f"Bearer {key}").credential == "key"
    assert again.sessions.csrf_token(session.id) == csrf
    again.sessions.refresh(tokens.refresh_token)
    again.close()


def test_a_password_changed_while_the_old_one_was_verified_opens_nothing(accounts: Accounts) -> None:
    verified = accounts.sign_in("ann", PASSWORD, HERE)
    accounts.users.set_password("ann", accounts.passwords.hash("another good one"))
    for opened in (accounts.grant_tokens, accounts.open_console):
        with pytest.raises(errors.Unauthenticated):
            opened(verified)


def test_live_sign_ins_of_a_user_are_bounded(accounts: Accounts, clock: Clock) -> None:
    user = accounts.users.get("ann")
    first = accounts.grant_tokens(user)
    for _ in range(100):
        clock.move(seconds=1)
        accounts.grant_tokens(user)
    assert len(accounts.sessions._live) == 100
    with pytest.raises(errors.Unauthenticated):
        accounts.sessions.refresh(first.refresh_token)


# Sessions of the console


def test_a_session_ends_when_idle_and_after_a_week(accounts: Accounts, clock: Clock) -> None:
    _, idle = accounts.open_console(accounts.users.get("ann"))
    _, busy = accounts.open_console(accounts.users.get("ann"))
    for _ in range(14):
        clock.move(hours=11)
        who(accounts, None, busy)
    with pytest.raises(errors.Unauthenticated):
        accounts.identify(None, idle)
    clock.move(hours=11)
    who(accounts, None, busy)
    clock.move(hours=4)
    with pytest.raises(errors.Unauthenticated):
        accounts.identify(None, busy)


def test_every_sign_in_has_another_cookie_and_csrf_token(accounts: Accounts) -> None:
    user = accounts.users.get("ann")
    (first, one), (second, two) = accounts.open_console(user), accounts.open_console(user)
    assert one != two
    assert accounts.sessions.csrf_token(first.id) != accounts.sessions.csrf_token(second.id)
    for cookie in ("", "pys_", "\ud800", first.id, first.digest):
        with pytest.raises(errors.Unauthenticated):
            accounts.identify(None, cookie)


# What a request must not wait for


def test_noting_a_use_waits_for_nobody(accounts: Accounts, clock: Clock) -> None:
    _, key = accounts.keys.make("ann", "ci", ["read"], None)
    _, cookie = accounts.open_console(accounts.users.get("ann"))
    token = bearer(accounts, accounts.users.get("ann"))
    clock.move(minutes=5)
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with accounts._store.lock:
            held.set()
            leave.wait(10)

    writer = threading.Thread(target=hold)
    writer.start()
    held.wait()
    found = [who(accounts, f"Bearer {key}"), who(accounts, None, cookie), who(accounts, token)]
    assert writer.is_alive()
    leave.set()
    writer.join()
    assert {identity.user for identity in found} == {"ann"}


def test_a_use_that_was_begun_before_the_end_revives_nothing(
    accounts: Accounts, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, key = accounts.keys.make("ann", "ci", ["read"], None)
    clock.move(minutes=5)
    free = accounts._store.if_free

    @contextmanager
    def late() -> Iterator[bool]:  # the end comes between the check and the note
        if accounts.keys.is_live(made.id):
            accounts.keys.revoke("ann", made.id)
        accounts.sessions.end_of("ann", "signed out")
        with free() as is_free:
            yield is_free

    monkeypatch.setattr(accounts._store, "if_free", late)
    who(accounts, f"Bearer {key}")
    _, cookie = accounts.open_console(accounts.users.get("ann"))
    clock.move(minutes=5)
    who(accounts, None, cookie)
    again = reopened(accounts, tmp_path, clock)
    for given in ((f"Bearer {key}", None), (None, cookie)):
        with pytest.raises(errors.Unauthenticated):
            again.identify(*given)
    again.close()


def test_a_full_disk_keeps_nobody_out_and_counts_failures(
    accounts: Accounts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key = accounts.keys.make("ann", "ci", ["read"], None)
    clock.move(minutes=5)

    def fail(*records: object) -> None:
        raise duckdb.IOException("the disk is full")

    monkeypatch.setattr(accounts._store, "save", fail)
    assert who(accounts, f"Bearer {key}").user == "ann"
    for _ in range(5):
        with pytest.raises(duckdb.IOException):
            accounts.sign_in("ann", "not the password", HERE)
    with pytest.raises(errors.TooManyAttempts):
        accounts.sign_in("ann", PASSWORD, HERE)


def test_what_stays_open_asks_whether_its_credential_is_still_good(accounts: Accounts, clock: Clock) -> None:
    ann = accounts.users.get("ann")
    by_token = who(accounts, bearer(accounts, ann))
    session, cookie = accounts.open_console(ann)
    by_cookie = who(accounts, None, cookie)
    _, plain = accounts.keys.make("ann", "ci", ["read"], clock() + timedelta(hours=1))
    by_key = who(accounts, f"Bearer {plain}")
    assert [accounts.is_still(identity) for identity in (by_token, by_cookie, by_key)] == [True] * 3
    accounts.sessions.end(session.id, "signed out")
    clock.move(hours=1)
    assert [accounts.is_still(identity) for identity in (by_token, by_cookie, by_key)] == [True, False, False]
    accounts.users.change("ann", disabled=True)
    assert not accounts.is_still(by_token)
