"""Takes secrets out of what is logged."""

import re
from collections.abc import Mapping
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


def redacted(_logger: Any, _method: str, entry: Any) -> Any:
    """An entry of the log without secrets; a processor of structlog."""
    return {name: _value(str(name), value) for name, value in entry.items()}


def without_secrets(text: str) -> str:
    """A text without keys, tokens, cookies, passwords in addresses, and values that are named as secrets."""
    text = _SCHEME.sub(rf"\1 {GONE}", without_passwords(text))
    return _NAMED.sub(rf"\1{GONE}", _WEB_TOKEN.sub(GONE, _OURS.sub(rf"\1{GONE}", text)))


def _value(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _NAMES.search(name) or name == _LOCALS:
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
