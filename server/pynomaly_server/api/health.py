"""Whether the server lives and is ready, and what Prometheus reads."""

from typing import Any

from litestar import Controller, Response, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import pynomaly
from pynomaly_server.errors import Draining
from pynomaly_server.metrics import REGISTRY
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Db, Place, rows

EXPOSITION = CONTENT_TYPE_LATEST.partition("; charset")[0]  # Litestar says the encoding


class HealthController(Controller):
    """Health and metrics."""

    tags = ["health"]

    @get("/health/live", permission=Permission.PUBLIC)
    async def get_live(self) -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "live"}

    @get("/health/ready", permission=Permission.PUBLIC)
    async def get_ready(self, workspace: Place) -> dict[str, str]:
        """Whether requests are served: 503 before the start is done and from the moment that a stop begins."""
        if not workspace.is_ready or workspace.is_draining:
            raise Draining("the server is starting or being stopped", "ask again in a few seconds")
        return {"status": "ready"}

    @get("/api/v1/health", permission=Permission.READ, sync_to_thread=True)
    def get_health(self, db: Db, workspace: Place) -> dict[str, Any]:
        """How the parts of the server are: the database, its memory, the jobs."""
        found = rows(db, "select sum(memory_usage_bytes)::bigint as memory_bytes from duckdb_memory()")[0]
        return {
            "status": "draining" if workspace.is_draining else "ready",
            "version": pynomaly.__version__,
            "read_only": workspace.options.start.read_only,
            "database_memory_bytes": found["memory_bytes"],
            "jobs": workspace.jobs.counts(),
        }

    @get("/metrics", permission=Permission.METRICS, media_type=EXPOSITION, sync_to_thread=True)
    def get_metrics(self) -> Response[bytes]:
        """The metrics in the text format of Prometheus."""
        return Response(generate_latest(REGISTRY), media_type=EXPOSITION)
