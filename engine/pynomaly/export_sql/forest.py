"""Isolation forest: every tree as nested branches."""

from pynomaly.algorithms.iforest import SIZE_BITS, IforestState
from pynomaly.export_sql.query import Query, number


def iforest(state: IforestState, query: Query, x: list[str]) -> str:
    """2 to the power of the mean path's share, negative."""
    n_trees = len(state.root) - 1
    trees = [_tree(state, t, x) for t in range(n_trees)]
    return f"pow(2e0, -({query.total(trees)}) / {n_trees}e0 / {number(float(state.expected[-1]))})"


def _tree(state: IforestState, t: int, x: list[str]) -> str:
    """The length of a row's path through a tree."""
    first, end = int(state.root[t]), int(state.root[t + 1])
    return _node(state, first if first < end else state.whole, x)


def _node(state: IforestState, link: int, x: list[str]) -> str:
    """The length of a path that goes on from a link.

    A comparison with a gap is NULL and takes the second branch, so that side comes second where gaps go.
    """
    if link < 0:
        return number(float((~link >> SIZE_BITS) + state.expected[~link & ((1 << SIZE_BITS) - 1)]))
    column, threshold = int(state.column[link]), number(float(state.threshold[link]))
    low, high = (_node(state, int(following), x) for following in state.link[link])
    if column < len(x):
        return f"case when {x[column]} >= {threshold} then {high} else {low} end"
    return f"case when {x[column - len(x)]} < {threshold} then {low} else {high} end"
