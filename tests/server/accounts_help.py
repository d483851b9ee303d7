"""What the tests of accounts share: cheap passwords, a clock that tests move, an application of the accounts alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from argon2 import PasswordHasher

from pynomaly_server.accounts import Accounts
from pynomaly_server.accounts.passwords import Passwords
from pynomaly_server.accounts.records import User

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
