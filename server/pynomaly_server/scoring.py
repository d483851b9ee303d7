"""Rows that requests bring are scored together: what arrives while a query runs goes into the next one.

A query costs more than the rows of a request, so that many requests for one model cost little more than one.
"""

import asyncio
from collections import deque
from itertools import accumulate
from typing import Any

import msgspec
import pyarrow as pa
from anyio import CapacityLimiter, to_thread

from pynomaly.detecting import FEW_ROWS
from pynomaly.errors import PynomalyError
from pynomaly_server.identity import Identity
from pynomaly_server.metrics import ROWS_SCORED
from pynomaly_server.workspace import Workspace

MOST_ROWS = 65_536  # of one query, where several requests share it
AT_WORK = 2  # queries at once
Row = dict[str, Any]


class Asked(msgspec.Struct, frozen=True, eq=False):
    """The row or the rows of one request, and where their scores go."""

    rows: Row | pa.Table
    answer: "asyncio.Future[Any]"

    @property
    def n_rows(self) -> int:
        """How many rows these are."""
        return 1 if isinstance(self.rows, dict) else int(self.rows.num_rows)


class Scoring:
    """The requests that wait for scores, by who asks, by model, and by the columns of the rows."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._waiting: dict[tuple[Any, ...], deque[Asked]] = {}
        self._limiter = CapacityLimiter(AT_WORK)
        self._tasks: set[asyncio.Task[None]] = set()

    async def score(
        self, identity: Identity, rows: Row | pa.Table, model: str, version: int | None, explain: int
    ) -> Any:
        """A row or a table with score, flag and reasons, as `Engine.score_rows` gives them."""
        key = (identity, model, version, explain, _columns(rows))
        asked = Asked(rows, asyncio.get_running_loop().create_future())
        if key in self._waiting:
            self._waiting[key].append(asked)
        else:
            self._waiting[key] = deque([asked])
            task = asyncio.create_task(self._serve(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await asked.answer

    async def _serve(self, key: tuple[Any, ...]) -> None:
        """Answer what waits for a key, until nothing does."""
        waiting = self._waiting[key]
        try:
            while waiting:
                together = _together(waiting)
                answers = await to_thread.run_sync(self._scored, key, together, limiter=self._limiter)
                for asked, answer in zip(together, answers, strict=True):
                    if asked.answer.cancelled():  # nobody waits for it any more
                        continue
                    if isinstance(answer, Exception):
                        asked.answer.set_exception(answer)
                    else:
                        asked.answer.set_result(answer)
        finally:
            del self._waiting[key]

    def _scored(self, key: tuple[Any, ...], together: list[Asked]) -> list[Any]:
        """The answers to requests of one key; where their rows fail together, each is tried by itself."""
        identity, model, version, explain, _ = key
        given = [asked.rows for asked in together]
        try:
            with self._workspace.acting(identity) as db:
                rows = given if isinstance(given[0], dict) else pa.concat_tables(given)
                found = db.score_rows(rows, model, version, explain)
        except (PynomalyError, OSError) as error:
            if len(together) == 1:
                return [error]
            return [answer for asked in together for answer in self._scored(key, [asked])]
        except Exception as error:  # noqa: BLE001 - it belongs to the requests
            return [error for _ in together]
        ROWS_SCORED.inc(len(found))
        if isinstance(found, list):
            return found
        starts = accumulate((asked.n_rows for asked in together), initial=0)
        return [found.slice(start, asked.n_rows) for start, asked in zip(starts, together, strict=False)]


def _columns(rows: Row | pa.Table) -> object:
    """What rows must have in common to be scored together."""
    return tuple((name, type(value)) for name, value in rows.items()) if isinstance(rows, dict) else rows.schema


def _together(waiting: deque[Asked]) -> list[Asked]:
    """The requests that one query answers: at least one, and as many as have room beside it."""
    found = [waiting.popleft()]
    n_rows, most = found[0].n_rows, FEW_ROWS if isinstance(found[0].rows, dict) else MOST_ROWS
    while waiting and n_rows + waiting[0].n_rows <= most:
        found.append(waiting.popleft())
        n_rows += found[-1].n_rows
    return found
