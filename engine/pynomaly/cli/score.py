"""`pynomaly score`: files, tables or standard input scored by a model that was trained before."""

from typing import Annotated

from cyclopts import Parameter

from pynomaly.cli.scoring import OUTCOME, Call, Outcome, Sources, n_reasons, scored
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Format, Settings, Written, split
from pynomaly.errors import UnknownModel


def score(
    files: Sources,
    /,
    *,
    model: Annotated[str, Parameter(alias="-m", help="The name of the model; `pynomaly model ls` lists them.")],
    version: Annotated[int | None, Parameter(help="Its version; by default the champion, or the newest.")] = None,
    explain: Annotated[
        int | None, Parameter(help="How many reasons a row gets; by default 3 in a table and 0 in other formats.")
    ] = None,
    key: Annotated[list[str] | None, Parameter(help="Columns that identify a row, for --save.")] = None,
    written: Written = WRITTEN,
    outcome: Outcome = OUTCOME,
    common: Common = COMMON,
) -> int:
    """Score FILE by a trained model: `pynomaly score data.csv --model fraud --db team.duckdb`.

    Rows go where those of `pynomaly detect` go. The threshold is the model's; columns are found by name.
    """

    def called(source: str, format_: Format, settings: Settings) -> Call:
        if settings.database is None:
            raise UnknownModel(
                f"there is no model `{model}` without a database", "name the one that holds it with --db"
            )
        given = {"version": version, "explain": n_reasons(explain, format_)}
        options = {name: value for name, value in given.items() if value is not None}
        return Call(source, options, model, split(key))

    return scored(files, called, written, outcome, common)
