"""PyOD's ALAD without chance in its scores."""

from typing import Any

from pyod.models.alad import ALAD as PYOD_ALAD

from pynomaly.algorithm import Floats


class ALAD(PYOD_ALAD):  # type: ignore[misc]
    """Rows are scored by the whole network; PyOD leaves random neurons out each time it scores."""

    def get_outlier_scores(self, X_norm: Floats) -> Any:
        """The scores of scaled rows."""
        for network in (self.enc, self.dec, self.disc_xx):
            network.eval()
        return super().get_outlier_scores(X_norm)
