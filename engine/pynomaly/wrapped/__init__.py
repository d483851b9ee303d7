"""PyOD and scikit-learn: tables of rows, and one adapter that makes each row an algorithm."""

from pynomaly.wrapped.adapter import WrappedState, record
from pynomaly.wrapped.library import running
from pynomaly.wrapped.pyod_rows import PYOD
from pynomaly.wrapped.row import LEFT_OUT, Row
from pynomaly.wrapped.sklearn_rows import SKLEARN
from pynomaly.wrapped.torch_rows import NETWORKS
from pynomaly.wrapped.training import arguments, load

TABLE = (*PYOD, *NETWORKS, *SKLEARN)

__all__ = ["LEFT_OUT", "TABLE", "Row", "WrappedState", "arguments", "load", "record", "running"]
