"""Random secrets: each tells by its beginning what it is, so that a log can leave it out."""

import hashlib
import hmac
import secrets

KEY = "pyn_"
REFRESH = "pyr_"
LINK = "pyl_"
COOKIE = "pys_"
CSRF = "pyc_"


def new(prefix: str) -> str:
    """A secret of 256 random bits."""
    return prefix + secrets.token_hex(32)


def digest(secret: str) -> str:
    """What is stored of a secret. It is random, so a plain SHA-256 cannot be guessed back."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def seal(key: bytes, text: str) -> str:
    """What only this server can have made of a text."""
    return hmac.new(key, text.encode(errors="replace"), hashlib.sha256).hexdigest()


def same(first: str, second: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(first.encode(errors="replace"), second.encode(errors="replace"))
