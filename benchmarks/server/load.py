"""A load of HTTP requests from a process of its own: plain sockets, kept open, answers timed one by one.

`python -m benchmarks.server.load` reads a plan as JSON on standard input and writes what it measured to standard
output.
"""

import asyncio
import base64
import random
import re
import sys
import time
from collections import Counter

import msgspec

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"transfer-encoding: *chunked", re.IGNORECASE)


class Request(msgspec.Struct):
    """One request; `body` is base64."""

    path: str
    method: str = "GET"
    headers: dict[str, str] = {}
    body: str = ""

    def encoded(self, host: str) -> bytes:
        """The bytes on the wire."""
        body = base64.b64decode(self.body)
        headers = {"Host": host, "Content-Length": str(len(body)), **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


class Plan(msgspec.Struct):
    """Clients that each send one request after another, all together at a rate, or as fast as they are answered."""

    host: str
    port: int
    requests: list[Request]
    clients: int
    seconds: float
    rate: float | None = None  # requests a second of all clients together
    per_client: int | None = None  # requests of each client; None for as many as the time allows
    seed: int = 0


class Measured(msgspec.Struct):
    """What came back."""

    milliseconds: list[float]  # of each answer, sorted
    statuses: dict[str, int]
    seconds: float

    def percentile(self, share: float) -> float:
        """The milliseconds within which a share of the answers came."""
        return self.milliseconds[min(len(self.milliseconds) - 1, int(share * len(self.milliseconds)))]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.milliseconds) / self.seconds

    @property
    def errors(self) -> int:
        """Answers that were none, or told of an error."""
        return sum(n for status, n in self.statuses.items() if not status.startswith(("2", "3")))


async def run(plan: Plan) -> Measured:
    """Carry out a plan."""
    encoded = [request.encoded(f"{plan.host}:{plan.port}") for request in plan.requests]
    times: list[float] = []
    statuses: Counter[str] = Counter()
    open_: asyncio.Semaphore = asyncio.Semaphore(200)  # connections that are being opened side by side
    ready = asyncio.Event()
    waiting = plan.clients

    async def client(number: int) -> None:
        nonlocal waiting
        drawn = random.Random(plan.seed + number)
        async with open_:
            reader, writer = await asyncio.open_connection(plan.host, plan.port)
        waiting -= 1
        if not waiting:
            ready.set()
        await ready.wait()
        interval = plan.clients / plan.rate if plan.rate else 0.0
        due = time.perf_counter() + drawn.random() * interval
        end, sent = time.perf_counter() + plan.seconds, 0
        while time.perf_counter() < end and sent != plan.per_client:
            if interval:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                due += interval
            sent += 1
            begun = time.perf_counter()
            try:
                writer.write(drawn.choice(encoded))
                status = await asyncio.wait_for(_answer(reader), 60)
            except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError) as error:
                statuses[type(error).__name__] += 1
                return
            times.append(1000 * (time.perf_counter() - begun))
            statuses[status] += 1
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(plan.clients)))
    return Measured(sorted(times), dict(statuses), time.perf_counter() - started)


async def _answer(reader: asyncio.StreamReader) -> str:
    """Read one answer and give its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if length is not None:
        await reader.readexactly(int(length[1]))
    elif _CHUNKED.search(head):
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    return head[9:12].decode()


if __name__ == "__main__":
    import uvloop

    found = uvloop.run(run(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))
    sys.stdout.buffer.write(msgspec.json.encode(found))
