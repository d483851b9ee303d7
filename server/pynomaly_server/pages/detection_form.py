"""What a person fills in to detect anomalies, as the request that the engine takes, and back."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from pynomaly import calls

# What a column is for, by the parameter of `detect_anomalies` that names it.
ROLES = (
    ("", "found out by itself"),
    ("features", "used"),
    ("exclude", "left out"),
    ("key", "identifies a row"),
    ("label", "says what is true"),
    ("by", "makes groups"),
)
ROLE, PARAMETER = "role:", "p."  # before the name of a column, and of a parameter of the algorithm
CUT_OFFS = ("contamination", "threshold", "rule", "top_k")
USUAL_REASONS = 3
_WHOLE = ("top_k", "explain", "seed", "sample_rows")
_SHARES = ("contamination", "threshold")
_LISTS = tuple(role for role, _ in ROLES if role)
_ONE = ("label",)
_UNSET = {"algorithm": "auto", "seed": 0}  # what need not be said
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
    """The request of a form; `types` are those of the algorithm's parameters."""
    errors: dict[str, str] = {}
    options: dict[str, Any] = {"algorithm": given.get("algorithm", "").strip()}
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
    kept = {name: value for name, value in options.items() if value not in (None, "", {}, _UNSET.get(name, ""))}
    kept.setdefault("explain", USUAL_REASONS) if "explain" not in given else None
    return Asked({"source": given.get("source", ""), **kept}, errors)


def fields(request: Mapping[str, Any]) -> dict[str, str]:
    """The form that makes a request: what `asked` reads, so that a detection can be changed and asked for again."""
    found = {"source": str(request.get("source", "")), "explain": str(request.get("explain", ""))}
    for name in _LISTS:
        value = request.get(name)
        found |= {f"{ROLE}{column}": name for column in ([value] if isinstance(value, str) else value or ())}
    for name, value in (request.get("parameters") or {}).items():
        found[f"{PARAMETER}{name}"] = value if isinstance(value, str) else json.dumps(value)
    for name in ("algorithm", "pipeline", *_SHARES, *_WHOLE):
        if isinstance(request.get(name), str | int | float):
            is_rule = name == "threshold" and isinstance(request[name], str)
            found["rule" if is_rule else name] = str(request[name])
    return found


def texts(found: Asked, address: str) -> list[tuple[str, str]]:
    """The request as SQL, Python, curl and a command line; no part of it leaves its quotes."""
    source, options = found.request["source"], found.options
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    python = (
        "import pynomaly\n\n"
        'with pynomaly.connect("workspace.duckdb") as db:\n'
        f"    result = db.detect({source!r}{given})\n"
        "    print(result.verdict)"
    )
    body = json.dumps({"source": source, **options}, ensure_ascii=False)
    curl = (
        f"curl {shlex.quote(f'{address}/api/v1/detection/detect')} \\\n"
        '  --header "Authorization: Bearer $PYNOMALY_KEY" \\\n'
        "  --header 'Content-Type: application/json' \\\n"
        f"  --data {shlex.quote(body)}"
    )
    flags = [word for name, value in options.items() for word in _flag(name, value)]
    line = shlex.join(["pynomaly", "detect", source, "--db", "workspace.duckdb", *flags])
    return [("SQL", f"select * from {found.call}"), ("Python", python), ("curl", curl), ("Command line", line)]


def _flag(name: str, value: Any) -> list[str]:
    """An option of the command line; a list is the option again and again."""
    said = f"--{name.replace('_', '-')}"
    if isinstance(value, dict):
        return [said, json.dumps(value, ensure_ascii=False)]
    return [word for one in (value if isinstance(value, list) else [value]) for word in (said, str(one))]


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


def _parameters(given: Form, types: Mapping[str, str], errors: dict[str, str]) -> dict[str, Any]:
    """Those that are given; what is no text is read as JSON, as the registry writes its defaults."""
    found: dict[str, Any] = {}
    for name, kind in types.items():
        text = given.get(f"{PARAMETER}{name}", "").strip()
        if not text:
            continue
        if kind == "VARCHAR":
            found[name] = text
            continue
        try:
            found[name] = json.loads(text)
        except ValueError:
            errors[f"{PARAMETER}{name}"] = f"{text[:40]!r} is no {kind.lower()}"
    return found
