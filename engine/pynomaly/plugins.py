"""Algorithms of other packages, found by their entry points.

A package adds one with a line in its pyproject.toml; the name is the algorithm's, the value its record:

    [project.entry-points."pynomaly.algorithms"]
    distance_from_noon = "my_package:distance_from_noon"
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from pynomaly.algorithm import Algorithm
from pynomaly.errors import AlgorithmUnavailable

GROUP = "pynomaly.algorithms"


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
    except Exception as error:  # whatever the package's code raises while it is imported
        raise AlgorithmUnavailable(
            f"`{name}` of the package {origin} cannot be loaded: {type(error).__name__}: {error}",
            "update or remove that package",
        ) from error
    if not isinstance(record, Algorithm) or record.name != name:
        raise AlgorithmUnavailable(
            f"`{name}` of the package {origin} is no record of that name",
            "decorate a class of that name with `@pynomaly.algorithm.algorithm`",
        )
    return record
