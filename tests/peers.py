"""Peers that the tests start themselves, a PostgreSQL and a wire server of S3, and what was loaded from them."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import pynomaly

PASSWORD = "s3cr/t&7"  # would be seen wherever it leaked, and tears an address apart
QUOTED = "s3cr%2Ft%267"
USER = "ann"
PATIENCE_SECONDS = 60.0
_UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


def postgres_folder() -> Path | None:
    """The folder of PostgreSQL's programs; None where they are not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    return Path(program).resolve().parent if (program := shutil.which("postgres")) else None


def needs(*packages: str) -> None:
    """Skip where a package is missing."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'pynomaly[sources]' 'moto[server]'")


def rows(version: Any) -> list[dict[str, Any]]:
    """The rows of a version in the database team.duckdb."""
    found: list[dict[str, Any]] = pq.read_table(f"team.duckdb.files/snapshots/{version.snapshot}.parquet").to_pylist()
    assert len(found) == version.n_rows
    return found


def nothing_changed(db: pynomaly.Engine) -> None:
    """Assert that a load that failed left nothing."""
    assert db.execute("from datasets()").fetchall() == []
    folder = Path("team.duckdb.files/snapshots")
    assert not folder.exists() or list(folder.iterdir()) == []


def free_port() -> int:
    """A port of the loopback that nothing listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def wait_for(ready: Callable[[], bool], what: str) -> None:
    """Wait until something is there; RuntimeError where it does not come."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        if time.monotonic() > until:
            raise RuntimeError(f"{what} did not come")
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Whether something listens on a port of the loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Postgres:
    """A PostgreSQL of its own in a folder of its own, reached by password."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._user = _UNPRIVILEGED if os.getuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        if self._user:
            shutil.chown(folder, self._user)
        secret = folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        command: list[str | Path] = [
            programs / "initdb",
            "-D",
            folder / "data",
            "-U",
            USER,
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
        ]
        command += ["--locale=C", "--no-sync", f"--pwfile={secret}"]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=folder)

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self._process is not None:
            return
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        command: list[str | Path] = [self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, user=self._user, cwd=self._folder)
        asked: list[str | Path] = [self._programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        wait_for(lambda: subprocess.run(asked, check=False).returncode == 0, "PostgreSQL")

    def stop(self) -> None:
        """End it at once, with its connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def url(self, rest: str = "", password: str = QUOTED, database: str = "postgres") -> str:
        """Its address as `add` takes it."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}{rest}"

    def execute(self, statements: str) -> None:
        """Run statements in it."""
        asked: list[str | Path] = [
            self._programs / "psql",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        subprocess.run(
            [*asked, "-U", USER, "-d", "postgres"],
            input=statements.encode(),
            env={**os.environ, "PGPASSWORD": PASSWORD},
            check=True,
        )


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that runs; RuntimeError where it is not installed."""
    if (programs := postgres_folder()) is None:
        raise RuntimeError("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pynomaly-postgres-"))
    folder.chmod(0o755)
    server = Postgres(programs, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """The address of a running wire server of S3 with nothing in it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(port), "the S3 server")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
