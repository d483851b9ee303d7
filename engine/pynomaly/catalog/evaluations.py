"""The functions behind `evaluate`: which rows are judged, and which label stands for an anomaly."""

from typing import TYPE_CHECKING

import pyarrow as pa

from pynomaly import access, arrays, source
from pynomaly.catalog.runs import RunFunctions
from pynomaly.errors import BadParameter, NotLabelled, UnknownColumn, did_you_mean
from pynomaly.metrics import ANOMALY_LABEL, anomaly_label
from pynomaly.quoting import identifier, literal

if TYPE_CHECKING:
    from pynomaly.functions import Session

FLAGGED = "name a column that is true for a flagged row"
SCORE, FLAG = "anomaly_score", "is_anomaly"
_SAID = {SCORE: "DOUBLE", FLAG: "BOOLEAN", "label": "BOOLEAN"}  # the columns of `_said_results`

Columns = dict[str, str] | None  # names with their types; None where they cannot be seen


class EvaluationFunctions:
    """The functions of one database instance; each takes and returns columns of a chunk."""

    def __init__(self, session: "Session", runs: RunFunctions) -> None:
        self._session = session
        self._runs = runs

    @access.by_user
    def judged_rows(self, *args: pa.Array) -> pa.Array:
        """(source, label, score, flag, k) to the SELECT of each row's label, type of label, score and flag."""
        name, label, score, flag, k = arrays.constants(args)
        if not isinstance(name, str) or not name:
            raise BadParameter(f"the source is {name!r}", "give scored rows by name, or the id of a saved run")
        if k is not None and (type(k) is not int or k < 1):
            raise BadParameter(f"`k` is {k}", "give a whole number from 1")
        column = _one("label", label) if label is not None else None
        self._session.refuse_single_use(name)
        relation, columns = self._relation(name, column)
        flag = _one("flag", flag) if flag is not None else None
        return arrays.texts([_select(relation, columns, column or "label", _one("score", score), flag)] * len(args[0]))

    def _relation(self, name: str, label: str | None) -> tuple[str, Columns]:
        """The scored rows as they stand in FROM, and their columns."""
        relation, columns = self._session.resolved(name)
        if columns is None and self._runs.is_meant(name):
            return _saved_run(self._runs.saved(name).id, label)
        if label is None:
            raise BadParameter("no label is named", "name the column that says what is true with `label`")
        return relation, columns

    @access.by_user
    def anomaly_label(self, *args: pa.Array) -> pa.Array:
        """(source, n_rows, type, n_different, smallest, largest, n_strange_flags) to the label of an anomaly."""
        name, n_rows, type_, n_different, smallest, largest, n_strange_flags = arrays.constants(args)
        if n_rows and not (type_ == "BOOLEAN" or type_ == '"NULL"' or source.is_number(type_)):
            raise BadParameter(f"the label has values of type {type_}", ANOMALY_LABEL)
        if not n_rows:
            raise NotLabelled("the source has no rows", "give scored rows with a label")
        if not n_different:
            said = "say what some are with label_row, or " if self._runs.is_meant(name) else ""
            mend = f"{said}name another column with `label`"
            raise NotLabelled(f"none of the {n_rows:,} rows has a label", mend)
        if n_strange_flags:
            raise BadParameter("the flag has values other than 0 and 1", FLAGGED)
        return pa.array([anomaly_label(n_different, smallest, largest)] * len(args[0]), pa.float64())


def _one(parameter: str, value: object) -> str:
    """The one column that a parameter names."""
    given = source.names(value, parameter)
    if len(given) != 1:
        what = "names several columns" if given else f"is {value!r}"
        raise BadParameter(f"`{parameter}` {what}", "name one column")
    return given[0]


def _saved_run(run: str, label: str | None) -> tuple[str, Columns]:
    """The results of a run, labelled by what was said of them or by a column of the run's source."""
    if label is None:
        return f"_said_results({literal(run)})", _SAID
    results, rows = (f"{macro}({literal(run)})" for macro in ("_run_results", "_run_rows"))
    joined = f"{results} as said left join {rows} as kept on kept._pynomaly_key = said.key"
    return f"(select kept.*, said.{SCORE}, said.{FLAG} from {joined})", None


def _select(relation: str, columns: Columns, label: str, score: str, flag: str | None) -> str:
    """The SELECT of what `evaluate` needs of a relation."""
    if columns is not None:
        flag = flag if flag is None or flag.lower() != FLAG or FLAG in map(str.lower, columns) else None
        _check(columns, label, score, flag)
    elif flag == FLAG:  # which need not be there; a union by name gives it where it is not
        relation = f"(from {relation} union all by name (select null::boolean as {identifier(flag)} limit 0))"
    truth, flagged = identifier(label), _number(flag) if flag is not None else "null::double"
    return (
        f"select nullif({_number(label, 'try_cast')}, 'nan') as _pynomaly_label, "
        f"typeof({truth}) as _pynomaly_label_type, {_number(score)} as _pynomaly_score, {flagged} as _pynomaly_flag "
        f"from {relation}"
    )


def _number(column: str, cast: str = "cast") -> str:
    """A column as a number; the case keeps the cast out of a CSV reader, which would parse no boolean as one."""
    return f"case when {identifier(column)} is not null then {cast}({identifier(column)} as double) end"


def _check(columns: dict[str, str], label: str, score: str, flag: str | None) -> None:
    """Refuse a column that is not there or cannot play its part."""
    types = {name.lower(): type_ for name, type_ in columns.items()}
    if score == SCORE and SCORE not in types:
        mend = "give what detect_anomalies returned, or name the column of scores with `score`"
        raise UnknownColumn(f"column `{SCORE}` not found", mend)
    for name in (label, score, *([flag] if flag else [])):
        if name.lower() not in types:
            raise UnknownColumn(f"column `{name}` not found", did_you_mean(name, columns))
    if not source.is_number(types[score.lower()]):
        raise BadParameter(f"the score `{score}` is of type {types[score.lower()]}", "name a column of numbers")
    if flag and not (types[flag.lower()] == "BOOLEAN" or source.is_number(types[flag.lower()])):
        raise BadParameter(f"the flag `{flag}` is of type {types[flag.lower()]}", FLAGGED)
