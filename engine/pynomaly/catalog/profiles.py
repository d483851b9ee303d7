"""The functions behind `profile` and `suggest_rules`: queries written for the columns of a source."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from pynomaly import access, arrays
from pynomaly.catalog.validations import source_name
from pynomaly.predicates import Place, predicate
from pynomaly.quoting import identifier, literal
from pynomaly.rules import Rule
from pynomaly.source import is_number

if TYPE_CHECKING:
    from pynomaly.functions import Session

N_TOP = 5
N_BINS = 10
AT_ONCE = 32  # columns of one query: planning takes longer than in proportion
VALUE_WIDTH = 200  # characters of a value that is shown
_GRID = f"[{', '.join(f'{place / 100:g}' for place in range(101))}]"  # the approximate percentiles that are taken
_TIME = re.compile(r"(DATE|TIMESTAMP(_S|_MS|_NS| WITH TIME ZONE)?)$")
_IDENTIFIES = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|VARCHAR|UUID)$")
_COUNTS = "map(utinyint, ubigint)"
PATTERNS = {
    "uuid": "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "email": "[^@\\s]+@[^@\\s]+\\.[^@\\s]+",
    "url": "https?://\\S+",
    "ip_address": "\\d{1,3}(\\.\\d{1,3}){3}",
    "code": "[A-Z0-9_-]+",
}

TEXT_TYPES = ("BIGINT", "DOUBLE", "DATE", "TIMESTAMP")  # what texts may be, the narrowest first
N_FEW = 20  # values that are a set
_NOTHING_EXACT = """
select
    null::varchar as column_name, null::bigint as n_different, null::varchar[] as few_values, null::varchar as pattern,
    null::varchar as fits_type, null::interval as least_step, null::interval as most_step, null::interval as age,
    null::boolean as has_order
where false
"""


class Column(NamedTuple):
    """A column to profile: its place, its name and type as texts, and how SQL names it."""

    place: int
    name: str
    type: str

    @property
    def sql(self) -> str:
        """The column in a query of the source."""
        return identifier(self.name)

    @property
    def is_number(self) -> bool:
        """Whether its values have a mean; truths do, as 0 and 1."""
        return is_number(self.type) or self.type == "BOOLEAN"

    @property
    def is_time(self) -> bool:
        """Whether its values are points in time."""
        return _TIME.match(self.type) is not None


class ProfileFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def listed(self) -> list[tuple[Callable[..., pa.Array], str, bool]]:
        """Each function with what it returns in SQL, and whether it is volatile."""
        return [(self.profile, "varchar", False), (self.exact, "varchar", False)]

    @access.by_user
    def profile(self, *args: pa.Array) -> pa.Array:
        """(source) to a SELECT of what is to be known of its columns, a row each."""
        name = source_name(arrays.constants(args)[0])
        self._session.refuse_single_use(name)
        relation, types = self._session.resolved(name)
        if types is None:
            return arrays.texts([_unseen(relation)] * len(args[0]))
        columns = [Column(place, column, type_) for place, (column, type_) in enumerate(types.items())]
        return arrays.texts([_few_at_once(columns, lambda group: _seen(relation, group))] * len(args[0]))

    @access.by_user
    def exact(self, *args: pa.Array) -> pa.Array:
        """(source) to a SELECT of what a rule needs and a profile only estimates, a row a column."""
        name = source_name(arrays.constants(args)[0])
        relation, types = self._session.resolved(name)
        if not types:
            return arrays.texts([_NOTHING_EXACT] * len(args[0]))
        columns = [Column(place, column, type_) for place, (column, type_) in enumerate(types.items())]
        has_order = self._session.in_order(name)[1] is not None
        return arrays.texts([_few_at_once(columns, lambda group: _exact(relation, group, has_order))] * len(args[0]))


def _few_at_once(columns: list[Column], select: Callable[[list[Column]], str]) -> str:
    """The rows of a query for each few columns."""
    groups = [columns[first : first + AT_ONCE] for first in range(0, len(columns), AT_ONCE)]
    return f"from ({' union all '.join(f'({select(group)})' for group in groups)})"


def _seen(relation: str, columns: list[Column]) -> str:
    """Two reads of the source: what the columns are like, and then how often the values occur that this found."""
    measured = ", ".join(f"{_measured(column.sql, column)} as c{column.place}" for column in columns)
    counted = ", ".join(f"{_counted(column)} as n{column.place}" for column in columns)
    # What every row of the source is joined to should be small.
    bounds = ", ".join(
        f"c{c.place}.{name} as {name}{c.place}"
        for c in columns
        for name in (("top", "low", "high") if c.is_number else ("top",))
    )
    times = [column for column in columns if column.is_time]
    rows = ", ".join(_row(column) for column in columns)
    return (
        f"with _pynomaly_measured as materialized (select {measured} from {relation}), "
        f"_pynomaly_bounds as materialized (select {bounds} from _pynomaly_measured), "
        f"_pynomaly_counted as materialized ("
        f"select {counted} from {relation} as _pynomaly_source, _pynomaly_bounds), "
        f"_pynomaly_ordered as materialized ({_ordered(relation, times)}) "
        f"select unnest([{rows}], max_depth := 2) from _pynomaly_measured, _pynomaly_counted, _pynomaly_ordered"
    )


def _measured(sql: str, column: Column) -> str:
    """One read of a column: a struct with fields of its own type."""
    fields = {
        "n_rows": "count(*)",
        "n_known": f"count({sql})",
        "n_distinct": f"approx_count_distinct({sql})",
        "lowest": f"min({sql})",
        "highest": f"max({sql})",
        "top": f"approx_top_k({sql}, {N_TOP})",
        **(_numbers(sql, column.type) if column.is_number else {}),
    }
    return f"struct_pack({', '.join(f'{name} := {value}' for name, value in fields.items())})"


def _numbers(sql: str, type_: str) -> dict[str, str]:
    """What is to be known of finite numbers; the skew of huge ones would overflow."""
    number = f"{sql}::double"
    finite = f" filter (where isfinite({sql}))" if type_ in ("DOUBLE", "FLOAT") else ""
    return {
        "mean": f"avg({number}){finite}",
        "grid": f"approx_quantile({number}, {_GRID}){finite}",
        "skew": f"skewness({number}) filter (where abs({number}) <= 1e100)" if finite else f"skewness({number})",
        "low": f"min({number}){finite}",
        "high": f"max({number}){finite}",
    }


def _counted(column: Column) -> str:
    """How often the top values occur, and the numbers in each tenth of their range; halves do not overflow."""
    place, sql = column.place, f"_pynomaly_source.{column.sql}"
    top = f"histogram(list_position(_pynomaly_bounds.top{place}, {sql})::utinyint)"
    bins = f"null::{_COUNTS}"
    if column.is_number:
        low, high = (f"_pynomaly_bounds.{name}{place} / 2" for name in ("low", "high"))
        half = f"({sql}::double / 2 - {low})"
        tenth = f"{half} / nullif({high} - {low}, 0) * {N_BINS}"
        known = f"isfinite({sql})" if column.type in ("DOUBLE", "FLOAT") else f"{sql} is not null"
        bins = f"histogram(case when {known} then least(floor(coalesce({tenth}, 0)), {N_BINS - 1})::utinyint end)"
    return f"struct_pack(top := {top}, bins := {bins})"


def _ordered(relation: str, times: list[Column]) -> str:
    """Whether each point in time is at or after the one in the row before."""
    if not times:
        return "select true"
    pairs = ", ".join(f"{c.sql} as v{c.place}, lag({c.sql} ignore nulls) over () as before{c.place}" for c in times)
    grows = ", ".join(
        f"coalesce(bool_and(v{c.place} >= before{c.place}), count(v{c.place}) = 1) as m{c.place}" for c in times
    )
    return f"select {grows} from (select {pairs} from {relation})"


def _row(column: Column) -> str:
    """The struct of a column, with the same types for all."""
    found, counts = f"c{column.place}", f"n{column.place}"
    numbers = {
        name: f"{found}.{name}" if column.is_number else f"null::{type_}"
        for name, type_ in (
            ("mean", "double"),
            ("grid", "double[]"),
            ("skew", "double"),
            ("low", "double"),
            ("high", "double"),
        )
    }
    fields = {
        "column_name": literal(column.name),
        "type": literal(column.type),
        "is_number": "true" if column.is_number else "false",
        "may_identify": "true" if _IDENTIFIES.match(column.type) else "false",
        **_texts(found),
        **numbers,
        "top_counts": f"{counts}.top",
        "bins": f"{counts}.bins",
        "is_monotone": f"m{column.place}" if column.is_time else "null::boolean",
    }
    return f"struct_pack({', '.join(f'{name} := {value}' for name, value in fields.items())})"


def _texts(found: str) -> dict[str, str]:
    """The fields of what was measured, with values as texts."""
    return {
        "n_rows": f"{found}.n_rows",
        "n_known": f"{found}.n_known",
        "n_distinct": f"{found}.n_distinct",
        "is_flat": f"{found}.lowest is not distinct from {found}.highest",
        "minimum": f"left({found}.lowest::varchar, {VALUE_WIDTH})",
        "maximum": f"left({found}.highest::varchar, {VALUE_WIDTH})",
        "top": f"list_transform({found}.top::varchar[], lambda value: left(value, {VALUE_WIDTH}))",
    }


def _unseen(relation: str) -> str:
    """The SELECT of a source whose columns the lookup cannot see: one expression for whatever they are.

    What has to be counted after a first read is NULL.
    """
    sql = "columns(*)"
    number = f"case when typeof({sql}) not in ('VARCHAR', 'JSON') then try_cast({sql}::varchar as double) end"
    finite = f"case when abs({number}) < 'infinity' then {number} end"
    fields = {
        "type": f"coalesce(any_value(typeof({sql})), '')",
        "is_number": f"count({number}) > 0",
        "may_identify": f"coalesce(bool_or(typeof({sql}) in ('INTEGER', 'BIGINT', 'VARCHAR', 'UUID')), false)",
        "n_rows": "count(*)",
        "n_known": f"count({sql})",
        "n_distinct": f"approx_count_distinct({sql})",
        "is_flat": f"min({sql}) is not distinct from max({sql})",
        "minimum": f"left(min({sql})::varchar, {VALUE_WIDTH})",
        "maximum": f"left(max({sql})::varchar, {VALUE_WIDTH})",
        "top": f"approx_top_k(left({sql}::varchar, {VALUE_WIDTH}), {N_TOP})",
        "mean": f"avg({finite})",
        "grid": f"approx_quantile({finite}, {_GRID})",
        "skew": f"skewness(case when abs({number}) <= 1e100 then {number} end)",
        "low": f"min({finite})",
        "high": f"max({finite})",
        "top_counts": f"null::{_COUNTS}",
        "bins": f"null::{_COUNTS}",
        "is_monotone": "null::boolean",
    }
    packed = f"struct_pack({', '.join(f'{name} := {value}' for name, value in fields.items())})"
    return (
        f"select column_name, unnest(found) from (unpivot (select {packed} from {relation}) on * "
        "into name column_name value found)"
    )


def _exact(relation: str, columns: list[Column], has_order: bool) -> str:
    """Three reads: what the columns hold, the steps between points in time, and the time of the database."""
    texts = [column for column in columns if column.type == "VARCHAR"]
    times = [column for column in columns if column.is_time]
    held = ", ".join(_held(column, column in texts) for column in columns)
    steps = ", ".join(
        f"min({step}) filter (where {step} > interval '0 day') as least{c.place}, max({step}) as most{c.place}"
        for c in times
        for step in (f"(v{c.place} - before{c.place})",)
    )
    pairs = ", ".join(
        f"{finite} as v{c.place}, lag({finite}) over (order by {finite}) as before{c.place}"
        for c in times
        for finite in (f"case when isfinite({c.sql}) then {c.sql}::timestamp end",)
    )
    stepped = f"select {steps} from (select {pairs} from {relation})" if times else "select true"
    rows = ", ".join(_exact_row(column, column in texts, has_order) for column in columns)
    return (
        f"with _pynomaly_held as materialized (select {held} from {relation}), "
        f"_pynomaly_stepped as materialized ({stepped}) "
        f"select unnest([{rows}], max_depth := 2) from _pynomaly_held, _pynomaly_stepped"
    )


def _held(column: Column, is_text: bool) -> str:
    """How many different values a column holds, all of them where they are few, and which patterns and types fit."""
    sql = column.sql
    fields = {"n": f"count(distinct {sql})", "few": f"approx_top_k({sql}, {N_FEW})"}
    if column.is_time:
        fields["newest"] = f"max(try_cast({sql} as timestamptz)) filter (where isfinite({sql}))"
    if is_text:
        fields |= {name: f"bool_and(regexp_full_match({sql}, {literal(shape)}))" for name, shape in PATTERNS.items()}
        may_be = f"regexp_full_match({sql}, '[-+.:0-9TZeE ]*')"  # a cast that fails takes ten times as long
        fields |= {
            type_: f"bool_and(case when not {may_be} then false else not ({_breaks_type(column.name, type_)}) end)"
            for type_ in TEXT_TYPES
        }
    return f"struct_pack({', '.join(f'{name} := {value}' for name, value in fields.items())}) as e{column.place}"


def _breaks_type(column: str, type_: str) -> str:
    """The predicate of a rule that a text is of a type."""
    return predicate(Rule("type", [column], {"type": type_}), Place("", {column.lower(): "VARCHAR"}, None, identifier))


def _exact_row(column: Column, is_text: bool, has_order: bool) -> str:
    held, place = f"e{column.place}", column.place
    shapes = " ".join(f"when {held}.{name} then {literal(shape)}" for name, shape in PATTERNS.items())
    types = " ".join(f"when {held}.{type_} then {literal(type_)}" for type_ in TEXT_TYPES)
    is_scalar = column.is_number or column.is_time
    fields = {
        "column_name": literal(column.name),
        "n_different": f"{held}.n",
        "few_values": f"case when {held}.n <= {N_FEW} then list_sort({held}.few::varchar[]) end",
        "pattern": f"case {shapes} end" if is_text else "null::varchar",
        "fits_type": f"case {types} end" if is_text else literal(column.type) if is_scalar else "null::varchar",
        "least_step": f"least{place}" if column.is_time else "null::interval",
        "most_step": f"most{place}" if column.is_time else "null::interval",
        "age": f"now() - {held}.newest" if column.is_time else "null::interval",
        "has_order": "true" if has_order else "false",
    }
    return f"struct_pack({', '.join(f'{name} := {value}' for name, value in fields.items())})"
