"""Scores of new rows by a trained model: numpy and this folder are all that is needed.

    from score import score                      # or, with the folder named `fraud`: from fraud.score import score
    scores, flags = score([{"amount": 12.5, "country": "NL"}, {"amount": None, "country": "DE"}])
    scores, flags = score({"amount": [12.5, 99.0], "country": ["NL", "DE"]})

manifest.json says which model this is and what its columns were. Written by Pynomaly, (c) 2026 the Pynomaly authors,
MIT License (SPDX-License-Identifier: MIT).
"""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import json
import math
import re
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from pynomaly.export_numpy.runtime.largest import scores

BLOCK = 128  # rows that are scored at a time: what they need in between stays in the cache
ROUNDING = 1e-12
LIMIT = 1e150  # features stay within this
TEXT_WIDTH = 64  # longer text is its beginning and a digest
SHORTENED = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
DAY = 86_400


def score(rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """The scores (float64[n], larger is more anomalous) and flags (bool[n]) of rows.

    `rows` is a list of records, one record, or a dict of columns (lists, tuples or arrays of equal length). Columns
    are found by name, or by name in other letters; others than the model's are passed over. None and NaN are gaps,
    and so is a value that a record does not have. A row without any value scores NaN and is not flagged. Raises
    KeyError where no record has a column, ValueError and TypeError where one cannot be read as it was fitted.
    """
    manifest, state = _model()
    n, columns = _columns(rows, [column["name"] for column in manifest["columns"]])
    out = np.zeros(n)
    if state:
        X = np.empty((n, sum(len(column["parts"]) for column in manifest["columns"])))
        start = 0
        for column, values in zip(manifest["columns"], columns):
            for feature in _features(column, values):
                X[:, start] = feature
                start += 1
        with np.errstate(all="ignore"):
            for first in range(0, n, BLOCK):
                out[first : first + BLOCK] = scores(state, X[first : first + BLOCK])
        out[np.isnan(X).all(axis=1)] = np.nan
    return out, _flags(out, manifest["threshold"])


def _flags(scores: np.ndarray, threshold: Any) -> np.ndarray:
    """Which scores lie above the threshold, by more than what machines may round differently."""
    if threshold is None:
        return np.zeros(len(scores), np.bool_)
    flags: np.ndarray = scores > float(threshold) + ROUNDING * abs(float(threshold))
    return flags


@lru_cache(maxsize=1)
def _model() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The manifest and the arrays beside this file; ValueError where they do not belong together."""
    folder = Path(__file__).resolve().parent
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if hashlib.sha256((folder / "model.npz").read_bytes()).hexdigest() != manifest["sha256"]:
        raise ValueError("model.npz is not the file that manifest.json was written with: copy the folder again")
    with np.load(folder / "model.npz", allow_pickle=False) as arrays:
        state = {name: arrays[name] for name in arrays.files}
    for place, column in enumerate(manifest["columns"]):
        column["place_of"] = {text: row for row, text in enumerate(column["categories"])}
        column["table"] = state.pop(f"table_{place}", None)
    return manifest, state


def _columns(rows: Any, names: list[str]) -> tuple[int, list[Any]]:
    """The number of rows and the values of each column."""
    if not isinstance(rows, dict):
        return _from_records(list(rows), names)
    found = [rows[key] for key in _keys(rows, names)]
    lengths = {_length(values) for values in found or rows.values()}
    if lengths <= {None}:
        return _from_records([rows], names)
    if len(lengths) > 1:
        raise ValueError("the columns have different numbers of values")
    return lengths.pop() or 0, found


def _length(values: Any) -> int | None:
    """The number of values of a column; None for what is one value."""
    return len(values) if hasattr(values, "__len__") and not isinstance(values, (str, bytes)) else None


def _from_records(records: list[dict[str, Any]], names: list[str]) -> tuple[int, list[Any]]:
    keys = _keys({key: None for record in records for key in record}, names) if records else names
    return len(records), [[record.get(key) for record in records] for key in keys]


def _keys(given: dict[str, Any], names: list[str]) -> list[str]:
    """Under which key each column is given."""
    key_of = {key.lower(): key for key in given}
    missing = [name for name in names if name not in given and name.lower() not in key_of]
    if missing:
        raise KeyError(f"column {missing[0]!r} not found")
    return [name if name in given else key_of[name.lower()] for name in names]


def _features(column: dict[str, Any], values: Any) -> list[np.ndarray]:
    """The features of a column, float64[n] each, NaN for a gap."""
    try:
        if column["kind"] in ("category", "frequency"):
            return _category(column, values)
        if column["kind"] == "time":
            quantities = _time(values, column["offset"])
        else:
            numbers = _clocks(values) if column["kind"] == "clock" else _numbers(values)
            quantities = {"value": _tamed(column, numbers), "is missing": np.isnan(numbers)}
    except TypeError as error:
        told = f"column {column['name']!r} was a {column['kind']} when the model was fitted and cannot be read as one"
        raise TypeError(f"{told}: {error}") from None
    return [quantities[part] for part in column["parts"]]


def _numbers(values: Any) -> np.ndarray:
    """Numbers, truths as 0 and 1, durations in seconds."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if isinstance(values, np.ndarray) and values.dtype.kind == "m":
        seconds: np.ndarray = values / np.timedelta64(1, "s")
        return seconds
    return np.array([value if type(value) is float else _number(value) for value in values], np.float64)


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, np.timedelta64):
        return float(value / np.timedelta64(1, "s"))
    if isinstance(value, (int, float, decimal.Decimal, np.number, np.bool_)):
        return float(value)
    raise TypeError(f"{value!r:.60}")


def _tamed(column: dict[str, Any], values: np.ndarray) -> np.ndarray:
    """Infinite values just outside the range of the fitted ones, and everything within the limit."""
    if not (np.abs(values) > LIMIT).any():
        return values
    margin = max(column["high"] - column["low"], 1.0)
    inner = np.where(values == np.inf, column["high"] + margin, values)
    return np.clip(np.where(values == -np.inf, column["low"] - margin, inner), -LIMIT, LIMIT)


def _clocks(values: Sequence[Any]) -> np.ndarray:
    """Times of day, also as text (`18:30:00`), in seconds."""
    return np.array([_clock(value) for value in values], np.float64)


def _clock(value: Any) -> float:
    if value is None or value != value:
        return math.nan
    if isinstance(value, str):
        value = dt.time.fromisoformat(value)
    if not isinstance(value, dt.time):
        raise TypeError(f"{value!r:.60}")
    return value.hour * 3_600 + value.minute * 60 + value.second + value.microsecond / 1e6


def _time(values: Any, offset: int) -> dict[str, np.ndarray]:
    """What a point in time can have for features, positions being seconds from `offset` on."""
    micros, gaps = _micros(values)
    seconds = micros // 1_000_000
    micros = micros - seconds * 1_000_000
    quantities = {
        "hour of day": seconds % DAY / 3_600.0 + micros / 3.6e9,
        "day of week": (seconds // DAY + 3) % 7.0,
        "position": (seconds - offset) + micros / 1e6,
    }
    return {**{part: np.where(gaps, np.nan, values) for part, values in quantities.items()}, "is missing": gaps}


def _micros(values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Dates and timestamps as microseconds since 1970 (UTC), 0 for a gap, and the gaps."""
    if not (isinstance(values, np.ndarray) and values.dtype.kind == "M"):
        values = np.array([_moment(value) for value in values], "datetime64[us]")
    stored = values.astype(np.int64)
    gaps = np.isnat(values) | (stored == np.iinfo(np.int64).max)
    if np.datetime_data(values.dtype)[0] == "ns":  # rounded, as DuckDB does
        whole = np.where(gaps, 0, stored)
        return np.sign(whole) * ((np.abs(whole) + 500) // 1_000), gaps
    return np.where(gaps, np.datetime64(0, "us"), values.astype("datetime64[us]")).astype(np.int64), gaps


def _moment(value: Any) -> Any:
    """A date or timestamp without time zone, also as text (`2024-01-31 18:30:00+01:00`)."""
    if value is None or value != value:
        return None
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.timezone.utc).replace(tzinfo=None)
    if isinstance(value, (dt.date, np.datetime64)):
        return value
    raise TypeError(f"{value!r:.60}")


def _category(column: dict[str, Any], values: Any) -> list[np.ndarray]:
    """The features of each text, of one that the fit never saw, or of a gap."""
    place_of, unseen = column["place_of"], len(column["categories"])
    texts = [value if type(value) is str else _text(value) for value in values]
    places = [unseen + 1 if text is None else place_of.get(_shortened(text), unseen) for text in texts]
    return list(column["table"][np.array(places, np.int64)].T)


def _text(value: Any) -> str | None:
    """A value as the text that stands for it."""
    if value is None or value != value:
        return None
    if isinstance(value, (str, uuid.UUID)) or type(value) is dt.date:
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    number = _number(value)
    return str(int(number)) if abs(number) < 1e15 and number == math.trunc(number) else repr(number)


def _shortened(text: str) -> str:
    """A long text as a model holds it: its beginning and a digest."""
    tail = text[TEXT_WIDTH:]
    if not tail or (SHORTENED.fullmatch(tail) and int(tail) < 2**64):
        return text
    digest = hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return text[:TEXT_WIDTH] + str(int.from_bytes(digest[8:], "little"))
