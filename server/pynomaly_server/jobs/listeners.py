"""Who waits for changes of jobs: coroutines that are told by the threads that make them."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

import msgspec


class Change(msgspec.Struct, frozen=True):
    """A job that has another status; `run` is the run that it ended with, if it made one."""

    job: str
    kind: str
    status: str
    created_by: str
    run: str | None = None


class Listener:
    """One coroutine's queue of changes; one that is not read loses the oldest."""

    MOST = 1_000

    def __init__(self, wanted: Callable[[Change], bool]) -> None:
        self.wanted = wanted
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Change] = asyncio.Queue(self.MOST)

    async def next(self, seconds: float) -> Change | None:
        """The next change, or None after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._queue.get()
        return None

    def tell(self, change: Change) -> None:
        """Hand a change over from another thread; one whose loop has closed hears nothing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._put, change)

    def _put(self, change: Change) -> None:
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(change)


class Listeners:
    """All who listen."""

    def __init__(self) -> None:
        self._all: set[Listener] = set()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def listening(self, wanted: Callable[[Change], bool]) -> Iterator[Listener]:
        """A listener to the changes that are wanted, for as long as the block lasts."""
        listener = Listener(wanted)
        with self._lock:
            self._all.add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._all.discard(listener)

    def tell(self, change: Change) -> None:
        """Tell those who want to know."""
        with self._lock:
            listeners = list(self._all)
        for listener in listeners:
            if listener.wanted(change):
                listener.tell(change)
