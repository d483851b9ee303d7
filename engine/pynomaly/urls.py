"""Addresses with a scheme: their parts, and how they are told without a secret."""

import re
from urllib.parse import quote, unquote

import msgspec

from pynomaly.errors import BadParameter, without_passwords

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_PARTS = re.compile(
    r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://)(?P<place>[^/?#]*)(?P<path>[^?#]*)(\?(?P<query>[^#]*))?(?P<fragment>#.*)?",
    re.DOTALL,
)
_PARAMETER = re.compile(r"[\w.]+(=.*)?", re.DOTALL)
_PLAIN = ("s3", "sqlite")  # have no password, and question marks of their own
_LEGIBLE = " *(),.:;<>='\"/"  # need no code in a parameter
_SECRET = re.compile("pass|secret|token", re.IGNORECASE)


class Url(msgspec.Struct, frozen=True):
    """An address: `place` is all between the slashes, user and password included; `path` is as it was written."""

    scheme: str
    place: str
    path: str
    parameters: tuple[tuple[str, str], ...]

    @property
    def host(self) -> str:
        """The place without user and password."""
        return self.place.rpartition("@")[2]

    @property
    def secrets(self) -> list[str]:
        """What must not be told, as it stands in the address and decoded."""
        password = self.place.rpartition("@")[0].partition(":")[2]
        found = [password, *(value for name, value in self.parameters if _SECRET.search(name))]
        return [secret for given in found if given for secret in (given, unquote(given))]


def scheme(source: str) -> str | None:
    """The scheme of an address in lower case; None for another source."""
    found = _SCHEME.match(source)
    return found[1].lower() if found else None


def parsed(source: str) -> Url:
    """The parts of an address; BadParameter where a sign that it needs for itself stands in one of them."""
    found = _PARTS.fullmatch(source)
    if found is None or _is_torn(found):
        raise BadParameter(
            f"`{shown(source)}` cannot be taken apart",
            "write the signs :/?#@&% in its parts as %3A %2F %3F %23 %40 %26 %25",
        )
    pairs = (pair.partition("=") for pair in (found["query"] or "").split("&") if pair)
    # A plus is a plus, as it is in PostgreSQL's own addresses and in SQL.
    parameters = tuple((unquote(name), unquote(value)) for name, _, value in pairs)
    return Url(found["head"][:-3].lower(), found["place"], found["path"], parameters)


def shown(source: str) -> str:
    """A source as it may be told: without the password of an address."""
    found = _PARTS.fullmatch(source)
    if found is None:
        return without_passwords(source)  # a statement may have an address in it
    if "@" not in found["place"] and scheme(source) in _PLAIN:
        return source
    if _is_torn(found):  # by a sign in the password, so that all before the last @ may belong to it
        return re.sub(r"://([^:/?#@]*).*@", r"://\1@", source, count=1, flags=re.DOTALL).partition("?")[0]
    user, at, host = found["place"].rpartition("@")
    query = "&".join(pair for pair in (found["query"] or "").split("&") if not _SECRET.search(_name(pair)))
    begin = f"{found['head']}{user.partition(':')[0]}{at}{host}{found['path']}"
    return "".join([begin, "?" if query else "", query, found["fragment"] or ""])


def told(source: str, options: dict[str, object]) -> str:
    """A source as it may be told, with the table or query that its options name as part of the address."""
    found = shown(source)
    if scheme(source) is None:
        return found
    given = {name: without_passwords(str(options[name])) for name in ("table", "query") if options.get(name)}
    own = [f"{name}={quote(text, safe=_LEGIBLE)}" for name, text in given.items()]
    return "".join([found, *("&" if "?" in found else "?" for _ in own[:1]), "&".join(own)])


def _name(pair: str) -> str:
    return unquote(pair.partition("=")[0])


def _is_torn(found: re.Match[str]) -> bool:
    """Whether the place ends too early: a password with a slash, a question mark or a number sign ends it."""
    if ":" not in found["place"]:
        return False
    if found["place"].count("@") > 1:  # libpq takes the first for the end of the password
        return True
    pairs = [pair for pair in (found["query"] or "").split("&") if pair]
    is_open = not all(_PARAMETER.fullmatch(unquote(pair)) for pair in pairs)
    return "@" in found["path"] or found["fragment"] is not None or is_open
