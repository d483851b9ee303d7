"""What a detection was asked for, checked once while the query is planned."""

import math
from functools import lru_cache

import msgspec

from pynomaly import registry
from pynomaly.errors import BadParameter
from pynomaly.source import names

MINIMUM_ROWS = 5  # fewer rows, or a smaller group, say nothing about what is normal


class Options(msgspec.Struct, frozen=True):
    """The parameters of a detection that fit and score need."""

    algorithm: str
    parameters: dict[str, object]
    contamination: float | None
    threshold: float | None
    top_k: int | None
    explain: int
    sample_rows: int
    seed: int
    features: tuple[str, ...]
    grouped: bool


def check(
    algorithm: object,
    contamination: object,
    threshold: object,
    top_k: object,
    explain: object,
    sample_rows: object,
    seed: object,
    parameters: object,
    features: object,
    by: object,
) -> Options:
    """The options of a call; anything unknown, out of range or contradictory is a BadParameter."""
    cut_offs = {"contamination": contamination, "threshold": threshold, "top_k": top_k}
    given = [name for name, value in cut_offs.items() if value is not None]
    if len(given) > 1:
        raise BadParameter(f"`{given[0]}` and `{given[1]}` are two cut-offs at once", "give one of them")
    name = _algorithm(algorithm)
    return Options(
        algorithm=name,
        parameters=_parameters(name, parameters),
        contamination=_number("contamination", contamination, 0.0, 0.5, open_low=True),
        threshold=_number("threshold", threshold, -math.inf, math.inf),
        top_k=_integer("top_k", top_k, 1),
        explain=_required("explain", _integer("explain", explain, 0)),
        sample_rows=_required("sample_rows", _integer("sample_rows", sample_rows, 5)),
        seed=_required("seed", _integer("seed", seed, 0)),
        features=names(features, "features"),
        grouped=by is not None,
    )


def encode(options: Options) -> str:
    """The options as the text that travels through a query."""
    return msgspec.json.encode(options).decode()


@lru_cache(maxsize=256)
def decode(text: str) -> Options:
    """The options that `encode` wrote."""
    return msgspec.json.decode(text, type=Options)


def _algorithm(name: object) -> str:
    if not isinstance(name, str):
        raise BadParameter(f"`algorithm` is {name!r}", "give the name of an algorithm; `from algorithms()` lists them")
    if name != registry.AUTO:
        registry.get(name)
    return name


def _parameters(algorithm: str, given: object) -> dict[str, object]:
    if given is None:
        return {}
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError:
            raise BadParameter(f"`parameters` is {given!r}, not JSON", "write {'name': value}") from None
    if isinstance(given, list) and all(isinstance(pair, tuple) for pair in given):
        given = dict(given)  # a MAP arrives as pairs
    if not isinstance(given, dict):
        raise BadParameter(f"`parameters` is {given!r}", "write {'name': value}")
    if algorithm == registry.AUTO and given:
        raise BadParameter("`parameters` needs a named algorithm, not 'auto'", "name one with `algorithm`")
    plain = {str(name): _plain(value) for name, value in given.items()}
    if plain:
        registry.parse_parameters(registry.get(algorithm), plain)
    return plain


def _plain(value: object) -> object:
    """A decimal literal of SQL as a float; everything else as it is."""
    return float(value) if type(value).__name__ == "Decimal" else value  # type: ignore[arg-type]


def _number(name: str, value: object, low: float, high: float, open_low: bool = False) -> float | None:
    if value is None:
        return None
    number = _plain(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise BadParameter(f"`{name}` is {value!r}", "give a number")
    inside = low < number <= high if open_low else low <= number <= high
    if math.isnan(number) or math.isinf(number) or not inside:
        bounds = "a finite number" if math.isinf(low) else f"a number above {low:g} and up to {high:g}"
        raise BadParameter(f"`{name}` is {number}", f"give {bounds}")
    return float(number)


def _integer(name: str, value: object, low: int) -> int | None:
    if value is None:
        return None
    number = _plain(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number or number % 1 != 0:
        raise BadParameter(f"`{name}` is {value!r}", "give a whole number")
    if not low <= number < 2**62:
        raise BadParameter(f"`{name}` is {number}", f"give a whole number of {low} or more")
    return int(number)


def _required(name: str, value: int | None) -> int:
    if value is None:
        raise BadParameter(f"`{name}` is NULL", "give a whole number, or leave it out")
    return value
