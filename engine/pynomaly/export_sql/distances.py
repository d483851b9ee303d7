"""Distances from the middle of the columns: zscore, mad, mahalanobis and pca."""

from pynomaly.algorithm import Floats
from pynomaly.algorithms.mad import MadState
from pynomaly.algorithms.mahalanobis import MahalanobisState
from pynomaly.algorithms.pca import PcaState
from pynomaly.algorithms.zscore import ZscoreState
from pynomaly.export_sql.query import Query, number
from pynomaly.kernels.columns import FARTHEST, LARGEST, STRANGE


def zscore(state: ZscoreState, _query: Query, x: list[str]) -> str:
    """The largest distance from a mean."""
    return _largest(x, state.mean, state.spread)


def mad(state: MadState, _query: Query, x: list[str]) -> str:
    """The largest distance from a median."""
    return _largest(x, state.center, state.spread)


def mahalanobis(state: MahalanobisState, query: Query, x: list[str]) -> str:
    """The sum of squares along the axes."""
    z = filled(query, standardised(query, x, state.mean, state.spread))
    along = query.step(
        [query.total([f"{z[j]} * {number(axis[j])}" for j in range(len(z))]) for axis in state.axes.T.tolist()]
    )
    return query.total([f"{name} * {name}" for name in along])


def pca(state: PcaState, query: Query, x: list[str]) -> str:
    """The weighted sum of distances from the ends of the axes."""
    z = filled(query, standardised(query, x, state.mean, state.spread))
    squares = query.step(
        [query.total([_square(z[j], axis[j]) for j in range(len(z))]) for axis in state.axes.T.tolist()]
    )
    weights = state.weights.tolist()
    return query.total([f"sqrt({square}) * {number(w)}" for square, w in zip(squares, weights, strict=True)])


def _square(z: str, end: float) -> str:
    return f"({z} - {number(end)}) * ({z} - {number(end)})"


def _largest(x: list[str], center: Floats, spread: Floats) -> str:
    """The largest distance in spreads; gaps are passed over."""
    distances = [_distance(*one) for one in zip(x, center.tolist(), spread.tolist(), strict=True)]
    return f"greatest({', '.join(distances)})"


def _distance(x: str, center: float, spread: float) -> str:
    away = f"abs({x} - {number(center)})"
    if spread == 0.0:
        return f"case when {away} > 0e0 then {number(STRANGE)} when {away} = 0e0 then 0e0 end"
    return f"least({away} / {number(spread)}, case when {x} is not null then {number(LARGEST)} end)"


def standardised(query: Query, x: list[str], mean: Floats, spread: Floats) -> list[str]:
    """Add (x - mean) / spread within bounds, NULL for a gap; return the names."""
    z = query.step(
        [
            f"({name} - {number(center)}) / {number(width if width > 0.0 else 1.0)}"
            for name, center, width in zip(x, mean.tolist(), spread.tolist(), strict=True)
        ]
    )
    far = number(FARTHEST)
    return query.step(
        [f"case when {name} > {far} then {far} when {name} < -{far} then -{far} else {name} end" for name in z]
    )


def filled(query: Query, z: list[str]) -> list[str]:
    """Add the columns with 0 for a gap; return the names."""
    return query.step([f"coalesce({name}, 0e0)" for name in z])
