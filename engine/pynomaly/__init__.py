"""Pynomaly: an embedded, database-centred anomaly-detection engine. Detection is a query."""

from pynomaly.engine import Engine, attach, connect
from pynomaly.errors import PynomalyError
from pynomaly.result import Comparison, Evaluation, Result, Verdict
from pynomaly.translate import translate
from pynomaly.version import __version__

__all__ = [
    "Comparison",
    "Engine",
    "Evaluation",
    "PynomalyError",
    "Result",
    "Verdict",
    "__version__",
    "attach",
    "connect",
    "translate",
]
