"""The settings of a database: what may be set, to what, and what holds where nothing is."""

import math

import duckdb
import msgspec

from pynomaly.errors import BadParameter, UnknownSetting, did_you_mean


class Setting(msgspec.Struct, frozen=True):
    """One setting; an interval is a text such as '30 days', or a number of days."""

    name: str
    type: str
    default: bool | None
    description: str


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("query_log", "boolean", False, "Whether the statements that run are kept in pynomaly.queries"),
        Setting("keep_results", "interval", None, "How long vacuum_catalog keeps saved results; NULL for ever"),
    )
}


def checked(name: object, value: str | None, cursor: duckdb.DuckDBPyConnection) -> bool | str | None:
    """A value for a setting, from its text; UnknownSetting or BadParameter where it cannot be."""
    if not isinstance(name, str) or name not in SETTINGS:
        raise UnknownSetting(f"there is no setting `{name}`", did_you_mean(str(name), SETTINGS))
    if SETTINGS[name].type == "interval":
        return interval(name, value, cursor)
    if value not in ("true", "false"):
        raise BadParameter(f"`{name}` is {value!r}", "give true or false")
    return value == "true"


def interval(name: str, value: str | None, cursor: duckdb.DuckDBPyConnection) -> str | None:
    """A length of time as DuckDB writes it, from a text or a number of days; None for ever."""
    if value is None:
        return None
    found = cursor.execute(
        "select try_cast(? as interval)::varchar, try_cast(? as interval) >= interval '0 days'", 2 * [_days(value)]
    )
    text, is_positive = found.fetchall()[0]
    if not is_positive:
        raise BadParameter(f"`{name}` is {value!r}", "give a length of time such as '30 days', or a number of days")
    return str(text)


def _days(value: str) -> str:
    """A number of days as a length of time; another text as it is."""
    try:
        days = float(value)
    except ValueError:
        return value
    if not math.isfinite(days):
        return value
    return f"{int(days)} days" if days.is_integer() else f"{round(days * 86_400)} seconds"
