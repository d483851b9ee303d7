"""Rows as lines of text, made by DuckDB: the expressions for CSV and JSON."""

from collections.abc import Sequence
from typing import Any

from pynomaly.quoting import identifier, literal

Type = Any  # duckdb's own type object: `id`, and `children` of a nested one
NESTED = ("list", "array", "struct", "map", "union")
PLAIN = ("boolean", "date", "uuid", "decimal", "float", "double", "hugeint", "uhugeint")
TEXT_NEEDS_QUOTES = literal('[",\\r\\n]')


def select(columns: Sequence[str], expressions: str, rows: str) -> str:
    """The SELECT of expressions over the relation `rows`; columns go by place, since two may share a name."""
    places = ", ".join(map(column, range(len(columns))))
    return f"select {expressions} from {rows} as _pynomaly_rows({places})"


def column(place: int) -> str:
    """The name that a column has inside the line's expression."""
    return f"_pynomaly_{place}"


def has_zone(type_: Type) -> bool:
    """Whether values of the type are times with a zone, which need a further package in Python."""
    return "WITH TIME ZONE" in str(type_)


def shown_cell(place: int, type_: Type) -> str:
    """The expression of a cell for a person: times with a zone as text."""
    return f"{column(place)}::varchar" if has_zone(type_) else column(place)


def csv_line(types: Sequence[Type]) -> str:
    """The expression of a CSV line: quotes only where needed, NULL as nothing, nested values as JSON."""
    return " || ',' || ".join(_csv_cell(column(place), type_) for place, type_ in enumerate(types))


def _csv_cell(expression: str, type_: Type) -> str:
    kind = str(type_.id)
    if kind in PLAIN or kind.removeprefix("u") in ("tinyint", "smallint", "integer", "bigint"):
        return f"coalesce({expression}::varchar, '')"
    text = f"to_json({json_value(expression, type_)})::varchar" if kind in NESTED else f"{expression}::varchar"
    quoted = f"'\"' || replace({text}, '\"', '\"\"') || '\"'"
    return (
        f"case when {expression} is null then '' "
        f"when {text} = '' or regexp_matches({text}, {TEXT_NEEDS_QUOTES}) then {quoted} else {text} end"
    )


def json_line(columns: Sequence[str], types: Sequence[Type]) -> str:
    """The expression of a JSON object; a repeated name gets a number."""
    pairs = [
        f"{identifier(name)} := {json_value(column(place), type_)}"
        for place, (name, type_) in enumerate(zip(_distinct(columns), types, strict=True))
    ]
    return f"to_json(struct_pack({', '.join(pairs)}))::varchar"


def json_value(expression: str, type_: Type, depth: int = 0) -> str:
    """A value that JSON can hold: NaN and infinities, which it cannot, become NULL."""
    kind = str(type_.id)
    if "FLOAT" not in str(type_) and "DOUBLE" not in str(type_):
        return expression
    if kind in ("float", "double"):
        return f"case when isfinite({expression}) then {expression} end"
    if kind == "list":
        inner = json_value(f"x{depth}", type_.children[0][1], depth + 1)
        return f"list_transform({expression}, lambda x{depth}: {inner})"
    if kind == "struct":
        fields = [
            f"{identifier(name)} := {json_value(f'({expression}).{identifier(name)}', child, depth + 1)}"
            for name, child in type_.children
        ]
        return f"case when {expression} is not null then struct_pack({', '.join(fields)}) end"
    return expression


def _distinct(names: Sequence[str]) -> list[str]:
    """The names with a number where one occurs before, however its letters are cased."""
    seen: set[str] = set()
    distinct = []
    for name in names:
        candidate, number = name, 0
        while candidate.lower() in seen:
            number += 1
            candidate = f"{name}_{number}"
        seen.add(candidate.lower())
        distinct.append(candidate)
    return distinct
