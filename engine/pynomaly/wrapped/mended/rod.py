"""PyOD's ROD on large values."""

import math
from typing import Any

import numpy as np
from pyod.models.rod import ROD as PYOD_ROD

from pynomaly.algorithm import Floats

LARGEST = 2.0**20


class ROD(PYOD_ROD):  # type: ignore[misc]
    """Large values are scaled down: PyOD searches the geometric median to 1e-5, which rounding may never reach."""

    def fit(self, X: Floats, y: Any = None) -> "ROD":
        """Fit to the rows, divided by a power of two that leaves no large value."""
        largest = float(np.abs(X).max())
        exponent = max(0, math.frexp(largest / LARGEST)[1])
        super().fit(np.ldexp(X, -exponent), y)
        return self
