"""Jobs: they run, fail, stop and come back after a kill, and take effect once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from pynomaly_server.errors import BodyTooLarge, TooManyJobs, UnknownJob
from pynomaly_server.jobs import Jobs, kinds
from pynomaly_server.jobs.work import Work
from server.shop import LONG, PARTS, SLOW, ended, person, until, working, workspace

BOB = person("bob")
COUNT = "select count(*) from pynomaly.{}"


def running(jobs: Jobs, job: str) -> None:
    until(lambda: (live := jobs.live(job)) is not None and live.doing is not None)


def test_detection_succeeds(tmp_path: Path) -> None:
    with working(tmp_path, PARTS) as place:
        job = ended(place.jobs, place.jobs.submit("detect", {"source": "parts", "key": "part"}, BOB, None, "req-1"))
        assert (job.status, job.attempts, job.request_id, job.created_by) == ("succeeded", 1, "req-1", "bob")
        assert job.result is not None
        assert job.result["run"]["id"] == job.id
        assert job.result["run"]["n_rows"] == 401
        assert job.result["rows"][0]["key"] == "400"
        assert place.engine.execute("select id::varchar, created_by from pynomaly.runs").fetchall() == [(job.id, "bob")]


def test_unsaved_detection_gives_its_rows(tmp_path: Path) -> None:
    with working(tmp_path, PARTS) as place:
        request = {"source": "parts", "save": False, "explain": 1}
        job = ended(place.jobs, place.jobs.submit("detect", request, BOB))
        assert job.result is not None
        assert job.result["rows"][0]["part"] == 400
        assert job.result["rows"][0]["reasons"][0]["feature"] == "width"
        assert len(job.result["rows"]) == 401
        assert place.engine.execute(COUNT.format("results")).fetchall() == [(0,)]


def test_failure_is_a_problem(tmp_path: Path) -> None:
    with working(tmp_path, PARTS) as place:
        job = ended(place.jobs, place.jobs.submit("detect", {"source": "prats"}, BOB, None, "req-2"))
        assert job.status == "failed"
        assert job.problem is not None
        assert (job.problem["code"], job.problem["status"], job.problem["request_id"]) == (
            "unknown_source",
            404,
            "req-2",
        )
        assert "parts" in job.problem["mend"]


def test_training_and_its_end_are_one(tmp_path: Path) -> None:
    with working(tmp_path, PARTS) as place:
        request = {"model": "watch", "source": "parts", "algorithm": "mad"}
        jobs = [place.jobs.submit("train", request, BOB) for _ in range(6)]
        assert {ended(place.jobs, job).status for job in jobs} == {"succeeded"}
        found = place.engine.execute("select version, created_by from pynomaly.models order by version").fetchall()
        assert found == [(n, "bob") for n in range(1, 7)]


@pytest.mark.parametrize("kind", ["compare", "evaluate", "validate", "profile", "score", "replay"])
def test_every_other_kind(tmp_path: Path, kind: str) -> None:
    with working(tmp_path, PARTS) as place:
        his = place.engine.cursor()
        his.act_as("bob", sees_all=False)
        his.train("watch", "parts", algorithm="mad")
        run = his.detect("parts", key="part", save=True).run_id
        place.engine.execute("create table judged as select *, part = 400 as odd from detect_anomalies('parts')")
        requests: dict[str, dict[str, Any]] = {
            "compare": {"source": "parts", "algorithms": ["mad", "iqr"]},
            "evaluate": {"source": "judged", "label": "odd"},
            "validate": {"source": "parts", "rules": [{"kind": "unique", "column": "width"}]},
            "profile": {"source": "parts"},
            "score": {"source": "parts", "model": "watch", "key": "part"},
            "replay": {"run": run},
        }
        job = ended(place.jobs, place.jobs.submit(kind, requests[kind], BOB))
        assert job.status == "succeeded", job.problem
        assert job.result


def test_kinds_are_open(tmp_path: Path) -> None:
    @kinds.register("greet")
    def greet(db: Any, request: dict[str, Any], work: Work) -> dict[str, Any]:
        return {"greeting": f"hello {request['name']}"}

    with working(tmp_path) as place:
        job = ended(place.jobs, place.jobs.submit("greet", {"name": "bob"}, BOB))
        assert job.result == {"greeting": "hello bob"}


def test_cancel_waiting_and_running(tmp_path: Path) -> None:
    with working(tmp_path, LONG) as place:
        first, second, third = (place.jobs.submit("detect", SLOW, BOB) for _ in range(3))
        running(place.jobs, first)
        place.jobs.cancel(third)
        assert ended(place.jobs, third).status == "cancelled"  # while the others go on
        live = place.jobs.live(first)
        assert live is not None
        assert live.seconds > 0
        for job in (first, second):
            place.jobs.cancel(job)
        assert {ended(place.jobs, job).status for job in (first, second)} == {"cancelled"}
        assert ended(place.jobs, place.jobs.submit("profile", {"source": "long"}, BOB)).status == "succeeded"
        place.jobs.cancel(first)  # has ended: nothing happens
        assert ended(place.jobs, first).status == "cancelled"


def test_a_model_of_pyod_is_stopped(tmp_path: Path) -> None:
    wide = "create table wide as select " + ", ".join(f"hash(i, {j}) % 1009 as x{j}" for j in range(10))
    with working(tmp_path, wide + " from range(6_000) r(i)") as place:
        job = place.jobs.submit("detect", {"source": "wide", "algorithm": "pyod_rod"}, BOB)  # minutes
        running(place.jobs, job)
        place.jobs.cancel(job)
        assert ended(place.jobs, job).status == "cancelled"
        again = place.jobs.submit("detect", {"source": "wide", "algorithm": "pyod_pca"}, BOB)
        assert ended(place.jobs, again).status == "succeeded"


@pytest.mark.slow
def test_progress_tells_rows(tmp_path: Path) -> None:
    many = "create table many as select hash(i) % 1000 as x, hash(i, 1) % 1000 as y from range(1_000_000) r(i)"
    with working(tmp_path, many) as place:
        job = place.jobs.submit("detect", {"source": "many", "algorithm": "iforest", "save": False}, BOB)
        seen = []
        while place.jobs.find(job, BOB).status in ("queued", "running"):
            if (live := place.jobs.live(job)) is not None and live.rows_scored:
                seen.append(live)
            time.sleep(0.02)
        assert seen
        assert {live.rows for live in seen} == {1_000_000}
        fractions = [live.fraction for live in seen]
        assert fractions == sorted(fractions)  # type: ignore[type-var]
        assert all(live.rows_per_second for live in seen)


@pytest.mark.parametrize("workers", [1, 2])
def test_users_take_turns(tmp_path: Path, workers: int) -> None:
    order: list[str] = []
    one_at_a_time = threading.Lock()

    @kinds.register("noted")
    def noted(db: Any, request: dict[str, Any], work: Work) -> dict[str, Any]:
        order.append(work.job.created_by)
        with one_at_a_time:
            return {}

    with working(tmp_path) as place:
        place.engine.change_setting("job_workers", workers)
        place.read_settings()
        with one_at_a_time:
            jobs = place.jobs.submit_all("noted", [{}] * 8, person("greedy"))
            jobs += place.jobs.submit_all("noted", [{}] * 2, person("modest"))
        assert {ended(place.jobs, job).status for job in jobs} == {"succeeded"}
    assert len(order) == 10
    last_of_modest = max(i for i, user in enumerate(order) if user == "modest")
    assert last_of_modest <= 2 * workers + 2  # all workers are busy at first, and two may note their turns crosswise


def test_queue_is_bounded(tmp_path: Path) -> None:
    with working(tmp_path) as place:
        place.engine.change_setting("jobs_per_user", 3)
        place.read_settings()
        with pytest.raises(TooManyJobs) as raised:
            place.jobs.submit_all("profile", [{"source": "long"}] * 4, BOB)
        assert raised.value.status == 429
        assert raised.value.headers["Retry-After"]
        assert place.engine.execute(COUNT.format("jobs")).fetchall() == [(0,)]


def test_requests_that_are_kept_are_short(tmp_path: Path) -> None:
    with working(tmp_path) as place:
        long, often = {"source": "a" * 300_000}, {"source": "a" * 100_000}
        for requests in ([long], [often] * 200):  # a batch says once what each of its jobs is asked
            with pytest.raises(BodyTooLarge):
                place.jobs.submit_all("profile", requests, BOB)
        assert place.engine.execute(COUNT.format("jobs")).fetchall() == [(0,)]


def test_jobs_of_others_are_unknown(tmp_path: Path) -> None:
    with working(tmp_path, PARTS) as place:
        job = place.jobs.submit("profile", {"source": "parts"}, person("bob"))
        with pytest.raises(UnknownJob):
            place.jobs.find(job, person("eve"))
        with pytest.raises(UnknownJob):
            place.jobs.find("no uuid", person("eve"))
        assert place.jobs.find(job, person("root", "admin")).created_by == "bob"


@pytest.mark.slow
def test_hundred_detections_at_once_stay_within_memory(tmp_path: Path) -> None:
    wide = "create table wide as select " + ", ".join(f"hash(i, {j}) % 1000 as x{j}" for j in range(10))
    with working(tmp_path, wide + " from range(20_000) r(i)", memory_limit="300MB") as place:
        requests = [{"source": "wide", "algorithm": "iforest", "seed": seed} for seed in range(100)]
        jobs = place.jobs.submit_all("detect", requests, BOB)
        assert {ended(place.jobs, job).status for job in jobs} == {"succeeded"}
        assert place.engine.execute(COUNT.format("runs")).fetchall() == [(100,)]


def test_log_lines_have_request_job_user_and_sql(tmp_path: Path) -> None:
    from structlog.contextvars import merge_contextvars

    with working(tmp_path, PARTS) as place, capture_logs(processors=[merge_contextvars]) as lines:
        job = place.jobs.submit("detect", {"source": "parts"}, BOB, None, "req-3")
        ended(place.jobs, job)
        place.jobs.drain(5)
    line = next(line for line in lines if line["event"] == "job ended")
    assert (line["request_id"], line["job"], line["user"], line["status"]) == ("req-3", job, "bob", "succeeded")
    assert "detect_anomalies" in line["sql"]


@pytest.mark.slow
def test_drain_puts_back_what_runs(tmp_path: Path) -> None:
    with working(tmp_path, LONG) as place:
        slow, waiting = place.jobs.submit("detect", SLOW, BOB), place.jobs.submit("detect", SLOW, BOB)
        running(place.jobs, slow)
        started = time.monotonic()
        place.jobs.drain(0.3)
        assert time.monotonic() - started < 8
        rows = place.engine.execute("select status, attempts from pynomaly.jobs").fetchall()
        assert rows == [("queued", 0)] * 2, (slow, waiting)
    with working(tmp_path, LONG.replace("400_000", "3_000")) as place:
        assert [ended(place.jobs, job).problem for job in (slow, waiting)] == [None, None]


KILLED = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from server.shop import PARTS, person, workspace
from pynomaly_server.jobs import store
from pynomaly_server.jobs.work import Work

def die(*args, **given):
    os.kill(os.getpid(), signal.SIGKILL)

place = workspace(Path({folder!r}))
place.engine.execute(PARTS)
moment = {moment!r}
if moment == "before the effect":
    import pynomaly_server.jobs.kinds as kinds
    kinds._KINDS[{kind!r}] = die
elif moment == "in the effect":
    import pynomaly.runs
    pynomaly.runs._save = die
    Work.succeed = die
elif moment == "between effect and end":
    store.end = die
place.jobs.start()
print(place.jobs.submit({kind!r}, {request!r}, person("bob", "admin")), flush=True)
time.sleep(60)
"""
MOMENTS = ("before the effect", "in the effect", "between effect and end")
REQUESTS: dict[str, dict[str, Any]] = {
    "detect": {"source": "parts", "key": "part"},
    "train": {"model": "watch", "source": "parts", "algorithm": "mad"},
}


def killed(folder: Path, kind: str, moment: str) -> None:
    script = KILLED.format(
        tests=str(Path(__file__).parent.parent), folder=str(folder), moment=moment, kind=kind, request=REQUESTS[kind]
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", REQUESTS)
def test_killed_server_takes_up_its_jobs_once(tmp_path: Path, kind: str, moment: str) -> None:
    killed(tmp_path, kind, moment)
    with working(tmp_path) as place:
        ((job, attempts),) = place.engine.execute("select id::varchar, attempts from pynomaly.jobs").fetchall()
        assert attempts >= 1
        found = ended(place.jobs, job)
        assert (found.status, found.attempts) == ("succeeded", 2), found.problem
        assert found.result
        if kind == "detect":
            rows = place.engine.execute("select count(*), count(distinct run_id) from pynomaly.results").fetchall()
            assert rows == [(401, 1)]
            n_runs = place.engine.execute("select count(*) from pynomaly.runs where status = 'succeeded'").fetchall()
            assert n_runs == [(1,)]
            assert found.result["rows"][0]["key"] == "400"
        else:
            assert place.engine.execute("select name, version from pynomaly.models").fetchall() == [("watch", 1)]


def test_job_that_kills_the_server_is_lost_in_the_end(tmp_path: Path) -> None:
    killed(tmp_path, "detect", "before the effect")
    with workspace(tmp_path).engine as engine:
        engine.execute("update pynomaly.jobs set attempts = 3")
    with working(tmp_path) as place:
        ((job,),) = place.engine.execute("select id::varchar from pynomaly.jobs").fetchall()
        found = place.jobs.find(job, BOB)
        assert found.status == "failed"
        assert found.problem is not None
        assert found.problem["code"] == "job_lost"
        json.dumps(found.problem)
        assert os.getpid()
