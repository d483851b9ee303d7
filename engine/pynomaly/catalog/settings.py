"""The settings of a database: what may be set, to what, and what holds where nothing is."""

import math

import duckdb
import msgspec

from pynomaly.errors import BadParameter, UnknownSetting, did_you_mean


class Setting(msgspec.Struct, frozen=True):
    """One setting; an interval is a text such as '30 days', or a number of days, an integer is 1 or more."""

    name: str
    type: str
    default: bool | int | str | None
    description: str


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("query_log", "boolean", False, "Whether the statements that run are kept in pynomaly.queries"),
        Setting("keep_results", "interval", None, "How long vacuum_catalog keeps saved results; NULL for ever"),
        Setting("query_rows", "integer", 10_000, "Rows that a server answers a query with at most"),
        Setting("query_seconds", "integer", 30, "Seconds after which a server stops a query"),
        Setting("job_workers", "integer", 2, "Jobs that a server runs side by side"),
        Setting("jobs_per_user", "integer", 1_000, "Jobs that one user may have waiting"),
        Setting("max_upload_bytes", "integer", 5_000_000_000, "Bytes that one uploaded file may have"),
        Setting("keep_uploads", "interval", "1 day", "How long an upload waits to become a dataset"),
        Setting("requests_per_minute", "integer", 60_000, "Requests that a server answers one user or key a minute"),
        Setting("unknown_requests_per_minute", "integer", 1_200, "Requests that a server answers one address a minute"),
        Setting("allow_private_addresses", "boolean", False, "Whether a server fetches from private addresses"),
        Setting("allow_writing_sql", "boolean", False, "Whether a server runs SQL that writes, for who may do so"),
    )
}


def checked(name: object, value: str | None, cursor: duckdb.DuckDBPyConnection) -> bool | int | str | None:
    """A value for a setting, from its text; UnknownSetting or BadParameter where it cannot be."""
    if not isinstance(name, str) or name not in SETTINGS:
        raise UnknownSetting(f"there is no setting `{name}`", did_you_mean(str(name), SETTINGS))
    if SETTINGS[name].type == "interval":
        return interval(name, value, cursor)
    if SETTINGS[name].type == "integer":
        return _integer(name, value)
    if value not in ("true", "false"):
        raise BadParameter(f"`{name}` is {value!r}", "give true or false")
    return value == "true"


def _integer(name: str, value: str | None) -> int:
    if value is None or not value.isdecimal() or not 1 <= int(value) < 2**53:
        raise BadParameter(f"`{name}` is {value!r}", "give a whole number from 1")
    return int(value)


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
