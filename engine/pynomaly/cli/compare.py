"""`pynomaly compare`: several algorithms on the same rows, a line each."""

from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from pynomaly.calls import compare_call
from pynomaly.cli import output, standard_input, table
from pynomaly.cli.console import FAILED, Voice, interruptible, watched
from pynomaly.cli.detect import json_object
from pynomaly.cli.output import Shown, Target
from pynomaly.cli.scoring import read_as
from pynomaly.cli.settings import COMMON, STANDARD_INPUT, WRITTEN, Common, Settings, Written, opened, resolve, split
from pynomaly.engine import Engine
from pynomaly.errors import BadParameter

ALL_ROWS = 1000
MEBIBYTE = 1024.0**2
METRICS = ("auroc", "average_precision", "precision", "recall", "f1")
HEADERS = {"auroc": "AUROC", "average_precision": "AP", "f1": "F1"}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Asked:
    """The parameters of `compare_detectors`; lists are comma-separated or repeated."""

    algorithms: Annotated[
        list[str] | None,
        Parameter(alias="-a", help="Names that `pynomaly algorithms` lists; by default all of our own."),
    ] = None
    label: Annotated[str | None, Parameter(help="The column that is true, or 1, for an anomaly.")] = None
    features: Annotated[list[str] | None, Parameter(help="Columns to use, and no others.")] = None
    exclude: Annotated[list[str] | None, Parameter(help="Columns not to use.")] = None
    key: Annotated[list[str] | None, Parameter(help="Columns that identify a row; checked, not used.")] = None
    contamination: Annotated[float | None, Parameter(help="Flag about this share of the rows.")] = None
    threshold: Annotated[str | None, Parameter(help="The rule that finds the threshold where no share is given.")] = (
        None
    )
    sample_rows: Annotated[int | None, Parameter(help="Compare on about so many rows at most (10000).")] = None
    seed: Annotated[int | None, Parameter(help="The seed of everything random (0).")] = None
    parameters: Annotated[
        str | None, Parameter(help='Parameters by algorithm as JSON: \'{"knn": {"n_neighbors": 10}}\'.')
    ] = None

    def options(self, settings: Settings) -> dict[str, Any]:
        """The parameters of the macro; it has its own defaults for those that are not given."""
        return {
            "algorithms": split(self.algorithms),
            "label": self.label,
            "features": split(self.features),
            "exclude": split(self.exclude),
            "key": split(self.key),
            "contamination": self.contamination,
            "threshold": self.threshold,
            "sample_rows": self.sample_rows,
            "seed": settings.seed if self.seed is None else self.seed,
            "parameters": json_object(self.parameters),
        }


ASKED = Asked()


def compare(
    file: Annotated[str, Parameter(help="A file, `-` for standard input, or with --db a table or view.")],
    /,
    *,
    asked: Asked = ASKED,
    written: Written = WRITTEN,
    dry_run: Annotated[bool, Parameter(help="Print the SQL and run nothing.")] = False,
    common: Common = COMMON,
) -> int:
    """Compare algorithms on the rows of FILE: `pynomaly compare data.csv --label fraud`.

    Each is fitted to the same sample and scores it: seconds, memory, rows flagged, and how its ranking agrees with
    that of all. With --label also how well it ranks. An algorithm that fails is told, and the others go on.
    """
    settings = resolve(common)
    target = output.target(written, settings, ALL_ROWS)
    if dry_run:
        if file == STANDARD_INPUT:
            raise BadParameter("standard input is no file that the printed SQL could read", "save it to a file")
        print(f"{_sql(read_as(file, settings), asked, settings)};")  # noqa: T201 - the data of a dry run
        return 0
    with opened(settings, read_only=True) as engine:
        if file != STANDARD_INPUT:
            return _compare(engine, _sql(read_as(file, settings), asked, settings), target, common.voice)
        with standard_input.landed() as path:
            return _compare(engine, _sql(path, asked, settings), target, common.voice)


def _sql(source: str, asked: Asked, settings: Settings) -> str:
    best_first = " order by auroc desc nulls last" if asked.label else ""
    return f"from {compare_call(source, **asked.options(settings))}{best_first}"


def _compare(engine: Engine, sql: str, target: Target, voice: Voice) -> int:
    voice.detail(f"sql: {sql}")
    with engine.recorded() as run, watched(voice, engine, free=output.leaves_terminal_free(target)):
        run.sql = sql
        shown = interruptible(engine, lambda: output.write(engine.sql(sql), target))
    if shown is None:
        if target.path is not None:
            voice.say(f"written to {target.path}")
        return 0
    records = [dict(zip(shown.columns, row, strict=True)) for row in shown.rows]
    if done := [record for record in records if record["error"] is None]:
        n_hidden = table.show(_brief(done))
        told = f"{n_hidden} columns left out for want of room; " if n_hidden else ""
        voice.say(f"compared on {done[0]['n_rows']:,} rows; {told}`--json` has every figure", "dim")
    for record in records:
        if record["error"] is not None:
            voice.say(f"{record['algorithm']} failed: {record['error']}", "red")
    return FAILED if all(record["error"] for record in records) else 0


def _brief(records: list[dict[str, Any]]) -> Shown:
    """The figures in the order in which a narrow terminal can do without them; metrics where there are any."""
    metrics = [name for name in METRICS if any(record[name] is not None for record in records)]
    columns = [
        "algorithm",
        *(HEADERS.get(name, name) for name in metrics),
        "flagged",
        "seconds",
        "rows/s",
        "MiB",
        "agrees",
    ]
    rows = [
        (
            record["algorithm"],
            *(_rounded(record[name], 3) for name in metrics),
            record["n_flagged"],
            _rounded(record["seconds"], 3),
            int(float(f"{record['rows_per_second']:.3g}")),
            _rounded(record["peak_memory_bytes"], 1, MEBIBYTE),
            _rounded(record["consensus_correlation"], 3),
        )
        for record in records
    ]
    return Shown(columns, rows, False)


def _rounded(value: float | None, digits: int, unit: float = 1.0) -> float | None:
    return None if value is None else round(value / unit, digits)
