"""Accuracy on real labelled sets; skipped, and said so, where they are not."""

import numpy as np
import pytest
from benchmarks import accuracy

SETS = sorted(accuracy.FOLDER.glob("*.parquet"))
needs_sets = pytest.mark.skipif(not SETS, reason=f"no labelled sets: {accuracy.FOLDER} is missing (PYNOMALY_DATA)")


@needs_sets
@pytest.mark.slow
def test_forest_is_as_accurate_as_pyods() -> None:
    rows = list(accuracy.forest_rows(SETS))
    assert len(rows) == len(SETS)
    assert np.mean([ours - theirs for _, ours, theirs in rows]) >= -0.005


@needs_sets
@pytest.mark.parametrize("name", ["ecod", "knn"])
def test_formulas_rank_as_pyods(name: str) -> None:
    small = [path for path in SETS if path.stat().st_size < 100_000]
    rows = list(accuracy.formula_rows(small, name))
    assert len(rows) == len(small)
    for set_name, ours, theirs in rows:
        assert abs(ours - theirs) < 1e-4, set_name
