"""How long the values are that functions make of short ones: DuckDB's memory limit does not count a single value."""

import re
from typing import Any

from pynomaly.errors import AccessDenied

LARGEST = 10_000  # characters or items of one value, and those of the values in it
_LENGTH = {"repeat": 1, "lpad": 1, "rpad": 1, "list_resize": 1, "bitstring": 1}  # the argument that tells the length
_SERIES = ("range", "generate_series")
_FORMATS = ("printf", "format")
_REPLACING = {"replace": 1, "regexp_replace": 1, "translate": 1, "string_agg": 1, "array_to_string": 1}
Node = dict[str, Any]


def size(name: str, arguments: list[Node]) -> int:
    """The length of the values of a function where that is not the length of its arguments, else 1.

    Raises AccessDenied where the length cannot be told, for it depends on a row.
    """
    if name in _LENGTH and len(arguments) > _LENGTH[name]:
        return max(1, abs(_number(name, arguments[_LENGTH[name]])))
    if name in _SERIES and arguments:
        numbers = [_number(name, argument) for argument in arguments]
        start, stop = (0, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
        step = numbers[2] if len(numbers) > 2 else 1
        return max(1, abs(stop - start) // max(1, abs(step)))
    if name in _FORMATS and arguments:
        text = _constant(arguments[0])
        if text is None or re.search(r"\d{4}|\*|\{[^}]*\{", text):
            raise _refused(name)
    if name in _REPLACING and any(_constant(argument) is None for argument in arguments[_REPLACING[name] :]):
        raise _refused(name)
    return 1


def _number(name: str, node: Node) -> int:
    sign = 1
    if node.get("class") == "FUNCTION" and node.get("function_name") == "-" and len(node["arguments"]) == 1:
        node, sign = node["arguments"][0]["expression"], -1
    text = _constant(node)
    if text is None or not re.fullmatch(r"-?\d{1,18}", text):
        raise _refused(name)
    return sign * int(text)


def _constant(node: Node) -> str | None:
    """The text of a constant; None for another expression."""
    return str(node["literal"].get("text", "")) if node.get("class") == "CONSTANT" else None


def _refused(name: str) -> AccessDenied:
    return AccessDenied(
        f"how long the values of `{name}` are depends on rows", "give it constants, or use range() in FROM"
    )
