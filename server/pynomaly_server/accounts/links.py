"""Links that let somebody set a password once: the first administrator, a new user, one who forgot it."""

from datetime import timedelta

from pynomaly_server.accounts import secret
from pynomaly_server.accounts.records import Clock, Link
from pynomaly_server.accounts.store import Store
from pynomaly_server.errors import UnknownLink

LIFE = timedelta(hours=1)


class Links:
    """The links that nobody has used yet; a newer one for the same user replaces an older one."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._links = {link.digest: link for link in store.load(Link)}

    def make(self, user: str | None, created_by: str) -> tuple[Link, str]:
        """A new link and its token."""
        token = secret.new(secret.LINK)
        now = self._clock()
        link = Link(secret.digest(token), user, now, created_by, now + LIFE)
        with self._store.lock:
            self.drop(user)
            self._store.save(link)
            self._links[link.digest] = link
        return link, token

    def find(self, token: str) -> Link:
        """The link of a token; raises UnknownLink."""
        link = self._links.get(secret.digest(token))
        if link is None or self._clock() >= link.expires_at:
            raise UnknownLink("the link is none, was used, or is over", "ask for another one")
        return link

    def drop(self, user: str | None) -> None:
        """Forget the links of a user, or those for the first administrator."""
        with self._store.lock:
            for link in [item for item in self._links.values() if item.user_name == user]:
                self._store.delete(Link, "digest = ?", (link.digest,))
                del self._links[link.digest]

    def sweep(self) -> None:
        """Forget what is over."""
        with self._store.lock:
            for link in [item for item in self._links.values() if self._clock() >= item.expires_at]:
                self._store.delete(Link, "digest = ?", (link.digest,))
                del self._links[link.digest]
