"""What a detection was asked for, checked once while the query is planned."""

import math
from functools import lru_cache

import msgspec

from pynomaly import combination, registry
from pynomaly.cutoffs import DEFAULT_RULE, RULES
from pynomaly.errors import BadParameter, UnknownAlgorithm, did_you_mean
from pynomaly.source import names

REASONS = 3  # a model that lasts can always say why
MINIMUM_ROWS = 5  # fewer rows, or a smaller group, say nothing about what is normal


class Options(msgspec.Struct, frozen=True):
    """The parameters of a detection that fit and score need."""

    algorithms: tuple[str, ...]  # empty for auto
    combine: str | None
    parameters: dict[str, object]
    contamination: float | None
    threshold: float | None
    rule: str  # that finds the threshold where no cut-off is given
    top_k: int | None
    explain: int
    sample_rows: int
    seed: int
    features: tuple[str, ...]
    grouped: bool


def check(
    algorithm: object,
    combine: object,
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
    chosen = _algorithms(algorithm)
    rule = _combine(combine, chosen)
    return Options(
        algorithms=chosen,
        combine=rule,
        parameters=_parameters(chosen, rule, parameters),
        contamination=_number("contamination", contamination, 0.0, 0.5, open_low=True),
        threshold=None if isinstance(threshold, str) else _number("threshold", threshold, -math.inf, math.inf),
        rule=_rule(threshold),
        top_k=_integer("top_k", top_k, 1),
        explain=_required("explain", _integer("explain", explain, 0)),
        sample_rows=_required("sample_rows", _integer("sample_rows", sample_rows, 5)),
        seed=_required("seed", _integer("seed", seed, 0)),
        features=names(features, "features"),
        grouped=by is not None,
    )


class Comparison(msgspec.Struct, frozen=True):
    """The parameters of a comparison: the algorithms, what they share, and the parameters of each."""

    algorithms: tuple[str, ...]
    shared: Options
    parameters: dict[str, dict[str, object]]

    def of(self, name: str) -> Options:
        """What one algorithm is asked for."""
        chosen = () if name == registry.AUTO else (name,)
        return msgspec.structs.replace(self.shared, algorithms=chosen, parameters=self.parameters.get(name, {}))


def check_comparison(
    algorithms: object,
    label: object,
    contamination: object,
    threshold: object,
    sample_rows: object,
    seed: object,
    parameters: object,
    features: object,
) -> Comparison:
    """The options of a comparison; anything unknown or out of range is a BadParameter.

    An algorithm whose package is missing is let through: it becomes a row with its error.
    """
    if len(names(label, "label")) > 1:
        raise BadParameter("`label` names several columns", "name one, that is true or 1 for an anomaly")
    chosen = _compared(algorithms)
    if threshold is not None and not isinstance(threshold, str):
        raise BadParameter(
            f"`threshold` is {threshold!r}",
            "scores of several algorithms share no threshold: name a rule, or give none",
        )
    shared = check(registry.AUTO, None, contamination, threshold, None, 0, sample_rows, seed, None, features, None)
    given = _object(parameters)
    for name, value in given.items():
        if name not in chosen or not isinstance(value, dict):
            known = did_you_mean(name, chosen) if name not in chosen else ""
            raise BadParameter(f"`parameters` has `{name}`", known or f"write {{'{name}': {{'parameter': value}}}}")
        registry.check_parameters(registry.get(name), value)
    return Comparison(chosen, shared, {name: dict(value) for name, value in given.items() if isinstance(value, dict)})


def _compared(given: object) -> tuple[str, ...]:
    if given is None:
        return tuple(registry.own_names())
    chosen = [given] if isinstance(given, str) else given
    if not isinstance(chosen, list) or not chosen or not all(isinstance(name, str) for name in chosen):
        raise BadParameter(f"`algorithms` is {given!r}", "give a list of names; `from algorithms()` lists them")
    known = [registry.AUTO, *registry.names()]
    for name in chosen:
        if name not in known:
            raise UnknownAlgorithm(f"there is no algorithm `{name}`", did_you_mean(name, known))
    return tuple(dict.fromkeys(chosen))


def with_reasons(asked: Options) -> Options:
    """The options of a fit whose model will be stored."""
    return msgspec.structs.replace(asked, explain=asked.explain or REASONS)


def encode(options: Options | Comparison) -> str:
    """The options as the text that travels through a query."""
    return msgspec.json.encode(options).decode()


def decode_comparison(text: str) -> Comparison:
    """The comparison that `encode` wrote."""
    return msgspec.json.decode(text, type=Comparison)


@lru_cache(maxsize=256)
def decode(text: str) -> Options:
    """The options that `encode` wrote."""
    return msgspec.json.decode(text, type=Options)


def _algorithms(given: object) -> tuple[str, ...]:
    """The names in `algorithm`; none for auto."""
    chosen = [given] if isinstance(given, str) else given
    if not isinstance(chosen, list) or not chosen or not all(isinstance(name, str) for name in chosen):
        raise BadParameter(
            f"`algorithm` is {given!r}",
            "give the name of an algorithm, or a list of names; `from algorithms()` lists them"
            + ("; parameters are given with `:=`, not `=`" if given is None or isinstance(given, bool) else ""),
        )
    if chosen == [registry.AUTO]:
        return ()
    if registry.AUTO in chosen:
        raise BadParameter("'auto' stands for one algorithm and cannot be combined", "name the algorithms")
    for name in chosen:
        registry.get(name)
        if chosen.count(name) > 1:
            raise BadParameter(f"`{name}` is named twice in `algorithm`", "name each algorithm once")
    return tuple(chosen)


def _combine(given: object, chosen: tuple[str, ...]) -> str | None:
    """The rule that combines several algorithms; None for one."""
    if given is None:
        return combination.DEFAULT_RULE if len(chosen) > 1 else None
    if given not in combination.RULES:
        raise BadParameter(f"`combine` is {given!r}", did_you_mean(str(given), combination.RULES))
    if len(chosen) < 2:
        raise BadParameter("`combine` needs several algorithms", "write algorithm := ['iforest', 'knn', 'ecod']")
    return str(given)


def _parameters(chosen: tuple[str, ...], combine: str | None, given: object) -> dict[str, object]:
    plain = _object(given)
    if not chosen and plain:
        raise BadParameter("`parameters` needs a named algorithm, not 'auto'", "name one with `algorithm`")
    if plain:
        registry.check_parameters(registry.resolve(chosen, combine), plain)
    return plain


def _object(given: object) -> dict[str, object]:
    """`parameters` as an object, from a STRUCT, a MAP or JSON."""
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
    return {str(name): _plain(value) for name, value in given.items()}


def _plain(value: object) -> object:
    """A decimal literal of SQL as a float, in an object too; everything else as it is."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return float(value) if type(value).__name__ == "Decimal" else value  # type: ignore[arg-type]


def _rule(threshold: object) -> str:
    """The rule that `threshold` names; the default one where it names none."""
    if not isinstance(threshold, str):
        return DEFAULT_RULE
    if threshold not in RULES:
        near = did_you_mean(threshold, RULES)
        raise BadParameter(f"`threshold` is {threshold!r}", f"give a number or the name of a rule; {near}")
    return threshold


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
        bounds = f"of {low} or more" if number < low else f"below {2**62:,}"
        raise BadParameter(f"`{name}` is {number}", f"give a whole number {bounds}")
    return int(number)


def _required(name: str, value: int | None) -> int:
    if value is None:
        raise BadParameter(f"`{name}` is NULL", "give a whole number, or leave it out")
    return value
