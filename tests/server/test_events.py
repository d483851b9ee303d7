"""Jobs over HTTP, and what is heard of them while they run."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from httpx_sse import connect_sse

from pynomaly_server.app import create_app
from pynomaly_server.workspace import Workspace
from server.shop import LONG, PARTS, SLOW, until, workspace

JOBS = "/api/v1/jobs"
DETECT = "/api/v1/detection/detect"


class Served:
    """A server on a port of its own, and a person who asks it."""

    def __init__(self, place: Workspace, port: int) -> None:
        self.place, self.port = place, port

    def client(self, user: str, role: str = "user") -> httpx.Client:
        accounts = self.place.accounts
        found = accounts.users.find(user) or accounts.users.add(user, role, "test")
        token = accounts.grant_tokens(found).access_token
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {token}"}, timeout=330
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = workspace(tmp_path_factory.mktemp("events"))
    for table in (PARTS, LONG):
        place.engine.execute(table)
    server = uvicorn.Server(uvicorn.Config(create_app(place), port=0, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield Served(place, server.servers[0].sockets[0].getsockname()[1])
    place.is_draining = True
    server.should_exit = True
    thread.join(30)


def events(
    client: httpx.Client, path: str, last: str, found: list[tuple[str, Any]] | None = None
) -> list[tuple[str, Any]]:
    """What is heard, also while it is being heard, up to the last event of a name."""
    found = [] if found is None else found
    with connect_sse(client, "GET", path) as source:
        for event in source.iter_sse():
            if event.event:
                found.append((event.event, event.json() if event.data else None))
            if event.event == last:
                break
    return found


def test_a_job_tells_its_state_progress_and_end(served: Served) -> None:
    with served.client("ben") as ben:
        job = ben.post(DETECT, json=SLOW).json()["id"]
        heard: list[tuple[str, Any]] = []
        started = time.monotonic()
        listening = threading.Thread(target=lambda: events(ben, f"{JOBS}/{job}/events", "ended", heard))
        listening.start()
        until(lambda: "progress" in [name for name, _ in heard])
        with served.client("ben") as again:
            told = again.delete(f"{JOBS}/{job}").json()
            assert told["status"] == "cancelled"
        listening.join(60)
        names = [name for name, _ in heard]
        assert names[0] == "state"
        assert "progress" in names
        assert names[-1] == "ended"
        assert len(names) < 8 + 4 * (time.monotonic() - started), "progress at most four times a second"
        assert heard[-1][1]["status"] == "cancelled"
        assert [name for name, _ in events(ben, f"{JOBS}/{job}/events", "ended")] == ["ended"]


def test_jobs_are_listed_to_their_user(served: Served) -> None:
    with served.client("ben") as ben, served.client("eve") as eve, served.client("ada", "admin") as ada:
        job = ben.post(DETECT, json={"source": "parts"}, headers={"Prefer": "wait=300"}).json()["job"]["id"]
        assert job in {
            item["id"] for item in ben.get(JOBS, params={"status": "succeeded", "kind": "detect"}).json()["items"]
        }
        assert ben.get(JOBS, params={"kind": "train"}).json()["items"] == []
        assert ben.get(JOBS, params={"limit": 1}).json()["items"][0].get("result") is None
        assert eve.get(JOBS).json()["items"] == []
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
            assert eve.request(method, f"{JOBS}/{job}{path}").json()["code"] == "unknown_job"
        assert job in {item["id"] for item in ada.get(JOBS).json()["items"]}
        told = ada.get(f"{JOBS}/{job}").json()
        assert told["status"] == "succeeded"
        assert told["result"]["run"]["id"] == job
        assert ben.get(JOBS, params={"batch": "no uuid"}).json()["items"] == []


def test_runs_that_end_are_pushed_to_their_user(served: Served) -> None:
    with served.client("ben") as ben, served.client("eve") as eve, served.client("ada", "admin") as ada:
        heard: dict[str, list[tuple[str, Any]]] = {"ben": [], "ada": []}
        listening = [
            threading.Thread(target=lambda name=name, who=who: events(who, "/api/v1/runs/events", "run", heard[name]))
            for name, who in (("ben", ben), ("ada", ada))
        ]
        everybody = served.place.jobs._listeners._all
        before = set(everybody)  # streams of other tests, which end a little later
        for thread in listening:
            thread.start()
        until(lambda: len(everybody - before) == 2)
        with served.client("eve") as again, served.client("ben") as own:
            foreign = again.post(DETECT, json={"source": "parts"}).json()["id"]
            until(lambda: heard["ada"])
            mine = own.post(DETECT, json={"source": "parts"}).json()["id"]
        for thread in listening:
            thread.join(60)
        assert heard["ben"][0][1]["id"] == mine
        assert heard["ada"][0][1]["id"] == foreign
        assert eve.get("/health/live").status_code == 200


def test_a_key_stands_for_its_answer_as_soon_as_that_is_there(served: Served) -> None:
    with served.client("ben") as ben:
        for n in range(20):
            asked = {"name": f"keyed{n}", "algorithm": "mad"}
            headers = {"Idempotency-Key": f"at once {n}"}
            assert [ben.post("/api/v1/detectors", json=asked, headers=headers).status_code for _ in "twice"] == [
                201
            ] * 5


def test_who_may_listen_no_more_hears_no_more(served: Served) -> None:
    with served.client("fay") as fay, served.client("gil", "admin") as gil:
        heard: dict[str, list[Any]] = {"fay": [], "gil": []}
        listening = [
            threading.Thread(target=lambda name=name, who=who: events(who, "/api/v1/runs/events", "", heard[name]))
            for name, who in (("fay", fay), ("gil", gil))
        ]
        everybody = served.place.jobs._listeners._all
        before = set(everybody)  # streams of other tests, which end a little later
        for thread in listening:
            thread.start()
        until(lambda: len(everybody - before) == 2)
        served.place.accounts.users.change("fay", disabled=True)
        served.place.accounts.users.change("gil", role="user")
        for thread in listening:
            thread.join(60)
            assert not thread.is_alive()
        assert heard == {"fay": [], "gil": []}


def test_a_websocket_pushes_runs_to_pages_of_our_own(served: Served) -> None:
    with served.client("ben") as ben:
        headers = {"Authorization": ben.headers["authorization"]}
        address = f"ws://127.0.0.1:{served.port}/ws/results"

        async def listen() -> Any:
            origin: Any = f"http://127.0.0.1:{served.port}"
            async with websockets.connect(address, additional_headers=headers, origin=origin) as socket:
                await asyncio.to_thread(ben.post, DETECT, json={"source": "parts"})
                return json.loads(await asyncio.wait_for(socket.recv(), 60))

        async def refused(headers: dict[str, str], origin: Any) -> bool:
            try:
                async with websockets.connect(address, additional_headers=headers, origin=origin) as socket:
                    await asyncio.wait_for(socket.recv(), 60)
            except (websockets.InvalidStatus, websockets.ConnectionClosed):
                return True
            return False

        told = asyncio.run(listen())
        assert told["run"]["created_by"] == "ben"
        assert asyncio.run(refused(headers, "https://elsewhere.example"))
        assert asyncio.run(refused({}, None))
