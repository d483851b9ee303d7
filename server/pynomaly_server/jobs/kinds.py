"""What jobs do: a function a kind, which the engine's own methods do the work for.

A function has the cursor that acts as the user, the request, and the job's work; what it returns is the job's result.
It may be called again after the server was killed, and takes effect once: runs have the id of their job, and what else
is written ends its job in the same transaction.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa

from pynomaly.engine import Engine
from pynomaly.errors import BadParameter, Conflict, did_you_mean
from pynomaly_server.jobs.work import Work
from pynomaly_server.metrics import ROWS_SCORED

Perform = Callable[[Engine, dict[str, Any], Work], dict[str, Any]]

FIRST_ROWS = 50  # that a result tells of a saved run
MOST_ROWS = 1_000  # and of one that is not saved
TRIES = 10  # of a training that another one of the same name was faster than
_KINDS: dict[str, Perform] = {}
_RUN = """
select
    id::varchar as id, kind, source, source_version, snapshot, algorithm, model, model_version, seed, n_rows, n_flagged,
    n_unscored, threshold, cut_off, notes, seconds, rows_per_second, sql, saved, started_at, created_by
from pynomaly.runs where id = ?
"""
_FLAGGED = """
select key, anomaly_score, is_anomaly, reasons from pynomaly.results
where run_id = ? and is_anomaly order by anomaly_score desc, key limit ?
"""


def register(kind: str) -> Callable[[Perform], Perform]:
    """Let jobs of a kind be done by a function."""

    def known(perform: Perform) -> Perform:
        _KINDS[kind] = perform
        return perform

    return known


def get(kind: str) -> Perform:
    """The function of a kind; BadParameter for one that there is not."""
    if kind not in _KINDS:
        raise BadParameter(f"there is no kind of job `{kind}`", did_you_mean(kind, _KINDS))
    return _KINDS[kind]


@register("detect")
def detect(db: Engine, request: dict[str, Any], work: Work) -> dict[str, Any]:
    """Detect anomalies in a source; the run is saved unless `save` is false."""
    given = dict(request)
    source, save = given.pop("source"), given.pop("save", True)
    return _run(db, work, save, lambda run: db.detect(source, save=save, run_id=run, **given).arrow())


@register("score")
def score(db: Engine, request: dict[str, Any], work: Work) -> dict[str, Any]:
    """Score a source with a model, likewise."""
    given = dict(request)
    source, model, save = given.pop("source"), given.pop("model"), given.pop("save", True)
    return _run(db, work, save, lambda run: db.score(source, model, save=save, run_id=run, **given).arrow())


@register("train")
def train(db: Engine, request: dict[str, Any], work: Work) -> dict[str, Any]:
    """Train a model; the model and the end of the job are committed together."""
    given = dict(request)
    model, source = given.pop("model"), given.pop("source")
    for attempt in range(TRIES):
        db.execute("begin").fetchall()
        try:
            found = {"model": msgspec.to_builtins(db.train(model, source, **given))}
            work.succeed(db, found)
            db.commit()
        except Conflict:
            work.is_written = False
            db.rest()
            if attempt == TRIES - 1:
                raise
        except BaseException:
            work.is_written = False
            db.rest()
            raise
        else:
            return found
    raise AssertionError  # the loop returns or raises


@register("compare")
def compare(db: Engine, request: dict[str, Any], work: Work) -> dict[str, Any]:
    """Compare algorithms on the rows of a source."""
    given = dict(request)
    found = db.compare(given.pop("source"), **given)
    work.sql = found.sql
    return {"items": found.arrow().to_pylist()}


@register("evaluate")
def evaluate(db: Engine, request: dict[str, Any], work: Work) -> dict[str, Any]:  # noqa: ARG001 - one form for all
    """How well scored rows, or those of a run, agree with a label."""
    given = dict(request)
    return {"evaluation": msgspec.to_builtins(db.evaluate(given.pop("source"), **given))}


@register("replay")
def replay(db: Engine, request: dict[str, Any], work: Work) -> dict[str, Any]:  # noqa: ARG001 - one form for all
    """A saved run once more, and whether all is the same."""
    return {"replay": db.replay_run(request["run"]).arrow().to_pylist()[0]}


@register("validate")
def validate(db: Engine, request: dict[str, Any], work: Work) -> dict[str, Any]:  # noqa: ARG001 - one form for all
    """Look for rows of a source that break rules."""
    found = db.validate(request["source"], request.get("rules"))
    return {"validation": {**msgspec.to_builtins(found), "is_valid": found.is_valid}}


@register("profile")
def profile(db: Engine, request: dict[str, Any], work: Work) -> dict[str, Any]:  # noqa: ARG001 - one form for all
    """What the columns of a source are like."""
    return {"items": db.profile(request["source"]).arrow().to_pylist()}


def _run(db: Engine, work: Work, save: bool, perform: Callable[[str], pa.Table]) -> dict[str, Any]:
    """The run of a job with its first flagged rows; one that an earlier attempt has saved is not made again."""
    (run, is_done), rows = work.run(db), None
    if not is_done:
        table = perform(run)
        ROWS_SCORED.inc(table.num_rows)
        rows = None if save else _first(table)
        del table
    told = run_row(db, run)
    work.sql = told["sql"]
    if rows is None:
        rows = db.sql(_FLAGGED, [run, FIRST_ROWS]).arrow().to_pylist()
    return {"run": told, "rows": rows}


def run_row(db: Engine, run: str) -> dict[str, Any]:
    """A run as its row tells it."""
    (told,) = db.sql(_RUN, [run]).arrow().to_pylist()
    return dict(told)


def _first(table: pa.Table) -> list[dict[str, Any]]:
    """The flagged rows, the highest scores first, and then the others."""
    order = [("is_anomaly", "descending"), ("anomaly_score", "descending")]
    found: list[dict[str, Any]] = table.sort_by(order).slice(0, MOST_ROWS).to_pylist()
    return found
