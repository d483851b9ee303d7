"""The pictures of a saved run: what a chart needs of it, thinned by SQL to what a screen can show."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from pynomaly.engine import Engine
from pynomaly.quoting import identifier, literal, texts
from pynomaly.source import is_number, is_text, is_time
from pynomaly_server.pages.remembered import RUNS

N_BINS, N_NORMAL, N_FLAGGED, N_BUCKETS, N_INTERVALS, N_ENTITIES = 60, 1_000, 500, 500, 24, 15
N_SAMPLED = 20_000  # rows that tell where the axes lie
_KEY = "_pynomaly_key"
# The flagged rows with the highest scores, and of the others every so many by the hash of their key.
_SOME = """
select * exclude (reasons) from (
    from _run_results({run}) where is_anomaly{above} order by anomaly_score desc limit {n_flagged}
)
union all
select * exclude (reasons) from _run_results({run})
where not coalesce(is_anomaly, false) and hash(key) <= 18446744073709551615 * ({n_normal} / {n_rows})
"""
_PLACED = """
select _pynomaly_key, {x}::double as x, {y}::double as y
from _run_rows_of({run}, {keys}) where isfinite(x) and isfinite(y)
"""
_PAIRS = """
select source.{x}::double as x, source.{y}::double as y, results.anomaly_score, results.is_anomaly, results.key
from _run_rows({run}) as source
join ({some}) as results on results.key = source._pynomaly_key
where isfinite(x) and isfinite(y)
"""
_AXES = """
select components[1] as x, components[2] as y, anomaly_score, is_anomaly, key, variance_shares
from project({run}, keys := {keys}, sample_rows := {n_sampled})
where components is not null
"""
_SPAN = """
with ends as (
    select min({time})::varchar as low, max({time})::varchar as high from _run_rows({run})
)
select
    low, epoch(high::timestamptz) - epoch(low::timestamptz) as seconds,
    [strftime(low::timestamp + to_seconds(seconds / {n_intervals} * place), '%Y-%m-%d %H:%M')
        for place in range({n_intervals})] as starts
from ends
"""
# The least and the greatest value of every interval: what a line of all of them would be drawn over.
_LINE = """
with line as (
    select
        arg_min({time}, {value}) as low_at, min({value})::double as low,
        arg_max({time}, {value}) as high_at, max({value})::double as high
    from _run_rows({run})
    where {time} is not null and isfinite({value}::double)
    group by floor((epoch({time}) - epoch({least}::timestamptz)) / {seconds} * {n_buckets})
)
select low_at::varchar as x, low as y, null as key from line
union
select high_at::varchar, high, null from line
"""
_MARKED = """
select source.{time}::varchar as x, source.{value}::double as y, results.key
from _run_rows({run}) as source
join (
    select key from _run_results({run}) where is_anomaly{above} order by anomaly_score desc limit {n_flagged}
) as results on results.key = source._pynomaly_key
where source.{time} is not null and isfinite(source.{value}::double)
"""
_MARKED_OF = """
select {time}::varchar as x, {value}::double as y, _pynomaly_key as key
from _run_rows_of({run}, {keys}) where {time} is not null and isfinite({value}::double)
"""
_CELLS = """
with flagged as (
    select
        source.{entity}::varchar as entity,
        least(floor((epoch(source.{time}) - epoch({least}::timestamptz)) / {seconds} * {n_intervals}),
            {n_intervals} - 1)::integer as place
    from _run_rows({run}) as source
    join (select key from _run_results({run}) where is_anomaly{above}) as results
        on results.key = source._pynomaly_key
    where source.{time} is not null
),
shown as (
    select entity from flagged group by entity order by count(*) desc, entity limit {n_entities}
)
select entity, place, count(*) as n from flagged where entity in (from shown) group by all order by entity, place
"""


class Of(msgspec.Struct, frozen=True):
    """A saved run as pictures know it: its row, and the columns of its source with their types."""

    told: Mapping[str, Any]
    columns: Mapping[str, str]

    @property
    def run(self) -> str:
        """Its id."""
        return str(self.told["id"])

    @property
    def numbers(self) -> list[str]:
        """The columns that hold numbers, but for the key."""
        found = [name for name, kind in self.columns.items() if is_number(kind) and name not in self.told["key"]]
        return found or [name for name, kind in self.columns.items() if is_number(kind)]

    @property
    def times(self) -> list[str]:
        """The columns that hold moments or days."""
        return [name for name, kind in self.columns.items() if is_time(kind) and kind != "TIME"]

    @property
    def entities(self) -> list[str]:
        """The columns that say whose a row is: the groups of the run before all others, its key after them."""
        by = self.told["options"].get("by") or []
        first = [name for name in ([by] if isinstance(by, str) else by) if name in self.columns]
        others = [name for name, kind in self.columns.items() if is_text(kind) and name not in first]
        return [*first, *sorted(others, key=lambda name: name in self.told["key"])]

    @property
    def above(self) -> str:
        """A condition that every flagged row keeps, by which whole blocks of rows need not be read."""
        threshold = self.told["threshold"]
        return "" if threshold is None else f" and anomaly_score >= {threshold!r}"

    def filled(self, sql: str, **values: object) -> str:
        """A statement about the run, as it is run and as it is shown."""
        n_rows = max(self.told["n_rows"] or 1, N_NORMAL)
        return sql.format(
            run=literal(self.run),
            above=self.above,
            n_rows=n_rows,
            n_normal=N_NORMAL,
            n_flagged=N_FLAGGED,
            **{"n_intervals": N_INTERVALS, **values},
        ).strip()


def histogram(db: Engine, of: Of, threshold: float | None) -> dict[str, Any] | None:
    """How the scores are spread; None where no row has one."""
    sql, rows = _bins(db, of)
    if not rows:
        return None
    edges = [rows[0][0], *(row[1] for row in rows)]
    if edges[0] == edges[-1]:
        edges = [edges[0] - 0.5, edges[0] + 0.5]
    data = {"edges": edges, "counts": [row[2] for row in rows], "threshold": _rounded(threshold), "name": "score"}
    return {"data": {**data, "recount": f"/results/{of.run}/count"}, "sql": sql}


def _bins(db: Engine, of: Of) -> tuple[str, list[tuple[float, float, int]]]:
    """The SQL of the histogram, and its bars."""
    sql = f"from score_histogram({literal(of.run)}, bins := {N_BINS})"
    select = f"select low, high, n_rows from ({sql})"
    return sql, RUNS.of(("histogram", of.run), lambda: db.execute(select).fetchall())


def least_score(db: Engine, of: Of, n_rows: int, most: float | None = None) -> float | None:
    """A score that at least so many rows reach, of those not above `most`; None where the rest has fewer."""
    n_found = 0
    for low, high, n_here in reversed(_bins(db, of)[1]):
        if most is None or high <= most:
            n_found += n_here
            if n_found >= n_rows:
                return low
    return None


def counted(db: Engine, run: str, threshold: float) -> dict[str, Any]:
    """How many rows lie above a threshold."""
    sql = f"select count(*) filter (anomaly_score > {threshold!r}), count(*) from _run_results({literal(run)})"
    n_above, n_rows = db.execute(sql).fetchall()[0]
    return {"n_above": n_above, "n_rows": n_rows, "sql": sql}


def pairs(db: Engine, of: Of, x: str, y: str) -> dict[str, Any]:
    """Two columns of the source, coloured by score."""
    shown = of.filled(_PAIRS, x=identifier(x), y=identifier(y), some=of.filled(_SOME))
    some = _some(db, of)
    sql = of.filled(_PLACED, x=identifier(x), y=identifier(y), keys=texts(some))
    rows = [(*place, *some[key], key) for key, *place in db.execute(sql).fetchall()] if some else []
    return {"data": {"points": _points(rows), "x_name": x[:60], "y_name": y[:60]}, "sql": shown}


def axes(db: Engine, of: Of) -> dict[str, Any]:
    """The principal axes of what the model saw."""
    sql = of.filled(_AXES, keys=texts(_some(db, of)), n_sampled=N_SAMPLED)
    rows = db.execute(sql).fetchall()
    shares = [f" ({100 * share:.0f} % of the spread)" for share in (rows[0][5] if rows else [])] + ["", ""]
    names = {"x_name": f"first axis{shares[0]}", "y_name": f"second axis{shares[1]}"}
    n_sampled = N_SAMPLED if of.told["n_rows"] > N_SAMPLED else 0
    return {"data": {"points": _points([row[:5] for row in rows]), **names}, "sql": sql, "n_sampled": n_sampled}


def _some(db: Engine, of: Of) -> dict[str, tuple[float | None, bool | None]]:
    """The rows that pictures show, by their key: score and flag."""

    def found() -> dict[str, tuple[float | None, bool | None]]:
        rows = db.execute(of.filled(_SOME)).fetchall()
        return {key: (score, flag) for key, score, flag in rows}

    return RUNS.of(("some", of.run), found)


def series(db: Engine, of: Of, time: str, value: str) -> dict[str, Any] | None:
    """A column over time, its flagged rows marked; None where no row has a time."""
    names = {"time": identifier(time), "value": identifier(value)}
    span = _span(db, of, time)
    if span is None:
        return None
    line = of.filled(_LINE, **names, **span, n_buckets=N_BUCKETS)
    sql = f"{line}\nunion all\n{of.filled(_MARKED, **names)}\norder by x, key nulls first"
    flags = texts(key for key, (_, flag) in _some(db, of).items() if flag)
    marked = of.filled(_MARKED_OF, **names, keys=flags)
    rows = db.execute(f"{line}\nunion all\n{marked}\norder by x, key nulls first").fetchall()
    flagged = [place for place, row in enumerate(rows) if row[2] is not None]
    x = [str(row[0]).replace(" ", "T") for row in rows]
    data = {
        "x": x,
        "y": [_rounded(row[1]) for row in rows],
        "flagged": flagged,
        "name": value[:60],
        "x_name": time[:60],
    }
    return {"data": data, "sql": sql}


def heatmap(db: Engine, of: Of, time: str, entity: str) -> dict[str, Any] | None:
    """How many rows of whom were flagged when; None where there is none."""
    span = _span(db, of, time)
    if span is None:
        return None
    names = {"time": identifier(time), "entity": identifier(entity)}
    sql = of.filled(_CELLS, **names, **span, n_entities=N_ENTITIES)
    found: dict[str, list[int]] = {}
    for name, place, n in db.execute(sql).fetchall():
        found.setdefault("none" if name is None else str(name)[:60], [0] * N_INTERVALS)[place] = n
    if not found:
        return None
    rows = sorted(found, key=lambda name: (-sum(found[name]), name))
    data = {"columns": span["starts"], "rows": rows, "values": [found[name] for name in rows], "name": "Flagged rows"}
    return {"data": data, "sql": sql}


def _span(db: Engine, of: Of, time: str) -> dict[str, Any] | None:
    """From when to when, and how many seconds that are."""
    ((low, seconds, starts),) = db.execute(of.filled(_SPAN, time=identifier(time))).fetchall()
    if low is None:
        return None
    return {"least": literal(low), "seconds": f"{float(seconds) or 1.0!r}", "starts": starts}


def _points(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [
        [_rounded(x), _rounded(y), _rounded(score), bool(flagged), str(key)[:80]] for x, y, score, flagged, key in rows
    ]


def _rounded(value: float | None) -> float | None:
    """A coordinate by the digits that a screen can show; JSON has no infinity."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None
