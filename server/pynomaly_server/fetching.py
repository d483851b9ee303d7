"""Files that are served over HTTP: each address on the way is checked, and connected to as it was checked."""

import http.client
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

from pynomaly.errors import SourceRefused, SourceUnavailable, SourceUnreadable, UnknownSource
from pynomaly_server.addresses import Resolve, public, resolved
from pynomaly_server.errors import AddressRefused, UploadTooLarge

SCHEMES = ("http", "https")
MOST_REDIRECTS = 5
SILENCE, WHOLE = 30.0, 1_800.0  # seconds
READ = 1_048_576
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class _Pinned(http.client.HTTPConnection):
    """A connection to the number that was checked, whatever the name says next."""

    def __init__(self, url: SplitResult, port: int, number: str) -> None:
        super().__init__(str(url.hostname), port, timeout=SILENCE)
        self._number = number
        self._is_secure = url.scheme == "https"

    def connect(self) -> None:
        """Connect, and shake hands under the name."""
        plain = socket.create_connection((self._number, self.port), SILENCE)
        context = ssl.create_default_context() if self._is_secure else None
        self.sock = context.wrap_socket(plain, server_hostname=self.host) if context else plain


def fetch(address: str, to: Path, limit: int, allow_private: bool, resolve: Resolve = resolved) -> None:
    """Fetch what an address serves into a file of at most so many bytes.

    Raises AddressRefused, UploadTooLarge, and a PynomalyError for what the server there answers.
    """
    for _ in range(MOST_REDIRECTS + 1):
        connection, path = _opened(address, allow_private, resolve)
        try:
            connection.request("GET", path, headers={"Accept": "*/*", "Accept-Encoding": "identity"})
            with connection.getresponse() as answer:
                if answer.status not in _REDIRECTS:
                    _check(answer.status, address)
                    _write(answer, to, limit)
                    return
                address = urljoin(address, answer.headers.get("Location", ""))
        except (OSError, http.client.HTTPException) as error:
            raise SourceUnavailable(f"`{_shown(address)}` does not answer: {error}", "try again later") from None
        finally:
            connection.close()
    raise SourceUnreadable(f"`{_shown(address)}` redirects more than {MOST_REDIRECTS} times", "give the last address")


def check(address: str, allow_private: bool, resolve: Resolve = resolved) -> None:
    """Refuse an address that is not fetched from, before anything is."""
    _opened(address, allow_private, resolve)[0].close()


def _opened(address: str, allow_private: bool, resolve: Resolve) -> tuple[_Pinned, str]:
    try:
        url = urlsplit(address)
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        raise AddressRefused("the address cannot be taken apart", "write https://host/path") from None
    if url.scheme not in SCHEMES or not url.hostname or "@" in url.netloc:
        raise AddressRefused(f"`{_shown(address)}` is no plain address of a file", "write https://host/path")
    if any(ord(letter) <= 32 or ord(letter) > 126 for letter in address):
        raise AddressRefused("the address has signs that need a code", "write them as %20")
    number = public(url.hostname, port, allow_private, resolve)[0]
    return _Pinned(url, port, number), (url.path or "/") + (f"?{url.query}" if url.query else "")


def _check(status: int, address: str) -> None:
    shown = f"`{_shown(address)}` is answered with {status}"
    if status in (401, 403):
        raise SourceRefused(shown, "give an address that needs no sign-in")
    if status in (404, 410):
        raise UnknownSource(shown, "check the address")
    if status == 429 or status >= 500:
        raise SourceUnavailable(shown, "try again later")
    if status != 200:
        raise SourceUnreadable(shown, "check the address")


def _write(answer: http.client.HTTPResponse, to: Path, limit: int) -> None:
    until, n_bytes = time.monotonic() + WHOLE, 0
    with to.open("wb") as file:
        while piece := answer.read(READ):
            n_bytes += len(piece)
            if n_bytes > limit:
                raise UploadTooLarge(f"the file has more than {limit:,} bytes", "ask to raise max_upload_bytes")
            if time.monotonic() > until:
                raise SourceUnavailable(f"the file did not come in within {WHOLE:.0f} seconds", "try again later")
            file.write(piece)
    if answer.length:
        raise SourceUnavailable(f"the answer ended {answer.length:,} bytes too early", "try again")


def _shown(address: str) -> str:
    """An address without what may be secret in it."""
    return address.partition("?")[0].rpartition("@")[2][:200]
