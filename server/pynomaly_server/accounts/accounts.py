"""Everything about who somebody is, without HTTP."""

import secrets
from datetime import datetime, timedelta
from pathlib import Path

from pynomaly_server.accounts import passwords, secret
from pynomaly_server.accounts.guessing import Guessing
from pynomaly_server.accounts.keys import Keys
from pynomaly_server.accounts.links import Links
from pynomaly_server.accounts.passwords import Passwords
from pynomaly_server.accounts.records import Clock, Key, Link, Session, SigningKey, User, wall_clock
from pynomaly_server.accounts.sessions import Sessions, Tokens
from pynomaly_server.accounts.store import Store
from pynomaly_server.accounts.users import ADMIN, Users, is_name
from pynomaly_server.errors import AdministratorExists, Forbidden, Unauthenticated, UnknownLink
from pynomaly_server.identity import Identity
from pynomaly_server.permissions import ROLES, Permission

_SWEPT_EVERY = timedelta(hours=1)
_OF_EVERY_KEY = frozenset({Permission.PUBLIC, Permission.SIGNED_IN})
_NONE: frozenset[Permission] = frozenset()


class Accounts:
    """The accounts of one workspace; one process owns their file, and every call is safe from any thread."""

    def __init__(self, path: Path, clock: Clock = wall_clock, hasher: Passwords | None = None) -> None:
        self.clock = clock
        self._store = Store(path)
        self.sessions = Sessions(self._store, clock, self._signing_key())
        self.users = Users(self._store, clock, self.sessions)
        self.keys = Keys(self._store, clock)
        self.links = Links(self._store, clock)
        self.passwords = hasher or Passwords()
        self._guessing = Guessing(self._store, clock)
        self._swept_at = clock()
        self.sweep()

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def identify(self, authorization: str | None, cookie: str | None) -> Identity | None:
        """Who sends a request with this header `Authorization`, or else this cookie; None without either.

        Raises Unauthenticated for a credential that is none, or no longer one: never falls back to the other.
        """
        if authorization is not None:
            scheme, _, credential = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise Unauthenticated("the header Authorization names no bearer", "send Authorization: Bearer ...")
            if credential.startswith(secret.KEY):
                return self._of_key(self.keys.use(credential))
            return self._of_session(self.sessions.of_access(credential))
        return None if cookie is None else self._of_session(self.sessions.of_cookie(cookie))

    def is_still(self, identity: Identity) -> bool:
        """Whether a credential that was good is good now: a stream that stays open asks from time to time."""
        user = self.users.find(identity.user)
        if user is None or not user.is_present or user.role != identity.role:
            return False
        is_key = identity.credential == "key"
        return (self.keys if is_key else self.sessions).is_live(identity.credential_id)

    def sign_in(self, name: str, password: str, address: str) -> User:
        """The user with this password; every refusal costs and tells the same, whether or not there is such a user.

        Raises Unauthenticated, or TooManyAttempts while the user or the address is locked.
        """
        counted = name if is_name(name) else "?"
        self._sweep_sometimes()
        self._guessing.check(counted, address)
        with self.passwords.turn():
            self._guessing.check(counted, address)  # again: others failed while this one waited
            user = self.users.find(counted)
            stored = user.password if user is not None and user.is_present else None
            if not self.passwords.verify(stored, password) or user is None:
                self._guessing.failed(counted, address)
                raise Unauthenticated(
                    "the user or the password is wrong", "try again, or ask an administrator for a link"
                )
            self._guessing.succeeded(counted, address)
            if stored is not None and self.passwords.is_outdated(stored):
                return self.users.renew_password(user, self.passwords.hash(password))
        return user

    def grant_tokens(self, user: User) -> Tokens:
        """Tokens for a user who has just signed in."""
        with self._store.lock:
            self._check_still(user)
            return self.sessions.open_family(user.name)

    def open_console(self, user: User) -> tuple[Session, str]:
        """A session of the console for a user who has just signed in, and its cookie."""
        with self._store.lock:
            self._check_still(user)
            return self.sessions.open_console(user.name)

    def change_password(self, identity: Identity, current: str, new: str, address: str) -> None:
        """Set another password and end all sign-ins; the current one is asked for as at a sign-in."""
        signed_in_only(identity)
        passwords.check(new, identity.user)
        user = self.sign_in(identity.user, current, address)
        with self.passwords.turn():
            digest = self.passwords.hash(new)
        with self._store.lock:
            self._check_still(user)
            self.users.set_password(user.name, digest)
            self.links.drop(user.name)

    def has_admin(self) -> bool:
        """Whether anybody can administer the server; until then there is a link for whoever started it."""
        return self.users.has_administrator()

    def sign_in_link(self) -> str:
        """The token of a link that makes the first administrator; raises AdministratorExists where there is one."""
        with self._store.lock:
            if self.has_admin():
                raise AdministratorExists("there is an administrator already", "sign in, or make a link for a user")
            return self.links.make(None, "pynomaly")[1]

    def user_link(self, user: str, created_by: str) -> tuple[Link, str]:
        """A link, and its token, by which a user sets a password; raises UnknownUser."""
        with self._store.lock:
            return self.links.make(self.users.get(user).name, created_by)

    def redeem(self, token: str, password: str, name: str | None = None) -> User:
        """Set the password that a link is for; a link for the first administrator makes one of this name."""
        link = self.links.find(token)
        owner = link.user_name or name or ADMIN
        if link.user_name is not None and name is not None and name.lower() != link.user_name.lower():
            raise UnknownLink("the link is for another user", "leave the name out")
        passwords.check(password, owner)
        with self.passwords.turn():
            digest = self.passwords.hash(password)
        with self._store.lock:
            self.links.find(token)  # once: two may have come this far
            if link.user_name is None:
                return self._first_administrator(owner, digest)
            if not self.users.get(owner).is_present:
                raise UnknownLink("the link is for a user who is disabled", "ask an administrator")
            self.links.drop(link.user_name)
            return self.users.set_password(owner, digest)

    def make_key(
        self, identity: Identity, name: str, scopes: list[str], expires_at: datetime | None
    ) -> tuple[Key, str]:
        """A key for the caller, of permissions that the caller has; raises Forbidden for others."""
        signed_in_only(identity)
        beyond = sorted(set(scopes) - set(identity.permissions))
        if beyond:
            raise Forbidden(f"a key cannot carry {', '.join(beyond)}, which you do not have", "leave it out")
        return self.keys.make(identity.user, name, scopes, expires_at)

    def remove_user(self, name: str) -> None:
        """Remove a user with everything that lets somebody in."""
        with self._store.lock:
            user = self.users.get(name)
            self.users.remove(user.name)
            self.keys.revoke_all(user.name)
            self.links.drop(user.name)

    def sweep(self) -> None:
        """Forget what is over."""
        self.sessions.sweep()
        self.links.sweep()
        self._guessing.sweep()

    def _first_administrator(self, name: str, digest: str) -> User:
        if self.has_admin():
            raise AdministratorExists("there is an administrator already", "sign in, or ask for a link")
        user = self.users.add(name, ADMIN, "pynomaly", password=digest)
        self.links.drop(None)
        return user

    def _check_still(self, verified: User) -> None:
        """Raise Unauthenticated if the password or the user went since the password was verified."""
        user = self.users.find(verified.name)
        if user is None or not user.is_present or user.password != verified.password:
            raise Unauthenticated("the user or the password is wrong", "sign in again")

    def _of_session(self, session: Session) -> Identity:
        user = self._present(session.user_name)
        return Identity(user.name, user.role, ROLES.get(user.role, _NONE), session.kind, session.id)

    def _of_key(self, key: Key) -> Identity:
        user = self._present(key.user_name)
        role = ROLES.get(user.role, _NONE)
        held = frozenset([held for held in role if held in _OF_EVERY_KEY or held in key.scopes])
        return Identity(user.name, user.role, held, "key", key.id)

    def _present(self, name: str) -> User:
        user = self.users.find(name)
        if user is None or not user.is_present:
            raise Unauthenticated("the user is disabled or was removed", "ask an administrator")
        return user

    def _sweep_sometimes(self) -> None:
        if self.clock() - self._swept_at >= _SWEPT_EVERY:
            self._swept_at = self.clock()
            self.sweep()

    def _signing_key(self) -> SigningKey:
        with self._store.lock:
            kept = self._store.load(SigningKey)
            if kept:
                return max(kept, key=lambda key: key.id)
            made = SigningKey(1, secrets.token_bytes(32), self.clock())
            self._store.save(made)
            return made


def signed_in_only(identity: Identity) -> None:
    """Raise Forbidden for an API key: what changes an account needs the person."""
    if identity.credential == "key":
        raise Forbidden("an API key cannot do this", "sign in with the password")
