"""What the tests of accounts share: cheap passwords, a clock that tests move, an application of the accounts alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from pynomaly_server import errors
from pynomaly_server.accounts import Accounts
from pynomaly_server.accounts.passwords import Passwords
from pynomaly_server.accounts.records import User
from pynomaly_server.identity import Identity

PASSWORD = "correct horse battery"
HERE = "192.0.2.1"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


def cheap() -> Passwords:
    """Argon2 at its lowest costs."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def open_accounts(folder: Path, clock: Clock) -> Accounts:
    return Accounts(folder / "auth.duckdb", clock, cheap())


def add(accounts: Accounts, name: str, role: str = "user", password: str = PASSWORD) -> User:
    accounts.users.add(name, role, "test")
    return accounts.users.set_password(name, accounts.passwords.hash(password))


def bearer(accounts: Accounts, user: User) -> str:
    return "Bearer " + accounts.grant_tokens(user).access_token


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
