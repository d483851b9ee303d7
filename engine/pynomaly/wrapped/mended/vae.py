"""PyOD's VAE without chance in its scores."""

from typing import Any

from pyod.models.vae import VAE as PYOD_VAE
from pyod.utils.stat_models import pairwise_distances_no_broadcast


class VAE(PYOD_VAE):  # type: ignore[misc]
    """A row's score is that of its most likely code; PyOD draws a code for each row each time it is scored."""

    def evaluating_forward(self, batch_data: Any) -> Any:
        """The distance of each row from what the network makes of its code."""
        code, _ = self.model.encode(batch_data.to(self.device))
        return pairwise_distances_no_broadcast(batch_data.numpy(), self.model.decode(code).cpu().numpy())
