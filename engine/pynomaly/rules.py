"""Rules that the rows of a source shall keep: what kinds there are, and rules as they are given and stored."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import duckdb
import msgspec

from pynomaly.errors import BadParameter, did_you_mean
from pynomaly.source import first_line, names

SEVERITIES = ("error", "warning")
_OF_A_RULE = ("kind", "column", "columns", "parameters", "severity")


class Kind(NamedTuple):
    """What a kind of rule needs: its parameters with their checks, and how many columns it takes together."""

    parameters: dict[str, Callable[[object], bool]]
    needs: tuple[str, ...] = ()  # one of these must be given
    columns: tuple[int, float] = (1, 1)


class Rule(msgspec.Struct, frozen=True):
    """One rule: its kind, the columns that it is about, its parameters, and how bad it is where rows break it."""

    kind: str
    columns: list[str]
    parameters: dict[str, Any]
    severity: str = "error"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_bound(value: object) -> bool:
    return value is not None and not isinstance(value, bool | list | dict)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_list(value: object) -> bool:
    return isinstance(value, list) and not any(item is None or isinstance(item, list | dict) for item in value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _are_names(value: object) -> bool:
    return _is_name(value) or (isinstance(value, list) and bool(value) and all(map(_is_name, value)))


def _is_step(value: object) -> bool:
    return _is_text(value) or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


ANY = float("inf")
KINDS = {
    "not_null": Kind({}),
    "unique": Kind({}, columns=(1, ANY)),
    "range": Kind({"min": _is_bound, "max": _is_bound}, ("min", "max")),
    "set": Kind({"values": _is_list}, ("values",)),
    "pattern": Kind({"pattern": _is_text}, ("pattern",)),
    "type": Kind({"type": _is_text}, ("type",)),
    "freshness": Kind({"max_age": _is_text}, ("max_age",)),
    "monotone": Kind({"order_by": _is_name, "by": _are_names, "strict": _is_flag}),
    "no_gaps": Kind({"step": _is_step, "by": _are_names}, ("step",)),
    "reference": Kind({"table": _is_name, "to": _are_names}, ("table",), (1, ANY)),
    "row_count": Kind({"min": _is_count, "max": _is_count}, ("min", "max"), (0, 0)),
    "predicate": Kind({"sql": _is_text}, ("sql",), (0, ANY)),
}


def parse(given: object, con: duckdb.DuckDBPyConnection) -> list[Rule]:
    """The rules in a list of structs or in its JSON; BadParameter names the rule and what is wrong with it.

    `con` is any connection: it reads types, patterns and intervals.
    """
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError as error:
            raise BadParameter(f"the rules are no JSON: {error}", 'give [{"kind": ..., "column": ...}]') from None
    if isinstance(given, dict):
        given = [given]
    if not isinstance(given, Sequence):
        raise BadParameter(f"the rules are {given!r}", "give a list of structs, JSON, or the name of a rule set")
    found: list[Rule] = []
    for place, item in enumerate(given, 1):
        try:
            found += _rules(item, con)
        except BadParameter as error:
            raise BadParameter(f"rule {place}: {error.cause}", error.mend) from None
    return list({msgspec.json.encode(rule, enc_hook=str): rule for rule in found}.values())


def encode(rules: list[Rule]) -> str:
    """Rules as JSON."""
    return msgspec.json.encode(rules, enc_hook=str).decode()


def encode_given(rules: object) -> str:
    """Rules as a person gives them, as the text that a macro takes: JSON or the name of a set."""
    return rules if isinstance(rules, str) else msgspec.json.encode(rules, enc_hook=str).decode()


def set_name(source: str) -> str:
    """The name of the rules of a source: for a dataset its own, whatever the version."""
    return source if "/" in source else re.split(r"@|\s+as\s+of\s", source, maxsplit=1, flags=re.IGNORECASE)[0]


def _rules(given: object, con: duckdb.DuckDBPyConnection) -> list[Rule]:
    """The rules of one item: a kind that takes one column gives a rule for each that is named."""
    if not isinstance(given, dict):
        raise BadParameter(f"it is {given!r}", "give a struct such as {'kind': 'not_null', 'column': 'amount'}")
    item = {str(name): value for name, value in given.items() if value is not None}
    kind, severity = item.get("kind"), item.get("severity", SEVERITIES[0])
    if kind not in KINDS:
        raise BadParameter(f"there is no kind {kind!r}", did_you_mean(str(kind), KINDS))
    if severity not in SEVERITIES:
        raise BadParameter(f"its severity is {severity!r}", f"give {' or '.join(f'`{name}`' for name in SEVERITIES)}")
    columns = [name for key in ("column", "columns") for name in names(item.get(key), key)]
    parameters = _parameters(str(kind), item)
    if kind in _CHECKS:
        name, check = _CHECKS[str(kind)]
        parameters[name] = check(parameters[name], con)
    fewest, most = KINDS[str(kind)].columns
    if len(columns) < fewest or (columns and most == 0):
        raise BadParameter(
            f"`{kind}` names {'a' if columns else 'no'} column", "drop it" if columns else "name it as `column`"
        )
    together = [columns] if most != 1 else [[name] for name in columns]
    return [Rule(str(kind), group, parameters, str(severity)) for group in together]


def _parameters(kind: str, item: dict[str, object]) -> dict[str, Any]:
    """The parameters of a rule, given beside its kind or as `parameters`, checked."""
    known = KINDS[kind]
    nested = item.get("parameters", {})
    nested = msgspec.json.decode(nested) if isinstance(nested, str) else nested
    if not isinstance(nested, dict):
        raise BadParameter(f"its parameters are {nested!r}", "give a struct")
    beside = {name: value for name, value in item.items() if name not in _OF_A_RULE}
    given = {name: value for name, value in {**nested, **beside}.items() if value is not None}
    for name, value in given.items():
        if name not in known.parameters:
            mend = did_you_mean(name, known.parameters) or "leave it out"
            raise BadParameter(f"`{name}` is no parameter of `{kind}`", mend)
        if not known.parameters[name](value):
            raise BadParameter(f"`{name}` of `{kind}` is {value!r}", _WANTED[known.parameters[name]])
    if known.needs and not any(name in given for name in known.needs):
        raise BadParameter(f"`{kind}` has no {' and no '.join(f'`{name}`' for name in known.needs)}", "give one")
    return given


_WANTED: dict[Callable[[object], bool], str] = {
    _is_text: "give a text",
    _is_bound: "give a number, a date or a text",
    _is_count: "give a whole number from 0",
    _is_list: "give a list of values that are not NULL",
    _is_name: "give a name",
    _are_names: "give a name or a list of names",
    _is_step: "give an interval such as '1 day', or a number above 0",
    _is_flag: "give true or false",
}


def _type(given: object, con: duckdb.DuckDBPyConnection) -> str:
    try:
        return str(con.sqltype(str(given)))
    except duckdb.Error:
        raise BadParameter(f"`{given}` is no type", "give one of DuckDB's, such as INTEGER") from None


def _pattern(given: object, con: duckdb.DuckDBPyConnection) -> str:
    try:
        con.execute("select regexp_full_match('', ?)", [given]).fetchall()
    except duckdb.Error as error:
        raise BadParameter(
            f"the pattern {given!r} is no regular expression ({first_line(error)})", "correct it"
        ) from None
    return str(given)


def _expression(given: object, _con: duckdb.DuckDBPyConnection) -> str:
    """A SQL expression as it is written; nothing can follow it, in a comment or behind a bracket."""
    text = re.sub(r"[\s;]+$", "", str(given))
    try:
        return str(duckdb.SQLExpression(text))
    except duckdb.Error as error:
        raise BadParameter(f"`{text}` is no expression ({first_line(error)})", "give what could follow WHERE") from None


def _interval(given: object, con: duckdb.DuckDBPyConnection) -> object:
    if not isinstance(given, str):
        return given
    try:
        con.execute("select cast(? as interval)", [given]).fetchall()
    except duckdb.Error:
        raise BadParameter(f"{given!r} is no interval", "give one such as '1 day'") from None
    return given


_CHECKS: dict[str, tuple[str, Callable[[object, duckdb.DuckDBPyConnection], Any]]] = {
    "type": ("type", _type),
    "pattern": ("pattern", _pattern),
    "predicate": ("sql", _expression),
    "freshness": ("max_age", _interval),
    "no_gaps": ("step", _interval),
}
