"""Takes secrets out of what is logged."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pynomaly.errors import without_passwords

GONE = "[redacted]"
_NAMES = re.compile(
    r"pass(word|wd|phrase)?$|password|secret|token$|authorization$|cookie$|credential$|api_?key$|signature$|digest$|^key$",
    re.IGNORECASE,
)
_LOCALS = "locals"  # of the frames of a traceback: whatever was in a variable
_OURS = re.compile(r"\b(py[nrlsc]_)[A-Za-z0-9_-]+")
_WEB_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]*)?")
_SCHEME = re.compile(r"\b(Bearer|bearer|Basic)\s+[^\s'\",;]{6,}")
_NAMED = re.compile(
    r"""((?:pass(?:word|wd|phrase)?|secret|token|api_?key|signature|sig|authorization|cookie)\\*["']?\s*[:=]\s*\\*)"""
    r"""("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s&,;)}\]]+)""",
    re.IGNORECASE,
)

_HINT = re.compile(r"py[nrlsc]_|eyJ|bearer|basic |pass|secret|token|key|sig|authorization|cookie|://", re.IGNORECASE)


def redacted(_logger: Any, _method: str, entry: Any) -> Any:
    """An entry of the log without secrets; a processor of structlog."""
    return {name: _value(str(name), value) for name, value in entry.items()}


def without_secrets(text: str) -> str:
    """A text without keys, tokens, cookies, passwords in addresses, and values that are named as secrets."""
    if not _HINT.search(text):  # most texts: one look instead of five
        return text
    text = _SCHEME.sub(rf"\1 {GONE}", without_passwords(text))
    return _NAMED.sub(rf"\1{GONE}", _WEB_TOKEN.sub(GONE, _OURS.sub(rf"\1{GONE}", text)))


@lru_cache(maxsize=1_024)
def _is_secret(name: str) -> bool:
    """Whether what has this name is never logged."""
    return name == _LOCALS or _NAMES.search(name) is not None


def _value(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _is_secret(name):
        return GONE
    match value:
        case str():
            return without_secrets(value)
        case bytes() | bytearray():
            return without_secrets(bytes(value).decode(errors="replace"))
        case Mapping():
            return {without_secrets(str(key)): _value(str(key), item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_value("", item) for item in value]
        case _:
            return value if name.startswith("_") else without_secrets(str(value))
