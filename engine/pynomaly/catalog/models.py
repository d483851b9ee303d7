"""A trained model as the row that it becomes."""

import getpass
import importlib.metadata
import os
import platform
import time
from functools import cache

import msgspec
import pyarrow as pa

from pynomaly import comparison, metrics, options, registry, stored
from pynomaly.algorithm import Algorithm
from pynomaly.errors import ModelCorrupt, ModelNotStorable
from pynomaly.memory import PeakMemory
from pynomaly.model import Model
from pynomaly.options import Options
from pynomaly.registry import DISTRIBUTIONS

LIBRARIES = ("pynomaly", "duckdb", "numpy", "numba", "pyarrow")


class Trained(msgspec.Struct, frozen=True):
    """What training finds, under the names of the columns of `pynomaly.models`."""

    algorithm: str
    parameters: str
    seed: int
    features: list[str]
    encodings: str
    source_rows: int
    fitted_rows: int
    fingerprint: str
    threshold: float | None
    cut_off: str
    notes: list[str]
    metrics: str | None
    libraries: str
    fit_seconds: float
    peak_memory_bytes: int | None
    state: bytes
    digest: str


def train(rows: pa.StructArray, label: pa.Array, n_rows: int, asked: Options) -> Trained:
    """Fit a model to the sampled rows of a source of `n_rows` rows; ModelNotStorable for one that is of no later use.

    `label` is all NULL where there is none.
    """
    algorithm = registry.resolve(asked.algorithms or (registry.auto(n_rows),), asked.combine)
    _refuse_passing(algorithm)
    labelled, anomalous = comparison.truth_of(label)
    memory, started = PeakMemory(), time.perf_counter()
    fitted, scores = comparison.fitted_and_scored(rows, options.with_reasons(asked), n_rows)
    seconds = time.perf_counter() - started
    flags, ranked = fitted.flags(scores), comparison.ranked(scores)
    judged = metrics.judged(anomalous[labelled], ranked[labelled], flags[labelled]) if labelled.any() else None
    found = trained(fitted, asked, n_rows, seconds)
    return msgspec.structs.replace(found, metrics=_json(judged) if judged else None, peak_memory_bytes=memory.rise())


def trained(fitted: Model, asked: Options, n_rows: int, seconds: float) -> Trained:
    """What is kept of a model that was fitted in so many seconds; ModelNotStorable for one that is of no later use."""
    state = stored.dump(fitted)
    return Trained(
        algorithm=fitted.algorithm.name,
        parameters=parameters(fitted, asked),
        seed=asked.seed,
        features=[column.name for column in fitted.encoder.columns],
        encodings=_json(dict(fitted.encoder.describe())),
        source_rows=n_rows,
        fitted_rows=fitted.fitted_rows,
        fingerprint=fitted.fingerprint,
        threshold=fitted.threshold,
        cut_off=fitted.cut_off,
        notes=[*fitted.notes, *(f"`{item.column}` left out: {item.why}" for item in fitted.encoder.left_out)],
        metrics=None,
        libraries=_json(libraries(fitted.algorithm)),
        fit_seconds=seconds,
        peak_memory_bytes=None,
        state=state,
        digest=stored.digest(state),
    )


def parameters(fitted: Model, asked: Options) -> str:
    """Every parameter of a model's algorithm with its value, as JSON."""
    return _json(registry.parameters_for(fitted.algorithm, asked.parameters, fitted.fitted_rows)[0])


def _refuse_passing(algorithm: Algorithm) -> None:
    if not algorithm.scores_new_rows:
        raise ModelNotStorable(
            f"`{algorithm.name}` scores the rows that it was fitted to and no others",
            "use it in detect_anomalies, or train an algorithm whose `scores_new_rows` is true in algorithms()",
        )


def libraries(algorithm: Algorithm | None) -> dict[str, str]:
    """The versions of what a fit depends on; of what all depend on where there is no algorithm."""
    required = algorithm.requires if algorithm else ()
    packages = [*LIBRARIES, *(DISTRIBUTIONS.get(name, name) for name in required)]
    return {"python": platform.python_version(), **{name: _version(name) for name in packages}}


@cache
def _version(distribution: str) -> str:
    return importlib.metadata.version(distribution)


def who(user: str | None) -> str:
    """Who is at work: the user that a server named, or PYNOMALY_USER, or the login name."""
    named = user or os.fsencode(os.environ.get("PYNOMALY_USER", "")).decode(errors="replace").strip()
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return f"user {os.getuid()}"


def restored(data: bytes, digest: str, explain: int) -> Model:
    """The model in a row, with so many reasons for each scored row."""
    if stored.digest(data) != digest:
        raise ModelCorrupt("the digest of the model does not match its state", "restore the row from a copy")
    return msgspec.structs.replace(stored.load(data), explain=explain)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
