"""What DuckDB's limits do not count: how long the values are that functions make, and how large a plan becomes."""

import re
from typing import Any

from pynomaly.errors import AccessDenied

HEAVIEST = 100  # relations of a plan in which every CTE stands wherever it is named
DEEPEST = 400  # levels of a tree
LARGEST = 10_000  # characters or items of one value, and those of the values in it
_LENGTH = {"repeat": 1, "lpad": 1, "rpad": 1, "list_resize": 1, "bitstring": 1}  # the argument that tells the length
_SERIES = ("range", "generate_series")
_OF_A_MACRO = 5  # relations
_FORMATS = ("printf", "format")
_REPLACING = {"replace": 1, "regexp_replace": 1, "translate": 1, "string_agg": 1, "array_to_string": 1}
Node = dict[str, Any]


def weight(value: Any, ctes: dict[str, int], macros: frozenset[str], depth: int = 0) -> int:
    """How many relations a part of a statement stands for; each star in a SELECT counts those in its FROM once more.

    Raises AccessDenied where that is too many, or the part is too deep.
    """
    if depth > DEEPEST:
        raise AccessDenied("the statement is nested too deeply", "write it with fewer levels")
    if isinstance(value, list):
        return sum(weight(item, ctes, macros, depth + 1) for item in value)
    if not isinstance(value, dict):
        return 0
    if isinstance(named := value.get("cte_map"), dict):
        ctes = dict(ctes)
        for entry in named.get("map", []):
            ctes[str(entry["key"]).lower()] = max(1, weight(entry["value"], ctes, macros, depth + 1))
    parts = {key: weight(item, ctes, macros, depth + 1) for key, item in value.items() if key != "cte_map"}
    if value.get("type") == "BASE_TABLE":
        parts["name"] = ctes.get(str(value["table_name"]).lower(), 1)
    if value.get("type") == "SELECT_NODE":
        parts["stars"] = max(1, parts["from_table"]) * max(0, _stars(value["select_list"]) - 1) + len(
            value["group_sets"]
        )
    if str(value.get("function_name", "")).lower() in macros:
        parts["macro"] = _OF_A_MACRO
    if (found := sum(parts.values())) > HEAVIEST:
        raise AccessDenied("the plan of the statement would be too large", "name fewer tables, CTEs and macros")
    return found


def _stars(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_stars, value))
    if not isinstance(value, dict):
        return 0
    return int(value.get("class") == "STAR") + sum(map(_stars, value.values()))


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
