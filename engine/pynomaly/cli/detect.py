"""`pynomaly detect`: files, tables or standard input to scored rows."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from pynomaly.calls import call
from pynomaly.cli import output, standard_input, table
from pynomaly.cli.console import ANOMALIES_FOUND, FAILED, Voice, failed, interruptible, progress
from pynomaly.cli.output import Shown, Target
from pynomaly.cli.settings import (
    COMMON,
    STANDARD_INPUT,
    WRITTEN,
    Common,
    Format,
    Settings,
    Written,
    opened,
    resolve,
    split,
)
from pynomaly.engine import Engine
from pynomaly.errors import BadParameter, PynomalyError
from pynomaly.result import Verdict
from pynomaly.source import names

TABLE_ROWS = 20
TABLE_REASONS = 3
ON_STDOUT = ("table", "jsonl")  # the formats in which several results can follow one another


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Detection:
    """The parameters of `detect_anomalies`; lists are comma-separated or repeated."""

    algorithm: Annotated[
        list[str] | None,
        Parameter(alias="-a", help="A name that `pynomaly algorithms` lists, or several; by default by row count."),
    ] = None
    combine: Annotated[
        str | None,
        Parameter(help="How several algorithms become one score: tail, mean, max, median, rank, vote, aom or moa."),
    ] = None
    features: Annotated[list[str] | None, Parameter(help="Columns to use, and no others.")] = None
    exclude: Annotated[list[str] | None, Parameter(help="Columns not to use.")] = None
    label: Annotated[list[str] | None, Parameter(help="Columns that say what is true; not used.")] = None
    key: Annotated[list[str] | None, Parameter(help="Columns that identify a row; checked, not used.")] = None
    by: Annotated[list[str] | None, Parameter(help="Group columns: each group has its own model and cut-off.")] = None
    contamination: Annotated[float | None, Parameter(help="Flag about this share of the rows.")] = None
    threshold: Annotated[
        float | str | None, Parameter(help="Flag scores above this one, or above that which a rule such as mad finds.")
    ] = None
    top_k: Annotated[int | None, Parameter(alias="-k", help="Flag exactly so many rows.")] = None
    explain: Annotated[
        int | None, Parameter(help="How many reasons a row gets; by default 3 in a table and 0 in other formats.")
    ] = None
    sample_rows: Annotated[int | None, Parameter(help="Fit on about so many rows at most (262144).")] = None
    seed: Annotated[int | None, Parameter(help="The seed of everything random (0).")] = None
    parameters: Annotated[
        str | None, Parameter(help="The algorithm's own parameters as JSON: '{\"n_neighbors\": 10}'.")
    ] = None

    def options(self, format_: Format, settings: Settings) -> dict[str, Any]:
        """The parameters of the macro that are given; it has its own defaults for the others."""
        reasons = TABLE_REASONS if format_ == "table" else None
        columns = {name: split(getattr(self, name)) for name in ("features", "exclude", "label", "key", "by")}
        given = {
            "algorithm": one_or_all(split(self.algorithm)),
            "combine": self.combine,
            **columns,
            "contamination": self.contamination,
            "threshold": self.threshold,
            "top_k": self.top_k,
            "explain": reasons if self.explain is None else self.explain,
            "sample_rows": self.sample_rows,
            "seed": settings.seed if self.seed is None else self.seed,
            "parameters": json_object(self.parameters),
        }
        return {name: value for name, value in given.items() if value is not None}


def one_or_all(given: list[str] | None) -> str | list[str] | None:
    """The one name of a list as itself."""
    return given[0] if given and len(given) == 1 else given


DETECTION = Detection()


class Job(msgspec.Struct, frozen=True):
    """One detection: the source as the macro gets it, what it is called, and where its rows go."""

    name: str
    source: str
    target: Target
    options: dict[str, Any]

    @property
    def sql(self) -> str:
        """The statement of the detection; for a table that of the most anomalous rows."""
        rows = f"select * from {call(self.source, **self.options)}"
        if self.target.format != "table":
            return rows
        return f"{rows} order by anomaly_score desc nulls last limit {self.target.rows}"


def detect(
    files: Annotated[list[str], Parameter(help="Files, `-` for standard input, or with --db tables and views.")],
    /,
    *,
    detector: Annotated[
        str | None, Parameter(help="A detector that `pynomaly detector ls` lists; other options go before its own.")
    ] = None,
    detection: Detection = DETECTION,
    written: Written = WRITTEN,
    fail_on_anomalies: Annotated[bool, Parameter(help="Exit with 10 when a row is flagged.")] = False,
    dry_run: Annotated[bool, Parameter(help="Print the SQL and run nothing.")] = False,
    common: Common = COMMON,
) -> int:
    """Find the anomalies in each FILE: `pynomaly detect data.csv`.

    A table shows the 20 most anomalous rows with their reasons; every other format writes all rows. The verdict and
    the columns that were left out are told on standard error.

    With several files, or where --output has no suffix, --output is a folder that gets one file for each input. A
    file that fails is told, the others are finished, and the exit code is 1.
    """
    settings = resolve(common)
    if dry_run:
        return _print_sql(_expanded(_jobs(files, detection, written, settings), detector, detection, settings))
    for target in (job.target for job in _jobs(files, detection, written, settings)):
        _make_ready(target, several=len(files) > 1 or _is_folder(written.asked_output()))
        _refuse_overwriting(target, files)
    with opened(settings, read_only=True) as engine, _landed(files) as sources:
        jobs = _expanded(_jobs(files, detection, written, settings, sources), detector, detection, settings, engine)
        return _run(engine, jobs, common.voice, fail_on_anomalies)


def _run(engine: Engine, jobs: list[Job], voice: Voice, fail_on_anomalies: bool) -> int:
    n_failed = n_flagged = 0
    for place, job in enumerate(jobs):
        try:
            n_flagged += _detect(engine, job, voice, place, len(jobs)).n_flagged
        except BrokenPipeError:
            raise
        except (PynomalyError, OSError) as error:
            if len(jobs) == 1:
                raise
            failed(error, job.name)
            n_failed += 1
    if n_failed:
        return FAILED
    return ANOMALIES_FOUND if n_flagged and fail_on_anomalies else 0


def _detect(engine: Engine, job: Job, voice: Voice, place: int, n_jobs: int) -> Verdict:
    """Run one detection and tell its verdict."""
    with progress(voice, job.name, place, n_jobs, free=output.leaves_terminal_free(job.target)):
        verdict, shown = interruptible(engine, lambda: _rows(engine, job))
    voice.verdict(verdict, job.name if n_jobs > 1 else None)
    if shown is not None:
        n_hidden = table.show(shown, first=_naming(job, verdict))
        _hint(voice, len(shown.rows), verdict.n_rows, n_hidden)
    elif job.target.path is not None:
        voice.say(f"written to {job.target.path}")
    return verdict


def _rows(engine: Engine, job: Job) -> tuple[Verdict, Shown | None]:
    with engine.recorded() as run:
        run.sql, run.asked = job.sql, job.options
        shown = output.write(engine.sql(job.sql), job.target, limited=job.target.format == "table")
    return run.verdict, shown


def _naming(job: Job, verdict: Verdict) -> set[str]:
    """The columns that tell a person which row it is: those with a role, and the identifiers."""
    roles = {name for role in ("key", "label", "by") for name in names(job.options.get(role), role)}
    return roles | {item.column for item in verdict.left_out if "identifier" in item.why}


def _hint(voice: Voice, n_shown: int, n_rows: int, n_hidden: int) -> None:
    if n_shown == n_rows and not n_hidden:
        return
    hidden = f", {n_hidden} columns left out for want of room" if n_hidden else ""
    voice.say(f"shown: {n_shown:,} of {n_rows:,} rows, highest score first{hidden}; `--output FILE.csv` has all", "dim")


def _expanded(
    jobs: list[Job], detector: str | None, detection: Detection, settings: Settings, engine: Engine | None = None
) -> list[Job]:
    """The jobs with the options of a detector, where one is named; what flags do not say is as it was defined."""
    if detector is None:
        return jobs
    given = {"detector": detector, **detection.options("json", Settings())}
    with contextlib.nullcontext(engine) if engine else opened(settings, read_only=True) as catalog:
        found = catalog.expanded(given)
    return [msgspec.structs.replace(job, options={**job.options, **found}) for job in jobs]


def _print_sql(jobs: list[Job]) -> int:
    if any(job.source == STANDARD_INPUT for job in jobs):
        raise BadParameter(
            "with standard input there is no file that the printed SQL could read", "save it to a file and name that"
        )
    for job in jobs:
        print(f"{job.sql};")  # noqa: T201 - the data of a dry run
    return 0


def _jobs(
    files: Sequence[str],
    detection: Detection,
    written: Written,
    settings: Settings,
    sources: Sequence[str] | None = None,
) -> list[Job]:
    """One job for each file; `sources` are the files that stand for them where they had to be landed."""
    targets = _targets(files, written, settings)
    return [
        Job(
            standard_input.NAME if file == STANDARD_INPUT else file,
            read_as(source, settings),
            target,
            detection.options(target.format, settings),
        )
        for file, source, target in zip(files, sources or files, targets, strict=True)
    ]


def read_as(file: str, settings: Settings) -> str:
    """The source as the macro reads it: where no database is open a bare name can only be that of a file."""
    is_bare = "/" not in file and "\\" not in file
    return f"./{file}" if is_bare and settings.database is None else file


@contextlib.contextmanager
def _landed(files: Sequence[str]) -> Iterator[list[str]]:
    """The files with standard input landed in a temporary one."""
    if files.count(STANDARD_INPUT) > 1:
        raise BadParameter("standard input is named twice", "it can be read once: name it once")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(standard_input.landed()) if file == STANDARD_INPUT else file for file in files]


def _targets(files: Sequence[str], written: Written, settings: Settings) -> list[Target]:
    """Where the rows of each file go."""
    path = written.asked_output()
    if path is not None and _is_folder(path):
        return _in_folder(files, Path(path), written, settings)
    if len(files) > 1 and path is not None:
        raise BadParameter(f"`{path}` is one file and there are {len(files)} inputs", "give --output FOLDER")
    found = output.target(written, settings, TABLE_ROWS)
    if len(files) > 1 and found.format not in ON_STDOUT:
        raise BadParameter(
            f"{found.format} of several files cannot follow one another on standard output",
            "give --output FOLDER, or --format jsonl",
        )
    return [found] * len(files)


def _is_folder(path: str | None) -> bool:
    """Whether an output path is a folder: it is one, or nothing is there and it has no suffix."""
    if path is None:
        return False
    return Path(path).is_dir() or path.endswith("/") or (not Path(path).exists() and not Path(path).suffix)


def _in_folder(files: Sequence[str], folder: Path, written: Written, settings: Settings) -> list[Target]:
    chosen = written.asked_format() or settings.format or "csv"
    rows = written.n_rows(TABLE_ROWS)
    paths: dict[Path, str] = {}
    for file in files:
        stem = "stdin" if file == STANDARD_INPUT else Path(file).name.partition(".")[0] or Path(file).name
        path = folder / f"{stem}{output.SUFFIXES[chosen][0]}"
        if path in paths:
            raise BadParameter(f"`{paths[path]}` and `{file}` would both be written to `{path}`", "run them one by one")
        paths[path] = file
    return [Target(chosen, path, rows) for path in paths]


def _make_ready(target: Target, several: bool) -> None:
    """Create the folder of a target that is one of several, and refuse a target that cannot be written."""
    if target.path is not None and several:
        target.path.parent.mkdir(exist_ok=True)
    output.check(target)


def _refuse_overwriting(target: Target, files: list[str]) -> None:
    for file in files:
        if target.path is not None and target.path.exists() and Path(file).exists() and target.path.samefile(file):
            raise BadParameter(f"`--output` would replace the input `{file}`", "name another file")


def json_object(text: str | None) -> dict[str, Any] | None:
    """The parameters of an algorithm, from the JSON of a flag."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) or None
    except msgspec.DecodeError:
        raise BadParameter(
            f"`--parameters` is {text!r}, not a JSON object", "write '{\"name\": value}' with quotes"
        ) from None
