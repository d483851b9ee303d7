"""Pynomaly: an embedded, database-centred anomaly-detection engine. Detection is a query."""

from pynomaly.engine import Engine, attach, connect
from pynomaly.errors import PynomalyError
from pynomaly.result import Comparison, Result, Verdict
from pynomaly.translate import translate

__version__ = "0.1.0"
__all__ = ["Comparison", "Engine", "PynomalyError", "Result", "Verdict", "attach", "connect", "translate"]
