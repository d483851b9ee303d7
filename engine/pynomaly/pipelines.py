"""A list of steps over a relation as one SELECT, which keeps every column and adds those of the steps.

Steps that read what others give are a level of their own. The constants of fitted steps come from the relation itself,
or from another relation that has them already: the SELECT is otherwise the same.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from pynomaly.errors import BadParameter
from pynomaly.feature_macros import COLUMN, get
from pynomaly.feature_sql import Piece, piece
from pynomaly.quoting import identifier, literal
from pynomaly.source import is_number, is_text, is_time
from pynomaly.steps import Step, unknown_column

KEPT = "_pynomaly_pipeline"  # the relation of a query that has a fitted pipeline, as JSON in a column `pipeline`
PIPED = "_pynomaly_piped"  # the relation of a query that has the source's rows with the columns of a pipeline
_CHECKS: dict[str, Callable[[str], bool]] = {
    "number": is_number,
    "text": is_text,
    "time": is_time,
    "number or time": lambda type_name: is_number(type_name) or is_time(type_name),
}
_TOLD = {"number": "a number", "text": "text", "time": "a date", "number or time": "a number or a date"}


class Pipeline(msgspec.Struct, frozen=True):
    """A named version of a list of steps; what a model keeps of one also has the constants of its training."""

    name: str
    version: int
    steps: tuple[str, ...]


class Placed(NamedTuple):
    """A step as SQL, with its number among the steps and its level."""

    step: Step
    piece: Piece
    number: int
    level: int


def columns_of(placed: Iterable[Placed]) -> list[str]:
    """The columns that are features after the steps."""
    return list(dict.fromkeys(name for item in placed for name in item.piece.outputs))


def place(steps: Iterable[Step], columns: Mapping[str, str] | None) -> list[Placed]:
    """The steps by level, checked against the columns of the source with their types (None where nobody sees them).

    Raises UnknownColumn, and BadParameter for a column of the wrong type or a name that is taken.
    """
    levels: dict[str, int] = {}
    types = {name.lower(): (name, type_) for name, type_ in (columns or {}).items()}
    found: list[Placed] = []
    for number, step in enumerate(steps):
        for name in step.reads():
            if columns is not None and name.lower() not in types:
                raise unknown_column(name, [known for known, _ in types.values() if not known.startswith("_pynomaly_")])
        _check_type(step, types)
        level = max(levels.get(name.lower(), 0) for name in step.reads())
        own = types.get(step.columns[0].lower())
        made = piece(step, f"_pynomaly_s{number}", f"_pynomaly_e{number}", own[1] if own else None)
        for name in () if step.macro == COLUMN else made.outputs:
            if name.lower() in types or name.lower() in levels:
                raise BadParameter(f"`{step}` gives `{name}`, which is there already", "name it otherwise: ... as name")
            types[name.lower()] = (name, "DOUBLE")
            levels[name.lower()] = level + 1
        found.append(Placed(step, made, number, level))
    return found


def _check_type(step: Step, types: Mapping[str, tuple[str, str]]) -> None:
    takes = "any" if step.macro == COLUMN else get(step.macro).takes
    for name in step.columns if takes != "any" else ():
        _, type_name = types.get(name.lower(), (name, None))
        if type_name is not None and type_name != "BOOLEAN" and not _CHECKS[takes](type_name):
            raise BadParameter(
                f"`{step.macro}` needs {_TOLD[takes]}, and `{name}` is {type_name}",
                "name another column, or cast it in a view of the source",
            )


def select(relation: str, placed: list[Placed], kept: str | None = None) -> str:
    """The SELECT of a relation with the columns of steps; `kept` is a relation that has the fitted pipeline."""
    ctes, last = _ctes(relation, placed, kept)
    return f"with {', '.join(ctes)} select * from {last}"


def select_kept(relation: str, placed: list[Placed], pipeline: Pipeline) -> str:
    """The SELECT of a pipeline fitted to a relation, as JSON: what a model keeps."""
    told = f"'name', {literal(pipeline.name)}, 'version', {pipeline.version}, 'steps', "
    told += literal([str(item.step) for item in placed])
    fitted = [item for item in placed if item.piece.fit]
    if not fitted:
        return f"select json_object({told}) as pipeline"
    ctes, _ = _ctes(relation, placed, None)
    sources = ", ".join(dict.fromkeys(f"_pynomaly_c{item.level}" for item in fitted))
    fields = ", ".join(f"'s{item.number}': _pynomaly_s{item.number}" for item in fitted)
    return f"with {', '.join(ctes)} select json_object({told}, 'constants', {{{fields}}}) as pipeline from {sources}"


def _ctes(relation: str, placed: list[Placed], kept: str | None) -> tuple[list[str], str]:
    """The parts of the SELECT, level by level, and the name of the last."""
    ctes, last = [f"_pynomaly_r0 as (select * from {relation})"], "_pynomaly_r0"
    for level in range(max((item.level for item in placed), default=-1) + 1):
        here = [item for item in placed if item.level == level]
        rows = _with_before(last, here)
        if rows != last:
            ctes.append(f"_pynomaly_b{level} as ({rows})")
            rows = f"_pynomaly_b{level}"
        if fitted := [item for item in here if item.piece.fit]:
            found = _fitted(rows, fitted) if kept is None else _stored(kept, fitted)
            ctes.append(f"_pynomaly_c{level} as materialized ({found})")
        last = f"_pynomaly_r{level + 1}"
        ctes.append(f"{last} as ({_applied(rows, here, level)})")
    return ctes, last


def _with_before(rows: str, here: list[Placed]) -> str:
    """The rows with the columns that steps need first."""
    for depth in range(max(len(item.piece.before) for item in here)):
        added = [
            f"{expression} as {name}"
            for item in here
            for name, expression in (item.piece.before[depth] if depth < len(item.piece.before) else {}).items()
        ]
        rows = f"select *, {', '.join(added)} from {rows if depth == 0 else f'({rows})'}"
    return rows


def _fitted(rows: str, fitted: list[Placed]) -> str:
    """One row with the constants of steps, computed from the rows; all that are no maps in one pass."""
    plain = [f"{item.piece.fit} as _pynomaly_s{item.number}" for item in fitted if not _is_map(item.piece)]
    parts = [f"(select {', '.join(plain)} from {rows})"] if plain else []
    for item in fitted:
        if _is_map(item.piece):
            groups = f"select {item.piece.group} as key, {item.piece.fit} as value from {rows} group by all"
            parts.append(f"(select map(list(key), list(value)) as _pynomaly_s{item.number} from ({groups}))")
    return f"select * from {', '.join(parts)}"


def _is_map(made: Piece) -> bool:
    return made.type.startswith("map")


def _stored(kept: str, fitted: list[Placed]) -> str:
    """One row with the constants of steps, from those that are kept."""
    fields = [
        f"(pipeline->'constants'->'s{item.number}')::{item.piece.type} as _pynomaly_s{item.number}" for item in fitted
    ]
    return f"select {', '.join(fields)} from {kept}"


def _applied(rows: str, here: list[Placed], level: int) -> str:
    """The rows with the columns of one level's steps.

    Those that read earlier rows come first: a window would copy the constants, which may be long lists, to every row.
    """
    windows, others = (
        [item for item in here if _is_history(item.step)],
        [item for item in here if not _is_history(item.step)],
    )
    dropped = [name for item in here for columns in item.piece.before for name in columns]
    exclude = f" exclude ({', '.join(dropped)})" if dropped else ""
    table = f"(select {', '.join(['*', *_columns(windows)])} from {rows})" if windows else rows
    tables = [f"{table} as _pynomaly_rows"]
    for item in others:
        if item.piece.join:
            entries = f"select unnest(map_entries({item.piece.join})) as item from _pynomaly_c{level}"
            pair = f"select item.key as key_{item.number}, item.value as _pynomaly_e{item.number} from ({entries})"
            tables.append(f"left join ({pair}) on key_{item.number} = {item.piece.group}")
    if any(item.piece.fit for item in here):
        tables.append(f"cross join _pynomaly_c{level}")
    return f"select {', '.join([f'_pynomaly_rows.*{exclude}', *_columns(others)])} from {' '.join(tables)}"


def _is_history(step: Step) -> bool:
    return step.macro != COLUMN and get(step.macro).class_ == "history"


def _columns(items: list[Placed]) -> list[str]:
    """The expressions of steps, named."""
    return [
        f"({expression})::double as {identifier(name)}"
        for item in items
        for name, expression in item.piece.outputs.items()
        if expression
    ]
