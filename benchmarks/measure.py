"""One side of a case in a process of its own, which runs when it is told to and prints what it took as JSON.

`python -m benchmarks.measure SIDE FILE '{"algorithm": "ecod"}'`: each line on standard input asks for one run.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.sides import SIDES


class Process:
    """A side that waits in its own process; close it."""

    def __init__(self, side: str, path: Path, options: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "benchmarks.measure", side, str(path), json.dumps(options)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self) -> dict[str, float]:
        """One run: its seconds, the process's peak memory in MiB so far, and what else the side measures."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError((self._process.communicate()[1] or "it ended").strip().splitlines()[-1])
        measured: dict[str, float] = json.loads(line)
        return measured

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


def peak_mib() -> float:
    """The process's own peak; `getrusage` would begin with that of the process that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(found[1]) / 1024 if found else 0.0


def main(side: str, path: str, options: str) -> None:
    """Load, then run once for every line that is read."""
    run = SIDES[side](Path(path), **json.loads(options))
    for _ in sys.stdin:
        started = time.perf_counter()
        measures = run() or {}
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, **measures, "peak_mib": peak_mib()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
