"""A server in a process of its own, with an administrator, for a benchmark."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec

from benchmarks.server.load import Measured, Plan, Request

PASSWORD = "a long enough password"


class Served(msgspec.Struct):
    """A server that answers."""

    port: int
    pid: int
    database: Path
    start_seconds: float
    client: httpx.Client
    token: str

    def plan(self, *requests: Request, clients: int, seconds: float, **more: float | None) -> Measured:
        """Put a load on the server from another process and say what was measured."""
        signed = [
            msgspec.structs.replace(one, headers={"Authorization": f"Bearer {self.token}", **one.headers})
            for one in requests
        ]
        plan = Plan("127.0.0.1", self.port, signed, clients, seconds, **more)  # type: ignore[arg-type]
        found = subprocess.run(
            [sys.executable, "-m", "benchmarks.server.load"],
            input=msgspec.json.encode(plan),
            stdout=subprocess.PIPE,
            check=True,
        )
        return msgspec.json.decode(found.stdout, type=Measured)

    @property
    def memory_mib(self) -> float:
        """Resident memory of the server's process."""
        found = subprocess.run(["ps", "-o", "rss=", "-p", str(self.pid)], stdout=subprocess.PIPE, check=True)
        return int(found.stdout) / 1024


@contextlib.contextmanager
def served(database: Path | None = None, *flags: str) -> Iterator[Served]:
    """Start `pynomaly serve` on a free port, make the first administrator by its link, and stop it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = database or Path(folder) / "workspace.duckdb"
        command = [sys.executable, "-m", "pynomaly", "serve", str(path), "--port", "0", *flags]
        begun = time.perf_counter()
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"NO_COLOR": "1"})
        try:
            port, link = _announced(process)
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
            _until_ready(client)
            seconds = time.perf_counter() - begun
            token = _administrator(client, link)
            client.headers["Authorization"] = f"Bearer {token}"
            yield Served(port, process.pid, path, seconds, client, token)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _announced(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The port and the link that the server tells; what else it logs is read away."""
    if process.stderr is None:
        raise RuntimeError("the server's standard error is not read")
    port, link, told = 0, "", []
    for line in process.stderr:
        told.append(line)
        port = int(found[1]) if (found := re.search(r"serving .* at http://.*:(\d+)", line)) else port
        if found := re.search(r"#link=(\S+)", line):
            link = found[1]
            break
    else:
        raise RuntimeError("".join(told))
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return port, link


def _until_ready(client: httpx.Client) -> None:
    for _ in range(600):
        with contextlib.suppress(httpx.HTTPError):
            if client.get("/health/ready").status_code == 200:
                return
        time.sleep(0.01)
    raise RuntimeError("the server did not become ready")


def _administrator(client: httpx.Client, link: str) -> str:
    made = client.post("/api/v1/auth/link", json={"token": link, "user": "ada", "password": PASSWORD})
    made.raise_for_status()
    signed = client.post("/api/v1/auth/sign-in", json={"user": "ada", "password": PASSWORD})
    signed.raise_for_status()
    return str(signed.json()["access_token"])
