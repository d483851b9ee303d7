"""Algorithms of other packages, found by their entry points.

A package adds one with a line in its pyproject.toml; the name is the algorithm's, the value its record:

    [project.entry-points."pynomaly.algorithms"]
    distance_from_noon = "my_package:distance_from_noon"

What a plugin's functions give is checked, since a wrong shape or an infinite score would come out far from its cause.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import msgspec
import numpy as np

from pynomaly.algorithm import Algorithm, Flags, Floats, Params
from pynomaly.errors import AlgorithmUnavailable, FitFailed, PynomalyError

GROUP = "pynomaly.algorithms"

T = TypeVar("T")


@cache
def found() -> dict[str, EntryPoint]:
    """The entry points by name; of two with one name the first that the installation lists."""
    entries: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        entries.setdefault(entry.name, entry)
    return entries


@cache
def load(name: str) -> Algorithm:
    """The record behind an entry point; AlgorithmUnavailable when its package cannot give it."""
    entry = found()[name]
    origin = entry.dist.name if entry.dist else entry.value
    try:
        record = entry.load()
    except (Exception, SystemExit) as error:  # whatever the package's code raises while it is imported
        raise AlgorithmUnavailable(
            f"`{name}` of the package {origin} cannot be loaded: {type(error).__name__}: {error}",
            "update or remove that package",
        ) from error
    if not isinstance(record, Algorithm) or record.name != name:
        raise AlgorithmUnavailable(
            f"`{name}` of the package {origin} is no record of that name",
            "decorate a class of that name with `@pynomaly.algorithm.algorithm`",
        )
    if not (isinstance(record.params, type) and issubclass(record.params, Params)):
        raise AlgorithmUnavailable(
            f"the parameters of `{name}` of the package {origin} are no `Params`",
            "derive them from `pynomaly.algorithm.Params`, or give `NoParams`",
        )
    return _checked(record, origin)


def _checked(record: Algorithm, origin: str) -> Algorithm:
    """The record with functions that say whose they are when they fail or give something else than they should."""
    who = f"`{record.name}` of the package {origin}"

    def fit(X: Floats, params: Params, seed: int) -> Any:
        return _run(who, lambda: record.fit(X, params, seed))

    def score(state: Any, X: Floats, own: Flags) -> Floats:
        scores = _run(who, lambda: _shaped("score", record.score(state, X, own), X.shape[:1]))
        return np.where(np.isfinite(scores), scores, np.nan)

    def explain(state: Any, X: Floats) -> Floats:
        return _run(who, lambda: _shaped("explain", record.explain and record.explain(state, X), X.shape))

    return msgspec.structs.replace(record, fit=fit, score=score, explain=record.explain and explain)


def _run(who: str, function: Callable[[], T]) -> T:
    try:
        return function()
    except (PynomalyError, MemoryError):
        raise
    except Exception as error:
        raise FitFailed(
            f"{who} failed: {type(error).__name__}: {error}", "use another algorithm, or report it to that package"
        ) from error


def _shaped(function: str, given: object, shape: tuple[int, ...]) -> Floats:
    """What a plugin gave, as float64 of this shape."""
    values = np.asarray(given, dtype=np.float64)
    if values.shape != shape:
        raise ValueError(f"`{function}` gave an array of {values.shape}, not of {shape}")
    return values
