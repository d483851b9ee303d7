"""Users: who there is, in memory and in the file."""

import re
from typing import Any

from msgspec.structs import replace

from pynomaly.errors import BadParameter
from pynomaly_server.accounts.records import Clock, User
from pynomaly_server.accounts.sessions import Sessions
from pynomaly_server.accounts.store import Store
from pynomaly_server.errors import LastAdministrator, UnknownUser, UserExists
from pynomaly_server.permissions import ROLES

ADMIN = "admin"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")  # ASCII alone: no two names look the same


def is_name(text: str) -> bool:
    """Whether a text may be the name of a user."""
    return _NAME.fullmatch(text) is not None


class Users:
    """The users. What keeps somebody out ends the sessions too."""

    def __init__(self, store: Store, clock: Clock, sessions: Sessions) -> None:
        self._store, self._clock, self._sessions = store, clock, sessions
        self._users = {user.name.lower(): user for user in store.load(User)}

    def find(self, name: str) -> User | None:
        """A user by name, in any case of its letters; None for nobody, or somebody who was removed."""
        found = self._users.get(name.lower())
        return found if found is not None and found.deleted_at is None else None

    def get(self, name: str) -> User:
        """A user by name; raises UnknownUser."""
        found = self.find(name)
        if found is None:
            raise UnknownUser(f"no user is named {name[:64]!r}", "GET /api/v1/users lists them")
        return found

    def all(self) -> list[User]:
        """Every user, by name."""
        present = [user for user in list(self._users.values()) if user.deleted_at is None]
        return sorted(present, key=lambda user: user.name.lower())

    def add(self, name: str, role: str, created_by: str, display_name: str = "", password: str | None = None) -> User:
        """Add a user; `password` is a digest. The name stays taken for ever, since rows carry it."""
        if not is_name(name):
            raise BadParameter(
                f"{name[:64]!r} cannot be the name of a user",
                "a name has 1 to 64 of the letters a to z, digits and . _ - @, and begins with a letter or a digit",
            )
        _check_role(role)
        with self._store.lock:
            if name.lower() in self._users:
                raise UserExists(f"a user is, or was, named {name!r}", "choose another name")
            user = User(name, display_name or name, role, False, password, {}, self._clock(), created_by)
            return self._keep(user)

    def change(self, name: str, **changes: Any) -> User:
        """Change the display name, the role, the settings, or whether a user is disabled."""
        _check_role(changes.get("role", ADMIN))
        with self._store.lock:
            before = self.get(name)
            after = replace(before, **changes)
            self._check_administrators(before, after)
            if after.disabled:
                self._sessions.end_of(after.name, "the user was disabled")
            return self._keep(after)

    def set_password(self, name: str, password: str) -> User:
        """Give a user another password, as a digest, and end all sign-ins."""
        with self._store.lock:
            user = replace(self.get(name), password=password)
            self._sessions.end_of(user.name, "the password was changed")
            return self._keep(user)

    def renew_password(self, verified: User, password: str) -> User:
        """The same password with the costs of today, unless the user changed meanwhile."""
        with self._store.lock:
            return (
                self._keep(replace(verified, password=password)) if self.find(verified.name) == verified else verified
            )

    def remove(self, name: str) -> None:
        """Remove a user; the row stays, so that nobody else inherits what the user made."""
        with self._store.lock:
            before = self.get(name)
            after = replace(before, deleted_at=self._clock(), password=None, disabled=True, settings={})
            self._check_administrators(before, after)
            self._sessions.end_of(before.name, "the user was removed")
            self._keep(after)

    def has_administrator(self) -> bool:
        """Whether anybody can administer the server."""
        return any(_administers(user) for user in list(self._users.values()))

    def _check_administrators(self, before: User, after: User) -> None:
        others = [user for user in self._users.values() if user.name != before.name and _administers(user)]
        if _administers(before) and not _administers(after) and not others:
            raise LastAdministrator(
                f"{before.name!r} is the last administrator who can sign in",
                "make somebody else an administrator first",
            )

    def _keep(self, user: User) -> User:
        self._store.save(user)
        self._users[user.name.lower()] = user
        return user


def _administers(user: User) -> bool:
    return user.role == ADMIN and user.is_present and user.password is not None


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise BadParameter(f"there is no role {role[:64]!r}", f"the roles are {', '.join(ROLES)}")
