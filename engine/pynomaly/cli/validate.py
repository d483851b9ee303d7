"""`pynomaly validate`: rows that break rules."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pynomaly.calls import macro_call
from pynomaly.cli import output, table
from pynomaly.cli.console import VALIDATION_FAILED, Voice, interruptible
from pynomaly.cli.output import Target
from pynomaly.cli.scoring import landed_one, read_as
from pynomaly.cli.settings import COMMON, STANDARD_INPUT, WRITTEN, Common, Written, needed, opened, resolve
from pynomaly.engine import Engine
from pynomaly.errors import UnknownSource

ALL_ROWS = 1000
Rules = Annotated[
    str | None, Parameter(help="The name of kept rules, a JSON file, or JSON; by default those kept for the source.")
]


def validate(
    source: Annotated[str, Parameter(help="A file, `-` for standard input, or with --db a table or view.")],
    /,
    *,
    rules: Rules = None,
    save: Annotated[bool, Parameter(help="Keep what was found in the database.")] = False,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Look for rows of SOURCE that break rules: `pynomaly validate payments.csv --rules rules.json`.

    A row for each broken rule: how many rows, an example, and the predicate that selects them. The exit code is 4 when
    there are findings of severity error.
    """
    settings = needed(common, "a validation") if save else resolve(common)
    target, given = output.target(written, settings, ALL_ROWS), rules_of(rules)
    with landed_one(source) as file, opened(settings, read_only=not save) as engine:
        name = file if source == STANDARD_INPUT else read_as(file, settings)
        return checked(engine, name, given if given is not None else source, save, target, common.voice)


def checked(engine: Engine, source: str, rules: str, save: bool, target: Target, voice: Voice) -> int:
    """Validate a source, tell what was found, and give the exit code."""
    found = interruptible(engine, lambda: engine.validate(source, rules, save))
    listed = [{name: getattr(finding, name) for name in finding.__struct_fields__} for finding in found.findings]
    shown = output.write(engine.sql(_LISTED, {"findings": listed}), target)
    if shown is not None and shown.rows:
        table.show_all(shown)
    voice.say(str(found), "bold")
    return 0 if found.is_valid else VALIDATION_FAILED


_LISTED = """
select unnest(
    $findings::struct(
        rule varchar, column_name varchar, severity varchar, n_failing bigint, example varchar, predicate varchar
    )[], max_depth := 2
)
"""


def rules_of(given: str | None) -> str | None:
    """The rules that a flag gives: those in a file, JSON or a name."""
    if given is None or given.lstrip()[:1] in ("[", "{"):
        return given
    if not given.endswith((".json", ".jsonl", ".ndjson")):
        return given
    if not Path(given).is_file():
        raise UnknownSource(f"file `{given}` does not exist", "check the path")
    text = Path(given).read_text(encoding="utf-8").strip()
    lines = [line for line in text.splitlines() if line.strip()]
    return (
        text if text.startswith("[") else f"[{','.join(lines)}]" if len(lines) > 1 and lines[0].endswith("}") else text
    )


def suggestion(source: str) -> str:
    """The SELECT of the rules that are proposed for a source."""
    return f"from {macro_call('suggest_rules', (), (source,), {})}"
