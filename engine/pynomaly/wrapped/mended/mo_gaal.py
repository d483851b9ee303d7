"""PyOD's MO_GAAL with the sign of its paper, in a form that can be kept."""

from typing import Any

from pyod.models.mo_gaal import MO_GAAL as PYOD_MO_GAAL
from pyod.models.so_gaal import Discriminator

from pynomaly.algorithm import Floats


class MO_GAAL(PYOD_MO_GAAL):  # type: ignore[misc]
    """The score is 1 less the discriminator's belief that a row is real; PyOD gives that belief.

    The discriminator can be pickled; PyOD's is of a class inside a function.
    """

    def fit(self, X: Floats, y: Any = None) -> "MO_GAAL":
        """Fit, and move the weights to an equal network of the other detector's class."""
        super().fit(X, y)
        found = Discriminator(X.shape[1], len(X)).to(self.device)
        found.load_state_dict(self.discriminator.state_dict())
        self.discriminator: Any = found
        self.decision_scores_: Floats = 1.0 - self.decision_scores_
        return self

    def decision_function(self, X: Floats) -> Any:
        """1 less the belief that each row is real."""
        return 1.0 - super().decision_function(X)
