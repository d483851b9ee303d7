"""The SQL of a rule: the predicate that selects the rows which break it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from pynomaly.errors import BadParameter
from pynomaly.quoting import identifier, literal
from pynomaly.rules import Rule
from pynomaly.source import is_number, names

BEFORE = '"_pynomaly_before"'
_WHOLE = ("INTEGER", "BIGINT", "SMALLINT", "TINYINT", "HUGEINT", "BIGNUM")


class Place(NamedTuple):
    """Where rules are checked: the source as it stands in FROM, and what is known of it."""

    relation: str
    types: dict[str, str] | None  # of the columns, by their lower-case name; None where they cannot be seen
    row_number: str | None  # the column that numbers the rows as they are stored, if there is one
    other: Callable[[str], str]  # another source as it stands in FROM
    hidden: str = ""  # a folder that the user need not know

    def told(self, condition: str) -> str:
        """A condition as the user may read it."""
        return condition.replace(self.hidden, "workspace") if self.hidden else condition

    def type(self, column: str) -> str:
        """The type of a column; an empty text where it is not known."""
        return (self.types or {}).get(column.lower(), "")


def predicate(rule: Rule, place: Place) -> str:
    """The condition that is true for the rows of the source that break a rule."""
    return _PREDICATES[rule.kind](rule.columns, rule.parameters, place)


def reads_again(rule: Rule) -> bool:
    """Whether the predicate reads the source, or another one, once more."""
    return rule.kind in ("unique", "freshness", "monotone", "no_gaps", "reference", "row_count", "predicate")


Parameters = dict[str, Any]


def _not_null(columns: list[str], _parameters: Parameters, _place: Place) -> str:
    return f"{identifier(columns[0])} is null"


def _unique(columns: list[str], _parameters: Parameters, place: Place) -> str:
    """Rows whose values occur more than once; rows with a NULL in them are like no other, as in a UNIQUE of SQL."""
    chosen, values = ", ".join(map(identifier, columns)), _values(columns)
    return (
        f"{values} in (select {values} from {place.relation} where {_known(columns)} "
        f"group by {chosen} having count(*) > 1)"
    )


def _range(columns: list[str], parameters: Parameters, place: Place) -> str:
    column, bounds = identifier(columns[0]), (parameters.get("min"), parameters.get("max"))
    type_ = place.type(columns[0])
    if type_ == "VARCHAR" and all(bound is None or _is_number(bound) for bound in bounds):
        column, bounds = f"try_cast({column} as double)", (_as_float(bounds[0]), _as_float(bounds[1]))
    low, high = bounds
    broken = [f"{column} < {_bound(low)}"] if low is not None else []
    broken += [f"{column} > {_bound(high)}"] if high is not None else []
    if high is None and type_ in ("DOUBLE", "FLOAT"):  # elsewhere NaN is above the largest, as DuckDB orders it
        broken.append(f"isnan({column})")
    return " or ".join(broken)


def _is_number(bound: object) -> bool:
    try:
        float(str(bound))
    except ValueError:
        return False
    return True


def _as_float(bound: object) -> float | None:
    return None if bound is None else float(str(bound))


def _bound(value: object) -> str:
    """A bound: a text takes the type of the column, and a number is compared as it is."""
    if isinstance(value, float):
        return f"{literal(repr(value))}::double"
    return str(value) if isinstance(value, int | Decimal) else literal(value)


def _set(columns: list[str], parameters: Parameters, place: Place) -> str:
    """Rows with another value; as texts, unless column and values are numbers or booleans alike."""
    column, values = identifier(columns[0]), parameters["values"]
    if not values:
        return f"{column} is not null"
    type_ = place.type(columns[0])
    if all(isinstance(value, bool) for value in values) and type_ in ("BOOLEAN", ""):
        return f"{column} not in ({', '.join(map(literal, values))})"
    if all(isinstance(value, int | float | Decimal) for value in values) and (is_number(type_) or not type_):
        return f"{column} not in ({', '.join(map(_bound, values))})"
    texts = ", ".join(literal(str(value).lower() if isinstance(value, bool) else str(value)) for value in values)
    return f"{column}::varchar not in ({texts})"


def _pattern(columns: list[str], parameters: Parameters, _place: Place) -> str:
    return f"not regexp_full_match({identifier(columns[0])}::varchar, {literal(parameters['pattern'])})"


def _type(columns: list[str], parameters: Parameters, place: Place) -> str:
    """Rows whose value, written as text, is none of the type; a fraction is no whole number, a time of day no date."""
    wanted, column = parameters["type"], identifier(columns[0])
    if place.type(columns[0]) == wanted:
        return "false"
    cast = f"try_cast({column}::varchar as {wanted})"
    broken = f"{column} is not null and ({cast} is null"
    if wanted.removeprefix("U") in _WHOLE:
        number = f"try_cast({column}::varchar as double)"
        broken += f" or {number} <> trunc({number})"
    if wanted == "DATE":
        broken += f" or try_cast({column}::varchar as timestamp) <> {cast}::timestamp"
    return f"{broken})"


def _freshness(columns: list[str], parameters: Parameters, place: Place) -> str:
    """The newest rows, where they are too old."""
    moment = f"try_cast({identifier(columns[0])} as timestamptz)"
    newest = f"(select max({moment}) filter (isfinite({moment})) from {place.relation})"
    return f"{moment} = {newest} and {moment} < now() - interval {literal(parameters['max_age'])}"


def _monotone(columns: list[str], parameters: Parameters, place: Place) -> str:
    """Rows whose value is less than that of the row before, or not more where `strict`."""
    value, order = identifier(columns[0]), parameters.get("order_by")
    if order is None and place.row_number is None:
        raise BadParameter(
            f"the rows of the source have no order in which `{columns[0]}` could grow",
            "name the column that orders them as `order_by`",
        )
    ordering = identifier(order) if order is not None else str(place.row_number)
    by = [identifier(name) for name in names(parameters.get("by"), "by")]
    sign = "<=" if parameters.get("strict") else "<"
    return _after_the_row_before(
        [*by, ordering, value], by, f"{ordering}, {value}", value, f"{value} {sign} {BEFORE}", place
    )


def _no_gaps(columns: list[str], parameters: Parameters, place: Place) -> str:
    """Rows that come more than a step after the one before."""
    moment, step = identifier(columns[0]), parameters["step"]
    by = [identifier(name) for name in names(parameters.get("by"), "by")]
    added = f"interval {literal(step)}" if isinstance(step, str) else _bound(step)
    return _after_the_row_before([*by, moment], by, moment, moment, f"{moment} > {BEFORE} + {added}", place)


def _after_the_row_before(
    told_by: list[str], by: list[str], ordering: str, value: str, broken: str, place: Place
) -> str:
    """Rows, told apart by some columns, that break a condition on BEFORE, the value of the row before."""
    group = f"partition by {', '.join(by)} " if by else ""
    told = ", ".join(told_by)
    # IN knows no NULL, and the group of NULL is one like the others: a struct in a list compares as a whole.
    row = f"row({told})" if len(told_by) > 1 else told
    return (
        f"{row} in (select {row} from (select {told}, lag({value}) over ({group}order by {ordering}) as {BEFORE} "
        f"from {place.relation} where {value} is not null) where {broken})"
    )


def _reference(columns: list[str], parameters: Parameters, place: Place) -> str:
    """Rows whose values are in no row of the other table; those with a NULL refer to nothing, as in SQL."""
    there = list(names(parameters.get("to"), "to")) or columns
    if len(there) != len(columns):
        raise BadParameter(f"{len(columns)} columns refer to {len(there)}", "name as many in `to`")
    others = f"select {_values(there)} from {place.other(parameters['table'])} where {_known(there)}"
    return f"{_known(columns)} and {_values(columns)} not in ({others})"


def _row_count(_columns: list[str], parameters: Parameters, place: Place) -> str:
    counted, bounds = f"(select count(*) from {place.relation})", []
    if "min" in parameters:
        bounds.append(f"{counted} < {parameters['min']}")
    if "max" in parameters:
        bounds.append(f"{counted} > {parameters['max']}")
    return " or ".join(bounds)


def _predicate(_columns: list[str], parameters: Parameters, _place: Place) -> str:
    """Rows for which the expression is false; where it is NULL the rule holds, as a CHECK of SQL does."""
    return f"not ({parameters['sql']})"


def _values(columns: list[str]) -> str:
    return f"({', '.join(map(identifier, columns))})" if len(columns) > 1 else identifier(columns[0])


def _known(columns: list[str]) -> str:
    return " and ".join(f"{identifier(name)} is not null" for name in columns)


_PREDICATES: dict[str, Callable[[list[str], Parameters, Place], str]] = {
    "not_null": _not_null,
    "unique": _unique,
    "range": _range,
    "set": _set,
    "pattern": _pattern,
    "type": _type,
    "freshness": _freshness,
    "monotone": _monotone,
    "no_gaps": _no_gaps,
    "reference": _reference,
    "row_count": _row_count,
    "predicate": _predicate,
}
