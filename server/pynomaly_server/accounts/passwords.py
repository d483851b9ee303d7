"""Passwords: what may be one, and the costly work of checking one, of which only so much is done at once."""

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pynomaly_server.errors import TooManyAttempts, WeakPassword

MINIMUM_CHARACTERS = 12
MAXIMUM_BYTES = 1024
AT_ONCE = 2
WAITING = 62  # in threads of their own, see api/auth.py


class Passwords:
    """Argon2id, at most two at once: guessing must not take the server's memory nor its threads."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        # Three passes over 32 MiB, more than OWASP's least of two over 19; two at once stay small beside the database.
        self._hasher = hasher or PasswordHasher(time_cost=3, memory_cost=32_768, parallelism=1)
        self._nobody = _digest_of_nobody(self._hasher.time_cost, self._hasher.memory_cost, self._hasher.parallelism)
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._queue = threading.BoundedSemaphore(AT_ONCE + WAITING)
        self.computed = 0  # how often Argon2 ran, for tests: an unknown user must cost what a known one does

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn; TooManyAttempts where too many wait already."""
        if not self._queue.acquire(blocking=False):
            raise TooManyAttempts("too many people sign in at this moment", "try again in a second", 1.0)
        try:
            with self._turns:
                yield
        finally:
            self._queue.release()

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether a password has this digest; without a digest it costs the same and is False."""
        self.computed += 1
        fits = len(password) <= MAXIMUM_BYTES
        try:
            self._hasher.verify(stored or self._nobody, _bytes(password[:MAXIMUM_BYTES]))
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None and fits

    def hash(self, password: str) -> str:
        """The digest of a password."""
        self.computed += 1
        return self._hasher.hash(_bytes(password))

    def is_outdated(self, stored: str) -> bool:
        """Whether a digest was made with other costs than today's."""
        return self._hasher.check_needs_rehash(stored)


def check(password: str, user: str) -> None:
    """Raise WeakPassword unless a text may be the password of a user."""
    if len(password) > MAXIMUM_BYTES or len(_bytes(password)) > MAXIMUM_BYTES:
        raise WeakPassword("the password is too long", f"choose one of at most {MAXIMUM_BYTES} bytes")
    if len(_bytes(password).decode()) < MINIMUM_CHARACTERS:
        raise WeakPassword("the password is too short", f"choose one of at least {MINIMUM_CHARACTERS} characters")
    if password.casefold().strip() == user.casefold():
        raise WeakPassword("the password is the user name", "choose another one")


@cache
def _digest_of_nobody(time_cost: int, memory_cost: int, parallelism: int) -> str:
    """What an unknown user's password is held against, at the costs of everybody's; made once a process."""
    return PasswordHasher(time_cost, memory_cost, parallelism).hash("the password of nobody")


def _bytes(password: str) -> bytes:
    """A password as every keyboard writes it; half a surrogate pair, which is no text, does not stop it."""
    return unicodedata.normalize("NFKC", password).encode(errors="backslashreplace")
