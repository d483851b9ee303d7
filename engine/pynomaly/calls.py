"""The calls of the macros as SQL text, every value quoted."""

from collections.abc import Sequence
from typing import Any

import msgspec

from pynomaly.errors import BadParameter, did_you_mean
from pynomaly.quoting import literal

OPTIONS = (
    *(
        "algorithm",
        "combine",
        "features",
        "exclude",
        "label",
        "key",
        "by",
        "contamination",
        "threshold",
        "top_k",
        "explain",
    ),
    *("sample_rows", "seed", "parameters", "pipeline"),
)  # the parameters of the macro, without their defaults
COMPARISON_OPTIONS = (
    *("algorithms", "label", "features", "exclude", "key", "contamination", "threshold", "sample_rows", "seed"),
    "parameters",
)  # the parameters of compare_detectors, likewise
TRAINING_OPTIONS = (
    *("algorithm", "combine", "features", "exclude", "label", "contamination", "threshold", "sample_rows", "seed"),
    *("parameters", "require_valid", "pipeline"),
)  # the parameters of train_detector, likewise
COST_OPTIONS = (
    *("algorithm", "combine", "features", "exclude", "label", "key", "explain", "sample_rows", "seed", "parameters"),
)  # the parameters of estimate_cost, likewise
EVALUATION_OPTIONS = (
    "label",
    "score",
    "flag",
    "k",
)  # the parameters of evaluate, likewise; the curves take two of them


def call(source: str, **options: Any) -> str:
    """The call of `detect_anomalies` on a source, as SQL text; options that are None are left out."""
    return macro_call("detect_anomalies", OPTIONS, (source,), options)


def compare_call(source: str, **options: Any) -> str:
    """The call of `compare_detectors` on a source, likewise."""
    return macro_call("compare_detectors", COMPARISON_OPTIONS, (source,), options)


def evaluate_call(source: str, **options: Any) -> str:
    """The call of `evaluate` on a source or the id of a run, likewise."""
    return macro_call("evaluate", EVALUATION_OPTIONS, (source,), options)


def curves_call(source: str, **options: Any) -> str:
    """The call of `evaluation_curves` on a source or the id of a run, likewise."""
    return macro_call("evaluation_curves", EVALUATION_OPTIONS[:2], (source,), options)


def score_call(source: str, model: str, **options: Any) -> str:
    """The call of `score_anomalies` on a source, likewise."""
    return macro_call("score_anomalies", ("version", "explain"), (source, model), options)


def macro_call(macro: str, known: Sequence[str], leading: Sequence[object], options: dict[str, Any]) -> str:
    """The call of a macro that knows these options, its other parameters leading; BadParameter for one it does not."""
    for name in options:
        if name not in known:
            raise BadParameter(f"`{name}` is no parameter of {macro}", did_you_mean(name, known))
    given = [literal(value) for value in leading]
    given += [f"{name} := {literal(value)}" for name, value in options.items() if value is not None]
    return f"{macro}({', '.join(given)})"


def key_of(key: object) -> object:
    """The key of a row as `pynomaly.results` has it; one of several columns is given as a list."""
    return msgspec.json.encode(key, enc_hook=str).decode() if isinstance(key, list | tuple) else key
