"""What the formulas of the runtime need of a fitted state, by algorithm."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pynomaly.algorithms.cblof import CblofState
from pynomaly.algorithms.copod import CopodState
from pynomaly.algorithms.ecod import EcodState
from pynomaly.algorithms.hbos import HbosState
from pynomaly.algorithms.iforest import IforestState, paths
from pynomaly.algorithms.iqr import IqrState
from pynomaly.algorithms.knn import METHODS, KnnState
from pynomaly.algorithms.mad import MadState
from pynomaly.algorithms.sampling import SamplingState
from pynomaly.algorithms.zscore import ZscoreState
from pynomaly.kernels.tails import PAD, Sample

Arrays = dict[str, NDArray[Any]]


def _fields(state: Any) -> Arrays:
    return {name: np.asarray(value) for name, value in msgspec.structs.asdict(state).items()}


def zscore(state: ZscoreState) -> Arrays:
    """Distances from the mean."""
    return {"low": state.mean, "high": state.mean, "spread": state.spread}


def mad(state: MadState) -> Arrays:
    """Distances from the median."""
    return {"low": state.center, "high": state.center, "spread": state.spread}


def iqr(state: IqrState) -> Arrays:
    """Distances from the quartiles."""
    return _fields(state)


def ecod(state: EcodState) -> Arrays:
    """The fitted columns, and which are symmetric."""
    return {**_columns(state.sample), "symmetric": state.symmetric}


def copod(state: CopodState) -> Arrays:
    """The fitted columns, and to which side they are skewed."""
    return {**_columns(state.sample), "skewness": state.skewness}


def _columns(sample: Sample) -> Arrays:
    """The distinct values of the columns, one after another, and the rows below each where values are equal."""
    start = sample.start[:, 0] - 2 * PAD * np.arange(len(sample.start))
    return {
        "values": sample.values[np.isfinite(sample.values)],
        "start": start,
        "below": sample.below,
        "start_below": sample.start[:, 1],
        "known": sample.known.astype(np.int64),
    }


def hbos(state: HbosState) -> Arrays:
    """The bins."""
    return {"edges": state.edges, "levels": state.levels, "tolerance": np.asarray(state.tolerance)}


def iforest(state: IforestState) -> Arrays:
    """The splits of all trees, and after them a node for each kind of leaf, which leads to itself."""
    n_splits, links = len(state.threshold), np.append(state.link, np.int32(state.whole))
    is_leaf = links < 0
    leaves, place = np.unique(links[is_leaf], return_inverse=True)
    links[is_leaf] = n_splits + place
    own = np.repeat(np.arange(n_splits, n_splits + len(leaves)), 2)
    zeros = np.zeros(len(leaves), np.uint32)
    column = np.append(state.column, zeros)
    return {
        "threshold": np.append(state.threshold, zeros),
        "column": column.astype(np.min_scalar_type(int(column.max()))),
        "child": np.append(links[:-1], own).astype(np.int32),
        "root": np.where(state.root[:-1] < state.root[1:], state.root[:-1], links[-1]).astype(np.int32),
        "depth": np.asarray(state.limit),
        "path": np.append(np.zeros(n_splits), paths(leaves, state.expected)),
        "expected": state.expected[-1:],
    }


def loda(state: Any) -> Arrays:
    """The projections and their histograms."""
    return _fields(state)


def pca(state: Any) -> Arrays:
    """The axes with their weights."""
    return _fields(state)


def mahalanobis(state: Any) -> Arrays:
    """The axes."""
    return _fields(state)


def knn(state: KnnState) -> Arrays:
    """The rows, as often as they count."""
    points = np.repeat(state.rows, np.minimum(state.copies, state.n_neighbors), axis=0)
    return _points(state, points, state.n_neighbors, METHODS[state.method])


def sampling(state: SamplingState) -> Arrays:
    """The rows that were drawn."""
    return _points(state, state.points[0], 1, "largest")


def cblof(state: CblofState) -> Arrays:
    """The means of the large clusters."""
    return _points(state, state.mean, 1, "largest")


def _points(state: Any, points: NDArray[np.float64], k: int, method: str) -> Arrays:
    scales = {"mean": state.center, "spread": state.spread}
    return {**scales, "points": points, "k": np.asarray(k), "method": np.asarray(method)}
