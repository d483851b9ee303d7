"""A job while the server has it in hand."""

import itertools
import threading
import time
import uuid
from typing import Any

import msgspec

from pynomaly.engine import Engine
from pynomaly_server.jobs import store
from pynomaly_server.jobs.store import Job


class Live(msgspec.Struct):
    """How far a running job is; None where nothing tells it."""

    seconds: float
    rows_scored: int | None = None
    rows: int | None = None
    fraction: float | None = None
    rows_per_second: float | None = None
    doing: str | None = None


class Work:
    """A job that waits or runs, and what stops it."""

    def __init__(self, job: Job, sees_all: bool) -> None:
        self.job = job
        self.sees_all = sees_all
        self.cursor: Engine | None = None  # while it runs
        self.is_taken = False  # by a worker
        self.is_cancelled = False
        self.is_put_back = False
        self.is_written = False  # its end, in the transaction of what it did
        self.sql = ""
        self.has_ended = threading.Event()
        self._started = time.perf_counter()

    def run(self, db: Engine) -> tuple[str, bool]:
        """The id of the run to make, and whether an earlier attempt has made it when the server was stopped or killed.

        It is the id of the job, unless a run that failed or was stopped has that: then one that follows from it.
        """
        for number in itertools.count():
            run = str(uuid.uuid5(uuid.UUID(self.job.id), str(number))) if number else self.job.id
            found = db.execute("select status, saved from pynomaly.runs where id = ?", [run]).fetchall()
            if not found or found[0] == ("succeeded", True):
                return run, bool(found)
        raise AssertionError  # there are more numbers than runs

    def succeed(self, db: Engine, result: dict[str, Any]) -> None:
        """Write the end of the job in the open transaction of its work: both are there, or neither is."""
        store.end(db, self.job, "succeeded", result)
        self.is_written = True

    def begin(self, cursor: Engine) -> None:
        """The job runs by a cursor from now on."""
        self._started = time.perf_counter()
        self.cursor = cursor

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.perf_counter() - self._started

    def live(self) -> Live | None:
        """How far it is; None while it waits."""
        cursor = self.cursor
        if cursor is None:
            return None
        told = Live(round(self.seconds, 3))
        if (progress := cursor.progress) is not None:
            fitted = list(progress.fitted)
            told.rows = sum(item.n_rows for item in fitted) or progress.n_all or None
            scored = sum(item.entry.tally.n_scored for item in fitted if item.entry is not None)
            told.rows_scored = scored if fitted else progress.n_done or None
            told.doing = progress.doing or ("score" if fitted else "fit")
            if told.rows_scored:
                told.rows_per_second = round(told.rows_scored / told.seconds, 1) if told.seconds else None
                told.fraction = min(round(told.rows_scored / told.rows, 4), 1.0) if told.rows else None
        return told

    def interrupt(self) -> None:
        """Stop what runs, between two statements as well as in one; returns when it has ended."""
        while not self.has_ended.wait(0.05):
            if (cursor := self.cursor) is not None:
                cursor.interrupt()
