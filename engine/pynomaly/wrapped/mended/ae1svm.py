"""PyOD's AE1SVM on any number of rows."""

from typing import Any

from pyod.models.ae1svm import AE1SVM as PYOD_AE1SVM

from pynomaly.algorithm import Floats


class AE1SVM(PYOD_AE1SVM):  # type: ignore[misc]
    """No batch of training is a single row, which PyOD's batches may end with and whose variance is not defined."""

    def fit(self, X: Floats, y: Any = None) -> "AE1SVM":
        """Fit with one row more in each batch where one would be left over."""
        while len(X) % self.batch_size == 1:
            self.batch_size += 1
        super().fit(X, y)
        return self
