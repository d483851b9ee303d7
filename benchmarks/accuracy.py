"""How well the scores rank the labelled anomalies of ADBench, beside PyOD: `python -m benchmarks.accuracy`.

The folder is that of the environment variable PYNOMALY_DATA, or ../shared/data/adbench beside the repository.
Each set is cut to at most 10,000 rows and standardised, as for the PyOD figures that lie in the folder.
"""

import csv
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from pynomaly import registry

FOLDER = Path(os.environ.get("PYNOMALY_DATA", Path(__file__).parents[2] / "shared" / "data" / "adbench"))
MOST_ROWS = 10_000
SEEDS = range(10)
FORMULAS = ("ecod", "knn", "lof")  # without randomness: one run each, against the figures in the folder

Floats = NDArray[np.float64]


def labelled(path: Path) -> tuple[Floats, Floats]:
    """The standardised columns and the label of a set."""
    with duckdb.connect() as con:
        columns = con.execute("from read_parquet(?)", [str(path)]).fetchnumpy()
    label = np.asarray(columns.pop("label"), float)
    X = np.column_stack([np.asarray(columns[name], float) for name in columns])
    if len(X) > MOST_ROWS:
        chosen = np.random.default_rng(0).choice(len(X), MOST_ROWS, replace=False)
        X, label = X[chosen], label[chosen]
    spread = X.std(axis=0)
    return np.ascontiguousarray((X - X.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)), label


def auroc(label: Floats, scores: Floats) -> float:
    """Area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(label, scores))


def our_auroc(name: str, X: Floats, label: Floats, seed: int = 0) -> float:
    """AUROC of the training scores of one of our algorithms, with its defaults."""
    found = registry.get(name)
    state = found.fit(X, found.params(), seed)
    return auroc(label, found.score(state, X, np.ones(len(X), np.bool_)))


def pyod_forest_auroc(X: Floats, label: Floats, seed: int) -> float:
    """AUROC of the training scores of PyOD's isolation forest, with its defaults."""
    from pyod.models.iforest import IForest

    return auroc(label, IForest(random_state=seed).fit(X).decision_scores_)


def table(title: str, rows: Iterable[tuple[str, float, float]]) -> None:
    """Print ours beside PyOD's, a set a line, and the means at the end."""
    print(f"\n{title:24}{'ours':>10}{'PyOD':>10}{'difference':>12}")
    differences = []
    for name, ours, theirs in rows:
        differences.append(ours - theirs)
        print(f"{name:24}{ours:10.4f}{theirs:10.4f}{ours - theirs:+12.4f}", flush=True)
    print(f"{'mean difference':24}{np.mean(differences):+32.4f}")


def forest_rows(sets: list[Path]) -> Iterator[tuple[str, float, float]]:
    """Mean AUROC over the seeds, ours and PyOD's."""
    for path in sets:
        X, label = labelled(path)
        ours = np.mean([our_auroc("iforest", X, label, seed) for seed in SEEDS])
        theirs = np.mean([pyod_forest_auroc(X, label, seed) for seed in SEEDS])
        yield path.stem, float(ours), float(theirs)


def formula_rows(sets: list[Path], name: str) -> Iterator[tuple[str, float, float]]:
    """AUROC of an algorithm without randomness, and PyOD's from the file beside the sets."""
    with (FOLDER / "pyod_baseline.csv").open(encoding="utf-8") as lines:
        theirs = {row["set"]: float(row["auroc"]) for row in csv.DictReader(lines) if row["algorithm"] == name.upper()}
    for path in sets:
        if path.stem in theirs:
            yield path.stem, our_auroc(name, *labelled(path)), theirs[path.stem]


def main() -> None:
    """Print every table; say so where the sets are missing."""
    sets = sorted(FOLDER.glob("*.parquet"))
    if not sets:
        print(f"accuracy: skipped, no sets in {FOLDER} (PYNOMALY_DATA names the folder)")
        return
    started = time.perf_counter()
    table(f"iforest, {len(SEEDS)} seeds", forest_rows(sets))
    if (FOLDER / "pyod_baseline.csv").exists():
        for name in FORMULAS:
            table(name, formula_rows(sets, name))
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
