"""Against guessing: after some failures the next attempt has to wait, each time longer."""

import ipaddress
import math
from datetime import datetime, timedelta

import msgspec

from pynomaly_server.accounts.records import Clock, Failures
from pynomaly_server.accounts.store import Store
from pynomaly_server.errors import TooManyAttempts

# How many failures are free, and how many seconds a lock may grow to. One address is stopped soon; a user is locked
# for everybody late and shortly, or else anybody could lock out anybody.
LIMITS = {"pair": (5, 900), "address": (20, 60), "user": (50, 60)}
QUIET = timedelta(hours=1)
MOST = 10_000


def network(address: str) -> str:
    """What counts as one address: of IPv6 the network of 64 bits, of which a single machine has every address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Guessing:
    """Counts failed sign-ins, in memory and in the file: a restart forgets none."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._failures = {failures.subject: failures for failures in store.load(Failures)}

    def check(self, user: str, address: str) -> None:
        """Raise TooManyAttempts while the user or the address is locked, whether or not there is such a user."""
        now = self._clock()
        until = [self._failures[subject].locked_until for subject in _subjects(user, address) if self._has(subject)]
        left = max(((moment - now).total_seconds() for moment in until if moment), default=0.0)
        if left > 0:
            raise TooManyAttempts("too many attempts failed", f"try again in {math.ceil(left)} s", left)

    def failed(self, user: str, address: str) -> None:
        """Count a failure."""
        with self._store.lock:
            now = self._clock()
            counted = [self._counted(subject, now) for subject in _subjects(user, address)]
            self._failures.update({failures.subject: failures for failures in counted})  # before the disk can fail
            self._store.save(*counted)
            if len(self._failures) > MOST:
                self._forget(now)

    def succeeded(self, user: str, address: str) -> None:
        """Forget the failures of a user; those of the address stay, or an account of one's own would clear them."""
        pair, _, person = _subjects(user, address)
        if pair in self._failures or person in self._failures:
            self._remove([pair, person])

    def _has(self, subject: str) -> bool:
        return subject in self._failures

    def _counted(self, subject: str, now: datetime) -> Failures:
        before = self._failures.get(subject)
        failed = 1 if before is None or before.last_at + QUIET < now else before.failed + 1
        free, longest = LIMITS[subject.partition(" ")[0]]
        seconds = min(2 ** min(failed - free, 20), longest) if failed >= free else 0
        return Failures(subject, failed, now, now + timedelta(seconds=seconds) if seconds else None)

    def _forget(self, now: datetime) -> None:
        """Make room: what is over goes first, then what failed least, so that nobody washes a lock away."""
        stale = [item.subject for item in self._failures.values() if item.last_at + QUIET < now]
        if len(self._failures) - len(stale) > MOST:
            least = sorted(self._failures.values(), key=lambda item: (item.failed, item.last_at))
            stale = [item.subject for item in least[: MOST // 10]]
        self._remove(stale)

    def _remove(self, subjects: list[str]) -> None:
        with self._store.lock:
            self._store.delete(Failures, "list_contains(?, subject)", (subjects,))
            for subject in subjects:
                self._failures.pop(subject, None)

    def sweep(self) -> None:
        """Forget what is over."""
        now = self._clock()
        with self._store.lock:
            self._remove([item.subject for item in self._failures.values() if item.last_at + QUIET < now])


def _subjects(user: str, address: str) -> tuple[str, str, str]:
    """What an attempt is counted under: the pair, the address, the user."""
    place, name = network(address), user.lower()[:64]
    pair: bytes = msgspec.json.encode([name, place])
    return f"pair {pair.decode()}", f"address {place}", f"user {name}"
