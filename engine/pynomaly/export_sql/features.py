"""The features of a model's encoder as SQL: what `encoding.Encoder.transform` gives, NULL for a gap."""

from pynomaly.columns import TEXT_WIDTH
from pynomaly.export_sql.query import Query, number, text
from pynomaly.features import GAP, HOUR, LIMIT, POSITION, RARITY, WEEKDAY, Column
from pynomaly.quoting import identifier

# Types by the name that `typeof` gives: DuckDB knows it while it plans, and drops the branches of other types.
_INTEGER = "U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?"
_NUMBER = rf"{_INTEGER}|FLOAT|DOUBLE|BIGNUM|DECIMAL\(.*|BOOLEAN"
_TIME = "DATE|TIMESTAMP(_S|_MS|_NS)?"
_CLOCK = "TIME|TIME_NS|TIME WITH TIME ZONE"
_TEXT = rf"VARCHAR|UUID|JSON|ENUM\(.*|DATE|BOOLEAN|{_INTEGER}"
_EXACT = {"category", "frequency", "time"}  # kinds that know no NaN
_SECOND = 1_000_000  # microseconds
_DAY = 86_400


def features(query: Query, columns: tuple[Column, ...]) -> list[str]:
    """Add a column for each feature; return their names in the order of the matrix."""
    raw = query.step([_raw(column) for column in columns])
    expressions: list[str] = []
    for column, name in zip(columns, raw, strict=True):
        expressions += _parts(query, column, name)
    return query.step(expressions)


def _raw(column: Column) -> str:
    """A number or seconds, microseconds since 1970 for a point in time, shortened text; NULL where there is none."""
    cell = f"_pynomaly_rows.{identifier(column.name)}"
    if column.kind in ("category", "frequency"):
        return _typed(column, cell, "varchar", {_TEXT: _shortened(f"{cell}::varchar")})
    if column.kind == "time":
        point = f"try_cast({cell} as timestamp)"
        plain, zoned = f"case when isfinite({point}) then epoch_us({point}) end", f"try_cast({cell} as timestamptz)"
        return _typed(column, cell, "bigint", {_TIME: plain, "TIMESTAMP WITH TIME ZONE": f"epoch_us({zoned})"})
    if column.kind == "clock":
        return _typed(column, cell, "double", {_CLOCK: f"epoch_us(try_cast({cell} as time)) / 1e6"})
    interval, plain = f"epoch(try_cast({cell} as interval))", f"try_cast({cell} as double)"
    return _typed(column, cell, "double", {_NUMBER: plain, "INTERVAL": interval})


def _typed(column: Column, cell: str, result: str, readings: dict[str, str]) -> str:
    """The reading whose pattern is the column's type; a type without one is an error when the query runs."""
    cases = " ".join(
        f"when regexp_full_match(typeof({cell}), {text(pattern)}, 's') then {reading}"
        for pattern, reading in readings.items()
    )
    told = f"column `{column.name}` was a {column.kind} when the model was fitted and cannot be read as one: it is "
    return (
        f"case {cases} when typeof({cell}) = '\"NULL\"' then null "
        f"else error({text(told)} || typeof({cell}))::{result} end"
    )


def _shortened(value: str) -> str:
    """Text as a model holds it: the beginning and a digest of a long one."""
    digest = f"left({value}, {TEXT_WIDTH}) || md5_number_lower({value})::varchar"
    return f"case when length({value}) <= {TEXT_WIDTH} then {value} else {digest} end"


def _parts(query: Query, column: Column, raw: str) -> list[str]:
    """The expressions of a column's features."""
    own = [part for part in column.parts if part != GAP]
    if column.kind in ("category", "frequency"):
        found = _category(query, column, raw, len(own)) if own else []
    elif column.kind == "time":
        found = _time(query, column, raw, own)
    else:
        found = [_tamed(column, raw) for _ in own]
    is_gap = f"{raw} is null" if column.kind in _EXACT else f"({raw} is null or isnan({raw}))"
    return [*found, *([f"case when {is_gap} then 1e0 else 0e0 end"] if GAP in column.parts else [])]


def _tamed(column: Column, raw: str) -> str:
    """`Column.tame`; NaN becomes NULL, which DuckDB would take for larger than any number."""
    margin = max(column.high - column.low, 1.0)
    above, below = (max(min(v, LIMIT), -LIMIT) for v in (column.high + margin, column.low - margin))
    return (
        f"case when {raw} between {number(-LIMIT)} and {number(LIMIT)} then {raw} when isnan({raw}) then null "
        f"when {raw} = 'inf'::double then {number(above)} when {raw} = '-inf'::double then {number(below)} "
        f"when {raw} > 0e0 then {number(LIMIT)} when {raw} < 0e0 then {number(-LIMIT)} end"
    )


def _time(query: Query, column: Column, raw: str, parts: list[str]) -> list[str]:
    """The hour, weekday and position of microseconds since 1970, as `features.time_features` has them."""
    (micros,) = query.step([f"({raw} % {_SECOND} + {_SECOND}) % {_SECOND}"])
    (seconds,) = query.step([f"({raw} - {micros}) // {_SECOND}"])
    (in_day,) = query.step([f"({seconds} % {_DAY} + {_DAY}) % {_DAY}"])
    days = f"({seconds} - {in_day}) // {_DAY}"
    spelled = {
        HOUR: f"{in_day} / 3600e0 + {micros} / 3.6e9",
        WEEKDAY: f"((({days} + 3) % 7 + 7) % 7)::double",
        POSITION: f"({seconds} - ({column.offset})) + {micros} / 1e6",
    }
    return [spelled[part] for part in parts]


def _category(query: Query, column: Column, raw: str, n_own: int) -> list[str]:
    """The rarity of a text or its indicators, as the column's own table has them."""
    n, table = len(column.categories), column.table
    if RARITY in column.parts:
        found = query.look_up(raw, list(zip(column.categories, table[:n, 0].tolist(), strict=True)))
        return [f"case when {raw} is not null then coalesce({found}, {number(table[n, 0])}) end"]
    cases = " ".join(f"when encode({text(entry)}) then {place}" for place, entry in enumerate(column.categories))
    (place,) = query.step([f"case when {raw} is not null then case encode({raw}) {cases} else {n} end end"])
    return [_indicator(place, table[: n + 1, j].tolist()) for j in range(n_own)]


def _indicator(place: str, values: list[float]) -> str:
    """One column of a table, by its row; NULL for a gap."""
    cases = " ".join(f"when {row} then {number(value)}" for row, value in enumerate(values) if value)
    return f"case when {place} is not null then case {place} {cases} else 0e0 end end"
