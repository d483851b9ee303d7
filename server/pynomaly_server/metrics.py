"""What Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.platform_collector import PlatformCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

REQUESTS = Counter("pynomaly_requests", "Requests answered", ["method", "route", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "pynomaly_request_seconds",
    "Seconds from a request to the end of its answer",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
JOBS = Gauge("pynomaly_jobs", "Jobs that wait or run", ["status"], registry=REGISTRY)
JOBS_ENDED = Counter("pynomaly_jobs_ended", "Jobs that ended", ["kind", "status"], registry=REGISTRY)
ROWS_SCORED = Counter("pynomaly_rows_scored", "Rows scored for requests and jobs", registry=REGISTRY)
CURSORS = Gauge("pynomaly_cursors", "Cursors of the database that are in use", registry=REGISTRY)
