"""`pynomaly evaluate`: how well scored rows agree with a label."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from pynomaly.calls import curves_call, evaluate_call
from pynomaly.cli import output, standard_input, table
from pynomaly.cli.console import Voice, interruptible
from pynomaly.cli.output import Target
from pynomaly.cli.scoring import read_as
from pynomaly.cli.settings import COMMON, STANDARD_INPUT, WRITTEN, Common, Written, opened, resolve
from pynomaly.engine import Engine
from pynomaly.errors import BadParameter

CURVE_ROWS = 20


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Asked:
    """The parameters of `evaluate` and of `evaluation_curves`."""

    label: Annotated[
        str | None,
        Parameter(help="The column that is true, or 1, for an anomaly; by default what people said of a run."),
    ] = None
    score: Annotated[str | None, Parameter(help="The column of scores (anomaly_score).")] = None
    flag: Annotated[str | None, Parameter(help="The column that is true for a flagged row (is_anomaly).")] = None
    k: Annotated[
        int | None, Parameter(alias="-k", help="Judge so many highest scores; by default as many as anomalies.")
    ] = None
    curves: Annotated[bool, Parameter(help="A row for each threshold: the ROC curve, and precision by recall.")] = False

    def sql(self, source: str) -> str:
        """The statement; the macros have their own defaults for what is not given."""
        if not self.curves:
            return f"from {evaluate_call(source, label=self.label, score=self.score, flag=self.flag, k=self.k)}"
        if self.flag is not None or self.k is not None:
            raise BadParameter("`--curves` has every threshold", "leave --flag and -k out")
        return f"from {curves_call(source, label=self.label, score=self.score)}"


ASKED = Asked()


def evaluate(
    source: Annotated[str, Parameter(help="A file of scored rows, `-`, or with --db a table, a view or a run's id.")],
    /,
    *,
    asked: Asked = ASKED,
    written: Written = WRITTEN,
    dry_run: Annotated[bool, Parameter(help="Print the SQL and run nothing.")] = False,
    common: Common = COMMON,
) -> int:
    """Judge scored rows by a label: `pynomaly evaluate scored.csv --label fraud`.

    AUROC, average precision, and precision, recall and F1 of the flags and of the highest scores.
    """
    settings = resolve(common)
    target = output.target(written, settings, CURVE_ROWS)
    sql = asked.sql(read_as(source, settings))
    if dry_run:
        if source == STANDARD_INPUT:
            raise BadParameter("standard input is no file that the printed SQL could read", "save it to a file")
        print(f"{sql};")  # noqa: T201 - the data of a dry run
        return 0
    with opened(settings, read_only=True) as engine:
        if source != STANDARD_INPUT:
            return _evaluate(engine, sql, target, common.voice)
        with standard_input.landed() as path:
            return _evaluate(engine, asked.sql(path), target, common.voice)


def _evaluate(engine: Engine, sql: str, target: Target, voice: Voice) -> int:
    voice.detail(f"sql: {sql}")
    shown = interruptible(engine, lambda: output.write(engine.sql(sql), target))
    if shown is None:
        if target.path is not None:
            voice.say(f"written to {target.path}")
    elif "threshold" in shown.columns:
        table.show(shown)
        if shown.more:
            voice.say(f"shown: the {len(shown.rows)} highest thresholds; `--output FILE.csv` has all", "dim")
    else:
        table.facts(dict(zip(shown.columns, shown.rows[0], strict=True)))
    return 0
