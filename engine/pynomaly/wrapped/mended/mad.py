"""PyOD's MAD on several columns, and on columns that mostly have one value."""

from typing import Any

import numpy as np
from pyod.models.mad import MAD as PYOD_MAD

from pynomaly.algorithm import Floats

MEAN_TO_MEDIAN = 0.6745 * 1.2533  # under a normal law, the median absolute deviation over the mean one


class MAD(PYOD_MAD):  # type: ignore[misc]
    """Each column has a detector of its own, and a row the largest score of its columns; PyOD takes one column.

    Where more than half of a column is one value, the mean absolute deviation serves; PyOD divides by 0.
    """

    def fit(self, X: Floats, y: Any = None) -> "MAD":  # noqa: ARG002 - the signature of the library
        """Fit one detector a column."""
        self._of_columns = [self._fitted(column) for column in X.T]
        self.decision_scores_ = self.decision_function(X)
        return self

    def _fitted(self, column: Floats) -> Any:
        found = PYOD_MAD(self.threshold).fit(column[:, None])
        if found.median_diff_ == 0.0:
            found.median_diff_ = MEAN_TO_MEDIAN * np.mean(np.abs(column - found.median_))
        return found

    def decision_function(self, X: Floats) -> Floats:
        """The largest score of each row's columns."""
        scores = [found.decision_function(X[:, [j]]) for j, found in enumerate(self._of_columns)]
        return np.asarray(np.max(scores, axis=0))
