"""PyOD's SO_GAAL with the sign of its paper."""

from typing import Any

from pyod.models.so_gaal import SO_GAAL as PYOD_SO_GAAL

from pynomaly.algorithm import Floats


class SO_GAAL(PYOD_SO_GAAL):  # type: ignore[misc]
    """The score is 1 less the discriminator's belief that a row is real; PyOD gives that belief."""

    def fit(self, X: Floats, y: Any = None) -> "SO_GAAL":
        """Fit, and turn the training scores around."""
        super().fit(X, y)
        self.decision_scores_: Floats = 1.0 - self.decision_scores_
        return self

    def decision_function(self, X: Floats) -> Any:
        """1 less the belief that each row is real."""
        return 1.0 - super().decision_function(X)
