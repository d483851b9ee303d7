"""Which steps suit the columns of a source, by what their values are like."""

from collections.abc import Mapping
from typing import Any

from pynomaly.quoting import identifier, literal
from pynomaly.source import is_number, is_text, is_time
from pynomaly.steps import Step, steps_of

FEW = 12  # different values that become a column each
SKEWED = 2.0  # a skewness from which a tail is long
WORDS = 3.0  # on average: from there on a text is more than a name
OFTEN = 20  # rows that a value has on average, so that its share says something


def select(relation: str, columns: Mapping[str, str]) -> str:
    """The SELECT of one list, a profile for each column that a step could take."""
    profiles = [_profile(name, type_name) for name, type_name in columns.items()]
    return f"select [{', '.join(profiles)}] as profiles from {relation}"


def _profile(name: str, type_name: str) -> str:
    x = identifier(name)
    number, text, time = is_number(type_name), is_text(type_name), is_time(type_name)
    kind = "number" if number else "text" if text else "time" if time else "other"
    known = f"case when isfinite({x}::double) then {x}::double end"
    values = {
        "column": literal(name),
        "kind": literal("truth" if type_name == "BOOLEAN" else kind),
        "n_known": f"count({x})",
        "n_distinct": f"approx_count_distinct({x})" if kind != "other" or type_name == "BOOLEAN" else "0",
        "skewness": f"skewness({known})" if number else "null::double",
        "is_whole": f"coalesce(bool_and({x}::double = trunc({x}::double)), false)" if number else "false",
        "n_words": f"avg(len(regexp_extract_all({x}::varchar, '\\S+')))" if text else "null::double",
        "seconds": f"epoch(max({x}))::double - epoch(min({x}))::double" if time else "null::double",
    }
    return "{" + ", ".join(f"'{key}': {value}" for key, value in values.items()) + "}"


def suggest(profiles: list[dict[str, Any]] | None, order_by: str | None, by: object) -> list[tuple[str, str]]:
    """The steps with their reasons; the rolling ones only where an order is given, as they need the rows before."""
    groups = [by] if isinstance(by, str) else list(by or [])  # type: ignore[call-overload]
    aside = {name.lower() for name in [order_by, *groups] if name}
    found: list[tuple[Step, str]] = []
    for profile in profiles or []:
        if profile["n_known"] and profile["n_distinct"] > 1:
            found += _of_kind(profile, order_by if profile["column"].lower() not in aside else None, groups)
    return [(str(step), why) for step, why in found]


def _of_kind(profile: dict[str, Any], order_by: str | None, groups: list[str]) -> list[tuple[Step, str]]:
    column, kind = profile["column"], profile["kind"]
    if kind == "truth":
        return [(Step("column", (column,)), "it is true or false")]
    if kind == "time":
        return _of_time(column, profile["seconds"] or 0.0)
    if kind == "text":
        return _of_text(column, profile)
    return _of_number(column, profile, order_by, groups) if kind == "number" else []


def _of_number(column: str, profile: dict[str, Any], order_by: str | None, groups: list[str]) -> list[tuple[Step, str]]:
    if profile["is_whole"] and profile["n_distinct"] > 0.9 * profile["n_known"]:
        return []  # it counts or names the rows
    skewness = profile["skewness"]
    if skewness is not None and abs(skewness) > SKEWED:
        found = [(*steps_of("log1p_signed", column, {}), f"its tail is long: skewness {skewness:.1f}")]
    else:
        found = [(*steps_of("robust_zscore", column, {}), "it is a number without a long tail")]
    if order_by is not None:
        options = {"order_by": order_by, "by": groups or None}
        found.append((*steps_of("pct_change", column, options), f"its rows have the order of {order_by}"))
    return found  # type: ignore[return-value]


def _of_time(column: str, seconds: float) -> list[tuple[Step, str]]:
    parts = [part for part, least in (("hour", 1), ("weekday", 2), ("month", 90)) if seconds > least * 86_400]
    if not parts:
        return []
    return [(*steps_of("calendar_features", column, {"parts": parts}), f"it spans {seconds / 86_400:,.0f} days")]  # type: ignore[list-item]


def _of_text(column: str, profile: dict[str, Any]) -> list[tuple[Step, str]]:
    n = profile["n_distinct"]
    if n <= FEW:
        return [(*steps_of("one_hot", column, {}), f"it has about {n} different values")]  # type: ignore[list-item]
    if profile["n_words"] >= WORDS:
        why = f"it is text of {profile['n_words']:.0f} words on average"
        return [
            (step, why) for macro in ("text_length_features", "tfidf_features") for step in steps_of(macro, column, {})
        ]
    if profile["n_known"] >= OFTEN * n:
        return [(*steps_of("frequency_encode", column, {}), f"it has about {n:,} different values")]  # type: ignore[list-item]
    return []
