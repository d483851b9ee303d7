"""Networks of PyOD that need no package besides torch, with a fault mended; each says which."""

from typing import Any

from pyod.models.ae1svm import AE1SVM as PYOD_AE1SVM
from pyod.models.mo_gaal import MO_GAAL as PYOD_MO_GAAL
from pyod.models.so_gaal import SO_GAAL as PYOD_SO_GAAL
from pyod.models.so_gaal import Discriminator

from pynomaly.algorithm import Floats


class AE1SVM(PYOD_AE1SVM):  # type: ignore[misc]
    """No batch of training is a single row, which PyOD's batches may end with and whose variance is not defined."""

    def fit(self, X: Floats, y: Any = None) -> "AE1SVM":
        """Fit with one row more in each batch where one would be left over."""
        while len(X) % self.batch_size == 1:
            self.batch_size += 1
        super().fit(X, y)
        return self


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
