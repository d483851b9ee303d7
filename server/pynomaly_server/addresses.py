"""Which addresses a server connects to for its users: none of its own machine or network, unless that is allowed."""

import ipaddress
import socket
from collections.abc import Callable
from urllib.parse import quote

from pynomaly import urls
from pynomaly.errors import SourceUnavailable, did_you_mean
from pynomaly_server.errors import AddressRefused

DATABASES = ("postgresql", "postgres")
SCHEMES = (*DATABASES, "s3")
_PARAMETERS = ("table", "query", "timeout", "sslmode", "connect_timeout", "application_name", "target_session_attrs")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]


def resolved(host: str, port: int) -> list[str]:
    """The addresses behind a name."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def checked(address: str, allow_private: bool, resolve: Resolve = resolved) -> str:
    """An address as it may be connected to: a database's with the number that was checked, whatever its name says next.

    Raises AddressRefused for files, for what reads files, and for what resolves to an address that is not public.
    """
    scheme = urls.scheme(address)
    if scheme not in SCHEMES:
        shown = f"`{urls.shown(address)}`" if scheme else "a file"
        raise AddressRefused(
            f"{shown} is not read by the server", "upload the file, or give https://, postgresql:// or s3://"
        )
    if scheme not in DATABASES:  # the store that answers is the operator's choice
        return address
    url = urls.parsed(address)
    for name, _ in url.parameters:
        if name not in _PARAMETERS:
            near = did_you_mean(name, _PARAMETERS)
            raise AddressRefused(f"the parameter `{name}` is not taken from users", near)
    host, port = _host_and_port(url.host)
    numbers = public(host, port, allow_private, resolve)
    separator = "&" if "?" in address else "?"
    return f"{address}{separator}hostaddr={quote(numbers[0], safe='')}"


def public(host: str, port: int, allow_private: bool, resolve: Resolve = resolved) -> list[str]:
    """The addresses behind a host; AddressRefused unless all of them are public, or private ones are allowed."""
    try:
        numbers = resolve(host, port)
    except (OSError, UnicodeError):
        raise SourceUnavailable(f"`{host}` has no address", "check the name") from None
    if not numbers or (not allow_private and not all(map(is_public, numbers))):
        raise AddressRefused(
            f"`{host}` is an address of a private network", "use a public one, or ask to set allow_private_addresses"
        )
    return numbers


def is_public(number: str) -> bool:
    """Whether an address is one of the public network, also one within another."""
    try:
        address: Address = ipaddress.ip_address(number.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or address.packed[:12] == bytes(12):
        return ipaddress.IPv4Address(address.packed[12:])
    return ipaddress.IPv4Address(address.packed[2:6]) if address in _SIX_TO_FOUR else None


def _host_and_port(place: str) -> tuple[str, int]:
    """The one host of an address; AddressRefused for several, for none, and for a socket file."""
    host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    host = host if colon else place
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_number = not colon or (port.isascii() and port.isdigit() and 0 < int(port) < 65_536)
    if not plain or not is_number or any(sign in plain for sign in ",/%@\\") or (":" in plain and plain == host):
        raise AddressRefused(f"`{place[:100]}` names no single host", "write host:port")
    return plain, int(port) if colon else 5432
