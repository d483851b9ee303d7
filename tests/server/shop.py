"""A workspace whose jobs are done without HTTP, and rows to work on."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from databases import new_database
from pynomaly_server.identity import Identity
from pynomaly_server.jobs import ENDED, Job, Jobs
from pynomaly_server.options import Options
from pynomaly_server.permissions import ROLES
from pynomaly_server.workspace import Workspace

PARTS = """
create or replace table parts as
select i as part, round(5 + hash(i) % 100 / 100, 2) as width, round(2 + hash(i, 1) % 100 / 100, 2) as height,
    timestamp '2026-03-02 08:00:00' + interval (i * 13) minute as made_at
from range(400) r(i)
union all select 400, 99.0, 2.5, timestamp '2026-03-05 22:00:00';
"""
LONG = """
create or replace table long as
select i, hash(i) % 100_003 as x, hash(i + 1) % 100_019 as y, hash(i + 2) % 1_009 as z from range(400_000) r(i)
"""
SLOW = {"source": "long", "algorithm": "knn", "parameters": {"n_neighbors": 2_000}}  # minutes


def person(name: str, role: str = "user") -> Identity:
    return Identity(user=name, role=role, permissions=ROLES[role], credential="token", credential_id=name)


def workspace(folder: Path, **flags: Any) -> Workspace:
    database = folder / "team.duckdb"
    if not database.exists():
        new_database(database)
    return Workspace(Options({"database": str(database), "threads": 2, **flags}, {}))


@contextlib.contextmanager
def working(folder: Path, *tables: str, **flags: Any) -> Iterator[Workspace]:
    """A workspace whose jobs are done."""
    place = workspace(folder, **flags)
    try:
        for table in tables:
            place.engine.execute(table)
        place.jobs.start()
        yield place
    finally:
        place.jobs.drain(0)
        place.close()


def until(is_so: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait for what comes in a moment on a quiet machine, and on a busy one later."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not so after {seconds} s"
        time.sleep(0.02)


def ended(jobs: Jobs, job: str) -> Job:
    """A job when it has ended."""
    root = person("root", "admin")
    until(lambda: jobs.find(job, root).status in ENDED)
    return jobs.find(job, root)
