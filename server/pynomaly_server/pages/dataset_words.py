"""A dataset in words: where it came from, what its rules say."""

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from pynomaly.quoting import literal
from pynomaly.versions import Version
from pynomaly_server.pages import filters

QUERY = "a query"
_QUERY = re.compile(r"\s*(?:select|with|from|values|pivot|unpivot)\s|\s*\(", re.IGNORECASE)
_FILE = re.compile(r"\.\w{1,8}$")
LABELS = {
    "not_null": "has a value",
    "unique": "no value twice",
    "set": "one of a few values",
    "monotone": "never falls",
    "reference": "found in another table",
    "row_count": "number of rows",
    "predicate": "condition",
    "p.min": "At least",
    "p.max": "At most",
    "p.values": "Values",
    "p.pattern": "Pattern",
    "p.type": "Type",
    "p.max_age": "Oldest that it may be",
    "p.order_by": "In the order of",
    "p.by": "Within each",
    "p.strict": "Never twice the same",
    "p.step": "Step",
    "p.table": "Table",
    "p.to": "Columns there",
    "p.sql": "Condition",
}
_SAID = {
    "not_null": "always has a value",
    "unique": "never has a value twice",
    "set": "is one of {values}",
    "pattern": "matches {pattern}",
    "type": "is of type {type}",
    "freshness": "is at most {max_age} old",
    "no_gaps": "has no gaps, by a step of {step}",
    "reference": "is found in {table}",
    "predicate": "{sql}",
}


def is_query(source: str) -> bool:
    """Whether a version was made by a query, not read from a file or a table."""
    return bool(_QUERY.match(source)) and not _FILE.search(source)


def origin(source: str, limit: int = 60) -> Markup | str:
    """What a version came from; a query is no name, and stands elsewhere in full."""
    return QUERY if is_query(source) else filters.text(source, limit)


def counted(version: Version) -> str:
    """The statement that gives the counts in the head of a version."""
    return (
        "select version, n_rows, len(json_keys(columns)) as n_columns, n_quarantined, count(*) over () as n_versions\n"
        f"from dataset_versions({literal(version.name)})\n"
        f"qualify version = {version.version}"
    )


def ruled(rule: Mapping[str, Any]) -> tuple[str, str]:
    """A rule as the columns it is about, and what they keep."""
    names = rule.get("columns") or ([rule["column"]] if rule.get("column") else [])
    given = {name: _value(value) for name, value in rule.items() if value is not None}
    kind, who = rule["kind"], ", ".join(names)
    if kind in ("range", "row_count"):
        said = _between(given)
        return (who, f"is {said}") if kind == "range" else ("", f"There are {said.removeprefix('from ')} rows")
    if kind == "monotone":
        said = "always rises" if rule.get("strict") else "never falls"
        said += f" in the order of {given['order_by']}" if "order_by" in given else ""
    elif kind in _SAID:
        said = _SAID[kind].format_map(given)
    else:  # a kind that has no words here yet
        others = [
            f"{name} {value}" for name, value in given.items() if name not in ("kind", "columns", "column", "severity")
        ]
        said = ": ".join([kind.replace("_", " "), "; ".join(others)]) if others else kind.replace("_", " ")
    said += f" ({given['to']})" if kind == "reference" and "to" in given else ""
    return who, said + (f" within each {given['by']}" if kind in ("monotone", "no_gaps") and "by" in given else "")


def _between(given: Mapping[str, str]) -> str:
    if "min" in given and "max" in given:
        return f"from {given['min']} to {given['max']}"
    return f"at least {given['min']}" if "min" in given else f"at most {given.get('max', filters.NONE)}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(one) for one in value)
    return filters.number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
