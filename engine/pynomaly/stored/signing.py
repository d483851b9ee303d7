"""The key that signs the models which run code when they are read. It is kept outside of every database."""

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from pynomaly.errors import ModelKeyUnavailable, ModelUntrusted
from pynomaly.paths import config_folder

VARIABLE = "PYNOMALY_MODEL_KEY"
FILE_NAME = "model.key"
FEWEST = 16  # characters of a key
SIGNATURE = 32  # bytes
OTHERS = stat.S_IRWXG | stat.S_IRWXO

MEND = f"set {VARIABLE} to a text of {FEWEST} characters or more that nobody can guess"


class Key:
    """A key; it is never shown."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @property
    def fingerprint(self) -> str:
        """What names the key without telling it."""
        return self.sign(b"pynomaly model key").hex()[:16]

    def sign(self, data: bytes | bytearray | memoryview) -> bytes:
        """The HMAC-SHA256 of some bytes."""
        return hmac.digest(self._secret, data, hashlib.sha256)


def key_to_sign(environment: Mapping[str, str] = os.environ) -> Key:
    """The key, made on first use; ModelKeyUnavailable where that cannot be."""
    try:
        return _known(environment) or _made(_file(environment))
    except (OSError, RuntimeError) as error:
        raise ModelKeyUnavailable(f"the key that signs this model cannot be kept: {error}", MEND) from error


def verify(body: memoryview, fingerprint: str, environment: Mapping[str, str] = os.environ) -> memoryview:
    """What was signed of a file that ends with its signature; ModelUntrusted unless the key here signed it."""
    try:
        key = _known(environment)
    except (OSError, RuntimeError) as error:
        raise ModelKeyUnavailable(f"the key that signs models cannot be read: {error}", MEND) from error
    signed, signature = body[:-SIGNATURE], body[-SIGNATURE:]
    if key is None or key.fingerprint != fingerprint:
        here = "there is none here" if key is None else f"here is key {key.fingerprint}"
        raise ModelUntrusted(
            f"the model runs code when it is read; it is signed with key {fingerprint}, and {here}",
            f"if you trust who made it, set {VARIABLE} to the key it was made with; else train it again",
        )
    if not hmac.compare_digest(key.sign(signed), bytes(signature)):
        raise ModelUntrusted("the model was changed after it was signed", "do not use it; train it again")
    return signed


def _known(environment: Mapping[str, str]) -> Key | None:
    """The key of the variable or of the file; None where there is neither."""
    given = environment.get(VARIABLE)
    if given is not None:
        if len(given) < FEWEST:
            raise ModelKeyUnavailable(f"{VARIABLE} has {len(given)} characters", MEND)
        return Key(given.encode())
    file = _file(environment)
    if not file.is_file():
        return None
    if os.name == "posix" and file.stat().st_mode & OTHERS:
        raise ModelKeyUnavailable(f"others may read or write the key {file}", f"chmod 600 {file}")
    secret = file.read_text(encoding="ascii").strip()
    if len(secret) < FEWEST:
        raise ModelKeyUnavailable(f"{file} holds no key", "restore it; models signed with a lost key cannot be read")
    return Key(secret.encode())


def _made(file: Path) -> Key:
    """A new key, written whole or not at all; that of another process if it was faster."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = secrets.token_hex(32)
    mine = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
        out.write(f"{secret}\n")
    try:
        os.link(mine, file)
    except FileExistsError:
        secret = file.read_text(encoding="ascii").strip()
    finally:
        mine.unlink()
    return Key(secret.encode())


def _file(environment: Mapping[str, str]) -> Path:
    return config_folder(environment) / FILE_NAME
