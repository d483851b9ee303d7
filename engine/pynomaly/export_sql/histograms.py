"""Histograms: hbos of the columns, loda of random projections."""

from pynomaly.algorithms.hbos import HbosState
from pynomaly.algorithms.loda import EDGE, LodaState
from pynomaly.export_sql.distances import standardised
from pynomaly.export_sql.query import Query, Sought, number

FEW_BINS = 64  # that are told apart by comparisons alone


def hbos(state: HbosState, query: Query, x: list[str]) -> str:
    """The sum over the columns of what their bins add, for a row without gaps."""
    n_bins = state.edges.shape[1] - 1
    if n_bins <= FEW_BINS:
        return query.total(query.step([_compared(state, j, x[j]) for j in range(len(x))]))
    found = query.search([Sought(name, state.edges[j]) for j, name in enumerate(x)], "<")
    levels = [query.constant(row) for row in state.levels]
    return query.total(query.step([_looked_up(state, j, x[j], found[j].place, levels[j]) for j in range(len(x))]))


def _compared(state: HbosState, j: int, x: str) -> str:
    """What a value of column j adds; 0 for a gap."""
    levels = [number(level) for level in state.levels[j].tolist()]
    inner = _halves(x, state.edges[j].tolist(), levels, 1, len(levels) - 2)
    return f"case when {x} is null then 0e0 {_outside(state, j, x, levels)} else {inner} end"


def _looked_up(state: HbosState, j: int, x: str, count: str, levels: str) -> str:
    """What a value of column j adds, given the edges below it; 0 for a gap."""
    outer = [number(level) for level in state.levels[j].tolist()]
    return f"case when {x} is null then 0e0 {_outside(state, j, x, outer)} else {levels}[{count} + 1] end"


def _outside(state: HbosState, j: int, x: str, levels: list[str]) -> str:
    """The cases of values outside the bins, near ones as in the outermost bin."""
    edges = state.edges[j]
    low, high = number(float(edges[0])), number(float(edges[-1]))
    near_low = number(state.tolerance * float(edges[1] - edges[0]))
    near_high = number(state.tolerance * float(edges[-1] - edges[-2]))
    return (
        f"when {x} <= {low} then case when {low} - {x} <= {near_low} then {levels[1]} else {levels[0]} end "
        f"when {x} > {high} then case when {x} - {high} <= {near_high} then {levels[-2]} else {levels[-1]} end"
    )


def _halves(x: str, edges: list[float], levels: list[str], first: int, last: int) -> str:
    """The level of the bin, of those from `first` to `last`, whose (left, right] holds the value."""
    if first == last:
        return levels[first]
    middle = (first + last) // 2
    low, high = _halves(x, edges, levels, first, middle), _halves(x, edges, levels, middle + 1, last)
    return f"case when {x} <= {number(edges[middle])} then {low} else {high} end"


def loda(state: LodaState, query: Query, x: list[str]) -> str:
    """The mean surprise over the directions without gaps; over all, gaps filled, where there is none."""
    if not len(state.low):
        return number(0.0)
    (known,) = query.step([_has_direction(state, x)])
    z = standardised(query, x, state.mean, state.spread)
    z = query.step([f"case when {name} is null and not {known} then 0e0 else {name} end" for name in z])
    levels, directions = query.constant(state.levels.reshape(-1)), range(len(state.low))
    values = query.step([query.total(_terms(state, p, z)) for p in directions])
    places = query.step([_in_bins(state, p, values[p]) for p in directions])
    surprises = query.step([_surprise(state, p, places[p], levels) for p in directions])
    count = query.total([f"({name} is not null)::bigint" for name in surprises])
    total = query.total([f"coalesce({name}, 0e0)" for name in surprises])
    return f"({total}) / ({count})"


def _has_direction(state: LodaState, x: list[str]) -> str:
    """Whether a row has a value in every column of any one direction."""
    drawn = dict.fromkeys(tuple(columns) for columns in state.drawn.tolist())
    return " or ".join(f"({' and '.join(f'{x[column]} is not null' for column in columns)})" for columns in drawn)


def _terms(state: LodaState, p: int, z: list[str]) -> list[str]:
    """The terms of the coordinate on direction p."""
    pairs = zip(state.weights[p].tolist(), state.drawn[p].tolist(), strict=True)
    return [f"{number(weight)} * {z[column]}" for weight, column in pairs]


def _in_bins(state: LodaState, p: int, value: str) -> str:
    """A coordinate on direction p, counted in bins."""
    return f"({value} - {number(float(state.low[p]))}) * {number(float(state.scale[p]))} + {number(EDGE)}"


def _surprise(state: LodaState, p: int, place: str, levels: str) -> str:
    """What direction p says of a place; NULL for a gap."""
    n_bins, width = int(state.n_bins[p]), state.levels.shape[1]
    last = number(float(state.levels[p, n_bins]))
    beyond = f"case when {place} > 0e0 then {place} - {n_bins}e0 else -{place} end"
    return (
        f"case when {place} >= 0e0 and {place} < {n_bins}e0 "
        f"then {levels}[{p * width + 1} + least(floor({place} + 1e0), {n_bins}e0)::bigint] "
        f"when {place} >= {n_bins}e0 and {place} <= {number(n_bins + 2.0 * EDGE)} then {last} "
        f"else {number(float(state.empty[p]))} + ln(1e0 + {beyond}) end"
    )
