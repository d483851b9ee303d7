"""Ensembles: several algorithms, or one algorithm on several views of the rows, combined into one score."""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from pynomaly import deviations, layout, workers
from pynomaly.algorithm import Algorithm, Flags, Floats, Params, State
from pynomaly.combination import MAJORITY, RULES, SIMPLE_RULES, Scale, scale_of, tail
from pynomaly.errors import TooManyRows
from pynomaly.rows import hash_rows

SEED_LIMIT = 2**32
LARGEST_BUCKETS = 100
BLOCK, CELLS = 4_096, 65_536  # rows, and cells of them, that are projected at a time
NO_AXES = np.empty((0, 0))


class Registry(Protocol):
    """What an ensemble needs of the registry, which knows the ensembles and so hands itself in."""

    def get(self, name: str) -> Algorithm:
        """The record of an algorithm."""

    def parameters_for(self, algorithm: Algorithm, given: dict[str, object], n: int) -> tuple[Params, tuple[str, ...]]:
        """The parameters of a fit on n rows, and what is to be told of them."""


class Member(State, frozen=True):
    """One fitted algorithm, the view of a row that it takes, and its scale."""

    state: State
    columns: NDArray[np.int64]  # the columns that it sees
    axes: Floats  # [d, r], a projection of the standardised columns; empty for none
    hashes: NDArray[np.uint64]  # sorted hashes of the rows that it was fitted to; empty for all
    scale: Scale
    deviations: State | None  # where the algorithm has no reasons of its own

    def check(self, d: int) -> None:
        """See `State`."""
        layout.shapes(self, d, columns="c", hashes="h", axes="d r" if self.axes.size else "a b")
        layout.within(self.columns, 0, d, "columns")
        seen = self.axes.shape[1] if self.axes.size else len(self.columns)
        layout.require(seen and (not self.axes.size or len(self.columns) == d), "a member sees nothing")
        self.scale.check(d)
        self.state.check(seen)
        if self.deviations is not None:
            self.deviations.check(seen)


class EnsembleState(State, frozen=True):
    """The members, and how the columns are standardised for those that see projections."""

    names: tuple[str, ...]  # the members' algorithms
    rule: str  # of RULES
    center: Floats  # [d]
    spread: Floats  # [d]
    members: tuple[Member, ...]
    buckets: tuple[tuple[int, ...], ...]  # of members, for aom and moa

    def check(self, d: int) -> None:
        """See `State`."""
        layout.shapes(self, d, center="d", spread="d")
        layout.finite(self.center, "center")
        layout.require((self.spread > 0.0).all(), "`spread` is not positive")
        layout.require(
            self.members and (not RULES[self.rule].takes_buckets or self.buckets), "an ensemble has no members"
        )
        for bucket in self.buckets:
            layout.require(bucket, "a bucket is empty")
            layout.within(bucket, 0, len(self.members), "buckets")
        for member in self.members:
            member.check(d)


def combined(names: Sequence[str], rule: str, registry: Registry) -> Algorithm:
    """The record of several algorithms as one; `parameters` takes an object for each of them, by name."""
    algorithms = [registry.get(name) for name in names]
    limits = [found.max_rows for found in algorithms if found.max_rows is not None]
    return Algorithm(
        name=f"{' + '.join(names)} ({rule})",
        summary=RULES[rule].summary,
        kind="table",
        family="ensemble",
        reference="Aggarwal & Sathe 2015",
        complexity="the sum of its algorithms",
        params=_combined_params(algorithms, rule),
        fit=partial(_fit_combined, algorithms, rule, registry),
        score=partial(_score, registry),
        explain=partial(_explain, registry),
        deterministic=all(found.deterministic for found in algorithms),
        handles_missing=all(found.handles_missing for found in algorithms),
        scores_new_rows=all(found.scores_new_rows for found in algorithms),
        uses_own=any(found.uses_own for found in algorithms),
        max_rows=min(limits, default=None),
        cut_off=MAJORITY if rule == "vote" else None,
        members=tuple(names),
        rule=rule,
    )


def _combined_params(algorithms: Sequence[Algorithm], rule: str) -> type[Params]:
    fields: list[Any] = [
        (found.name, Annotated[dict[str, Any], Meta(description=f"Parameters of {found.name}")], {})
        for found in algorithms
    ]
    if RULES[rule].takes_buckets:
        most = Meta(ge=1, le=LARGEST_BUCKETS, description="Number of buckets, at most one for each algorithm")
        fields.append(("n_buckets", Annotated[int, most], max(len(algorithms) // 2, 1)))
    return _struct("CombinedParams", fields)


def _struct(name: str, fields: Sequence[Any]) -> type[Params]:
    made: Any = msgspec.defstruct(name, fields, bases=(Params,), frozen=True, forbid_unknown_fields=True)
    found: type[Params] = made
    return found


def _fit_combined(
    algorithms: Sequence[Algorithm], rule: str, registry: Registry, X: Floats, params: Params, seed: int
) -> EnsembleState:
    views = [View(np.arange(X.shape[1]), NO_AXES, None, getattr(params, found.name)) for found in algorithms]
    scales = np.zeros(X.shape[1]), np.ones(X.shape[1])
    members = [_fit_member(a, registry, X, view, scales, seed) for a, view in zip(algorithms, views, strict=True)]
    buckets = _buckets(len(members), getattr(params, "n_buckets", 1), seed)
    return EnsembleState(tuple(found.name for found in algorithms), rule, *scales, tuple(members), buckets)


def _buckets(n: int, n_buckets: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """The members dealt to buckets in a random order: the one that scikit-learn's shuffle, so PyOD, draws."""
    order = np.arange(n)
    np.random.RandomState(seed % SEED_LIMIT).shuffle(order)
    return tuple(tuple(part.tolist()) for part in np.array_split(order, min(n_buckets, n)))


class View(msgspec.Struct, frozen=True):
    """What one member is fitted to: columns or a projection of them, some of the rows, and its parameters."""

    columns: NDArray[np.int64]
    axes: Floats
    rows: NDArray[np.int64] | None
    given: dict[str, object]


def _fit_member(
    algorithm: Algorithm, registry: Registry, X: Floats, view: View, scales: tuple[Floats, Floats], seed: int
) -> Member:
    """Fit an algorithm to its view. The scale comes from the scores of all rows, fitted or not."""
    chosen = X if view.rows is None else X[view.rows]
    if algorithm.max_rows is not None and len(chosen) > algorithm.max_rows:
        raise TooManyRows(
            f"`{algorithm.name}` fits {algorithm.max_rows:,} rows at most, not {len(chosen):,}",
            f"give sample_rows := {algorithm.max_rows}, or take another algorithm",
        )
    hashes = np.empty(0, np.uint64) if view.rows is None else np.unique(hash_rows(chosen, 0))
    fitted = _seen(chosen, view.columns, view.axes, scales)
    params, _ = registry.parameters_for(algorithm, view.given, len(fitted))
    workers.check()
    state = algorithm.fit(fitted, params, seed)
    workers.check()
    own = _own(X, np.ones(len(X), np.bool_), hashes)
    scale = scale_of(algorithm.score(state, _seen(X, view.columns, view.axes, scales), own))
    return Member(state, view.columns, view.axes, hashes, scale, deviations.fit(registry.get, algorithm, fitted))


def _seen(X: Floats, columns: NDArray[np.int64], axes: Floats, scales: tuple[Floats, Floats]) -> Floats:
    """The rows as a member sees them: some of the columns, or projections of the standardised ones."""
    if axes.size == 0:
        return X if len(columns) == X.shape[1] else np.ascontiguousarray(X[:, columns])
    from pynomaly.kernels.neighbors import standardised  # brings numba

    out = np.empty((len(X), axes.shape[1]))

    def project(first: int, end: int) -> None:
        Z, empty = standardised(X[first:end], *scales)
        out[first:end] = _weighted_sum(Z, axes)
        out[first:end][empty] = np.nan

    workers.over_rows(len(X), max(min(BLOCK, CELLS // X.shape[1]), 1), project)
    return out


def _own(X: Floats, own: Flags, hashes: NDArray[np.uint64]) -> Flags:
    """Which of the own rows the member was fitted to."""
    if not len(hashes):
        return own
    found = hash_rows(X, 0)
    places = np.minimum(np.searchsorted(hashes, found), len(hashes) - 1)
    return np.asarray(own & (hashes[places] == found))


def _score(registry: Registry, state: EnsembleState, X: Floats, own: Flags) -> Floats:
    """The combined score; NaN where no member has an opinion."""
    rule = RULES[state.rule]
    parts = [part for part, _ in _parts(registry, rule.normalise, state, X, own)]
    return rule.reduce(parts, state.buckets) if rule.takes_buckets else rule.reduce(parts)


def _parts(
    registry: Registry, normalise: Callable[[Scale, Floats], Floats], state: EnsembleState, X: Floats, own: Flags
) -> list[tuple[Floats, Floats]]:
    """Each member's normalised scores, and the rows as it sees them."""
    parts = []
    for name, member in zip(state.names, state.members, strict=True):
        seen = _seen(X, member.columns, member.axes, (state.center, state.spread))
        scores = registry.get(name).score(member.state, seen, _own(X, own, member.hashes))
        parts.append((np.where(np.isnan(scores), np.nan, normalise(member.scale, scores)), seen))
    return parts


def _explain(registry: Registry, state: EnsembleState, X: Floats) -> Floats:
    """Each member's contributions as shares, weighted by the -log of its tail probability, as the mean.

    The same for every rule, and for members on other scales. A projection's share goes back to the columns
    by the squares of its axes, which sum to 1.
    """
    out = np.zeros(X.shape)
    parts = _parts(registry, tail, state, X, np.ones(len(X), np.bool_))
    for name, member, (weight, seen) in zip(state.names, state.members, parts, strict=True):
        own = deviations.contributions(registry.get, registry.get(name), member.state, member.deviations, seen)
        shares = np.maximum(own, 0.0)
        if member.axes.size:
            shares = _weighted_sum(shares, np.square(member.axes.T))
        total = reduce(np.add, list(shares.T))
        shares *= np.divide(np.nan_to_num(weight), total, out=np.zeros(len(X)), where=total > 0.0)[:, None]
        out[:, member.columns] += shares / len(state.members)
    return out


def _weighted_sum(rows: Floats, weights: Floats) -> Floats:
    """`rows @ weights`, added column by column, so that a row's bits do not depend on the batch."""
    total: Floats = np.zeros((len(rows), weights.shape[1]))
    for j in range(rows.shape[1]):
        total += np.outer(rows[:, j], weights[j])
    return total


class Bagging(msgspec.Struct, frozen=True, kw_only=True):
    """One way to give an algorithm many views of the same rows; `draw` makes a view from (rng, n, d)."""

    name: str
    summary: str
    reference: str
    base: str
    n_estimators: int
    draw: Callable[[np.random.Generator, int, int], tuple[NDArray[np.int64], Floats, NDArray[np.int64] | None]]


def _some_columns(
    rng: np.random.Generator, _n: int, d: int
) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64] | None]:
    """From half of the columns to all but one, drawn without replacement, and all rows."""
    size = int(rng.integers((d + 1) // 2, max(d, 2)))
    return np.sort(rng.permutation(d)[:size]), NO_AXES, None


def _random_axes(
    rng: np.random.Generator, _n: int, d: int
) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64] | None]:
    """2 + sqrt(d) / 2 random orthonormal axes of the space of all columns, and all rows."""
    size = min(2 + math.ceil(math.sqrt(d) / 2), d)
    return np.arange(d), np.linalg.qr(rng.normal(size=(d, size)))[0], None


def _some_rows(rng: np.random.Generator, n: int, d: int) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64] | None]:
    """All columns, and from 50 to 1,000 of the rows, drawn without replacement."""
    size = int(rng.integers(min(FEWEST_DRAWN, n), min(MOST_DRAWN, n) + 1))
    return np.arange(d), NO_AXES, np.sort(rng.permutation(n)[:size])


FEWEST_DRAWN, MOST_DRAWN = 50, 1000  # the paper's bounds of a subsample

TABLE = (
    Bagging(
        name="feature_bagging",
        summary="Mean over one algorithm fitted to many random subsets of the columns",
        reference="Lazarevic & Kumar 2005",
        base="lof",
        n_estimators=10,
        draw=_some_columns,
    ),
    Bagging(
        name="rotated_bagging",
        summary="Mean over one algorithm fitted to many random low-dimensional rotations of the columns",
        reference="Aggarwal & Sathe 2015",
        base="knn",
        n_estimators=10,
        draw=_random_axes,
    ),
    Bagging(
        name="variable_subsampling",
        summary="Mean over one algorithm fitted to many random samples of 50 to 1,000 rows",
        reference="Aggarwal & Sathe 2015",
        base="knn",
        n_estimators=25,
        draw=_some_rows,
    ),
)


def record(row: Bagging, bases: Sequence[str], registry: Registry) -> Algorithm:
    """The algorithm that a row of the table describes; `bases` are the algorithms that it can wrap."""
    fields: list[Any] = [
        ("base", Annotated[Literal[tuple(bases)], Meta(description="The algorithm that is fitted")], row.base),
        ("base_parameters", Annotated[dict[str, Any], Meta(description="Parameters of that algorithm")], {}),
        ("n_estimators", Annotated[int, Meta(ge=1, le=1000, description="How often it is fitted")], row.n_estimators),
        ("combine", Annotated[Literal[SIMPLE_RULES], Meta(description="How the scores become one")], "mean"),
    ]
    return Algorithm(
        name=row.name,
        summary=row.summary,
        kind="table",
        family="ensemble",
        reference=row.reference,
        complexity="n_estimators times that of its base",
        params=_struct(f"{row.name}_params", fields),
        fit=partial(_fit_bagging, row, registry),
        score=partial(_score, registry),
        explain=partial(_explain, registry),
        deterministic=False,
        handles_missing=False,
        uses_own=True,
    )


def _fit_bagging(row: Bagging, registry: Registry, X: Floats, params: Any, seed: int) -> EnsembleState:
    """Fit the base to each view; a member's own seed is drawn with its view."""
    from pynomaly.kernels.neighbors import column_scales  # brings numba

    rng = np.random.default_rng(seed)
    scales = column_scales(X)
    base = registry.get(params.base)
    members = []
    for _ in range(params.n_estimators):
        view = View(*row.draw(rng, *X.shape), params.base_parameters)
        members.append(_fit_member(base, registry, X, view, scales, int(rng.integers(SEED_LIMIT))))
    return EnsembleState((base.name,) * len(members), params.combine, *scales, tuple(members), ())
