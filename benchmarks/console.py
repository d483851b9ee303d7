"""How fast the console answers who looks through a saved run of a million rows: `python -m benchmarks.console`.

Each interaction is tried 20 times after the first, one at a time, as htmx asks for it, and with another value where it
has one. The times are those of whole answers on loopback; `cpu` is what the server used of all processors for one.
"""

import contextlib
import html
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import httpx
import msgspec

import pynomaly
from benchmarks.server.served import served

N_ROWS, N_TRIES, WANTED_MS = 1_000_000, 20, 100
NUMBERS = [f"v{n}" for n in range(6)]
PAIRS = list(permutations(NUMBERS, 2))
ROWS = f"""
create or replace table payments as
select
    i as id, timestamp '2026-01-01' + to_seconds(30 * i) as paid_at, 'shop ' || (hash(i) % 200) as shop,
    ['card', 'cash', 'transfer'][1 + (hash(i, 7) % 3)::integer] as way,
    {", ".join(f"(hash(i, {n}) % 1000) / 1000.0 * (hash(i, {n} + 10) % 1000) / 1000.0 + (hash(i) % 997 = 0)::integer as {name}" for n, name in enumerate(NUMBERS))}
from range({N_ROWS}) as numbers(i)
"""  # noqa: E501


class Looked(msgspec.Struct, frozen=True):
    """What is looked at: two runs of one table by a key, one of a snapshot, and keys of flagged rows."""

    run: str
    other: str
    snapshot: str
    keys: list[str]
    places: list[str]


class Interaction(msgspec.Struct, frozen=True):
    """One thing that people do; `asked` is its address at a try. A first look may take longer than what follows."""

    name: str
    asked: Callable[[Looked, int], str]
    target: str = ""
    said: Callable[[Looked, int], dict[str, str]] | None = None  # what a form posts
    is_followed: bool = False  # each try is the page after the one before
    is_begun: bool = False  # until the first bytes


def _rows(query: str) -> Callable[[Looked, int], str]:
    return lambda one, n: f"/results/{one.run}?" + query.format(n=n, sixth=n % 6, hundredth=n / 100)


def _of_key(place: str) -> Callable[[Looked, int], str]:
    return lambda one, n: place.format(run=one.run, key=one.keys[n], snapshot=one.snapshot, place=one.places[n])


INTERACTIONS = (
    Interaction("threshold moved", lambda one, n: f"/results/{one.run}/count?threshold={1 + n / 10}"),
    Interaction("page of a run", lambda one, _: f"/results/{one.run}"),
    Interaction("next page, all rows", _rows("show=all"), "rows", is_followed=True),
    Interaction("flagged rows alone", _rows("show=flagged&min_score={hundredth}"), "rows"),
    Interaction("sorted by the key", _rows("show=all&sort=key&min_score={hundredth}"), "rows"),
    Interaction("sorted by a column", _rows("sort=-v1&min_score={hundredth}"), "rows"),
    Interaction("a range of a column, all rows", _rows("show=all&column=v1&test=ge&is=0.{n:02d}"), "rows"),
    Interaction("a text, all rows", _rows("show=all&column=shop&test=contains&is={n}"), "rows"),
    Interaction("a text, flagged rows", _rows("column=shop&test=contains&is={n}"), "rows"),
    Interaction("a reason", _rows("show=all&reason=v{sixth}"), "rows"),
    Interaction("a rectangle drawn", _rows("view=pairs&x=v0&y=v1&show=all&x_from=0.{n:02d}&x_to=0.5&y_from=0&y_to=0.5"), "rows"),  # noqa: E501
    Interaction("row opened", _of_key("/results/{run}/rows/{key}"), "drawer"),
    Interaction("row opened, of a snapshot", _of_key("/results/{snapshot}/rows/{place}"), "drawer"),
    Interaction("its reasons", _of_key("/results/{run}/why?key={key}")),
    Interaction("its reasons, of a snapshot", _of_key("/results/{snapshot}/why?key={place}")),
    Interaction("its nearest normal rows", _of_key("/results/{run}/nearest?key={key}")),
    Interaction("row labelled", lambda one, _: f"/results/{one.run}/labels", "said",
                lambda one, n: {"key": one.keys[n], "label": "normal"}),
    Interaction("two columns", lambda one, n: f"/results/{one.run}?view=pairs&x={PAIRS[n][0]}&y={PAIRS[n][1]}", "picture"),  # noqa: E501
    Interaction("all columns", lambda one, _: f"/results/{one.run}/axes"),
    Interaction("values over time", lambda one, n: f"/results/{one.run}?view=time&value={NUMBERS[n % 6]}", "picture"),
    Interaction("entities over time", lambda one, n: f"/results/{one.run}?view=entities&entity={('shop', 'way')[n % 2]}", "picture"),  # noqa: E501
    Interaction("two runs compared", lambda one, _: f"/runs/compare?run={one.run}&run={one.other}"),
    Interaction("rows judged differently", lambda one, n: f"/runs/compare/rows?a={one.run}&b={one.other}&change={('newly+flagged', 'no+longer+flagged', 'score+changed')[n % 3]}"),  # noqa: E501
    Interaction("export begins", lambda one, _: f"/api/v1/detection/results/{one.run}.csv?labels=true&columns=true",
                is_begun=True),
)  # fmt: skip


def main(words: list[str]) -> None:
    """Print what each interaction takes whose name has one of the words; a word with a slash is a folder to keep."""
    kept = next((Path(word) for word in words if "/" in word), None)
    chosen = [word for word in words if "/" not in word]
    with tempfile.TemporaryDirectory() if kept is None else contextlib.nullcontext(str(kept)) as folder:
        path = Path(folder) / "workspace.duckdb"
        looked = prepared(path)
        Path(f"{path}.files/auth.duckdb").unlink(missing_ok=True)  # of the server before
        with served(path) as server:
            print(f"{'interaction':<32} {'first':>8} {'p50':>8} {'p95':>8} {'cpu':>8}  ms", flush=True)
            for one in INTERACTIONS:
                if not chosen or any(word in one.name for word in chosen):
                    begun = _cpu_ms(server.pid)
                    found = measured(server.client, looked, one)
                    _show(one.name, found, (_cpu_ms(server.pid) - begun) / len(found))


def prepared(path: Path) -> Looked:
    """A workspace with three saved runs."""
    known = path.with_suffix(".json")
    if known.is_file():
        return msgspec.json.decode(known.read_bytes(), type=Looked)
    path.parent.mkdir(parents=True, exist_ok=True)
    with pynomaly.connect(path) as db:
        db.execute(ROWS).fetchall()
        given: dict[str, Any] = {"exclude": ["paid_at"], "contamination": 0.01, "save": True}
        first = db.detect("payments", algorithm="hbos", key="id", explain=3, **given).run_id
        second = db.detect("payments", algorithm="mad", key="id", **given).run_id
        third = db.detect("payments", algorithm="hbos", **given).run_id
        select = "select key from _run_results(?) order by anomaly_score desc, key limit ?"
        keys = [
            [str(row[0]) for row in db.execute(select, [str(run), N_TRIES + 1]).fetchall()] for run in (first, third)
        ]
    looked = Looked(str(first), str(second), str(third), *keys)
    known.write_bytes(msgspec.json.encode(looked))
    return looked


def measured(client: httpx.Client, looked: Looked, one: Interaction) -> list[float]:
    """The milliseconds of every try."""
    found, following = [], ""
    for n in range(N_TRIES + 1):
        headers = {"Accept": "text/html", "HX-Request": "true", "HX-Target": one.target}
        said = None if one.said is None else one.said(looked, n)
        begun = time.perf_counter()
        with client.stream(
            "POST" if said else "GET", following or one.asked(looked, n), headers=headers, data=said
        ) as answer:
            answer.raise_for_status()
            text = next(answer.iter_text(1)) if one.is_begun else "".join(answer.iter_text())
            found.append(1000 * (time.perf_counter() - begun))
        if one.is_followed and (link := re.search(r'rel="next" href="([^"]*)"', text)):
            following = html.unescape(link[1])
    return found


def _cpu_ms(pid: int) -> float:
    """What a process has used of the processors so far, which another one's load changes little."""
    told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return 1000 * (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def _show(name: str, found: list[float], cpu: float) -> None:
    first, tries = found[0], sorted(found[1:])
    p50, p95 = statistics.median(tries), tries[int(0.95 * len(tries)) - 1]
    told = "held" if p50 < WANTED_MS else "MISSED"
    print(f"{name:<32} {first:>8.0f} {p50:>8.0f} {p95:>8.0f} {cpu:>8.0f}  wanted p50 {WANTED_MS}  {told}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
