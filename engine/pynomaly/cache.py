"""Fitted models between the two steps of a query, under short handles and a bound in bytes."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

import msgspec

from pynomaly.encoding import LeftOut
from pynomaly.errors import ModelEvicted
from pynomaly.workers import Work

if TYPE_CHECKING:  # the model imports the kernels, which are slow to load
    from pynomaly.model import Model
    from pynomaly.options import Options

LIMIT_BYTES = 1 << 30


class Tally(msgspec.Struct, gc=False):
    """How many rows a model scored, flagged, and had no opinion of."""

    n_scored: int = 0
    n_flagged: int = 0
    n_unscored: int = 0


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A model in the cache, with the rows that it has scored so far."""

    model: Model
    tally: Tally
    work: Work


class Fitted(msgspec.Struct, frozen=True):
    """What a run fitted for one group: the model (None for a group too small), its rows, the columns left out."""

    entry: Entry | None
    n_rows: int
    left_out: list[LeftOut]


class Progress(msgspec.Struct):
    """What a recorded run has fitted, and how far it is."""

    fitted: list[Fitted] = []
    asked: Options | None = None  # of the detection that fitted
    fit_seconds: float = 0.0
    keep: bool = False  # whether the model will be stored, which can say why
    n_done: int = 0
    n_all: int = 0
    doing: str = ""
    n_rows: int = 0  # loaded so far
    is_stopped: bool = False
    user: str | None = None  # who may read its snapshot; None for somebody who sees everything
    snapshot: str | None = None


class ModelCache:
    """Models by handle; the least recently used leave first, never the newest."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._entries: OrderedDict[int, tuple[Entry, int]] = OrderedDict()
        self._n_bytes = 0
        self._handles = itertools.count(1)
        self._named: dict[object, int] = {}
        self._lock = Lock()

    def put(self, model: Model, work: Work) -> int:
        """Keep a model, with the threads and the stop of the query that it belongs to, and return its handle."""
        size = model.nbytes()
        with self._lock:
            handle = next(self._handles)
            self._entries[handle] = (Entry(model, Tally(), work), size)
            self._n_bytes += size
            while self._n_bytes > self._limit and len(self._entries) > 1:
                self._n_bytes -= self._entries.popitem(last=False)[1][1]
            return handle

    def keep(self, name: object, load: Callable[[], Model], work: Work) -> int:
        """The handle of a model that lasts: the one under this name, or a new one for what `load` gives."""
        with self._lock:
            handle = self._named.get(name, 0)
            if handle in self._entries:
                self._entries.move_to_end(handle)
                return handle
        handle = self.put(load(), work)
        with self._lock:
            self._named = {key: value for key, value in self._named.items() if value in self._entries}
            self._named[name] = handle
        return handle

    def get(self, handle: int) -> Entry:
        """The model under a handle; ModelEvicted when it had to leave."""
        with self._lock:
            if handle not in self._entries:
                raise ModelEvicted("a model of this query left the cache before it had scored", "run the query again")
            self._entries.move_to_end(handle)
            return self._entries[handle][0]

    def count(self, entry: Entry, n_scored: int, n_flagged: int, n_unscored: int) -> None:
        """Add a scored chunk to a model's tally."""
        with self._lock:
            entry.tally.n_scored += n_scored
            entry.tally.n_flagged += n_flagged
            entry.tally.n_unscored += n_unscored
