"""The registered algorithms: their names, records and parameters. A record is imported only when it is asked for."""

import importlib
import importlib.util
import math
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import inspect

from pynomaly import combination, ensembles, plugins, wrapped
from pynomaly.algorithm import Algorithm, Params
from pynomaly.errors import AlgorithmUnavailable, BadParameter, UnknownAlgorithm, did_you_mean

AUTO = "auto"
VERY_FEW_ROWS = 20
FEW_ROWS = 500

SQL_TYPES: dict[type[inspect.Type], str] = {
    inspect.IntType: "INTEGER",
    inspect.FloatType: "DOUBLE",
    inspect.BoolType: "BOOLEAN",
    inspect.StrType: "VARCHAR",
    inspect.LiteralType: "VARCHAR",
    inspect.DictType: "JSON",
}
WORDS = {
    "INTEGER": "a whole number",
    "DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "VARCHAR": "a text",
    "JSON": "an object such as {'name': value}",
}
DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # packages that are installed under another name


class Parameter(msgspec.Struct, frozen=True):
    """One parameter as `algorithm_parameters()` lists it; `choices` also names the words a number may be.

    `default` is JSON, so that 'null', '1' and '"auto"' can be told apart.
    """

    name: str
    type: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...] | None
    default: str
    description: str


class Record(msgspec.Struct, frozen=True):
    """One algorithm as `algorithms()` lists it."""

    name: str
    kind: str
    family: str
    summary: str
    reference: str
    complexity: str
    deterministic: bool
    handles_missing: bool
    scores_new_rows: bool
    max_rows: int | None
    limit_reason: str | None
    caveat: str | None
    available: bool
    install_hint: str | None


def names() -> list[str]:
    """Every registered name in alphabetical order, whether or not its package is installed."""
    return sorted({*_single_names(), *(row.name for row in ensembles.TABLE), *plugins.found()})


def own_names() -> list[str]:
    """The algorithms that need no other package, in alphabetical order."""
    return sorted([*_native_names(), *(row.name for row in ensembles.TABLE)])


def get(name: str) -> Algorithm:
    """The record of an algorithm; UnknownAlgorithm, or AlgorithmUnavailable when its package is missing."""
    found = _record(name)
    if not _available(found):
        raise AlgorithmUnavailable(f"`{name}` needs the package {_quoted(_missing(found))}", _install_hint(found))
    return found


def resolve(chosen: Sequence[str], combine: str | None) -> Algorithm:
    """The record of one algorithm, or of several that are combined."""
    if len(chosen) == 1:
        return get(chosen[0])
    return ensembles.combined(chosen, combine or combination.DEFAULT_RULE, sys.modules[__name__])


def auto(n_rows: int) -> str:
    """The algorithm that stands for 'auto' on a table of this size.

    Under 20 rows `mad`: one anomaly among so few is a neighbour of every other row, but does not move a median.
    Under 500 `knn`: random splits of so few rows differ from seed to seed, while distances are exact and cost
    nothing at that size. From there on `iforest`: its cost is linear in the rows and hardly depends on the
    columns, and it assumes no distribution and no common scale.
    """
    if n_rows < VERY_FEW_ROWS:
        return "mad"
    return "knn" if n_rows < FEW_ROWS else "iforest"


def parameters(algorithm: Algorithm) -> list[Parameter]:
    """The parameters of an algorithm in the order of its record."""
    info = inspect.type_info(algorithm.params)
    return [_parameter(field) for field in _fields(info)]


def parse_parameters(algorithm: Algorithm, given: dict[str, object]) -> tuple[Params, frozenset[str]]:
    """The parameters of a call and the names that it gave; NULL counts as not given.

    Raises BadParameter for a name that the algorithm does not have and for a value outside its range.
    """
    fields, types = _declared(algorithm.params)
    for name in given:
        if name not in fields:
            raise BadParameter(f"`{algorithm.name}` has no parameter `{name}`", _instead(name, fields))
    values = {name: _converted(fields[name], types[name], value) for name, value in given.items() if value is not None}
    return algorithm.params(**values), frozenset(values)


@cache
def _declared(params: type[Params]) -> tuple[dict[str, inspect.Field], dict[str, Any]]:
    """The fields and the types of parameters, by name."""
    fields = {field.name: field for field in _fields(inspect.type_info(params))}
    return fields, {field.name: field.type for field in msgspec.structs.fields(params)}


def check_parameters(algorithm: Algorithm, given: dict[str, object]) -> None:
    """Raise BadParameter for a wrong name or value, in the parameters of an ensemble's members too."""
    params: Any = parse_parameters(algorithm, given)[0]
    for name, value in given.items():
        if name == "base_parameters" and isinstance(value, dict):
            parse_parameters(get(params.base), value)
        elif isinstance(value, dict) and name in names():
            parse_parameters(get(name), value)


def parameters_for(algorithm: Algorithm, given: dict[str, object], n: int) -> tuple[Params, tuple[str, ...]]:
    """The parameters of a fit on n rows; a default number of neighbours is lowered to n - 1 and told."""
    params, explicit = parse_parameters(algorithm, given)
    name = algorithm.neighbors
    if name is None or getattr(params, name) <= n - 1:
        return params, ()
    if name in explicit:
        raise BadParameter(
            f"`{name}` is {getattr(params, name):,} and there are {n:,} rows",
            f"choose {n - 1:,} at most, the number of other rows",
        )
    return msgspec.structs.replace(params, **{name: n - 1}), (f"`{name}` lowered to {n - 1}, the number of other rows",)


def records() -> list[Record]:
    """Every algorithm, in alphabetical order; a plugin that cannot be loaded is listed as not available."""
    return [_listed(name) for name in names()]


@cache
def _native_names() -> tuple[str, ...]:
    folder = Path(__file__).parent / "algorithms"
    return tuple(sorted(file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")))


def _single_names() -> list[str]:
    return [*_native_names(), *(row.name for row in wrapped.TABLE)]


def _bases() -> tuple[str, ...]:
    """What a bagging can wrap: it scores rows that its members were not fitted to."""
    return (*_native_names(), *(row.name for row in wrapped.TABLE if row.scores_new_rows))


@cache
def _record(name: str) -> Algorithm:
    if name in _native_names():
        found = getattr(importlib.import_module(f"pynomaly.algorithms.{name}"), name)
        if not isinstance(found, Algorithm):
            raise TypeError(f"pynomaly.algorithms.{name}.{name} is not decorated with `@algorithm`")
        return found
    for row in wrapped.TABLE:
        if row.name == name:
            return wrapped.record(row)
    for bagging in ensembles.TABLE:
        if bagging.name == name:
            return ensembles.record(bagging, _bases(), sys.modules[__name__])
    if name in plugins.found():
        return plugins.load(name)
    raise UnknownAlgorithm(f"there is no algorithm `{name}`", did_you_mean(name, [AUTO, *names()]))


def _listed(name: str) -> Record:
    try:
        found = _record(name)
    except AlgorithmUnavailable as error:
        return _unknown(name, error)
    available = _available(found)
    described = {name: getattr(found, name) for name in Record.__struct_fields__ if hasattr(found, name)}
    return Record(**described, available=available, install_hint=None if available else _install_hint(found))


def _unknown(name: str, error: AlgorithmUnavailable) -> Record:
    """What the lists say of a plugin that cannot be loaded."""
    return Record(
        name=name,
        kind="table",
        family="plugin",
        summary=error.cause,
        reference="",
        complexity="",
        deterministic=False,
        handles_missing=False,
        scores_new_rows=False,
        max_rows=None,
        limit_reason=None,
        caveat=None,
        available=False,
        install_hint=error.mend,
    )


def _available(found: Algorithm) -> bool:
    """Whether the packages are there; looks for them without importing them."""
    return not _missing(found)


def _missing(found: Algorithm) -> list[str]:
    return [package for package in found.requires if importlib.util.find_spec(package) is None]


def _install_hint(found: Algorithm) -> str:
    return f"pip install {' '.join(DISTRIBUTIONS.get(package, package) for package in _missing(found))}"


def _quoted(packages: list[str]) -> str:
    return ", ".join(f"`{package}`" for package in packages)


def _fields(info: inspect.Type) -> tuple[inspect.Field, ...]:
    return info.fields if isinstance(info, inspect.StructType) else ()


def _parameter(field: inspect.Field) -> Parameter:
    parts = _parts(field.type)
    minimum, maximum = _bounds(parts)
    return Parameter(
        name=field.name,
        type=_sql_type(parts),
        minimum=minimum,
        maximum=maximum,
        choices=_choices(parts) or None,
        default=_default(field),
        description=_description(field.type),
    )


def _default(field: inspect.Field) -> str:
    """The default as JSON; that of an object is made anew for each use."""
    made = {} if field.default_factory is dict else field.default
    return msgspec.json.encode(made).decode()


def _parts(kind: inspect.Type) -> list[inspect.Type]:
    """The alternatives of a type, None left out."""
    if isinstance(kind, inspect.Metadata):
        return _parts(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [part for alternative in kind.types for part in _parts(alternative)]
    return [] if isinstance(kind, inspect.NoneType) else [kind]


def _description(kind: inspect.Type) -> str:
    schema = kind.extra_json_schema if isinstance(kind, inspect.Metadata) else None
    return str((schema or {}).get("description", ""))


def _sql_type(parts: list[inspect.Type]) -> str:
    """The type of the first alternative: a number that may also be a word is listed as a number."""
    return SQL_TYPES[type(parts[0])]


def _choices(parts: list[inspect.Type]) -> tuple[str, ...]:
    return tuple(str(value) for part in parts if isinstance(part, inspect.LiteralType) for value in part.values)


def _bounds(parts: list[inspect.Type]) -> tuple[float | None, float | None]:
    """The smallest and the largest number, whether or not a bound itself is allowed."""
    for part in parts:
        if isinstance(part, inspect.IntType | inspect.FloatType):
            return part.ge if part.gt is None else part.gt, part.le if part.lt is None else part.lt
    return None, None


def _converted(field: inspect.Field, kind: Any, value: object) -> object:
    """A value in the type of its parameter."""
    try:
        converted: object = msgspec.convert(_plain(value), kind, strict=False)
    except (msgspec.ValidationError, OverflowError):
        raise _bad_value(field, value) from None
    # A range does not stop NaN, nor infinity where it has one end only.
    if isinstance(converted, float) and not math.isfinite(converted):
        raise _bad_value(field, value)
    return converted


def _plain(value: object) -> object:
    """A decimal or a numpy number as the number of Python that it is."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    return value


def _bad_value(field: inspect.Field, value: object) -> BadParameter:
    shown = repr(value) if isinstance(value, str) else str(value)
    default = _default(field).strip('"')
    return BadParameter(f"`{field.name}` is {shown}", f"give {_wanted(_parts(field.type))} (default {default})")


def _wanted(parts: list[inspect.Type]) -> str:
    """What a parameter takes, in words."""
    numbers = [_range(part) for part in parts if not isinstance(part, inspect.LiteralType)]
    choices = ", ".join(f"`{choice}`" for choice in _choices(parts))
    return " or ".join([*numbers, f"one of {choices}" if "," in choices else choices] if choices else numbers)


def _range(part: inspect.Type) -> str:
    words = WORDS[SQL_TYPES[type(part)]]
    if not isinstance(part, inspect.IntType | inspect.FloatType):
        return words
    ends = [("above", part.gt), ("from", part.ge), ("below", part.lt), ("up to", part.le)]
    told = " and ".join(f"{word} {end:,}" for word, end in ends if end is not None)
    return f"{words} {told}".rstrip().replace("and up to", "to" if part.ge is not None else "and up to")


def _instead(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, known) or "it has none"
