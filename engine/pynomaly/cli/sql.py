"""`pynomaly sql`: any statement, with the macros of Pynomaly."""

import sys
from pathlib import Path
from typing import Annotated

import duckdb
from cyclopts import Parameter
from duckdb import token_type

from pynomaly.cli import output, table
from pynomaly.cli.console import Voice, interruptible
from pynomaly.cli.output import Shown, Target
from pynomaly.cli.settings import COMMON, STANDARD_INPUT, WRITTEN, Common, Written, opened, resolve
from pynomaly.engine import Engine
from pynomaly.errors import BadParameter
from pynomaly.translate import translate

TABLE_ROWS = 100
NO_ROWS = (["Count"], ["Success"])  # what a statement answers that changes something and returns nothing


def sql(
    statement: Annotated[
        str | None, Parameter(help="One or more statements; by default, or with `-`, those on standard input.")
    ] = None,
    /,
    *,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Run SQL and write the rows of the last statement: `pynomaly sql "from algorithms()"`.

    A table shows the first 100 rows; every other format writes all. A database that does not exist is created.
    """
    settings = resolve(common)
    target = output.target(written, settings, TABLE_ROWS)
    statements = _statements(_text(statement))
    is_new = settings.database is not None and not Path(settings.database).exists()
    with opened(settings) as engine:
        if is_new:
            common.voice.say(f"created the database {settings.database}")
        shown = interruptible(engine, lambda: _run(engine, statements, target, common.voice))
    if shown is not None:
        _show(shown, common.voice)
    return 0


def _text(statement: str | None) -> str:
    if statement not in (None, STANDARD_INPUT):
        return str(statement)
    if statement is None and sys.stdin.isatty():
        raise BadParameter("there is no statement", 'give one, as in `pynomaly sql "from algorithms()"`')
    return sys.stdin.read()


def _statements(text: str) -> list[str]:
    try:
        found = [_bare(statement.query) for statement in duckdb.extract_statements(text)]
    except duckdb.Error as error:
        raise translate(error) from error
    if not found:
        raise BadParameter("there is no statement", 'give one, as in `pynomaly sql "from algorithms()"`')
    return found


def _bare(statement: str) -> str:
    """A statement without the semicolon and the comments after it, so that it can stand inside another."""
    encoded = statement.encode()
    end = len(encoded)
    for offset, kind in reversed(duckdb.tokenize(statement)):
        if kind != token_type.comment and encoded[offset : offset + 1] != b";":
            break
        end = offset
    return encoded[:end].decode()


def _run(engine: Engine, statements: list[str], target: Target, voice: Voice) -> Shown | None:
    for statement in statements[:-1]:
        engine.execute(statement).fetchall()
    query = engine.sql(statements[-1])
    if query.columns in NO_ROWS and not _is_select(statements[-1]):
        rows = query.fetchall()
        voice.say(f"done: {rows[0][0]:,} rows" if rows and query.columns == ["Count"] else "done")
        return None
    return output.write(query, target)


def _is_select(statement: str) -> bool:
    return duckdb.extract_statements(statement)[0].type == duckdb.StatementType.SELECT


def _show(shown: Shown, voice: Voice) -> None:
    n_hidden = table.show(shown)
    if shown.more:
        voice.say(f"the first {len(shown.rows):,} rows are shown; --rows shows more, --format csv all", "dim")
    if n_hidden:
        voice.say(f"{n_hidden} columns are left out for which there is no room; other formats have all", "dim")
