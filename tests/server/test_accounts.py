"""Accounts without HTTP: passwords and guessing."""

import threading
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from pynomaly.errors import PynomalyError
from pynomaly_server import errors
from pynomaly_server.accounts import Accounts, guessing, passwords
from server.accounts_help import HERE, PASSWORD, Clock, add, cheap, reopened, wrong

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


def test_only_so_many_wait_for_argon2() -> None:
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
            assert found._queue._value >= 0
            if found._queue._value == 0:
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
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
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
