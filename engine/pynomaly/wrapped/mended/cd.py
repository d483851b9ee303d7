"""PyOD's CD on a single column."""

from typing import Any

import numpy as np
from pyod.models.cd import CD as PYOD_CD

from pynomaly.algorithm import Floats


class CD(PYOD_CD):  # type: ignore[misc]
    """A single column is compared with its mean; PyOD has no other column to predict it from, and fails."""

    def fit(self, X: Floats, y: Any = None) -> "CD":
        """Fit to the rows, beside a column of ones where they have one column."""
        super().fit(np.insert(X, 0, 1.0, axis=1) if X.shape[1] == 1 else X, y)
        return self
