"""A durable queue: what takes longer than a request is a row in `pynomaly.jobs`, done by workers of its own."""

from pynomaly_server.jobs.kinds import register
from pynomaly_server.jobs.listeners import Change
from pynomaly_server.jobs.pool import Jobs
from pynomaly_server.jobs.store import ENDED, Job
from pynomaly_server.jobs.work import Work

__all__ = ["ENDED", "Change", "Job", "Jobs", "Work", "register"]
