"""What every verb shares: its options, and their precedence.

A flag comes before `PYNOMALY_*`, then `./pynomaly.toml`, then the user's own file, then the default.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from cyclopts import Parameter

from pynomaly.cli.console import Voice
from pynomaly.engine import Engine, connect
from pynomaly.errors import BadParameter, DatabaseLocked, DatabaseUnreadable, UnknownSource, did_you_mean
from pynomaly.paths import config_folder, settings_in

Format = Literal["table", "json", "jsonl", "csv", "parquet", "arrow"]
STANDARD_INPUT = "/dev/stdin"  # what a lone dash on the command line stands for
FILE_NAME = "pynomaly.toml"
ENVIRONMENT = {
    "database": "PYNOMALY_DB",
    "memory_limit": "PYNOMALY_MEMORY_LIMIT",
    "threads": "PYNOMALY_THREADS",
    "seed": "PYNOMALY_SEED",
    "format": "PYNOMALY_FORMAT",
}
KINDS = {
    "database": "a path",
    "memory_limit": "a size such as '4GB'",
    "threads": "a whole number",
    "seed": "a whole number",
    "format": f"one of {', '.join(get_args(Format))}",
}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """The options of every verb."""

    db: Annotated[str | None, Parameter(help="DuckDB database file; without one, memory.")] = None
    memory_limit: Annotated[str | None, Parameter(help="Memory that queries may use, such as 4GB.")] = None
    threads: Annotated[int | None, Parameter(help="Threads that queries may use.")] = None
    quiet: Annotated[bool, Parameter(alias="-q", help="Tell nothing but errors on standard error.")] = False
    verbose: Annotated[bool, Parameter(alias="-v", help="Tell more on standard error: columns, seed, SQL.")] = False
    debug: Annotated[bool, Parameter(help="Show the traceback of an error.")] = False

    @property
    def voice(self) -> Voice:
        """How much to tell."""
        return Voice(quiet=self.quiet, verbose=self.verbose)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Written:
    """The options of every verb that writes rows."""

    format: Annotated[
        Format | None, Parameter(help="How rows are written; by default as --output's suffix says, else a table.")
    ] = None
    json: Annotated[bool, Parameter(help="Short for --format json.")] = False
    output: Annotated[
        str | None, Parameter(alias="-o", help="Write to this file, which a failed run leaves as it was.")
    ] = None
    rows: Annotated[int | None, Parameter(help="How many rows a table shows.")] = None

    def asked_format(self) -> Format | None:
        """The format that the flags name."""
        if self.json and self.format not in (None, "json"):
            raise BadParameter(f"`--json` and `--format {self.format}` are two formats at once", "give one of them")
        return "json" if self.json else self.format

    def asked_output(self) -> str | None:
        """The path that the flags name; None for standard output."""
        return None if self.output == STANDARD_INPUT else self.output

    def n_rows(self, default: int) -> int:
        """How many rows a table shows."""
        if self.rows is not None and self.rows < 1:
            raise BadParameter(f"`--rows` is {self.rows}", "give a whole number from 1")
        return default if self.rows is None else self.rows


# The defaults of the verbs' parameters: cyclopts hands on the default where no option of a group is given.
COMMON = Common()
WRITTEN = Written()


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What flags, environment and files may set; None where none of them does."""

    database: str | None = None
    memory_limit: str | None = None
    threads: int | None = None
    seed: int | None = None
    format: Format | None = None


def resolve(common: Common, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a run by their precedence; BadParameter names the file or variable that is wrong."""
    flags = {"database": common.db, "memory_limit": common.memory_limit, "threads": common.threads}
    layers = [
        _from_file(_user_file(environment)),
        _from_file(Path(FILE_NAME)),
        *(_checked({name: environment[key]}, key) for name, key in ENVIRONMENT.items() if environment.get(key)),
        _checked({name: value for name, value in flags.items() if value is not None}, "the flags"),
    ]
    merged: dict[str, object] = {}
    for layer in layers:
        merged |= {name: value for name, value in msgspec.structs.asdict(layer).items() if value is not None}
    return msgspec.convert(merged, Settings)


def needed(common: Common, what: str) -> Settings:
    """The settings; BadParameter where they name no database that could keep what the verb is about."""
    settings = resolve(common)
    if settings.database is None:
        raise BadParameter(f"{what} needs a database to be kept in", "name one with --db")
    return settings


def _user_file(environment: Mapping[str, str]) -> Path:
    return config_folder(environment) / FILE_NAME


def _from_file(path: Path) -> Settings:
    """The settings of a file, its `database` taken from the file's own folder; none where there is no file."""
    given = settings_in(path)
    given.pop("server", None)  # which `pynomaly serve` reads
    found = _checked(given, f"`{path}`")
    if found.database is None or found.database == ":memory:":
        return found
    return msgspec.structs.replace(found, database=str(path.parent / Path(found.database).expanduser()))


def _checked(given: Mapping[str, object], where: str) -> Settings:
    for name, value in given.items():
        if name not in Settings.__struct_fields__:
            raise BadParameter(f"{where} has no setting `{name}`", did_you_mean(name, Settings.__struct_fields__))
        try:
            msgspec.convert({name: value}, Settings, strict=False)
        except msgspec.ValidationError:
            raise BadParameter(f"{where} sets `{name}` to {value!r}", f"give {KINDS[name]}") from None
    return msgspec.convert(dict(given), Settings, strict=False)


def opened(settings: Settings, read_only: bool = False) -> Engine:
    """The engine on the database of the settings, or on memory; UnknownSource where a file to read is missing."""
    path = settings.database or ":memory:"
    if path != ":memory:" and read_only and not Path(path).exists():
        raise UnknownSource(
            f"database `{path}` does not exist", f'check --db, or create it with `pynomaly sql --db {path} "..."`'
        )
    engine = connect(
        path,
        read_only=read_only and path != ":memory:",
        memory_limit=settings.memory_limit,
        threads=settings.threads,
    )
    # A name in a statement must never be found among the variables of this program.
    engine.execute("set python_enable_replacements = false")
    return engine


def opened_to_record(settings: Settings, save: bool) -> Engine:
    """The engine on a database that is there, or on memory; read-only where it cannot be written and need not be."""
    path = settings.database or ":memory:"
    if path != ":memory:" and not Path(path).exists():
        return opened(settings, read_only=True)  # which says so
    try:
        return opened(settings)
    except (DatabaseLocked, DatabaseUnreadable):
        if save:
            raise
        return opened(settings, read_only=True)


def split(given: Sequence[str] | None) -> list[str] | None:
    """The names in a list option: repeated, or comma-separated with quotes around a name that has a comma."""
    if given is None:
        return None
    return [name.strip() for names in csv.reader(given, skipinitialspace=True) for name in names if name.strip()]
