"""Rows as points: how far they lie from one another, and where along the principal axes.

A point is a row's features as a model encodes them, each divided by its standard deviation in a sample; a gap lies at
the mean, as in the algorithms that look at distances.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from pynomaly.algorithm import Floats
from pynomaly.encoding import Encoder
from pynomaly.reasons import in_shares
from pynomaly.rows import hash_rows

if TYPE_CHECKING:  # the model imports the kernels, which are slow to load
    from pynomaly.model import Model

MANY_FEATURES = 1_000  # whose products would need much memory: the axes are found among so many rows


class Space(msgspec.Struct, frozen=True):
    """The standardised features of a model."""

    encoder: Encoder
    center: Floats  # [d]
    spread: Floats  # [d]

    def points(self, rows: pa.StructArray) -> Floats:
        """float64[n, d]: where rows lie."""
        from pynomaly.kernels.neighbors import standardised  # brings numba, which `import pynomaly` must not

        return standardised(self.encoder.transform(rows), self.center, self.spread)[0]


class Nearness(msgspec.Struct, frozen=True):
    """How near rows are to a given one."""

    space: Space
    row: pa.StructArray  # of length 1
    point: Floats  # [d]

    def distances(self, rows: pa.StructArray) -> Floats:
        """float64[n]: the Euclidean distance of each row."""
        from pynomaly.kernels.nearness import fill_distances

        points = self.space.points(rows)
        out = np.empty(len(points))
        fill_distances(points, self.point, out)
        return out

    def differences(self, rows: pa.StructArray) -> list[list[dict[str, Any]]]:
        """In which columns each row differs, the largest share of the squared distance first."""
        encoder = self.space.encoder
        parts = in_shares(encoder.aggregate((self.space.points(rows) - self.point) ** 2))
        names = [column.name for column in encoder.columns]
        only = np.zeros(1, np.int64)
        own = [encoder.values(self.row, place, only)[0] for place in range(len(names))]
        return [
            [
                {
                    "feature": names[place],
                    "value": own[place],
                    "normal": encoder.values(rows, place, np.array([i]))[0],
                    "share": float(part[place]),
                }
                for place in np.argsort(-part, kind="stable").tolist()
                if part[place] > 0.0
            ]
            for i, part in enumerate(parts)
        ]


class Projection(msgspec.Struct, frozen=True):
    """The first principal axes."""

    space: Space
    axes: Floats  # [d, k]
    shares: Floats  # [k], of the variance of all features

    def components(self, rows: pa.StructArray) -> Floats:
        """float64[n, k]: the coordinates of rows along the axes."""
        from pynomaly.kernels.nearness import fill_coordinates

        points = self.space.points(rows)
        out = np.empty((len(points), self.axes.shape[1]))
        fill_coordinates(points, self.axes, out)
        return out


def nearness(model: Model, sample: pa.StructArray, row: pa.StructArray) -> Nearness:
    """How near rows are to one, in spreads of a sample."""
    space = _space(model.encoder, _canonical(model.encoder, sample))
    return Nearness(space, row, space.points(row)[0])


def projection(model: Model, sample: pa.StructArray, n: int) -> Projection:
    """The n principal axes of a sample along which it varies most; axes of zeros where there are fewer."""
    X = _canonical(model.encoder, sample)
    space = _space(model.encoder, X)
    variances, axes = _axes(X, space)
    order = np.argsort(-variances, kind="stable")[:n]
    kept = np.zeros((X.shape[1], n))
    shares = np.zeros(n)
    kept[:, : len(order)], shares[: len(order)] = axes[:, order], variances[order] / max(variances.sum(), 1e-300)
    return Projection(space, kept, shares)


def _canonical(encoder: Encoder, sample: pa.StructArray) -> Floats:
    """The features of a sample's rows in an order that is the same whatever the threads."""
    X = encoder.transform(sample)
    return np.ascontiguousarray(X[hash_rows(X, 0).argsort()])


def _space(encoder: Encoder, X: Floats) -> Space:
    from pynomaly.kernels.neighbors import column_scales

    return Space(encoder, *column_scales(X))


def _axes(X: Floats, space: Space) -> tuple[Floats, Floats]:
    """Variances along the principal axes, and the axes as columns; none where nothing varies."""
    from pynomaly.kernels.columns import principal_axes

    n, d = X.shape
    if n < 2 or d == 0:
        return np.zeros(0), np.zeros((d, 0))
    if d <= MANY_FEATURES:
        return principal_axes(X, space.center, space.spread)
    return _axes_of_few(X[:MANY_FEATURES], space)


def _axes_of_few(X: Floats, space: Space) -> tuple[Floats, Floats]:
    """The principal axes of fewer rows than columns, by way of the rows' products instead of the columns'."""
    from pynomaly.kernels.columns import principal_axes
    from pynomaly.kernels.neighbors import standardised

    Z = standardised(X, space.center, space.spread)[0]
    across = np.ascontiguousarray(Z.T)
    variances, rows = principal_axes(across, np.zeros(len(X)), np.ones(len(X)))
    axes = Z.T @ rows
    axes /= np.linalg.norm(axes, axis=0)
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return variances * (len(across) - 1) / (len(X) - 1), np.ascontiguousarray(axes)
