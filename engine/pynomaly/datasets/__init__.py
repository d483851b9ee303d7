"""Datasets: sources landed as immutable, versioned snapshots."""

from pynomaly.datasets.store import Datasets

__all__ = ["Datasets"]
