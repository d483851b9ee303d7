"""What the file of the accounts holds, a struct a table; the fields are the columns."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    """The time, in UTC. The hot path asks for it at every request, so it does not come from the database."""
    return datetime.now(UTC)


class User(msgspec.Struct, frozen=True):
    """Somebody who may sign in."""

    name: str
    display_name: str
    role: str
    disabled: bool
    password: str | None
    settings: dict[str, Any]
    created_at: datetime
    created_by: str
    deleted_at: datetime | None = None

    @property
    def is_present(self) -> bool:
        """Whether the user may use the server at all."""
        return not self.disabled and self.deleted_at is None


class Session(msgspec.Struct, frozen=True):
    """A sign-in: a session of the console, or a family of tokens."""

    id: str
    user_name: str
    kind: str
    digest: str
    number: int
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    ended_because: str | None = None


class Key(msgspec.Struct, frozen=True):
    """An API key, without the secret."""

    id: str
    user_name: str
    name: str
    digest: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class Link(msgspec.Struct, frozen=True):
    """A link that lets somebody set a password once."""

    digest: str
    user_name: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime


class Failures(msgspec.Struct, frozen=True):
    """Failed sign-ins of a user, an address, or a user from an address."""

    subject: str
    failed: int
    last_at: datetime
    locked_until: datetime | None = None


class SigningKey(msgspec.Struct, frozen=True):
    """What access tokens are signed with."""

    id: int
    secret: bytes
    created_at: datetime


TABLES: dict[type[msgspec.Struct], str] = {
    User: "users",
    Session: "sessions",
    Key: "api_keys",
    Link: "links",
    Failures: "failures",
    SigningKey: "signing_keys",
}
