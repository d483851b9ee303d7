"""What a model would say of a row that somebody makes up: a field for each feature, and its score with reasons."""

from collections.abc import Iterable, Mapping
from typing import Any

from pynomaly import calls
from pynomaly.engine import Engine
from pynomaly.errors import PynomalyError
from pynomaly_server import paging
from pynomaly_server.pages.filters import number

PREFIX = "f."  # before the name of a feature in an address
REASONS = 12
MOST_CELLS = 2_000_000  # of a source that is looked at for the ranges of its columns
MOST_CHOICES = 50
_NUMBERS = ("number", "0 or 1")
_COLUMNS = "select column_name, type, minimum, maximum, median, top_values, n_distinct from profile(?)"


def fields(db: Engine, model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A field for each feature, with the range and the usual value where what it was trained on still tells them."""
    known = _profile(db, model)
    return [_field(name, str(model["encodings"].get(name, "")), known.get(name)) for name in model["features"]]


def given(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The values of an address by feature."""
    return {key.removeprefix(PREFIX): value for key, value in pairs if key.startswith(PREFIX)}


def scored(db: Engine, model: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """The score of a row with its flag, reasons and SQL; `error` where it has none."""
    row = {name: _value(values.get(name), str(model["encodings"].get(name, ""))) for name in model["features"]}
    options = {"version": model["version"], "explain": REASONS}
    call = calls.macro_call("scored_row", tuple(options), (model["name"], row), options)
    told = {"sql": f"select {call}", "error": None, "threshold": model["threshold"]}
    try:
        found: Any = db.score_rows(row, model["name"], model["version"], REASONS)
    except PynomalyError as error:
        return {**told, "error": error}
    return {**told, **{name: found[name] for name in ("anomaly_score", "is_anomaly", "reasons")}}


def _profile(db: Engine, model: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the columns of the source are like now; nothing where it is gone, not seen, or too large to wait for."""
    if model["source_rows"] * len(model["features"]) > MOST_CELLS:
        return {}
    try:
        return {one["column_name"]: one for one in paging.records(db, _COLUMNS, [model["source"]])}
    except PynomalyError:
        return {}


def _field(name: str, encoding: str, column: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "help": encoding, "default": None, "is_optional": False, "choices": None}
    tops = [str(one["value"]) for one in (column or {}).get("top_values") or []]
    if encoding == "0 or 1" and (column is None or column["type"] == "BOOLEAN"):
        return {
            **found,
            "help": "",
            "type": "string",
            "choices": ["true", "false"],
            "default": tops[0] if tops else "true",
        }
    if encoding in _NUMBERS:
        ranged = _range(column) if column else {}
        return {**found, "type": "range" if "maximum" in ranged else "number", **ranged}
    if column and 0 < len(tops) >= column["n_distinct"]:
        return {**found, "help": "", "type": "string", "choices": sorted(tops[:MOST_CHOICES]), "default": tops[0]}
    usual = tops[0] if tops else (column or {}).get("minimum")
    return {**found, "type": "string", "list": "", "suggested": tops[:MOST_CHOICES], "default": usual}


def _range(column: dict[str, Any]) -> dict[str, Any]:
    """Where a number lies, with a step of a hundredth or so."""
    try:
        low, high = float(column["minimum"]), float(column["maximum"])
    except (TypeError, ValueError):
        return {}
    if not low < high:
        return {"default": low}
    middle = column["median"] if column["median"] is not None else low
    is_whole = column["type"].endswith("INT") or column["type"].endswith("INTEGER")
    middle = round(middle) if is_whole else float(f"{middle:.4g}")
    told = {"help": f"{number(low)} to {number(high)} in its data"}
    if is_whole:
        return {**told, "minimum": int(low), "maximum": int(high), "default": middle, "step": 1}
    return {**told, "minimum": low, "maximum": high, "default": min(max(middle, low), high), "step": "any"}


def _value(text: str | None, encoding: str) -> Any:
    """A value of a form as the model takes it; a gap where nothing is given."""
    if text is None or str(text).strip() == "":
        return None
    if isinstance(text, str) and text.lower() in ("true", "false") and encoding == "0 or 1":
        return text.lower() == "true"
    if encoding in _NUMBERS:
        try:
            return float(text)
        except ValueError:
            return text
    return str(text)
