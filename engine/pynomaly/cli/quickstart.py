"""`pynomaly quickstart`: a real labelled data set through the main job, for a first look."""

import sys
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from pynomaly.calls import call
from pynomaly.cli import table
from pynomaly.cli.console import interruptible, progress
from pynomaly.cli.settings import COMMON, Common, opened, resolve
from pynomaly.engine import Engine
from pynomaly.paths import sql_folder
from pynomaly.result import Verdict
from pynomaly.samples import LABEL, SAMPLE, measurements

N_SHOWN = 10
WIDTH = 100
NEW_LINE = "\n"


class Agreement(msgspec.Struct, frozen=True):
    """How well the scores match the labels; the columns of the agreement query."""

    n_malignant: int
    n_benign: int
    auroc: float
    n_flagged: int
    n_flagged_malignant: int
    n_malignant_in_top_20: int


class Look(msgspec.Struct, frozen=True):
    """All that the first look tells; `rows` are the most anomalous ones: score, flag, label and reasons."""

    verdict: Verdict
    agreement: Agreement
    rows: list[tuple[float, bool, str, list[dict[str, Any]]]]


def quickstart(
    *,
    json: Annotated[bool, Parameter(help="Write what was found as JSON.")] = False,
    common: Common = COMMON,
) -> int:
    """Find the malignant rows among benign breast-cancer measurements, for a first look: `pynomaly quickstart`.

    The measurements come with scikit-learn. Nothing is written.
    """
    settings = resolve(common)
    with opened(settings, read_only=True) as engine, progress(common.voice, "detecting", 0, 1, free=True):
        engine.register(SAMPLE, measurements())
        look = interruptible(engine, lambda: _look(engine))
    if json:
        print(msgspec.json.format(msgspec.json.encode(look)).decode())  # noqa: T201 - the data
    else:
        _tell(look)
    return 0


def _look(engine: Engine) -> Look:
    options = {"label": LABEL, "explain": 3}
    with engine.recorded() as run:
        run.asked, run.sql = options, f"select * from {call(SAMPLE, **options)}"
        engine.execute(f"create temp table quickstart_scored as {run.sql}").fetchall()
    query = (sql_folder() / "queries" / "quickstart_agreement.sql").read_text(encoding="utf-8")
    agreement = Agreement(*engine.execute(query).fetchall()[0])
    most = f"select anomaly_score, is_anomaly, {LABEL}, reasons from quickstart_scored order by 1 desc limit {N_SHOWN}"
    return Look(run.verdict, agreement, engine.execute(most).fetchall())


def _tell(look: Look) -> None:
    from rich.console import Console
    from rich.padding import Padding

    console = Console(file=sys.stdout, highlight=False)
    console.width = min(console.width, WIDTH)
    for title, parts in _sections(look):
        console.print(f"\n[bold cyan]{title}[/]")
        for part in parts:
            console.print(Padding(part, (0, 0, 0, 2), expand=False))
    console.print()


def _sections(look: Look) -> list[tuple[str, list[Any]]]:
    from rich.text import Text

    found, agreement = look.verdict, look.agreement
    return [
        ("The data", [_data(agreement, found)]),
        ("The verdict", [Text(str(found), "bold"), *(Text(f"note: {note}") for note in found.notes)]),
        (f"The {N_SHOWN} most anomalous rows, and why", [_rows(look)]),
        (f"How well that matches the {agreement.n_malignant} diagnoses it did not see", [_match(agreement)]),
        ("The SQL that was run", [Text(f"{found.sql.replace(' from ', NEW_LINE + 'from ', 1)};")]),
        ("Next, with a file of your own", [Text("pynomaly detect your_file.csv")]),
    ]


def _data(agreement: Agreement, found: Verdict) -> Any:
    from rich.text import Text

    return Text(
        f"Breast-cancer measurements from scikit-learn: {agreement.n_benign} benign tumours and, hidden among them, "
        f"{agreement.n_malignant} malignant ones; {len(found.columns)} measurements of each."
    )


def _rows(look: Look) -> Any:
    from rich.text import Text

    drawn = table.plain_table("score", "it is", "measurement", "value", "expected")
    for score, _, label, reasons in look.rows:
        columns = ([reason["feature"] for reason in reasons], [table.short(reason["value"]) for reason in reasons])
        expected = NEW_LINE.join(reason["expected"] for reason in reasons)
        style = "bold" if label == "malignant" else ""
        drawn.add_row(Text(f"{score:.2f}"), Text(label, style), *map(NEW_LINE.join, columns), expected)
    return drawn


def _match(agreement: Agreement) -> Any:
    drawn = table.plain_table("", "", show_header=False)
    drawn.add_row(f"{agreement.auroc:.3f}", "AUROC: how often a malignant row scores above a benign one")
    drawn.add_row(f"{agreement.n_flagged_malignant} of {agreement.n_flagged}", "flagged rows are malignant")
    drawn.add_row(
        f"{agreement.n_malignant_in_top_20} of {agreement.n_malignant}",
        "malignant rows are among the 20 highest scores",
    )
    return drawn
