"""How well each rule guesses where anomalies begin, beside PyThresh: `python -m benchmarks.thresholds`.

Two demands that pull apart: on the labelled sets the flagged share and rows should be those of the labels; on clean
data next to nothing should be flagged. Every algorithm's training scores count alike, every set and case likewise.
"""

import importlib
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import FOLDER, Floats, labelled
from pynomaly import registry
from pynomaly.cutoffs import DEFAULT_RULE, RULES, estimated_threshold

ALGORITHMS = ("iforest", "knn", "lof", "ecod", "hbos", "mad", "pca")
SIZES = {200: 3, 1_000: 2, 10_000: 1}  # rows: repetitions
WIDTHS = (1, 3, 10)
PYTHRESH = ("CHAU", "IQR", "OCSVM", "ZSCORE", "MAD")  # its best few of those that take milliseconds a set
FAMILIES: dict[str, dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]]] = {
    "Gaussian": {"normal": lambda rng, shape: rng.normal(size=shape)},
    "uniform": {"uniform": lambda rng, shape: rng.random(shape)},
    "heavy": {
        "Student t, 3": lambda rng, shape: rng.standard_t(3, shape),
        "Laplace": lambda rng, shape: rng.laplace(size=shape),
        "log-normal": lambda rng, shape: rng.lognormal(size=shape),
    },
    "discrete": {
        "Poisson": lambda rng, shape: rng.poisson(3.0, shape).astype(float),
        "categories": lambda rng, shape: rng.choice(6, shape, p=(0.4, 0.25, 0.15, 0.1, 0.06, 0.04)).astype(float),
        "lattice": lambda rng, shape: rng.integers(0, 5, shape).astype(float),
        "rounded": lambda rng, shape: np.round(rng.normal(size=shape), 1),
    },
}

Flags = NDArray[np.bool_]
Flagger = Callable[[Floats], Flags]


def training_scores(name: str, X: Floats, seed: int = 0) -> Floats:
    """Training scores of one of our algorithms, with its defaults."""
    found = registry.get(name)
    params, _ = registry.parameters_for(found, {}, len(X))
    return found.score(found.fit(X, params, seed), X, np.ones(len(X), np.bool_))


def labelled_scores() -> Iterator[tuple[Floats, Flags]]:
    """Scores and labels of every set under every algorithm."""
    for path in sorted(FOLDER.glob("*.parquet")):
        X, label = labelled(path)
        for name in ALGORITHMS:
            yield training_scores(name, X), label > 0.0


def clean_scores(family: str) -> Iterator[tuple[float, Floats]]:
    """Weight and scores of every case of a family under every algorithm; the weights of a case add up to 1."""
    for law in FAMILIES[family].values():
        for n, repetitions in SIZES.items():
            for d in WIDTHS:
                for seed in range(repetitions):
                    X = law(np.random.default_rng([seed, n, d]), (n, d))
                    for name in ALGORITHMS:
                        yield 1.0 / repetitions, training_scores(name, X, seed)


def f1(label: Flags, flagged: Flags) -> float:
    """Harmonic mean of precision and recall."""
    return float(2.0 * np.count_nonzero(label & flagged) / (np.count_nonzero(label) + np.count_nonzero(flagged)))


def ours(rule: str) -> Flagger:
    """Rows above the threshold of a rule."""
    return lambda scores: scores > estimated_threshold(scores, rule)


def pythresh() -> dict[str, Flagger]:
    """PyThresh's methods with their defaults; none where it is not installed."""
    try:
        found = {name: importlib.import_module(f"pythresh.thresholds.{name.lower()}") for name in PYTHRESH}
    except ImportError:
        return {}
    return {f"PyThresh {name}": _theirs(getattr(module, name)) for name, module in found.items()}


def _theirs(method: Any) -> Flagger:  # PyThresh is untyped
    def flagged(scores: Floats) -> Flags:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return np.asarray(method().eval(scores)) > 0
            except ValueError:  # of scores that are equal, or where it would flag nothing
                return np.zeros(len(scores), np.bool_)

    return flagged


def row(flagger: Flagger, sets: list[tuple[Floats, Flags]], clean: dict[str, list[tuple[float, Floats]]]) -> str:
    """Mean absolute error of the share, F1, and the share of clean rows flagged by family, as text."""
    flagged = [flagger(scores) for scores, _ in sets]
    error = [abs(mine.mean() - label.mean()) for mine, (_, label) in zip(flagged, sets, strict=True)]
    agreement = [f1(label, mine) for mine, (_, label) in zip(flagged, sets, strict=True)]
    text = f"{np.mean(error):>8.4f}{np.mean(agreement):>8.4f}" if sets else f"{'-':>8}{'-':>8}"
    for cases in clean.values():
        shares = [flagger(scores).mean() for _, scores in cases]
        text += f"{np.average(shares, weights=[weight for weight, _ in cases]):>10.2%}"
    return text


def main() -> None:
    """Print the table."""
    started = time.perf_counter()
    sets = list(labelled_scores())
    if not sets:
        print(f"thresholds: labelled sets skipped, none in {FOLDER} (PYNOMALY_DATA names the folder)")
    clean = {family: list(clean_scores(family)) for family in FAMILIES}
    print(
        f"{len(ALGORITHMS)} algorithms, {len(sets) // len(ALGORITHMS)} sets; share of clean rows flagged on the right"
    )
    print(f"{'':<20}{'error':>8}{'F1':>8}" + "".join(f"{family:>10}" for family in FAMILIES))
    for rule in RULES:
        mark = " (default)" if rule == DEFAULT_RULE else ""
        print(f"{rule + mark:<20}{row(ours(rule), sets, clean)}", flush=True)
    theirs = pythresh()
    for name, flagger in theirs.items():
        print(f"{name:<20}{row(flagger, sets, clean)}", flush=True)
    if not theirs:
        print("PyThresh: skipped, not installed")
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
