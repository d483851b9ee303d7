"""Thousands of requests made from the document by schemathesis: no answer is a failure of the server, and none is one
that the document does not tell.

Left out are two of its checks, that what fits the schema is accepted and what does not is refused at once: a text that
fits is not yet a name that exists, and what a job is asked is checked when it runs. The header Allow is Litestar's.
"""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pynomaly_server.examples import PAYMENTS
from server.test_serve import running, until_ready

CASES = 20  # of each operation at most, by chance; those that cover every field come besides
SECONDS = 240
LEFT_OUT = r"auth/(sign-out|password|link)|/events$"  # they end the sign-in, or never end
NOT_CHECKED = "positive_data_acceptance,negative_data_rejection,allow_header_conformance"
WAIT = {"Prefer": "wait=30"}


@pytest.mark.slow
def test_nothing_that_the_document_allows_fails_or_is_untold(tmp_path: Path) -> None:
    limits = ("requests_per_minute=100000000", "unknown_requests_per_minute=100000000")
    flags = [word for limit in limits for word in ("--setting", limit)]
    with running(str(tmp_path / "workspace.duckdb"), "--port", "0", *flags) as server:
        until_ready(server.address)
        person = {"user": "ada", "password": "a long enough password"}
        with httpx.Client(base_url=f"{server.address}/api/v1", timeout=60) as client:
            client.post("/auth/link", json={"token": server.told(r"#link=(\S+)"), **person}).raise_for_status()
            token = client.post("/auth/sign-in", json=person).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            _prepare(client)
        command = [
            *(str(Path(sys.executable).parent / "st"), "run", f"{server.address}/api/v1/schema/openapi.json"),
            *("-H", f"Authorization: Bearer {token}", "--max-examples", str(CASES), "--max-time", str(SECONDS)),
            *("--phases", "examples,coverage,fuzzing", "--exclude-path-regex", LEFT_OUT),
            *("--exclude-checks", NOT_CHECKED, "--continue-on-failure", "--no-color", "--seed", "7"),
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        log = "".join(server.lines)
    assert "❌" not in done.stdout.partition("SUMMARY")[2], done.stdout[-8_000:]
    assert "unexpected error" not in log


def _prepare(client: httpx.Client) -> None:
    """Give the examples of the document something to be about."""
    sent = {"Content-Type": "text/csv"}
    upload = client.post("/datasets/upload?filename=payments.csv", content=PAYMENTS, headers=sent).json()["upload_id"]
    for place, body in (
        ("/datasets", {"name": "payments", "upload_id": upload}),
        ("/models/train", {"name": "fraud", "dataset": "payments", "algorithm": "mad"}),
        ("/detection/detect", {"dataset": "payments", "key": "id"}),
    ):
        client.post(place, json=body, headers=WAIT).raise_for_status()
