"""Several algorithms on the same rows, one after another: what each costs, flags and agrees with."""

import contextlib
import time
from collections.abc import Callable

import msgspec
import numpy as np
import pyarrow as pa

from pynomaly import metrics, model
from pynomaly.algorithm import Flags, Floats
from pynomaly.errors import BadParameter, Interrupted, PynomalyError
from pynomaly.memory import PeakMemory
from pynomaly.options import Comparison, Options

WARM_UP_ROWS = 32  # enough to import a library and to load the kernels, so that `seconds` are those of the work

LABEL_KINDS = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)

Report = Callable[[int, int, str], None]  # number done, number of all, the name of the next


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One algorithm as `compare_detectors` lists it; `error` says why the figures are missing."""

    algorithm: str
    seconds: float | None = None
    rows_per_second: float | None = None
    peak_memory_bytes: int | None = None
    n_rows: int
    n_flagged: int | None = None
    threshold: float | None = None
    auroc: float | None = None
    average_precision: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    consensus_correlation: float | None = None
    error: str | None = None


class Scored(msgspec.Struct, frozen=True):
    """What an algorithm made of the rows."""

    scores: Floats
    flags: Flags
    record: Compared


def compare(rows: pa.StructArray, label: pa.Array, asked: Comparison, report: Report) -> list[Compared]:
    """Fit and score the rows with each algorithm; one that fails is a record with its error.

    `label` is all NULL where there is none; rows without a label do not count in the metrics.
    """
    labelled, anomalous = truth_of(label)
    done: list[Scored | Compared] = []
    for place, name in enumerate(asked.algorithms):
        report(place, len(asked.algorithms), name)
        done.append(_tried(rows, asked.of(name), name))
    report(len(done), len(done), "")
    scored = [item for item in done if isinstance(item, Scored)]
    consensus = _consensus(scored)
    return [_judged(item, labelled, anomalous, consensus) if isinstance(item, Scored) else item for item in done]


def truth_of(label: pa.Array) -> tuple[Flags, Flags]:
    """Which rows have a label (NaN is none), and which of them are anomalous: true, or the larger of two numbers."""
    known = np.asarray(label.is_valid())
    if not known.any():
        return known, known
    if not any(is_kind(label.type) for is_kind in LABEL_KINDS):
        raise BadParameter(f"the label has values of type {label.type}", metrics.ANOMALY_LABEL)
    values = np.asarray(label.cast(pa.float64()).fill_null(np.nan))
    known = ~np.isnan(values)
    found = np.unique(values[known])
    return known, values == metrics.anomaly_label(len(found), *found[[0, -1]]) if len(found) else known


def _tried(rows: pa.StructArray, asked: Options, name: str) -> Scored | Compared:
    """One algorithm's scores, or a record that says why there are none."""
    try:
        with contextlib.suppress(PynomalyError):  # too few rows for it, or the error that comes below
            few = rows.slice(0, WARM_UP_ROWS)
            fitted_and_scored(few, asked, len(few))
        memory, started = PeakMemory(), time.perf_counter()
        fitted, scores = fitted_and_scored(rows, asked, len(rows))
        seconds = time.perf_counter() - started
        peak = memory.rise()
    except Interrupted:
        raise
    except PynomalyError as error:
        return Compared(algorithm=name, n_rows=len(rows), error=str(error))
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises is a row, and the rest go on
        return Compared(algorithm=name, n_rows=len(rows), error=f"{type(error).__name__}: {error}")
    flags = fitted.flags(scores)
    found = Compared(
        algorithm=fitted.algorithm.name,
        seconds=seconds,
        rows_per_second=len(rows) / seconds,
        peak_memory_bytes=peak,
        n_rows=len(rows),
        n_flagged=int(flags.sum()),
        threshold=fitted.threshold,
    )
    return Scored(scores, flags, found)


def fitted_and_scored(rows: pa.StructArray, asked: Options, n_rows: int) -> tuple[model.Model, Floats]:
    """Fit to the sampled rows of a source of `n_rows` rows, and score them, as a detection does."""
    fitted = model.fit(rows, asked, n_rows)
    parts = [fitted.score(rows.slice(at, model.BLOCK))[0] for at in range(0, len(rows), model.BLOCK)]
    return fitted, np.concatenate(parts)


def _consensus(scored: list[Scored]) -> Floats | None:
    """The mean rank that the algorithms give each row; no opinion ranks lowest."""
    if len(scored) < 2:
        return None
    return np.asarray(np.mean([metrics.ranks(ranked(item.scores)) for item in scored], axis=0))


def ranked(scores: Floats) -> Floats:
    """Scores that can be ranked: no opinion is the lowest."""
    return np.where(np.isnan(scores), -np.inf, scores)


def _judged(item: Scored, labelled: Flags, anomalous: Flags, consensus: Floats | None) -> Compared:
    """The record with what the labels and the other algorithms say."""
    correlation = None if consensus is None else metrics.rank_correlation(ranked(item.scores), consensus)
    if not labelled.any():
        return msgspec.structs.replace(item.record, consensus_correlation=correlation)
    truth, scores, flags = anomalous[labelled], ranked(item.scores)[labelled], item.flags[labelled]
    return msgspec.structs.replace(
        item.record, consensus_correlation=correlation, **metrics.judged(truth, scores, flags)
    )
