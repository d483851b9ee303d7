"""Writes a stored model, with the scores that it gives, for each own algorithm that has none yet.

`python tests/write_vectors.py` from the repository's root; what is there is never written again: every release reads
the models that the first one wrote.
"""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pynomaly import cutoffs, model, options, registry, stored

FOLDER = Path(__file__).parent / "vectors"
SMALL: dict[str, dict[str, object]] = {
    "extended_iforest": {"n_trees": 8, "max_samples": 16},
    "feature_bagging": {"n_estimators": 2},
    "half_space_trees": {"n_trees": 8, "max_samples": 32},
    "idk": {"n_estimators": 8, "max_samples": 8},
    "iforest": {"n_trees": 8, "max_samples": 32},
    "inne": {"n_estimators": 8},
    "lesinn": {"n_estimators": 8},
    "loda": {"n_projections": 20},
    "ocsvm": {"n_components": 32},
    "rotated_bagging": {"n_estimators": 2},
    "variable_subsampling": {"n_estimators": 2},
}
MANY = 1_200  # rows, more than a forest takes without a plan
FEW = 40


def sample(n: int, seed: int) -> pa.StructArray:
    """Rows with a column of each kind, some with gaps."""
    rng = np.random.default_rng(seed)
    moments = [dt.datetime(2024, 1, 1) + dt.timedelta(hours=int(hours)) for hours in rng.integers(0, 2_000, n)]
    columns: dict[str, Any] = {
        "amount": pa.array(np.where(rng.random(n) < 0.03, np.nan, rng.lognormal(size=n)), from_pandas=True),
        "hour": pa.array(rng.integers(0, 24, n)),
        "kind": pa.array([None if i % 17 == 3 else "abc"[int(k)] for i, k in enumerate(rng.integers(0, 3, n))]),
        "at": pa.array(moments, pa.timestamp("us")),
        "known": pa.array(rng.random(n) < 0.7),
    }
    return pa.StructArray.from_arrays(list(columns.values()), names=list(columns))


def chosen(name: str, explain: int = 2, **more: Any) -> options.Options:
    """The options of a fit of one algorithm, or of several joined by a plus sign."""
    given: dict[str, Any] = {
        "algorithms": tuple(name.split("+")),
        "combine": None,
        "parameters": {},
        "contamination": 0.05,
        "threshold": None,
        "rule": cutoffs.DEFAULT_RULE,
        "top_k": None,
        "explain": explain,
        "sample_rows": 262_144,
        "seed": 7,
        "features": (),
        "grouped": False,
    }
    return options.Options(**{**given, **more})


def asked() -> pa.StructArray:
    """The rows that the vectors tell the scores of, two of them far from all fitted ones, one all gaps."""
    found = json.loads((FOLDER / "rows.json").read_text(encoding="utf-8"))
    moments = [at and dt.datetime.fromisoformat(at) for at in found["at"]]
    columns = {name: pa.array(values) for name, values in {**found, "at": moments}.items()}
    return pa.StructArray.from_arrays(list(columns.values()), names=list(columns))


def write(name: str) -> None:
    """Write the model of one algorithm and its scores and reasons."""
    rows = sample(MANY if name == "iforest" else FEW, 1)
    data = stored.dump(model.fit(rows, chosen(name, parameters=SMALL.get(name, {})), len(rows)))
    scores, X = (found := stored.load(data)).score(asked())
    told = {"scores": scores.tolist(), "contributions": found.contributions(X).tolist()}
    (FOLDER / f"{name}.model").write_bytes(data)
    (FOLDER / f"{name}.json").write_text(json.dumps(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for missing in registry.own_names():
        if not (FOLDER / f"{missing}.model").exists():
            write(missing)
