"""What `detect` and `score` share: the sources, where their scored rows go, and what is told of them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from pynomaly.calls import call, score_call
from pynomaly.cli import output, standard_input, table
from pynomaly.cli.console import ANOMALIES_FOUND, FAILED, Voice, failed, interruptible, progress
from pynomaly.cli.output import Shown, Target
from pynomaly.cli.settings import STANDARD_INPUT, Common, Format, Settings, Written, opened_to_record, resolve
from pynomaly.engine import Engine
from pynomaly.errors import BadParameter, PynomalyError
from pynomaly.result import Result, Verdict
from pynomaly.runs import Run
from pynomaly.source import names

TABLE_ROWS = 20
SAVED = "_pynomaly_saved"
TABLE_REASONS = 3
ON_STDOUT = ("table", "jsonl")  # the formats in which several results can follow one another

Sources = Annotated[list[str], Parameter(help="Files, `-` for standard input, or with --db tables and views.")]


class Call(msgspec.Struct, frozen=True):
    """What scores a source: a detection, or a trained model; the options that were given, and the key to save by."""

    source: str
    options: dict[str, Any]
    model: str | None = None
    key: list[str] | None = None

    @property
    def sql(self) -> str:
        """The call of the macro."""
        if self.model is None:
            return call(self.source, **self.options)
        return score_call(self.source, self.model, **self.options)

    def pinned(self, engine: Engine) -> "Call":
        """The same call with the version of the model that is meant."""
        if self.model is None:
            return self
        version = engine.version_of(self.model, self.options.get("version"))
        return msgspec.structs.replace(self, options={**self.options, "version": version})

    def saved(self, engine: Engine) -> Result:
        """The scored rows, which are kept with their run."""
        if self.model is None:
            return engine.detect(self.source, save=True, **self.options)
        return engine.score(self.source, self.model, key=self.key, save=True, **self.options)


Caller = Callable[[str, Format, Settings], Call]  # of a source, for rows in a format


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What becomes of a run besides its rows."""

    fail_on_anomalies: Annotated[bool, Parameter(help="Exit with 10 when a row is flagged.")] = False
    save: Annotated[
        bool, Parameter(help="Keep the scored rows in the database, with the model, and without --key the source.")
    ] = False
    dry_run: Annotated[bool, Parameter(help="Print the SQL and run nothing.")] = False


OUTCOME = Outcome()


class Job(msgspec.Struct, frozen=True):
    """What a source is called, the call that scores it, and where its rows go."""

    name: str
    target: Target
    call: Call

    @property
    def sql(self) -> str:
        """The statement of all rows, or for a table of the most anomalous ones."""
        return self.shown(self.call.sql)

    def shown(self, rows: str) -> str:
        """The statement of those of some scored rows that are written."""
        select = f"select * from {rows}"
        if self.target.format != "table":
            return select
        return f"{select} order by anomaly_score desc nulls last limit {self.target.rows}"


def scored(files: Sequence[str], caller: Caller, written: Written, outcome: Outcome, common: Common) -> int:
    """Score each file by the call for it, write its rows, tell the verdict, and return the exit code."""
    settings = resolve(common)
    if outcome.dry_run:
        return _print_sql(_jobs(files, caller, written, settings))
    for target in (job.target for job in _jobs(files, caller, written, settings)):
        _make_ready(target, several=len(files) > 1 or _is_folder(written.asked_output()))
        _refuse_overwriting(target, files)
    with opened_to_record(settings, outcome.save) as engine, _landed(files) as sources:
        return _run(engine, _jobs(files, caller, written, settings, sources), common.voice, outcome)


def _run(engine: Engine, jobs: list[Job], voice: Voice, outcome: Outcome) -> int:
    n_failed = n_flagged = 0
    for place, job in enumerate(jobs):
        try:
            n_flagged += _scored(engine, job, voice, place, len(jobs), outcome.save).n_flagged
        except BrokenPipeError:
            raise
        except (PynomalyError, OSError) as error:
            if len(jobs) == 1:
                raise
            failed(error, job.name)
            n_failed += 1
    if n_failed:
        return FAILED
    return ANOMALIES_FOUND if n_flagged and outcome.fail_on_anomalies else 0


def _scored(engine: Engine, job: Job, voice: Voice, place: int, n_jobs: int, save: bool) -> Verdict:
    """Score one source and tell the verdict."""
    with progress(voice, job.name, place, n_jobs, free=output.leaves_terminal_free(job.target)):
        run, verdict, shown = interruptible(engine, lambda: (_saved if save else _rows)(engine, job))
    voice.verdict(verdict, job.name if n_jobs > 1 else None)
    if shown is not None:
        n_hidden = table.show(shown, first=_naming(job, verdict))
        _hint(voice, len(shown.rows), verdict.n_rows, n_hidden)
    elif job.target.path is not None:
        voice.say(f"written to {job.target.path}")
    if save:
        voice.say(f"saved as run {run}")
    return verdict


def _rows(engine: Engine, job: Job) -> tuple[str, Verdict, Shown | None]:
    """Score and write: the run, its verdict, and the rows of a table."""
    run = Run("detect" if job.call.model is None else "score", job.name, job.call.options)
    run.sql = job.sql
    with engine.recorded(run):
        called = job.call.pinned(engine)
        run.model = (called.model, called.options["version"]) if called.model else None
        run.sql = job.shown(called.sql)
        shown = output.write(engine.sql(run.sql), job.target, limited=job.target.format == "table")
    return run.id, run.verdict, shown


def _saved(engine: Engine, job: Job) -> tuple[str, Verdict, Shown | None]:
    """Score, save and write, likewise."""
    result = job.call.saved(engine)
    engine.register(SAVED, result.arrow())
    shown = output.write(engine.sql(job.shown(SAVED)), job.target, limited=job.target.format == "table")
    return result.run_id, result.verdict, shown


def _naming(job: Job, verdict: Verdict) -> set[str]:
    """The columns that tell a person which row it is: those with a role, and the identifiers."""
    roles = {name for role in ("key", "label", "by") for name in names(job.call.options.get(role), role)}
    return roles | {item.column for item in verdict.left_out if "identifier" in item.why}


def _hint(voice: Voice, n_shown: int, n_rows: int, n_hidden: int) -> None:
    if n_shown == n_rows and not n_hidden:
        return
    hidden = f", {n_hidden} columns left out for want of room" if n_hidden else ""
    voice.say(f"shown: {n_shown:,} of {n_rows:,} rows, highest score first{hidden}; `--output FILE.csv` has all", "dim")


def _print_sql(jobs: list[Job]) -> int:
    if any(job.name == standard_input.NAME for job in jobs):
        raise BadParameter(
            "with standard input there is no file that the printed SQL could read", "save it to a file and name that"
        )
    for job in jobs:
        print(f"{job.sql};")  # noqa: T201 - the data of a dry run
    return 0


def _jobs(
    files: Sequence[str],
    caller: Caller,
    written: Written,
    settings: Settings,
    sources: Sequence[str] | None = None,
) -> list[Job]:
    """One job for each file; `sources` are the files that stand for them where they had to be landed."""
    jobs = []
    for file, source, target in zip(files, sources or files, _targets(files, written, settings), strict=True):
        name, read = standard_input.NAME if file == STANDARD_INPUT else file, read_as(source, settings)
        jobs.append(Job(name, target, caller(read, target.format, settings)))
    return jobs


def read_as(file: str, settings: Settings) -> str:
    """The source as the macro reads it: where no database is open a bare name can only be that of a file."""
    is_bare = "/" not in file and "\\" not in file
    return f"./{file}" if is_bare and settings.database is None else file


@contextlib.contextmanager
def landed_one(file: str) -> Iterator[str]:
    """The source, standard input landed in a temporary file."""
    with _landed([file]) as files:
        yield files[0]


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


def _refuse_overwriting(target: Target, files: Sequence[str]) -> None:
    for file in files:
        if target.path is not None and target.path.exists() and Path(file).exists() and target.path.samefile(file):
            raise BadParameter(f"`--output` would replace the input `{file}`", "name another file")


def n_reasons(asked: int | None, format_: Format) -> int | None:
    """How many reasons a row gets; None for the macro's default."""
    return TABLE_REASONS if asked is None and format_ == "table" else asked
