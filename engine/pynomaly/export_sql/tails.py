"""Shares of the fitted rows at or beyond a value: ecod and copod."""

import numpy as np

from pynomaly.algorithms.copod import CopodState
from pynomaly.algorithms.ecod import EcodState
from pynomaly.export_sql.query import Found, Query, Sought, number
from pynomaly.kernels.tails import FACTORS, PAD, UNSEEN, Sample


def ecod(state: EcodState, query: Query, x: list[str]) -> str:
    """The sum over the columns of -log of the smaller tail, or of both tails, for a row without gaps."""
    shares = []
    for (left, right), is_symmetric in zip(_tails(state.sample, query, x), state.symmetric.tolist(), strict=True):
        shares.append(f"{left} * {right}" if is_symmetric else f"least({left}, {right})")
    return _surprise(query, query.step(shares))


def copod(state: CopodState, query: Query, x: list[str]) -> str:
    """The largest of three sums of -log(tail), for a row without gaps."""
    tails = _tails(state.sample, query, x)
    skewed = [left if sign < 0 else right for (left, right), sign in zip(tails, state.skewness.tolist(), strict=True)]
    sums = [_surprise(query, side) for side in ([left for left, _ in tails], [right for _, right in tails], skewed)]
    return f"greatest({', '.join(sums)})"


def _surprise(query: Query, shares: list[str]) -> str:
    """-log of the product of shares, so many at a time that it cannot underflow."""
    products = [" * ".join(shares[first : first + FACTORS]) for first in range(0, len(shares), FACTORS)]
    return f"-({query.total([f'ln({product})' for product in products])})"


def _tails(sample: Sample, query: Query, x: list[str]) -> list[tuple[str, str]]:
    """Add the shares of fitted rows at or below, and at or above, each column's value, 1 for a gap; the names."""
    seen = [j for j in range(len(x)) if sample.known[j]]
    found = query.search([Sought(x[j], _values(sample, j)) for j in seen], "<=")
    before = query.step([_before(x[j], one) for j, one in zip(seen, found, strict=True)])
    shares = []
    for j, one, count in zip(seen, found, before, strict=True):
        shares += _shares(sample, j, *_rows(sample, j, query, one.place, count))
    names = iter(query.step(shares))
    both = dict(zip(seen, zip(names, names, strict=True), strict=True))
    return [both.get(j, ("1e0", "1e0")) for j in range(len(x))]


def _values(sample: Sample, j: int) -> np.ndarray:
    """The distinct values of a column in order."""
    return sample.values[sample.start[j, 0] + PAD : sample.start[j + 1, 0] - PAD]


def _before(x: str, found: Found) -> str:
    """How many distinct values are below that of a row, given how many are not above."""
    return f"case when {found.values}[{found.place}] = {x} then {found.place} - 1 else {found.place} end"


def _rows(sample: Sample, j: int, query: Query, at_most: str, below: str) -> tuple[str, str]:
    """Turn numbers of distinct values into numbers of rows, where a column has ties."""
    first, end = sample.start[j, 1], sample.start[j + 1, 1]
    if first == end:
        return at_most, below
    rows = query.constant(sample.below[first:end])
    return f"{rows}[{at_most} + 1]", f"{rows}[{below} + 1]"


def _shares(sample: Sample, j: int, at_most: str, below: str) -> list[str]:
    """The shares of rows in either tail, none less than half a row; 1 for a gap."""
    n, least = number(float(sample.known[j])), number(UNSEEN)
    counts = f"({at_most})::double", f"{n} - ({below})::double"
    return [f"coalesce({_at_least(count, least)} / {n}, 1e0)" for count in counts]


def _at_least(count: str, least: str) -> str:
    """The larger one; NULL for NULL, which `greatest` passes over."""
    return f"case when {count} > {least} then {count} when {count} is not null then {least} end"
