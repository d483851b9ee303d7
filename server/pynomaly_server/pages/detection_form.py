"""What a person fills in to detect anomalies, as the request that the engine takes, and back."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from pynomaly import calls

# What a column is for, by the parameter of `detect_anomalies` that names it.
ROLES = (
    ("", "found by itself"),
    ("features", "used"),
    ("exclude", "left out"),
    ("key", "identifies a row"),
    ("label", "says what is true"),
    ("by", "makes groups"),
)
ROLE, PARAMETER = "role:", "p."  # before the name of a column, and of a parameter of the algorithm
SEVERAL, MEMBER = "*", "with:"  # the algorithm where several are combined; before the name of each of them
OTHER = "o."  # before an option that has no field, as JSON
OF = "of"  # the algorithm whose parameters the form shows: those of another one are forgotten
CUT_OFFS = ("contamination", "threshold", "rule", "top_k")
USUAL_REASONS = 3
_WHOLE = ("top_k", "explain", "seed", "sample_rows")
_SHARES = ("contamination", "threshold")
_LISTS = tuple(role for role, _ in ROLES if role)
_ONE = ("label",)
_UNSET = {"algorithm": "auto", "seed": 0}  # what need not be said
_PLAIN = ("source", "explain", "algorithm", "combine", "pipeline", "rule", "step", "csrf_token", OF, *_SHARES, *_WHOLE)
Form = Mapping[str, str]


class Asked(msgspec.Struct):
    """A form as a request; `errors` tell, by the field, what could not be read."""

    request: dict[str, Any]
    errors: dict[str, str]

    @property
    def options(self) -> dict[str, Any]:
        """The parameters of `detect_anomalies`."""
        return {name: value for name, value in self.request.items() if name not in ("source", "save")}

    @property
    def call(self) -> str:
        """The call of the macro, as the engine writes it."""
        return calls.call(self.request["source"], **self.options)


def asked(given: Form, types: Mapping[str, str]) -> Asked:
    """The request of a form; `types` are those of the parameters, by their names in it."""
    errors: dict[str, str] = {}
    options: dict[str, Any] = {"algorithm": _algorithm(given, errors)}
    options["combine"] = given.get("combine") if isinstance(options["algorithm"], list) else None
    options |= _roles(given)
    for name in (*_SHARES, *_WHOLE):
        options[name] = _number(given, name, name in _WHOLE, errors)
    if given.get("rule"):
        if options["threshold"] is not None:
            errors["rule"] = "a threshold is given already; give one of the two"
        options["threshold"] = options["threshold"] if options["threshold"] is not None else given["rule"]
    options["pipeline"] = given.get("pipeline", "").strip()
    options["parameters"] = _parameters(given, types, errors)
    if sum(bool(given.get(name, "").strip()) for name in CUT_OFFS) > 1 and not errors:
        errors["cut_off"] = "more than one cut-off is given; keep one of them"
    options |= _others(given, errors)
    kept = {name: value for name, value in options.items() if value not in (None, "", {}, _UNSET.get(name, ""))}
    kept.setdefault("explain", USUAL_REASONS) if "explain" not in given else None
    return Asked({"source": given.get("source", ""), **kept}, errors)


def fields(request: Mapping[str, Any]) -> dict[str, str]:
    """The form that makes a request: what `asked` reads, so that a detection can be changed and asked for again."""
    found = {"source": str(request.get("source", "")), "explain": str(request.get("explain") or 0)}
    for name, value in request.items():
        if value is None or name in ("source", "explain", "save"):
            continue
        if name in _LISTS:
            found |= _columns(name, [value] if isinstance(value, str) else list(value), found)
        elif name == "parameters":
            found |= _told(value, PARAMETER, request.get("algorithm"))
        elif name == "algorithm" and not isinstance(value, str):
            found |= (
                {name: SEVERAL, **{f"{MEMBER}{one}": "on" for one in value}} if len(value) > 1 else {name: value[0]}
            )
        elif name in _PLAIN:
            found["rule" if name == "threshold" and isinstance(value, str) else name] = str(value)
        else:
            found[f"{OTHER}{name}"] = json.dumps(value)
    return found


def again(request: Mapping[str, Any]) -> str:
    """The address of the form that makes a request."""
    return f"/detect?{urlencode(fields(request))}"


def of_run(run: Mapping[str, Any]) -> str:
    """The address of the form with everything as a run had it; of what was no detection with its data alone."""
    return again(
        {"source": run["source"], **(run["options"] if run["kind"] == "detect" else {"explain": USUAL_REASONS})}
    )


def members(given: Form) -> list[str]:
    """The algorithms that a form combines; of one alone none."""
    if given.get("algorithm") != SEVERAL:
        return []
    return [name.removeprefix(MEMBER) for name, value in given.items() if name.startswith(MEMBER) and value]


def carried(
    given: Form, columns: Iterable[str], parameters: Iterable[str], algorithms: Iterable[str]
) -> dict[str, str]:
    """What a form was given that no field of it shows, such as a role of a column that is gone: it is sent along."""
    shown = {*_PLAIN, *(f"{ROLE}{name}" for name in columns), *(f"{PARAMETER}{name}" for name in parameters)}
    shown |= {f"{MEMBER}{name}" for name in algorithms}
    begins = (ROLE, OTHER, MEMBER) if _is_changed(given) else (ROLE, OTHER, MEMBER, PARAMETER)
    return {name: value for name, value in given.items() if value and name not in shown and name.startswith(begins)}


def _algorithm(given: Form, errors: dict[str, str]) -> str | list[str]:
    """One algorithm, or those that are ticked."""
    chosen = given.get("algorithm", "").strip()
    if chosen != SEVERAL:
        return chosen
    if len(found := members(given)) < 2:
        errors["with"] = "tick two algorithms or more, or choose one of them alone"
    return found


def _columns(role: str, columns: list[str], found: Mapping[str, str]) -> dict[str, str]:
    """The fields of a role; where a column has another role already, both cannot be chosen, and the list is kept."""
    if any(f"{ROLE}{column}" in found for column in columns):
        return {f"{OTHER}{role}": json.dumps(columns)}
    return {f"{ROLE}{column}": role for column in columns}


def _told(parameters: Any, begin: str, algorithm: Any) -> dict[str, str]:
    """Parameters as fields; of several algorithms each has an object of its own."""
    found: dict[str, str] = {}
    for name, value in (json.loads(parameters) if isinstance(parameters, str) else parameters or {}).items():
        if isinstance(value, dict) and not isinstance(algorithm, str):
            found |= _told(value, f"{begin}{name}.", "")
        else:
            found[f"{begin}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return found


def _roles(given: Form) -> dict[str, Any]:
    """Which columns are for what; a parameter that takes one column is that."""
    found: dict[str, Any] = {}
    for role in _LISTS:
        columns = [name.removeprefix(ROLE) for name, value in given.items() if name.startswith(ROLE) and value == role]
        if columns:
            found[role] = columns[0] if role in _ONE and len(columns) == 1 else columns
    return found


def _number(given: Form, name: str, is_whole: bool, errors: dict[str, str]) -> float | int | None:
    text = given.get(name, "").strip()
    if not text:
        return None
    try:
        return int(text) if is_whole else float(text)
    except ValueError:
        errors[name] = f"{text[:40]!r} is no {'whole number' if is_whole else 'number'}"
        return None


def _is_changed(given: Form) -> bool:
    """Whether the parameters of a form are those of the algorithm that was chosen before."""
    return given.get(OF, given.get("algorithm", "")) != given.get("algorithm", "")


def _parameters(given: Form, types: Mapping[str, str], errors: dict[str, str]) -> dict[str, Any]:
    """Those that are given; what is no text is read as JSON, as the registry writes its defaults."""
    found: dict[str, Any] = {}
    chosen = members(given)
    for field, value in given.items():
        name = field.removeprefix(PARAMETER)
        if not field.startswith(PARAMETER) or not (text := value.strip()) or _is_changed(given):
            continue
        owner, _, own = name.partition(".") if chosen else ("", "", name)
        if own and owner and owner not in chosen:
            continue  # it is not ticked any more
        place = found.setdefault(owner, {}) if own and owner else found
        place[own or name] = _value(field, text, types.get(name), errors)
    return found


def _value(field: str, text: str, kind: str | None, errors: dict[str, str]) -> Any:
    if kind == "VARCHAR":
        return text
    try:
        return json.loads(text)
    except ValueError:
        if kind is not None:
            errors[field] = f"{text[:40]!r} is no {kind.lower()}"
        return text


def _others(given: Form, errors: dict[str, str]) -> dict[str, Any]:
    """Options that have no field."""
    found = {}
    for name, value in given.items():
        if name.startswith(OTHER) and value:
            try:
                found[name.removeprefix(OTHER)] = json.loads(value)
            except ValueError:
                errors[name] = f"`{name}` is {value[:40]!r}, which cannot be read"
    return found
