"""What is computed once of a saved run, which does not change: kept for the next look at it.

Whoever asks has looked the run up as who they are before, so that nobody is told of what they do not see.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")
MOST = 512  # each of a few thousand numbers at most


class Remembered:
    """Values by what they are of; those longest not asked for go first."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key: the one that is kept, or else what `make` gives."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]  # type: ignore[return-value]
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made


RUNS = Remembered()
