"""The functions behind `validate`: which rules are meant, and the query that finds the rows which break them."""

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pyarrow as pa

from pynomaly import access, arrays, confinement, rules
from pynomaly.catalog import migrations
from pynomaly.errors import BadParameter, UnknownColumn, UnknownRules, ValidationFailed, did_you_mean
from pynomaly.predicates import Place, predicate, reads_again
from pynomaly.quoting import identifier, literal
from pynomaly.rules import Rule
from pynomaly.schema import MEANT_RULES, RULE_ROW, sql_type
from pynomaly.source import names

if TYPE_CHECKING:
    from pynomaly.functions import Session

EXAMPLE_WIDTH = 200  # characters
AT_ONCE = 64  # rules of one query: the memory of more grows faster than in proportion
_COLUMNS = "rule, column_name, severity, n_failing, example, predicate"
_NO_FINDING = """
select
    null::varchar as rule, null::varchar as column_name, null::varchar as severity, null::bigint as n_failing,
    null::varchar as example, null::varchar as predicate
where false
"""
_NEWEST = """
select kept.kind, kept.columns, kept.parameters::varchar, kept.severity, kept.version
from {rules} as kept
where kept.name = $name and kept.version = (select max(version) from pynomaly.rules where name = $name)
order by kept.number
"""


class Meant(msgspec.Struct, frozen=True):
    """The rules that a call means, and the name and version of the set that has them, if they are stored."""

    rules: list[Rule]
    name: str | None = None
    version: int | None = None


class ValidationFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def listed(self) -> list[tuple[Callable[..., pa.Array], str, bool]]:
        """Each function with what it returns in SQL, and whether it is volatile."""
        return [
            (self.validation, "varchar", False),
            (self.rule_rows, f"{sql_type(RULE_ROW)}[]", False),
            (self.meant_rules, sql_type(MEANT_RULES), False),
            (self.rows_of, "varchar", False),
            (self.gate, "varchar", False),
            (self.valid_source, "boolean", True),
        ]

    @access.by_user
    def validation(self, *args: pa.Array) -> pa.Array:
        """(source, rules) to the SELECT of what breaks the rules, a row a finding."""
        source, given = arrays.constants(args)
        return arrays.texts([self._select(source_name(source), self.meant(source, given).rules)] * len(args[0]))

    @access.by_user
    def rule_rows(self, *args: pa.Array) -> pa.Array:
        """(name, rules) to the rules as rows of `pynomaly.rules`; BadParameter for what cannot be kept."""
        name, given = arrays.constants(args)
        if not isinstance(name, str) or not name.strip():
            raise BadParameter(f"the name of the rules is {name!r}", "give a name, such as that of their source")
        with closing(self._session.lookup_cursor("")) as cursor:
            found = rules.parse(given, cursor)
        if not found:
            raise BadParameter("there are no rules to keep", "give one or more; suggest_rules proposes some")
        self._check_expressions(found)
        rows = [{**msgspec.structs.asdict(rule), "parameters": _json(rule.parameters)} for rule in found]
        return pa.array([rows] * len(args[0]), pa.list_(RULE_ROW))

    @access.by_user
    def meant_rules(self, *args: pa.Array) -> pa.Array:
        """(source, rules) to the rules that a validation checks, as JSON, and the set that they are from."""
        source, given = arrays.constants(args)
        found = self.meant(source, given)
        told = {"name": found.name, "version": found.version, "rules": rules.encode(found.rules)}
        return pa.array([told] * len(args[0]), MEANT_RULES)

    @access.by_user
    def rows_of(self, *args: pa.Array) -> pa.Array:
        """(source) to the SELECT that counts its rows."""
        (source,) = arrays.constants(args)
        relation = self._session.relation(source_name(source))
        return arrays.texts([f"select count(*) as n_rows from {relation}"] * len(args[0]))

    @access.by_user
    def gate(self, *args: pa.Array) -> pa.Array:
        """(source, require_valid) to a SELECT of one row, which fails where the source has to be valid and is not."""
        source, required = arrays.constants(args)
        if required is None or required is False:
            return arrays.texts(["select true as _pynomaly_valid"] * len(args[0]))
        found = self.meant(source, None if required is True else required)
        select = (
            f"select _valid_source({literal(source)}, list(rule), list(column_name), list(n_failing)) "
            "as _pynomaly_valid "
            f"from ({self._select(source_name(source), found.rules)}) where severity = 'error'"
        )
        return arrays.texts([select] * len(args[0]))

    def valid_source(self, *args: pa.Array) -> pa.Array:
        """(source, rules, columns, counts) of the errors found to TRUE where there are none; else ValidationFailed."""
        source, *found = arrays.constants(args)
        if not found[0]:
            return pa.array([True] * len(args[0]))
        told = [
            f"{rule}{f' of `{column}`' if column else ''}: {n:,} row{'' if n == 1 else 's'}"
            for rule, column, n in zip(*found, strict=True)
        ]
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        raise ValidationFailed(
            f"`{source}` has {len(told)} finding{'s' if len(told) > 1 else ''} of severity error "
            f"({', '.join(told[:3])}{more})",
            f"look at them with validate({literal(source)}), or train without require_valid",
        )

    def meant(self, source: object, given: object) -> Meant:
        """The rules that are given, or those of a stored set: the one named, or the one named like the source."""
        with closing(self._session.lookup_cursor("")) as cursor:
            if given is not None and not (isinstance(given, str) and given.lstrip()[:1] not in ("[", "{")):
                return Meant(rules.parse(given, cursor))
            return _stored(cursor, str(given) if given is not None else rules.set_name(str(source)), given is None)

    def _check_expressions(self, asked: list[Rule]) -> None:
        """Refuse what a restricted user may not have in a query, in the SQL that a rule has."""
        if access.user() is None:
            return
        written = [rule.parameters["sql"] for rule in asked if rule.kind == "predicate"]
        written += [f"null::{rule.parameters['type']}" for rule in asked if rule.kind == "type"]
        with closing(self._session.lookup_cursor("")) as cursor:
            for expression in written:
                confinement.check_expression(cursor, expression)

    def _select(self, source: str, asked: list[Rule]) -> str:
        self._session.refuse_single_use(source)
        self._check_expressions(asked)
        relation, types = self._session.resolved(source)
        if types is not None:
            _check_columns(asked, types)
        lowered = None if types is None else {name.lower(): type_ for name, type_ in types.items()}
        in_order = any(rule.kind == "monotone" and "order_by" not in rule.parameters for rule in asked)
        number = None
        if types and in_order:
            relation, number = self._session.in_order(source)
        hidden = str(self._session.workspace or "") if access.user() is not None else ""
        place = Place(relation, lowered, number, self._session.relation, hidden)
        return findings(asked, place)


def findings(asked: list[Rule], place: Place) -> str:
    """The SELECT of what breaks the rules: one read of the source for many that look at a row alone."""
    alone = [(number, rule) for number, rule in enumerate(asked) if not reads_again(rule)]
    parts = [alone[first : first + AT_ONCE] for first in range(0, len(alone), AT_ONCE)]
    parts += [[(number, rule)] for number, rule in enumerate(asked) if reads_again(rule)]
    if not parts:
        return _NO_FINDING
    found = " union all ".join(_counted(part, place) for part in parts)
    return f"select {_COLUMNS} from ({found}) where is_broken order by place"


def _counted(part: list[tuple[int, Rule]], place: Place) -> str:
    """The SELECT of rules that are checked together, each with the number of rows that break it and one of them."""
    columns, found = [], []
    for number, rule in part:
        condition = predicate(rule, place)
        columns += [f"({condition}) as _broken_{number}", f"{_shown(rule)} as _shown_{number}"]
        found.append(_finding(number, rule, place.told(condition)))
    inner = f"select {', '.join(columns)} from {place.relation} as _pynomaly_source"
    return f"select unnest([{', '.join(found)}], max_depth := 2) from ({inner})"


def _shown(rule: Rule) -> str:
    """What an example shows: the value where the rule is about one column, those of its columns, or the whole row."""
    if rule.kind == "row_count":
        return "null::integer"
    if len(rule.columns) == 1:
        return identifier(rule.columns[0])
    pairs = ", ".join(f"{identifier(name)} := {identifier(name)}" for name in rule.columns)
    return f"struct_pack({pairs})" if pairs else "_pynomaly_source"


def _finding(number: int, rule: Rule, condition: str) -> str:
    broken, n_failing = f"_broken_{number}", f"count(*) filter (where _broken_{number})"
    is_broken, example = f"{n_failing} > 0", f"min(_shown_{number}) filter (where {broken})"
    if rule.kind == "row_count":  # a source without rows may have too few
        low, high = rule.parameters.get("min", 0), rule.parameters.get("max")
        is_broken = f"count(*) < {low}" + (f" or count(*) > {high}" if high is not None else "")
        example = "count(*)"
    fields = {
        "place": str(number),
        "is_broken": is_broken,
        "rule": literal(rule.kind),
        "column_name": literal(", ".join(rule.columns)) if rule.columns else "null::varchar",
        "severity": literal(rule.severity),
        "n_failing": n_failing,
        "example": f"coalesce(left(cast({example} as varchar), {EXAMPLE_WIDTH}), 'NULL')",
        "predicate": literal(condition),
    }
    return f"struct_pack({', '.join(f'{name} := {value}' for name, value in fields.items())})"


def _stored(cursor: duckdb.DuckDBPyConnection, name: str, by_source: bool) -> Meant:
    """The newest version of a set of rules; UnknownRules where no set has the name."""
    there, kept = migrations.check_table(cursor, "rules"), access.visible("rules")
    rows = cursor.execute(_NEWEST.format(rules=kept), {"name": name}).fetchall() if there else []
    if not rows:
        known = [row[0] for row in cursor.execute(f"select distinct name from {kept}").fetchall()] if there else []
        mend = "" if by_source else did_you_mean(name, known)
        raise UnknownRules(
            f"no rules are kept for `{name}`", mend or "give `rules`, or keep some under that name with set_rules"
        )
    found = [Rule(kind, columns, msgspec.json.decode(said), severity) for kind, columns, said, severity, _ in rows]
    return Meant(found, name, rows[0][4])


def source_name(source: object) -> str:
    """The name of a source; BadParameter for what cannot be one."""
    if not isinstance(source, str) or not source:
        raise BadParameter(f"the source is {source!r}", "give the name of a table, view, frame or file")
    return source


def _check_columns(asked: list[Rule], types: dict[str, str]) -> None:
    known = {name.lower() for name in types}
    for rule in asked:
        order, by = rule.parameters.get("order_by"), names(rule.parameters.get("by"), "by")
        for name in (*rule.columns, *([order] if order else []), *by):
            if name.lower() not in known:
                raise UnknownColumn(f"column `{name}` not found", did_you_mean(name, types))


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()
