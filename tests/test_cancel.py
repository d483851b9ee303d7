"""A fit or a score that runs is stopped, by `interrupt` and by Ctrl-C, and the engine works on."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import pynomaly

LONG = "select i, hash(i) % 100_003 as x, hash(i + 1) % 100_019 as y, hash(i + 2) % 1_009 as z from range({n}) r(i)"
WIDE = ", ".join(f"hash(i + {j}) % 100_003 as x{j}" for j in range(2_000))
DETECTIONS = {  # each takes far longer than it may take to stop
    "a native fit": "detect_anomalies('rows', algorithm := 'knn', parameters := {'n_neighbors': 2_000})",
    "native scores": (
        "detect_anomalies('rows', algorithm := 'knn', sample_rows := 5_000, parameters := {'n_neighbors': 4_000})"
    ),
    "many groups": "detect_anomalies('rows', algorithm := 'sod', \"by\" := 'z')",
    "scores of few rows a second": (
        "detect_anomalies('rows', algorithm := 'lesinn', parameters := {'n_estimators': 1_000, 'max_samples': 1_000})"
    ),
    "products of many columns": "detect_anomalies('wide', algorithm := 'pca')",
    "a fit in another process": "detect_anomalies('few', algorithm := 'pyod_sos')",
    "a comparison": "compare_detectors('few', algorithms := ['pyod_sos', 'mad'])",
}
AT_MOST_SECONDS = 10.0  # of work, on all cores: one second is what it takes, and a busy machine does not add to it


@pytest.mark.parametrize("detection", DETECTIONS.values(), ids=DETECTIONS)
def test_interrupt_stops(detection: str) -> None:
    with pynomaly.connect() as engine:
        engine.execute("create table rows as " + LONG.format(n=400_000))
        engine.execute("create table few as from rows limit 9_000")
        if "wide" in detection:
            engine.execute(f"create table wide as select {WIDE} from range(10_000) r(i)")
        pressed: list[float] = []

        def press() -> None:
            pressed.append(time.process_time())
            engine.interrupt()

        timer = threading.Timer(1.5, press)
        timer.start()
        with pytest.raises(pynomaly.PynomalyError) as raised:
            engine.execute(f"select count(*) from {detection}").fetchall()
        assert raised.value.code == "interrupted"
        assert time.process_time() - pressed[0] < AT_MOST_SECONDS
        assert engine.execute("select count(anomaly_score) from detect_anomalies('few')").fetchall() == [(9_000,)]


WATCHED = """
import threading, time
def tell():
    while engine.progress is None:
        time.sleep(0.01)
    print("detecting", flush=True)
"""
SCRIPT = """
import pynomaly
with pynomaly.connect() as engine:
    engine.execute({table!r})
    threading.Thread(target=tell, daemon=True).start()
    try:
        engine.detect("rows", algorithm="knn", parameters={{"n_neighbors": 2_000}})
    except KeyboardInterrupt:
        print("stopped", engine.execute("select count(*) from rows").fetchall())
"""


def test_closing_the_engine_stops_a_fit() -> None:
    engine = pynomaly.connect()
    engine.execute("create table rows as " + LONG.format(n=200_000))
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.process_time())
        engine.close()

    timer = threading.Timer(1.5, press)
    timer.start()
    with pytest.raises(pynomaly.PynomalyError) as raised:
        engine.execute(f"select count(*) from {DETECTIONS['a native fit']}").fetchall()
    timer.join()
    assert raised.value.code in ("interrupted", "engine_closed")
    assert time.process_time() - pressed[0] < AT_MOST_SECONDS


TRANSACTION = """
import pynomaly
with pynomaly.connect() as engine:
    engine.execute({table!r})
    engine.execute("begin; create table kept as select 1 as a")
    threading.Thread(target=tell, daemon=True).start()
    try:
        engine.detect("rows", algorithm="knn", parameters={{"n_neighbors": 2_000}})
    except KeyboardInterrupt:
        try:
            engine.commit()
        except pynomaly.PynomalyError as error:
            print(error.code, end=" ")
        tables = [name for (name,) in engine.execute("show tables").fetchall()]
        print("stopped", engine.execute("select count(*) from rows").fetchall(), "kept" in tables)
"""


@pytest.mark.parametrize(
    ("script", "expected"),
    [(SCRIPT, "stopped [(200000,)]"), (TRANSACTION, "transaction_aborted stopped [(200000,)] False")],
    ids=["alone", "in a transaction"],
)
def test_ctrl_c_stops_a_fit_in_the_main_thread(script: str, expected: str) -> None:
    script = WATCHED + script.format(table="create table rows as " + LONG.format(n=200_000))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "detecting\n"
        time.sleep(2.0)  # the statement has begun
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=120)
    assert told == f"{expected}\n"
