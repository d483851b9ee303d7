"""What a server answers on loopback, the load in a process of its own: `python -m benchmarks.server`.

Both processes share the machine's cores. Each figure stands beside what is wanted.
"""

import base64
import io
import time
from collections.abc import Callable

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.ipc

from benchmarks.server.load import Measured, Request
from benchmarks.server.served import Served, served

SECONDS = 8.0
COLUMNS = [f"x{i}" for i in range(10)]
JSON = {"Content-Type": "application/json"}
ARROW = {"Content-Type": "application/vnd.apache.arrow.stream", "Accept": "application/vnd.apache.arrow.stream"}


def main() -> None:
    """Print every figure."""
    with served() as server:
        _line("start to ready", f"{server.start_seconds:.2f} s", "3 s", server.start_seconds < 3)
        time.sleep(2)
        _line("resident memory, idle", f"{server.memory_mib:,.0f} MiB", "350 MB", server.memory_mib * 2**20 < 350e6)
        _open_connections(server)
        _prepared(server)
        _catalogue(server)
        _scores(server)
        _detection(server)
        _mixed(server)
        _line("resident memory, at the end", f"{server.memory_mib:,.0f} MiB", "", None)


def _line(what: str, found: str, wanted: str, held: bool | None) -> None:
    told = {True: "held", False: "MISSED", None: ""}[held]
    print(f"{what:<58} {found:>42}   {f'wanted {wanted}' if wanted else '':<34} {told}", flush=True)


def _latency(what: str, found: Measured, wanted_ms: float, extra: Callable[[Measured], bool] = lambda _: True) -> None:
    p50, p95, p99 = (found.percentile(share) for share in (0.5, 0.95, 0.99))
    told = f"p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms; {found.rate:,.0f}/s; {found.errors} errors"
    _line(what, told, f"p95 {wanted_ms:g} ms", p95 < wanted_ms and not found.errors and extra(found))


def _open_connections(server: Served) -> None:
    health, cached = Request("/health/live"), Request("/api/v1/algorithms")
    server.client.get(cached.path).raise_for_status()
    for name, request in (("health", health), ("cached reads", cached)):
        found = server.plan(request, clients=1000, seconds=SECONDS, rate=1000.0)
        _latency(f"{name}, 1,000 open connections, 1,000 requests/s", found, 20.0)


def _prepared(server: Served) -> None:
    """Data, models and a catalogue with something in it."""
    rng = np.random.default_rng(0)
    rows = pa.table({name: rng.normal(size=10_000) for name in COLUMNS})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    uploaded = server.client.post(
        "/api/v1/datasets/upload?filename=payments.arrow", content=sink.getvalue(), headers=ARROW | {"Accept": "*/*"}
    )
    uploaded.raise_for_status()
    body = {"name": "payments", "upload_id": uploaded.json()["upload_id"]}
    server.client.post("/api/v1/datasets", json=body, headers={"Prefer": "wait=30"}).raise_for_status()
    for name in ("iforest", "ecod"):
        body = {"name": name, "dataset": "payments", "algorithm": name}
        server.client.post("/api/v1/models/train", json=body, headers={"Prefer": "wait=30"}).raise_for_status()
    for seed in range(40):
        body = {"dataset": "payments", "algorithm": "ecod", "seed": seed}
        server.client.post("/api/v1/detection/detect", json=body, headers={"Prefer": "wait=30"}).raise_for_status()


def _catalogue(server: Served) -> None:
    paths = (
        "/api/v1/runs?limit=50",
        "/api/v1/models",
        "/api/v1/datasets",
        "/api/v1/jobs?limit=50",
        "/api/v1/detectors",
    )
    found = server.plan(*(Request(path) for path in paths), clients=100, seconds=SECONDS)
    _latency("catalogue reads, 100 clients without pause", found, 100.0)


def _scores(server: Served) -> None:
    row = dict.fromkeys(COLUMNS, 0.25)
    single = Request("/api/v1/models/ecod/score", "POST", JSON, _base64(msgspec.json.encode(row)))
    server.plan(single, clients=8, seconds=2)
    found = server.plan(single, clients=8, seconds=SECONDS)
    _latency("single row scored, 8 clients (at least 300/s)", found, 25.0, lambda measured: measured.rate >= 300)
    rng = np.random.default_rng(1)
    batch = pa.table({name: rng.normal(size=1000) for name in COLUMNS})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_table(batch)
    arrow = Request("/api/v1/models/ecod/score", "POST", ARROW, _base64(sink.getvalue()))
    json = Request("/api/v1/models/ecod/score", "POST", JSON, _base64(msgspec.json.encode(batch.to_pylist())))
    for name, request in (("Arrow", arrow), ("JSON", json)):
        server.plan(request, clients=8, seconds=2)
        found = server.plan(request, clients=8, seconds=SECONDS)
        told = f"{1000 * found.rate:,.0f} rows/s; {found.errors} errors"
        wanted = "200,000 rows/s" if name == "Arrow" else ""
        held = 1000 * found.rate >= 200_000 and not found.errors if wanted else None
        _line(f"batches of 1,000 rows scored as {name}, 8 clients", told, wanted, held)


def _detection(server: Served) -> None:
    body = {"dataset": "payments", "algorithm": "auto"}
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        answered = server.client.post("/api/v1/detection/detect", json=body, headers={"Prefer": "wait=30"})
        answered.raise_for_status()
        seconds.append(time.perf_counter() - begun)
    told = f"median {sorted(seconds)[2]:.2f} s, worst {max(seconds):.2f} s"
    _line("detect on 10,000 rows through HTTP, warm", told, "2 s", sorted(seconds)[2] < 2)


def _mixed(server: Served) -> None:
    """A thousand clients at once: mostly reads, some scores and queries, a few detections."""
    row = _base64(msgspec.json.encode(dict.fromkeys(COLUMNS, 0.25)))
    query = _base64(msgspec.json.encode({"sql": "select count(*) from payments where x0 > 1"}))
    detect = _base64(msgspec.json.encode({"dataset": "payments", "algorithm": "ecod"}))
    requests = (
        *(Request(path) for path in ("/health/live", "/api/v1/algorithms", "/api/v1/runs", "/api/v1/datasets") * 4),
        *3 * (Request("/api/v1/models/ecod/score", "POST", JSON, row),),
        *2 * (Request("/api/v1/queries", "POST", JSON, query),),
        Request("/api/v1/detection/detect", "POST", JSON, detect),
    )
    found = server.plan(*requests, clients=1000, seconds=60, per_client=3)
    n, bad = sum(found.statuses.values()), found.errors
    fives = sum(count for status, count in found.statuses.items() if status.startswith("5"))
    told = f"{n:,} requests in {found.seconds:.1f} s, {bad} errors, {fives} of them 5xx"
    _line("mixed, 1,000 clients at once", told, "under 1 %, none 5xx", bad < n / 100 and not fives)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


if __name__ == "__main__":
    main()
