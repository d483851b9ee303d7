"""`pynomaly serve` as a process: its start, its link, its end."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pynomaly.cli import main
from pynomaly_server.serve import Server


class Process:
    """A server in a process of its own, and what it wrote."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        command = [sys.executable, "-m", "pynomaly", "serve", *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        if self.process.stderr is not None:
            for line in self.process.stderr:
                self.lines.append(line)

    def told(self, pattern: str, seconds: float = 120) -> str:
        """What a pattern finds in what the server wrote, as soon as it is there."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := re.search(pattern, "".join(self.lines)):
                return found[1]
            if self.process.poll() is not None:
                self._reader.join(5)
                break
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} was not written:\n{''.join(self.lines)}")

    @property
    def address(self) -> str:
        return self.told(r"serving .* at (\S+)")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._reader.join(10)
        return code


@contextmanager
def running(*arguments: str, **variables: str) -> Iterator[Process]:
    server = Process(*arguments, **variables)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()
        if server.process.stderr is not None:
            server.process.stderr.close()


def until_ready(address: str, **more: object) -> None:
    for _ in range(5_000):
        try:
            if httpx.get(f"{address}/health/ready", **more).status_code == 200:  # type: ignore[arg-type]
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.02)
    raise AssertionError("the server did not become ready")


def test_it_starts_with_nothing_makes_the_first_administrator_and_stops_in_order(tmp_path: Path) -> None:
    database = str(tmp_path / "new.duckdb")
    with running(database, "--port", "0") as server:
        address = server.address
        link = server.told(r"#link=(\S+)")
        until_ready(address)
        person = {"token": link, "user": "ada", "password": "correct horse battery"}
        assert httpx.post(f"{address}/api/v1/auth/link", json=person).status_code == 200
        assert httpx.post(f"{address}/api/v1/auth/link", json={**person, "user": "eve"}).status_code in (
            401,
            403,
            404,
            410,
        )
        signed = httpx.post(f"{address}/api/v1/auth/sign-in", json={"user": "ada", "password": person["password"]})
        headers = {"Authorization": f"Bearer {signed.json()['access_token']}"}
        assert httpx.get(f"{address}/api/v1/users", headers=headers).json()["items"][0]["name"] == "ada"
        locked = subprocess.run(
            [sys.executable, "-m", "pynomaly", "run", "ls", "--db", database], capture_output=True, text=True
        )
        assert locked.returncode == 5, locked.stderr
        assert server.stop() == 0
    assert person["password"] not in "".join(server.lines)
    assert signed.json()["access_token"] not in "".join(server.lines)
    with running(database, "--port", "0") as again:  # there is an administrator now: no second link
        until_ready(again.address)
        assert "#link=" not in "".join(again.lines)


def signed_in(server: Process) -> httpx.Client:
    """The first administrator of a server that is ready."""
    until_ready(server.address)
    person = {"token": server.told(r"#link=(\S+)"), "user": "ada", "password": "correct horse battery"}
    token = httpx.post(f"{server.address}/api/v1/auth/link", json=person).json()["access_token"]
    return httpx.Client(base_url=server.address, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def test_a_stream_that_is_open_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with running(str(tmp_path / "new.duckdb"), "--port", "0") as server, signed_in(server) as ada:
        with ada.stream("GET", "/api/v1/runs/events") as stream:
            assert stream.status_code == 200
            started = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - started < 30  # it would last for ever
        assert "CancelledError" not in "".join(server.lines)


def test_a_head_without_an_end_ends_the_connection(tmp_path: Path) -> None:
    with running(str(tmp_path / "new.duckdb"), "--port", "0") as server:
        until_ready(server.address)
        place = ("127.0.0.1", int(server.address.rpartition(":")[2]))
        head = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"a" * 64_000_000
        with socket.create_connection(place, 10) as sender, pytest.raises(ConnectionError):
            sender.sendall(head)
        headers = {"X-Long": "a" * 60_000}  # what is large and ends is answered, as are requests after it
        with httpx.Client(base_url=server.address) as asking:
            assert [asking.get("/health/live", headers=headers).status_code for _ in range(3)] == [200] * 3
            body = b"a" * 1_000_000
            assert asking.post("/api/v1/auth/sign-in", content=body).status_code < 500


def test_a_public_address_is_refused_without_accounts(tmp_path: Path) -> None:
    with running(str(tmp_path / "new.duckdb"), "--host", "0.0.0.0", "--port", "0") as server:
        assert server.process.wait(60) != 0
        assert server.told(r"\[(no_accounts)\]")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--port", "99999"), "bad_parameter"),
        (("--tls-cert", "nothing.pem"), "bad_parameter"),
        (("--tls-cert", "nothing.pem", "--tls-key", "nothing.pem"), "bad_parameter"),
        (("--setting", "nothing=1"), "bad_parameter"),
        (("--setting", "port"), "bad_parameter"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: str,
) -> None:
    monkeypatch.setattr(Server, "run", lambda *_, **__: pytest.fail("it is served"))
    assert main(["serve", str(tmp_path / "new.duckdb"), *arguments]) == 2
    told = capsys.readouterr().err
    assert f"[{code}]" in told
    assert "Traceback" not in told


def test_with_a_certificate_only_tls_1_3_is_spoken(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    try:
        subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    with running(
        str(tmp_path / "new.duckdb"), "--port", "0", "--tls-cert", str(certificate), "--tls-key", str(key)
    ) as server:
        address = server.address
        assert address.startswith("https://")
        until_ready(address, verify=False)
        port = int(address.rpartition(":")[2])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as spoken:
            assert spoken.version() == "TLSv1.3"
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(plain)


def test_the_browser_opens_and_a_stop_leaves_no_log_to_replay(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o700)
    database = tmp_path / "w.duckdb"
    with running(str(database), "--port", "0", "--open", BROWSER=str(browser)) as server:
        link = server.told(r"(http\S+#link=\S+)")
        until_ready(server.address)
        for _ in range(2_000):
            if opened.is_file() and opened.read_text().strip():
                break
            time.sleep(0.05)
        assert opened.read_text().strip() == link
        assert server.stop() == 0
    assert not database.with_name("w.duckdb.wal").exists()


def test_a_served_workspace_opens_read_only(tmp_path: Path) -> None:
    database = str(tmp_path / "w.duckdb")
    with running(database, "--port", "0") as server:
        until_ready(server.address)
        server.stop()
    with running(database, "--port", "0", "--read-only") as server:
        until_ready(server.address)
        assert server.stop() == 0


def test_config_show_tells_origins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYNOMALY_PORT", "9999")
    assert main(["config", "show", "--origin", "--format", "csv", "--db", str(tmp_path / "x")]) == 0
    told = capsys.readouterr().out
    assert "port,9999,environment" in told
    assert "query_rows,10000,default" in told
