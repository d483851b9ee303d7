"""What an engine does with rules: profile a source, validate it, propose rules and keep them."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from pynomaly import frames
from pynomaly.calls import macro_call
from pynomaly.catalog.migrations import migrate
from pynomaly.errors import BadParameter
from pynomaly.quoting import identifier, literal
from pynomaly.result import Computed, Finding, Query, Rows, Validation
from pynomaly.rules import encode_given, set_name

_FIELDS = "source, n_rows, findings, id::varchar as id"


class Validating:
    """The methods of the engine about rules."""

    _con: duckdb.DuckDBPyConnection
    execute: Callable[..., Rows]
    sql: Callable[..., Query]
    _guard: Callable[..., Any]
    _relate: Callable[[pa.Table], duckdb.DuckDBPyRelation]
    _as_name: Callable[[object], AbstractContextManager[str]]
    check_owned: Callable[[str, object], None]

    def profile(self, source: object) -> Computed:
        """What the columns of a source are like, a row each; `source` is as in `detect`."""
        with self._as_name(source) as name:
            return Computed(self.sql(f"from {macro_call('profile', (), (name,), {})}").arrow(), self._relate)

    def suggest_rules(self, source: object) -> list[dict[str, Any]]:
        """Rules that the rows of a clean source keep, as `validate` and `set_rules` take them."""
        with self._as_name(source) as name:
            rows = self.execute(f"from {macro_call('suggest_rules', (), (name,), {})}").fetchall()
        return [
            {"kind": kind, "columns": columns, **json.loads(parameters), "severity": severity}
            for kind, columns, parameters, severity in rows
        ]

    def validate(self, source: object, rules: object = None, save: bool = False) -> Validation:
        """Look for rows that break rules.

        `rules` are dictionaries, their JSON or the name of a kept set; without them those kept under the name of the
        source count. `save` keeps the validation in the catalogue. Raises a PynomalyError.
        """
        if save:
            self._guard(lambda: migrate(self._con))
        asked = named_rules(source, rules)
        with self._as_name(source) as name:
            given = {"rules": asked if rules is not None or name != source else None}
            call = macro_call("record_validation", ("rules",), (name,), given)
            called = "source" if name == source else literal(frames.called(source))  # of a dataset, its version
            row = f"from (select * replace ({called} as source) from {call})"
            if save:
                row = f"insert into pynomaly.validations by name {row} returning"
            fetched = self.execute(f"{row} {_FIELDS}" if save else f"select {_FIELDS} {row}").fetchall()[0]
        found = msgspec.convert(fetched[2], list[Finding])
        if isinstance(source, str) and name != source:  # a variable, which is registered under a name of its own
            found = [_about(finding, identifier(name), identifier(source)) for finding in found]
        return Validation(fetched[0], fetched[1], found, fetched[3] if save else None)

    def set_rules(self, name: str, rules: object) -> int:
        """Keep rules as the next version of the set under a name; return its number."""
        self._guard(lambda: migrate(self._con))
        self.check_owned("dataset", name)  # whose rules have its name
        self.check_owned("rules", name)
        call = macro_call("set_rules", (), (name, encode_given(rules)), {})
        rows = self.execute(f"insert into pynomaly.rules by name from {call} returning version").fetchall()
        return int(rows[0][0])


def named_rules(source: object, rules: object) -> str | None:
    """The rules that are given as text, or the name of the set that a source has where its name is about to change."""
    if rules is not None:
        return encode_given(rules)
    if not isinstance(source, str):
        raise BadParameter("data given by value has no rules of its own", "give rules, or the name of a set")
    return set_name(source)


def _about(finding: Finding, before: str, after: str) -> Finding:
    return msgspec.structs.replace(finding, predicate=finding.predicate.replace(before, after))
