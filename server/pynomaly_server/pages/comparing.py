"""Runs side by side: what differs in their making, which rows several flag, how well each agrees with labels."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import msgspec

from pynomaly import calls
from pynomaly.engine import Engine
from pynomaly.errors import PynomalyError
from pynomaly.quoting import identifier, literal
from pynomaly_server import paging
from pynomaly_server.pages.remembered import RUNS

LEAST, MOST = 2, 4
LETTERS = "ABCD"
CURVE_POINTS = 150
METRICS = (
    *("n_labelled", "n_anomalies", "auroc", "average_precision", "precision", "recall", "f1"),
    *("true_positives", "false_positives", "false_negatives", "true_negatives"),
)
_FACTS = {
    "kind": "kind",
    "source": "data",
    "source_version": "version of the data",
    "algorithm": "algorithm",
    "model": "model",
    "model_version": "version of the model",
    "seed": "seed",
    "key": "key",
    "threshold": "threshold",
    "cut_off": "cut-off",
    "n_rows": "rows",
    "n_flagged": "flagged",
    "n_unscored": "without a score",
    "seconds": "took",
    "status": "status",
    "created_by": "who",
}
_OVERLAP = """
with flagged as (
    {runs}
),
told as (
    select key, list_sort(list(run)) as runs
    from flagged
    group by key
)
select runs, count(*) as n_rows
from told
group by runs
order by len(runs) desc, runs
"""
_THINNED = """
select threshold, "precision", recall, false_positive_rate
from (
    select *, row_number() over (order by threshold desc) as place, count(*) over () as n_places
    from {curves}
)
where
    place in (1, n_places) or place % greatest(1, n_places // {n}) = 0
    or floor(20 * ln(place)) > floor(20 * ln(greatest(place - 1, 1)))  -- the first places matter most
order by place
"""
_WORDS = """
select {label}, typeof({label}), count(*) from _run_rows({run}) where {label} is not null group by all
order by count(*) limit 3
"""
_OF_WORDS = """
with judged as (
    select said.anomaly_score, said.is_anomaly, kept.{label} = {rare} as truth
    from _run_results({run}) as said
    join _run_rows({run}) as kept on kept._pynomaly_key = said.key
)
"""


class Difference(msgspec.Struct, frozen=True):
    """One fact of several runs."""

    group: str
    name: str
    values: list[Any]
    differs: bool


class Judged(msgspec.Struct, frozen=True):
    """A run with what its labels say of it; `why_not` where they say nothing."""

    run: dict[str, Any]
    name: str
    by: str
    figures: dict[str, Any]
    points: list[dict[str, Any]]
    sql: str
    why_not: str = ""


def differences(runs: Sequence[dict[str, Any]]) -> list[Difference]:
    """What was asked for, what it was done with, and what came of it, the same for all or not."""
    found = []
    listed = [("", told, [_fact(run, name) for run in runs]) for name, told in _FACTS.items()]
    made = [(*asked(run), run["libraries"]) for run in runs]
    for n, group in enumerate(("option", "parameter", "library")):
        names = dict.fromkeys(name for one in made for name in one[n] if (group, name) != ("option", "algorithm"))
        listed += [(group, name, [one[n].get(name) for one in made]) for name in names]
    for group, name, values in listed:
        if any(value is not None for value in values):
            differs = any(value != values[0] for value in values[1:])
            found.append(Difference(group, name, values, differs))
    return found


def asked(run: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a run, and its parameters each by its name, those of a run that failed too."""
    given = run["options"].get("parameters")
    if not isinstance(given, dict) or any(isinstance(value, dict) for value in given.values()):
        return run["options"], run["parameters"]
    return {name: value for name, value in run["options"].items() if name != "parameters"}, given | run["parameters"]


def _fact(run: dict[str, Any], name: str) -> Any:
    """A fact of a run; the model that only the run itself has is none."""
    return None if name.startswith("model") and run["model"] == run["id"] else run.get(name)


def overlap(db: Engine, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many rows are flagged by which of several saved runs, together and two by two."""
    select = "select {letter} as run, key from _run_results({id}) where is_anomaly"
    parts = [
        select.format(letter=literal(letter), id=literal(run["id"])) for letter, run in zip(LETTERS, runs, strict=False)
    ]
    sql = _OVERLAP.format(runs="\n    union all by name\n    ".join(parts)).strip()
    regions = RUNS.of(("overlap", *(run["id"] for run in runs)), lambda: paging.records(db, sql))
    letters = LETTERS[: len(runs)]
    counts = {letter: sum(one["n_rows"] for one in regions if letter in one["runs"]) for letter in letters}
    pairs = []
    for a, b in combinations(letters, 2):
        both = sum(one["n_rows"] for one in regions if a in one["runs"] and b in one["runs"])
        either = counts[a] + counts[b] - both
        pairs.append({"a": a, "b": b, "both": both, "only_a": counts[a] - both, "only_b": counts[b] - both,
                      "share": both / either if either else None})  # fmt: skip
    return {"regions": regions, "pairs": pairs, "sql": sql, "n_flagged": sum(one["n_rows"] for one in regions)}


def judged(db: Engine, run: dict[str, Any]) -> Judged:
    """A run by its label column, or else by what people said of its rows."""
    label = run["options"].get("label")
    by = f"the column `{label}`" if label else "what people said"
    found = _judged(db, run, by, run["id"], label)
    if found.why_not and label and (rare := _rare_word(db, run["id"], label)):
        before = _OF_WORDS.format(run=literal(run["id"]), label=identifier(label), rare=literal(rare)).lstrip()
        return _judged(db, run, f"{by}, where {rare[:40]} is an anomaly", "judged", "truth", before)
    return found


def _judged(db: Engine, run: dict[str, Any], by: str, source: str, label: str | None, before: str = "") -> Judged:
    """A run by a label of a source, which `before` defines."""
    named = f"{run['algorithm'] or run['model']}, {run['id'][:8]}"
    sql = f"{before}from {calls.evaluate_call(source, label=label)}"
    thinned = _THINNED.format(curves=calls.curves_call(source, label=label), n=CURVE_POINTS).strip()
    try:
        (figures,) = paging.records(db, sql)
        return Judged(run, named, by, figures, paging.records(db, before + thinned), sql)
    except PynomalyError as error:
        return Judged(run, named, by, {}, [], sql, error.cause)


def _rare_word(db: Engine, run: str, label: str) -> str:
    """Of a label that is one of two words, such as malignant and benign, the rarer one: that of the anomalies."""
    try:
        found = db.execute(_WORDS.format(label=identifier(label), run=literal(run))).fetchall()
    except PynomalyError:  # the rows are not there any more, which the evaluation tells
        return ""
    is_pair = len(found) == 2 and found[0][1] == "VARCHAR" and found[0][2] < found[1][2]
    return str(found[0][0]) if is_pair else ""
