"""Accounts without HTTP: guessing, sign-ins, tokens, keys, links, and what the file holds."""

import base64
import hmac
import json
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import jwt
import pytest
from msgspec.structs import replace

from pynomaly.errors import BadParameter, PynomalyError
from pynomaly_server import errors
from pynomaly_server.accounts import Accounts, guessing, passwords, secret
from pynomaly_server.accounts.records import TABLES, Session
from pynomaly_server.identity import Identity
from pynomaly_server.permissions import Permission
from server.accounts_help import HERE, PASSWORD, Clock, add, bearer, cheap, open_accounts


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    found = open_accounts(tmp_path / "files", clock)
    add(found, "root", "admin")
    add(found, "ann")
    yield found
    found.close()


def reopened(accounts: Accounts, tmp_path: Path, clock: Clock) -> Accounts:
    """The same file in another process's place; the fixture closes what it made."""
    accounts.close()
    return open_accounts(tmp_path / "files", clock)


def wrong(accounts: Accounts, name: str = "ann", address: str = HERE) -> None:
    with pytest.raises(errors.Unauthenticated):
        accounts.sign_in(name, "not the password", address)


def who(accounts: Accounts, authorization: str | None = None, cookie: str | None = None) -> Identity:
    found = accounts.identify(authorization, cookie)
    assert found is not None
    return found


# Passwords


def test_a_user_signs_in_by_name_in_any_case(accounts: Accounts) -> None:
    assert accounts.sign_in("ANN", PASSWORD, HERE).name == "ann"


@pytest.mark.parametrize(
    "name", ["ann", "nobody", "disabled", "invited", "removed", "'; drop table users", "\ud800", "*"]
)
def test_every_refusal_costs_one_argon2_and_tells_the_same(accounts: Accounts, name: str) -> None:
    add(accounts, "disabled")
    accounts.users.change("disabled", disabled=True)
    accounts.users.add("invited", "user", "root")
    add(accounts, "removed")
    accounts.remove_user("removed")
    before = accounts.passwords.computed
    with pytest.raises(errors.Unauthenticated) as caught:
        accounts.sign_in(name, PASSWORD if name != "ann" else "wrong", HERE)
    assert accounts.passwords.computed - before == 1
    assert caught.value.cause == "the user or the password is wrong"


@pytest.mark.parametrize(
    ("text", "user"),
    [("short", "ann"), ("x" * 1025, "ann"), ("ü" * 600, "ann"), ("Administrator", "administrator"), ("", "ann")],
)
def test_a_weak_password_is_refused(text: str, user: str) -> None:
    with pytest.raises(errors.WeakPassword):
        passwords.check(text, user)


def test_a_password_is_the_same_from_every_keyboard_and_may_hold_anything() -> None:
    found = cheap()
    assert found.verify(found.hash("cafe\u0301 du monde"), "caf\u00e9 du monde")
    for odd in ("nul \0 inside it", "half a pair \ud800", "\u0000" * 20):
        assert found.verify(found.hash(odd), odd)
        assert not found.verify(found.hash(odd), odd + "x")


def test_a_password_too_long_is_no_prefix_of_itself() -> None:
    found = cheap()
    stored = found.hash("a" * 1024)
    assert found.verify(stored, "a" * 1024)
    assert not found.verify(stored, "a" * 1025)


def test_no_more_than_ten_wait_for_argon2() -> None:
    found = cheap()
    inside, leave = threading.Barrier(3), threading.Event()

    def hold() -> None:
        with found.turn():
            inside.wait()
            leave.wait()

    def wait() -> None:
        with found.turn():
            pass

    threads = [threading.Thread(target=hold) for _ in range(passwords.AT_ONCE)]
    for thread in threads:
        thread.start()
    inside.wait()
    waiting = [threading.Thread(target=wait) for _ in range(passwords.WAITING)]
    for thread in waiting:
        thread.start()
    refused = False
    for _ in range(1000):
        try:
            assert found._queue._value >= 0  # type: ignore[attr-defined]
            if found._queue._value == 0:  # type: ignore[attr-defined]
                with pytest.raises(errors.TooManyAttempts), found.turn():
                    pass
                refused = True
                break
        finally:
            threading.Event().wait(0.001)
    leave.set()
    for thread in threads + waiting:
        thread.join()
    assert refused
    with found.turn():
        pass


def test_a_digest_of_other_costs_is_renewed_and_the_session_still_opens(accounts: Accounts) -> None:
    stronger = passwords.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    digest = stronger.hash(PASSWORD)
    accounts.users.set_password("ann", digest)
    user = accounts.sign_in("ann", PASSWORD, HERE)
    assert user.password != digest
    accounts.grant_tokens(user)


# Guessing


def test_five_failures_from_one_address_lock_and_the_lock_grows(accounts: Accounts, clock: Clock) -> None:
    for _ in range(5):
        wrong(accounts)
    waits = []
    for _ in range(12):
        with pytest.raises(errors.TooManyAttempts) as caught:
            accounts.sign_in("ann", PASSWORD, HERE)
        waits.append(int(caught.value.headers["Retry-After"]))
        clock.move(seconds=waits[-1])
        wrong(accounts)
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert waits[-1] == 900


def test_somebody_elsewhere_is_not_locked_by_one_guesser(accounts: Accounts, clock: Clock) -> None:
    for _ in range(18):
        clock.move(seconds=901)
        wrong(accounts)
    assert accounts.sign_in("ann", PASSWORD, "198.51.100.7").name == "ann"


def test_an_address_that_tries_many_names_is_locked(accounts: Accounts) -> None:
    for number in range(20):
        wrong(accounts, f"user{number}")
    with pytest.raises(errors.TooManyAttempts):
        accounts.sign_in("ann", PASSWORD, HERE)
    assert accounts.sign_in("ann", PASSWORD, "198.51.100.7").name == "ann"


def test_one_network_of_ipv6_is_one_address(accounts: Accounts) -> None:
    for number in range(20):
        wrong(accounts, f"user{number}", f"2001:db8:1:2::{number + 1:x}")
    with pytest.raises(errors.TooManyAttempts):
        accounts.sign_in("ann", PASSWORD, "2001:db8:1:2:ffff::1%eth0")
    assert guessing.network("::ffff:192.0.2.1") == guessing.network("192.0.2.1") == "192.0.2.1"


def test_many_addresses_lock_a_user_for_a_minute_at_most(accounts: Accounts, clock: Clock) -> None:
    for number in range(50):
        wrong(accounts, "ann", f"10.0.0.{number}")
    for _ in range(10):
        with pytest.raises(errors.TooManyAttempts) as caught:
            accounts.sign_in("ann", PASSWORD, "198.51.100.7")
        clock.move(seconds=float(caught.value.headers["Retry-After"]))
        wrong(accounts, "ann", "10.0.1.1")
        clock.move(seconds=0)
    assert int(caught.value.headers["Retry-After"]) <= 60


def test_nobody_and_somebody_are_locked_alike(accounts: Accounts) -> None:
    for name in ("ann", "nobody"):
        for _ in range(5):
            wrong(accounts, name, f"10.1.1.{len(name)}")
        with pytest.raises(errors.TooManyAttempts):
            accounts.sign_in(name, PASSWORD, f"10.1.1.{len(name)}")


def test_a_locked_attempt_costs_no_argon2(accounts: Accounts) -> None:
    for _ in range(5):
        wrong(accounts)
    before = accounts.passwords.computed
    with pytest.raises(errors.TooManyAttempts):
        accounts.sign_in("ann", PASSWORD, HERE)
    assert accounts.passwords.computed == before


def test_success_forgets_the_user_and_not_the_address(accounts: Accounts) -> None:
    for number in range(19):
        wrong(accounts, f"user{number}")
    accounts.sign_in("ann", PASSWORD, HERE)
    wrong(accounts)
    with pytest.raises(errors.TooManyAttempts):
        accounts.sign_in("ann", PASSWORD, HERE)


def test_a_restart_keeps_the_lock(accounts: Accounts, tmp_path: Path, clock: Clock) -> None:
    for _ in range(5):
        wrong(accounts)
    again = reopened(accounts, tmp_path, clock)
    with pytest.raises(errors.TooManyAttempts):
        again.sign_in("ann", PASSWORD, HERE)
    again.close()


def test_attempts_at_once_pass_the_lock_by_one_at_most(accounts: Accounts) -> None:
    before, refusals = accounts.passwords.computed, []

    def guess() -> None:
        try:
            accounts.sign_in("ann", "not the password", HERE)
        except PynomalyError as error:
            refusals.append(error.code)

    threads = [threading.Thread(target=guess) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refusals) == 40
    assert accounts.passwords.computed - before <= 5 + passwords.AT_ONCE - 1


def test_the_memory_of_failures_is_bounded_and_the_worst_stay(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guessing, "MOST", 60)
    for _ in range(5):
        wrong(accounts)
    for number in range(100):
        wrong(accounts, f"user{number}", f"10.{number}.0.1")
    assert len(accounts._guessing._failures) <= 60
    with pytest.raises(errors.TooManyAttempts):
        accounts.sign_in("ann", PASSWORD, HERE)


def test_what_is_over_is_swept(accounts: Accounts, clock: Clock) -> None:
    wrong(accounts)
    clock.move(hours=2)
    accounts.sign_in("ann", PASSWORD, "198.51.100.7")
    assert not accounts._guessing._failures


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


# API keys


def test_a_key_carries_its_scopes_as_far_as_its_user_has_them_now(accounts: Accounts) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    key, plain = accounts.make_key(ann, "ci", ["read", "detect"], None)
    expected = {Permission.READ, Permission.DETECT, Permission.PUBLIC, Permission.SIGNED_IN}
    assert who(accounts, f"Bearer {plain}").permissions == expected
    assert all(isinstance(held, Permission) for held in who(accounts, f"Bearer {plain}").permissions)
    accounts.users.change("ann", role="viewer")
    assert who(accounts, f"Bearer {plain}").permissions == expected - {Permission.DETECT}
    accounts.users.change("ann", role="admin")
    assert who(accounts, f"Bearer {plain}").permissions == expected
    assert not who(accounts, f"Bearer {plain}").sees_all
    assert [item.id for item in accounts.keys.of("ann")] == [key.id]


def test_a_key_cannot_carry_more_than_its_maker_nor_make_another(accounts: Accounts) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    for scope in ("see_all", "manage_users", "nonsense", "*"):
        with pytest.raises(errors.Forbidden):
            accounts.make_key(ann, "ci", ["read", scope], None)
    _, plain = accounts.make_key(ann, "ci", ["read"], None)
    with pytest.raises(errors.Forbidden):
        accounts.make_key(who(accounts, f"Bearer {plain}"), "more", ["read"], None)


def test_a_key_ends_when_it_is_over_revoked_or_its_user_is_out(accounts: Accounts, clock: Clock) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    _, short = accounts.make_key(ann, "short", ["read"], clock() + timedelta(days=1))
    key, long = accounts.make_key(ann, "long", ["read"], None)
    _, other = accounts.make_key(ann, "other", ["read"], None)
    clock.move(days=1)
    with pytest.raises(errors.Unauthenticated):
        accounts.identify(f"Bearer {short}", None)
    with pytest.raises(errors.UnknownKey):
        accounts.keys.revoke("root", key.id)
    accounts.keys.revoke("ann", key.id)
    with pytest.raises(errors.Unauthenticated):
        accounts.identify(f"Bearer {long}", None)
    accounts.users.change("ann", disabled=True)
    with pytest.raises(errors.Unauthenticated):
        accounts.identify(f"Bearer {other}", None)


def test_a_key_with_another_secret_is_refused(accounts: Accounts) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    key, plain = accounts.make_key(ann, "ci", ["read"], None)
    for forged in (
        plain[:-1],
        plain + "0",
        f"pyn_{key.id}_",
        f"pyn_{key.id}",
        f"pyn_{key.id}_{key.digest}",
        "pyn__",
        "pyn_\xff",
    ):
        with pytest.raises(errors.Unauthenticated):
            accounts.identify(f"Bearer {forged}", None)


def test_a_key_is_written_once_a_minute(accounts: Accounts, clock: Clock) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    key, plain = accounts.make_key(ann, "ci", ["read"], None)
    seen = set()
    for _ in range(10):
        clock.move(seconds=13)
        who(accounts, f"Bearer {plain}")
        seen.add(accounts.keys.of("ann")[0].last_used_at)
    assert len(seen) == 2


def test_keys_are_bounded_and_end_in_the_future(accounts: Accounts, clock: Clock) -> None:
    for _ in range(100):
        accounts.keys.make("ann", "many", ["read"], None)
    with pytest.raises(errors.TooManyKeys):
        accounts.keys.make("ann", "many", ["read"], None)
    for moment in (clock(), clock().replace(tzinfo=None) + timedelta(days=1)):
        with pytest.raises(BadParameter):
            accounts.keys.make("root", "past", ["read"], moment)


# Users and links


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        ".",
        "..",
        "-x",
        "@x",
        "a b",
        "a/b",
        "a'b",
        "a\nb",
        "a\n",
        "a\0",
        "é",
        "\u0430nn",
        "ann\u200b",
        "x" * 65,
        "\ud800",
        "a%2fb",
        "<b>",
    ],
)
def test_hostile_names_are_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(BadParameter):
        accounts.users.add(name, "user", "root")
    assert accounts.users.find(name) is None


def test_a_name_is_unique_in_any_case_and_stays_taken(accounts: Accounts) -> None:
    with pytest.raises(errors.UserExists):
        accounts.users.add("ANN", "user", "root")
    accounts.remove_user("ann")
    with pytest.raises(errors.UserExists):
        accounts.users.add("ann", "user", "root")
    with pytest.raises(errors.UnknownUser):
        accounts.users.get("ann")


@pytest.mark.parametrize("changes", [{"disabled": True}, {"role": "user"}, None])
def test_the_last_administrator_stays(accounts: Accounts, changes: dict[str, object] | None) -> None:
    def attempt() -> None:
        if changes is None:
            accounts.remove_user("root")
        else:
            accounts.users.change("root", **changes)

    accounts.users.add("invited", "admin", "root")
    add(accounts, "off", "admin")
    accounts.users.change("off", disabled=True)
    with pytest.raises(errors.LastAdministrator):
        attempt()
    add(accounts, "second", "admin")
    attempt()


def test_of_two_administrators_who_remove_each_other_one_stays(accounts: Accounts) -> None:
    add(accounts, "second", "admin")
    outcomes: list[str] = []

    def demote(name: str) -> None:
        try:
            accounts.users.change(name, role="user")
        except errors.LastAdministrator:
            outcomes.append(name)

    threads = [threading.Thread(target=demote, args=(name,)) for name in ("root", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1


def test_the_first_link_makes_the_first_administrator_once(tmp_path: Path, clock: Clock) -> None:
    fresh = open_accounts(tmp_path, clock)
    old = fresh.sign_in_link()
    token = fresh.sign_in_link()
    for bad in (old, "", "pyl_", token[:-1]):
        with pytest.raises(errors.UnknownLink):
            fresh.redeem(bad, PASSWORD, "boss")
    with pytest.raises(errors.WeakPassword):
        fresh.redeem(token, "short", "boss")
    fresh.close()
    fresh = open_accounts(tmp_path, clock)
    assert fresh.redeem(token, PASSWORD, "boss").role == "admin"
    with pytest.raises(errors.UnknownLink):
        fresh.redeem(token, PASSWORD, "other")
    with pytest.raises(errors.AdministratorExists):
        fresh.sign_in_link()
    assert fresh.sign_in("boss", PASSWORD, HERE).name == "boss"
    fresh.close()


def test_of_many_who_use_a_link_at_once_one_wins(tmp_path: Path, clock: Clock) -> None:
    fresh = open_accounts(tmp_path, clock)
    token = fresh.sign_in_link()
    made: list[str] = []

    def redeem(name: str) -> None:
        try:
            made.append(fresh.redeem(token, PASSWORD, name).name)
        except PynomalyError:
            return

    threads = [threading.Thread(target=redeem, args=(f"boss{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert [user.name for user in fresh.users.all()] == made
    fresh.close()


def test_a_link_ends_after_an_hour_and_fits_its_user_alone(accounts: Accounts, clock: Clock) -> None:
    token = accounts.user_link("ann", "root")[1]
    with pytest.raises(errors.UnknownLink):
        accounts.redeem(token, "another good one", "root")
    clock.move(hours=1)
    with pytest.raises(errors.UnknownLink):
        accounts.redeem(token, "another good one")
    token = accounts.user_link("ann", "root")[1]
    accounts.users.change("ann", disabled=True)
    with pytest.raises(errors.UnknownLink):
        accounts.redeem(token, "another good one")


def test_an_unknown_link_costs_no_argon2(accounts: Accounts) -> None:
    before = accounts.passwords.computed
    with pytest.raises(errors.UnknownLink):
        accounts.redeem("pyl_" + "0" * 64, PASSWORD)
    assert accounts.passwords.computed == before


def test_a_link_outlives_no_change_of_the_password(accounts: Accounts) -> None:
    token = accounts.user_link("ann", "root")[1]
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    accounts.change_password(ann, PASSWORD, "another good one", HERE)
    with pytest.raises(errors.UnknownLink):
        accounts.redeem(token, PASSWORD)


def test_changing_the_password_wants_the_current_one_and_counts_failures(accounts: Accounts) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    for _ in range(5):
        with pytest.raises(errors.Unauthenticated):
            accounts.change_password(ann, "not the password", "another good one", HERE)
    with pytest.raises(errors.TooManyAttempts):
        accounts.change_password(ann, PASSWORD, "another good one", HERE)


# The file


def test_no_secret_is_in_the_file(accounts: Accounts, tmp_path: Path) -> None:
    user = accounts.sign_in("ann", PASSWORD, HERE)
    tokens = accounts.grant_tokens(user)
    again = accounts.sessions.refresh(tokens.refresh_token)
    session, cookie = accounts.open_console(user)
    _, key = accounts.make_key(who(accounts, f"Bearer {again.access_token}"), "ci", ["read"], None)
    _, link = accounts.user_link("ann", "root")
    csrf = accounts.sessions.csrf_token(session.id)
    told = (
        PASSWORD,
        cookie,
        key,
        link,
        csrf,
        *(text for item in (tokens, again) for text in (item.access_token, item.refresh_token)),
    )

    def written() -> bytes:
        return b"".join(path.read_bytes() for path in (tmp_path / "files").iterdir())

    before = written()
    accounts.close()
    for content in (before, written()):
        assert session.digest.encode()[:8] in content
        for text in told:
            assert text.encode() not in content
            assert text.rpartition("_")[2].encode() not in content


def test_only_the_owner_reads_the_file(accounts: Accounts, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "files" / "auth.duckdb").stat().st_mode) == 0o600


def test_a_file_of_another_release_is_told(accounts: Accounts, tmp_path: Path, clock: Clock) -> None:
    accounts.close()
    with duckdb.connect(str(tmp_path / "files" / "auth.duckdb")) as con:
        con.execute("insert into main.migrations values (99, 'x')")
    with pytest.raises(PynomalyError, match="migration 99"):
        open_accounts(tmp_path / "files", clock)
    with duckdb.connect(str(tmp_path / "files" / "auth.duckdb")) as con:
        con.execute("delete from main.migrations where number = 99")


def test_every_table_and_column_is_described_and_is_a_field(accounts: Accounts) -> None:
    con = accounts._store._con
    rows = con.execute(
        "select schema_name, table_name, column_name, comment from duckdb_columns() where not internal"
    ).fetchall()
    rows += con.execute(
        "select schema_name, table_name, '', comment from duckdb_tables() where not internal"
    ).fetchall()
    assert [row for row in rows if not row[3]] == []
    for kind, table in TABLES.items():
        assert {row[2] for row in rows if row[:2] == ("accounts", table) and row[2]} == set(kind.__struct_fields__)


def test_a_write_that_fails_changes_nothing_in_memory(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*records: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(accounts._store, "save", fail)
    with pytest.raises(OSError, match="full"):
        accounts.users.change("ann", role="viewer")
    assert accounts.users.get("ann").role == "user"


def test_settings_are_kept(accounts: Accounts, tmp_path: Path, clock: Clock) -> None:
    before = accounts.users.change("ann", settings={"theme": "dark", "time_zone": "Europe/Berlin"})
    again = reopened(accounts, tmp_path, clock)
    assert again.users.get("ann") == replace(before)
    again.close()
