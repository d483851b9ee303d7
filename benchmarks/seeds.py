"""Randomised detectors beside PyOD's of the same name, over ten seeds: `python -m benchmarks.seeds [NAME ...]`.

Mean AUROC over the seeds on each labelled set, cut to 2,000 rows, ours and PyOD's with the defaults of each, and the
standard error of their difference. Where it is below minus two standard errors, which happens by chance on one set in
thirty, 40 other seeds decide whether the set is lower. Where neither depends on the seed the error is 0, and a lower
set says that the formulas or the defaults differ.
"""

import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import accuracy
from benchmarks.accuracy import FOLDER, SEEDS, Floats, labelled, our_auroc
from benchmarks.algorithms import AUROC_ROWS
from pynomaly import registry
from pynomaly.errors import PynomalyError

OTHER_SEEDS = range(100, 140)
MOST_LOWER = 0.005  # how far the mean over all sets may be below PyOD's
MOST_ERRORS = 2.0  # how many standard errors a set may be below


class Compared(NamedTuple):
    """Mean AUROC over the seeds on one set, and the standard error of the difference."""

    set: str
    ours: float
    theirs: float
    error: float

    @property
    def difference(self) -> float:
        """Ours less PyOD's."""
        return self.ours - self.theirs

    @property
    def is_lower(self) -> bool:
        """Whether ours is lower by more than chance allows."""
        return self.difference < -MOST_ERRORS * self.error - 1e-9  # scores that are equal but for a rounding

    def line(self) -> str:
        """The set's line in the table."""
        note = "  lower" if self.is_lower else ""
        return f"{self.set:24}{self.ours:10.4f}{self.theirs:10.4f}{self.difference:+12.4f}{self.error:10.4f}{note}"


def detectors() -> list[str]:
    """The algorithms of our own that draw at random, and that PyOD has under the same name."""
    known = set(registry.names())
    return [name for name in registry.own_names() if f"pyod_{name}" in known and not registry.get(name).deterministic]


def aurocs(name: str, X: Floats, label: Floats, seeds: range) -> Floats:
    """The AUROC of each seed; one, where the seed makes no difference."""
    used = seeds[:1] if registry.get(name).deterministic else seeds
    return np.array([our_auroc(name, X, label, seed) for seed in used])


def squared_error(found: Floats) -> float:
    """Of the mean over the seeds."""
    return float(found.var(ddof=1)) / len(found) if len(found) > 1 else 0.0


def compared(name: str, path: Path, seeds: range) -> Compared | None:
    """Both detectors on a set; None where it has no anomaly, or where one of them cannot work with it."""
    X, label = labelled(path)
    if not label.any():  # the rows that were drawn have no anomaly
        return None
    try:
        ours, theirs = aurocs(name, X, label, seeds), aurocs(f"pyod_{name}", X, label, seeds)
    except (PynomalyError, ValueError) as error:
        print(f"{path.stem:24}left out: {str(error).splitlines()[0]}", flush=True)
        return None
    error_of_difference = float(np.sqrt(squared_error(ours) + squared_error(theirs)))
    return Compared(path.stem, float(ours.mean()), float(theirs.mean()), error_of_difference)


def show(name: str, sets: list[Path]) -> str:
    """Print the table of a detector as it is made; return its line of the summary."""
    print(f"\n{name:24}{'ours':>10}{'PyOD':>10}{'difference':>12}{'error':>10}")
    differences, lower = [], []
    for path in sets:
        row = compared(name, path, SEEDS)
        if row is None:
            continue
        print(row.line(), flush=True)
        differences.append(row.difference)
        again = compared(name, path, OTHER_SEEDS) if row.is_lower and row.error > 0.0 else row
        if again is not row and again is not None:
            print(f"{again.line()}  {len(OTHER_SEEDS)} other seeds", flush=True)
        if again is not None and again.is_lower:
            lower.append(row.set)
    mean = float(np.mean(differences)) if differences else float("nan")
    verdict = "ok" if mean >= -MOST_LOWER and not lower else "lower"
    return f"{name:24}{mean:+12.4f}{len(differences):6}{len(lower):7}  {verdict:7}{' '.join(lower)}"


def main(names: list[str]) -> None:
    """Print a table a detector, and at the end a line each; say so where the sets are missing."""
    sets = sorted(FOLDER.glob("*.parquet"))
    if not sets:
        print(f"seeds: skipped, no sets in {FOLDER} (PYNOMALY_DATA names the folder)")
        return
    accuracy.MOST_ROWS = AUROC_ROWS
    started = time.perf_counter()
    lines = [show(name, sets) for name in names or detectors()]
    print(f"\n{'':24}{'difference':>12}{'sets':>6}{'lower':>7}")
    print(*lines, f"\n{time.perf_counter() - started:.0f} s", sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
