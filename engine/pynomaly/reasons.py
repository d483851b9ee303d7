"""The reasons of a row: its largest contributions, as Arrow lists of structs."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pynomaly import arrays
from pynomaly.algorithm import Floats
from pynomaly.schema import REASON

if TYPE_CHECKING:  # the model imports the kernels, which are slow to load
    from pynomaly.model import Model


def reasons(model: Model, rows: pa.StructArray, scores: Floats) -> pa.ListArray:
    """The `model.explain` largest positive contributions of each row, the largest first; none without a score."""
    if not model.explain or model.state is None:
        return no_reasons(len(rows))
    by_feature, by_column = _contributions(model, rows, scores)
    ranked = np.argsort(-by_column, axis=1, kind="stable")[:, : model.explain]
    kept = np.take_along_axis(by_column, ranked, axis=1) > 0.0
    return _listed(model, rows, ranked, kept, by_feature, by_column)


def every_reason(model: Model, rows: pa.StructArray, scores: Floats) -> pa.ListArray:
    """What each column contributes to each row, the largest first: the same numbers as those of `reasons`."""
    by_feature, by_column = _contributions(model, rows, scores)
    ranked = np.argsort(-by_column, axis=1, kind="stable")
    return _listed(model, rows, ranked, np.ones(ranked.shape, np.bool_), by_feature, by_column)


def shares(model: Model, rows: pa.StructArray, scores: Floats) -> Floats:
    """float64[n, columns]: the part that each column has in the sum of a row's absolute contributions.

    A row without a score, or without contributions, has shares of 0.
    """
    return in_shares(_contributions(model, rows, scores)[1])


def in_shares(amounts: Floats) -> Floats:
    """Each row's absolute amounts as parts of their sum, 0 where that is 0."""
    size = np.abs(amounts)
    largest = size.max(axis=1, keepdims=True, initial=0.0)
    size = np.divide(size, largest, out=np.zeros_like(size), where=largest > 0.0)  # a sum of huge ones stays finite
    total = size.sum(axis=1, keepdims=True)
    parts: Floats = np.divide(size, total, out=size, where=total > 0.0)
    return parts


def _contributions(model: Model, rows: pa.StructArray, scores: Floats) -> tuple[Floats, Floats]:
    """What each feature and each column of the rows contributes; a column of a row without a score nothing."""
    X = model.encoder.transform(rows)
    by_feature = np.zeros(X.shape) if model.state is None else model.contributions(X)
    by_column = model.encoder.aggregate(by_feature)
    by_column[np.isnan(scores)] = 0.0
    return by_feature, by_column


def _listed(
    model: Model, rows: pa.StructArray, ranked: np.ndarray, kept: np.ndarray, by_feature: Floats, by_column: Floats
) -> pa.ListArray:
    """A list of structs for each row: those of its ranked columns that are kept."""
    row_of, rank_of = np.nonzero(kept)
    column_of = ranked[row_of, rank_of]
    structs = _structs(model, rows, row_of, column_of, by_column[row_of, column_of], by_feature)
    offsets = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return pa.ListArray.from_arrays(arrays.integers(offsets.astype(np.int32)), structs)


@lru_cache(maxsize=16)  # chunks are of one length but for the last
def no_reasons(n: int) -> pa.ListArray:
    """An empty list for each of n rows."""
    return pa.ListArray.from_arrays(arrays.integers(np.zeros(n + 1, np.int32)), pa.nulls(0, REASON))


def _structs(
    model: Model,
    rows: pa.StructArray,
    row_of: np.ndarray,
    column_of: np.ndarray,
    amounts: Floats,
    by_feature: Floats,
) -> pa.StructArray:
    """One struct for each (row, column) pair, in the order given."""
    names = np.array([column.name for column in model.encoder.columns], dtype=object)
    values = np.empty(len(row_of), dtype=object)
    expected = np.empty(len(row_of), dtype=object)
    for column in np.unique(column_of):
        places = np.nonzero(column_of == column)[0]
        values[places] = model.encoder.values(rows, int(column), row_of[places])
        expected[places] = _expected(model, int(column), by_feature[row_of[places]])
    texts = [arrays.texts(column.tolist()) for column in (names[column_of], values, expected)]
    return pa.StructArray.from_arrays([*texts, arrays.floats(amounts)], fields=list(REASON))


def _expected(model: Model, column: int, by_feature: Floats) -> list[str]:
    """What was expected in a column, for rows with these contributions; one text for each deciding feature."""
    features = model.encoder.columns[column].features
    own = by_feature[:, features]
    deciding = own.argmax(axis=1)
    texts = {place: model.encoder.expected(column, np.eye(own.shape[1])[place]) for place in np.unique(deciding)}
    return [texts[place] for place in deciding]
