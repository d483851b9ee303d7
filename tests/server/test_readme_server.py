"""The README's example of the server: its lines run, one after another, against `pynomaly serve`."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from server.test_serve import running, until_ready

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
PAYMENTS = "id,amount,hour\n" + "".join(f"{n},{9000 if n == 17 else 20 + n % 50},{n % 24}\n" for n in range(1, 400))


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl and jq are not installed")
def test_the_lines_of_the_readme_run(tmp_path: Path) -> None:
    found = re.search(r"<!-- server example -->\n```bash\n(.*?)```\n<!-- end -->", README, re.DOTALL)
    assert found is not None
    (tmp_path / "payments.csv").write_text(PAYMENTS)
    with running(str(tmp_path / "workspace.duckdb"), "--port", "0") as server:
        until_ready(server.address)
        lines = found[1].replace("http://127.0.0.1:8808", server.address)
        environment = {**os.environ, "LINK": server.told(r"#link=(\S+)")}
        command = ["bash", "-euo", "pipefail", "-c", lines]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    version, *rows = done.stdout.splitlines()
    assert version == "1"
    assert any(row.startswith('["17",') for row in rows), done.stdout
    assert '"hour"' in rows[-1]
    assert "is_anomaly" in (tmp_path / "scored.csv").read_text().splitlines()[0]
