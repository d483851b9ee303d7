"""API keys: a random secret for a program, worth some of what its user may do."""

import secrets
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from pynomaly.errors import BadParameter
from pynomaly_server.accounts import secret
from pynomaly_server.accounts.records import Clock, Key
from pynomaly_server.accounts.store import Store
from pynomaly_server.errors import TooManyKeys, Unauthenticated, UnknownKey

MOST = 100  # live keys of one user
MINUTE = timedelta(minutes=1)
LONGEST = timedelta(days=3_653)


class Keys:
    """The API keys, in memory and in the file."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._keys = {key.id: key for key in store.load(Key, "revoked_at is null")}

    def make(self, user: str, name: str, scopes: list[str], expires_at: datetime | None) -> tuple[Key, str]:
        """A new key and its only appearance as a text."""
        now = self._clock()
        ends = None if expires_at is None else _moment(expires_at, now)
        with self._store.lock:
            if len(self.of(user)) >= MOST:
                raise TooManyKeys(f"{user!r} has {MOST} keys", "revoke one first")
            identifier = secrets.token_hex(8)
            plain = f"{secret.KEY}{identifier}_{secrets.token_hex(32)}"
            key = Key(identifier, user, name, secret.digest(plain), sorted(set(scopes)), now, ends)
            self._keep(key)
        return key, plain

    def use(self, plain: str) -> Key:
        """The live key of a text; raises Unauthenticated."""
        key = self._keys.get(plain[len(secret.KEY) :].partition("_")[0])
        now = self._clock()
        if key is None or not secret.same(secret.digest(plain), key.digest):
            raise Unauthenticated("the API key is none of this server, or was revoked", "make another one")
        if key.expires_at is not None and now >= key.expires_at:
            raise Unauthenticated("the API key is over", "make another one")
        if key.last_used_at is None or now - key.last_used_at >= MINUTE:
            with self._store.if_free() as is_free:
                if is_free and key.id in self._keys:  # it may have been revoked since
                    self._keys[key.id] = replace(key, last_used_at=now)
                    self._store.note(self._keys[key.id])
        return key

    def is_live(self, identifier: str) -> bool:
        """Whether a key is neither revoked nor over."""
        key = self._keys.get(identifier)
        return key is not None and (key.expires_at is None or self._clock() < key.expires_at)

    def of(self, user: str) -> list[Key]:
        """The keys of a user that are not revoked, by id."""
        return sorted((key for key in list(self._keys.values()) if key.user_name == user), key=lambda key: key.id)

    def revoke(self, user: str, identifier: str) -> None:
        """End a key of a user; raises UnknownKey for one of somebody else too."""
        with self._store.lock:
            key = self._keys.get(identifier)
            if key is None or key.user_name != user:
                raise UnknownKey(f"no API key has the id {identifier[:64]!r}", "GET /api/v1/api-keys lists them")
            del self._keys[identifier]
            self._store.save(replace(key, revoked_at=self._clock()))

    def revoke_all(self, user: str) -> None:
        """End every key of a user."""
        with self._store.lock:
            for key in self.of(user):
                self.revoke(user, key.id)

    def _keep(self, key: Key) -> None:
        self._store.save(key)
        self._keys[key.id] = key


def _moment(given: datetime, now: datetime) -> datetime:
    """A moment to come, in UTC; a year beyond what a calendar has would be read back by nobody."""
    if given.tzinfo is None or not now < given <= now + LONGEST:
        raise BadParameter(
            "`expires_at` is over, more than ten years away, or has no time zone", "name a moment in between"
        )
    return given.astimezone(UTC)
