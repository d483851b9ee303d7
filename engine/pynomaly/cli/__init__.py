"""The command line: a thin client of the same macros, one module a group of verbs.

Data goes to standard output, everything else to standard error. What fails is one sentence with its code.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import pynomaly
from pynomaly.cli.console import failed, forgive_encoding
from pynomaly.cli.settings import STANDARD_INPUT
from pynomaly.errors import BadParameter

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

HELP = """Find anomalies in tables and files: detection is a query.

Examples: `pynomaly quickstart`, `pynomaly detect data.csv`, `pynomaly VERB --help`.
"""
EPILOGUE = """Exit codes: 0 done; 1 failed; 2 wrong usage; 3 not found; 4 not valid; 5 database locked;
10 anomalies found under --fail-on-anomalies; 130 interrupted.
"""
VERBS = (
    *("detect", "score", "compare", "estimate", "evaluate", "detector", "model", "pipeline", "run", "lineage"),
    *("catalog", "dataset", "profile", "validate", "rules"),
    *("sql", "algorithms", "serve", "config", "quickstart", "doctor"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (by default the process's own arguments) and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    forgive_encoding()
    try:
        return _run(given)
    except BrokenPipeError:
        _silence_stdout()
        return 0
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a person never sees a traceback unasked
        if "--debug" in given:
            _print_traceback(error)
        return failed(error)


def _run(given: list[str]) -> int:
    from cyclopts import CycloptsError

    tokens = [_not_an_option(word) for word in given]
    try:
        code = _app(tokens)(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise _usage_error(error, tokens) from None
    sys.stdout.flush()
    return int(code or 0)


def _not_an_option(word: str) -> str:
    """A lone dash as the path that it stands for, and SQL that begins with a comment as what is no option."""
    if word == "-":
        return STANDARD_INPUT
    return f" {word}" if word.startswith("--") and word[2:3].isspace() else word


def _app(tokens: Sequence[str]) -> "App":
    from cyclopts import App, Parameter

    app = App(
        name="pynomaly",
        help=HELP,
        help_epilogue=EPILOGUE,
        help_format="markdown",
        version=pynomaly.__version__,
        default_parameter=Parameter(negative=()),
        suppress_keyboard_interrupt=False,
    )
    for verb in VERBS:
        place = f"pynomaly.cli.{verb}"
        # a verb is imported when it is called, and all are for the list, whose lines are their docstrings' first
        is_listed = not any(word in VERBS for word in tokens)
        app.command(getattr(import_module(place), verb) if is_listed else f"{place}:{verb}", name=verb)
    return app


def _usage_error(error: "CycloptsError", tokens: list[str]) -> BadParameter:
    verb = next((word for word in tokens if word in VERBS), None)
    cause, _, meant = str(error).strip().rstrip(".").partition(". ")
    mend = f"`pynomaly {f'{verb} ' if verb else ''}--help` lists what it takes"
    if meant:
        mend = f"{meant[:1].lower()}{meant[1:]}{'' if meant.endswith('?') else ';'} {mend}"
    return BadParameter(cause[:1].lower() + cause[1:], mend)


def _print_traceback(error: BaseException) -> None:
    import traceback

    traceback.print_exception(error, file=sys.stderr)


def _silence_stdout() -> None:
    """Nobody reads standard output any more: let the flush at exit go nowhere instead of failing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
