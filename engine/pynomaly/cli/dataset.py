"""`pynomaly dataset`: load sources as versions, list, compare, export and remove them."""

from contextlib import ExitStack
from typing import Annotated, Any

from cyclopts import App, Parameter

from pynomaly import urls
from pynomaly.calls import macro_call
from pynomaly.cli import output, standard_input, table
from pynomaly.cli.console import interruptible, loading
from pynomaly.cli.listing import ALL_ROWS, listed
from pynomaly.cli.settings import COMMON, STANDARD_INPUT, WRITTEN, Common, Written, needed, opened, resolve
from pynomaly.cli.validate import validate
from pynomaly.quoting import literal

BRIEF = """
select
    name, version, n_rows as rows, n_columns as columns, format_bytes(n_bytes) as size,
    nullif(n_quarantined, 0) as quarantined, source, strftime(loaded_at, '%Y-%m-%d %H:%M') as loaded
"""
BRIEF_VERSIONS = """
select
    version, n_rows as rows, len(json_keys(columns)) as columns, format_bytes(n_bytes) as size,
    nullif(n_quarantined, 0) as quarantined, source, strftime(created_at, '%Y-%m-%d %H:%M') as loaded, created_by
"""
Name = Annotated[str, Parameter(help="The name of the dataset.")]
Version = Annotated[str, Parameter(help="A version: NAME@3, NAME AS OF '2026-11-01', or NAME for the newest.")]

dataset = App(name="dataset", help="Load, list, compare, export and remove the datasets of a database.")
dataset.command(validate, name="validate")


@dataset.command
def add(
    name: Name,
    source: Annotated[
        str, Parameter(help="A file, a pattern or folder of files, `-`, a table, a view, a SELECT or an address.")
    ],
    /,
    *,
    strict: Annotated[bool, Parameter(help="Fail where a row cannot be read, and load nothing.")] = False,
    sheet: Annotated[str | None, Parameter(help="The sheet of an Excel file.")] = None,
    header: Annotated[int | None, Parameter(help="The line of an Excel sheet that has the names (1).")] = None,
    path: Annotated[str | None, Parameter(help="The group or array of an HDF5 file.")] = None,
    encoding: Annotated[str | None, Parameter(help="The encoding of a CSV, such as latin-1.")] = None,
    delimiter: Annotated[str | None, Parameter(help="What parts the fields of a CSV.")] = None,
    skip: Annotated[int | None, Parameter(help="Lines of a CSV above the names.")] = None,
    from_table: Annotated[str | None, Parameter(name="--table", help="The table of a database's address.")] = None,
    query: Annotated[str | None, Parameter(help="The query for a database's address.")] = None,
    timeout: Annotated[float | None, Parameter(help="Seconds that an address may be silent (60).")] = None,
    common: Common = COMMON,
) -> int:
    """Load SOURCE as the next version: `pynomaly dataset add payments payments.csv --db team.duckdb`."""
    settings = needed(common, "a dataset")
    given: dict[str, object] = {"sheet": sheet, "header": header, "path": path}
    given |= {"encoding": encoding, "delimiter": delimiter, "skip": skip}
    given |= {"table": from_table, "query": query, "timeout": timeout}
    options: dict[str, Any] = {option: value for option, value in given.items() if value is not None}
    with ExitStack() as stack:
        engine = stack.enter_context(opened(settings))
        said = standard_input.NAME if source == STANDARD_INPUT else urls.shown(source)
        if source == STANDARD_INPUT:
            source = stack.enter_context(standard_input.landed())
        before = engine.execute("select max(version) from datasets() where name = ?", [name]).fetchall()[0][0]
        with loading(common.voice, engine, said):
            load = lambda: engine.datasets.add(name, source, strict=strict, called=said, **options)  # noqa: E731
            version = interruptible(engine, load)
    common.voice.say(
        f"{version}; no new version, its bytes are the same" if version.version == before else str(version)
    )
    if version.n_quarantined and version.version != before:
        common.voice.say(f"`pynomaly dataset quarantine {version.address}` shows what could not be read")
    return 0


@dataset.command
def ls(*, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """List the datasets: `pynomaly dataset ls --db team.duckdb`."""
    nothing = "there is no dataset yet: `pynomaly dataset add NAME SOURCE --db FILE`"
    return listed("from datasets()", resolve(common), written, common, f"{BRIEF} from datasets()", nothing)


@dataset.command
def show(name: Name, /, *, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """List the versions of a dataset, or tell all about one: `pynomaly dataset show payments@3 --db team.duckdb`."""
    if "@" not in name and "'" not in name:
        rows = f"from dataset_versions({literal(name)})"
        return listed(rows, resolve(common), written, common, f"{BRIEF_VERSIONS} {rows}")
    settings = resolve(common)
    target = output.target(written, settings, ALL_ROWS)
    with opened(settings, read_only=True) as engine:
        version = engine.datasets.version(name)
        query = engine.sql(f"from dataset_versions({literal(version.name)}) where version = {version.version}")
        if target.format != "table" or target.path is not None:
            output.write(query, target)
            return 0
        facts = dict(zip(query.columns, query.fetchall()[0], strict=True))
    table.facts({**facts, "columns": ", ".join(f"{column} {type_}" for column, type_ in version.columns.items())})
    return 0


@dataset.command
def quarantine(version: Version, /, *, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """Show the rows that could not be read: `pynomaly dataset quarantine payments@1 --db team.duckdb`."""
    settings = resolve(common)
    with opened(settings, read_only=True) as engine:
        found = engine.datasets.version(version)
    rows = (
        "select file, line, reason, content from query(_catalog('quarantine', null)) "
        f"where name = {literal(found.name)} and version = {found.version} order by file, line"
    )
    return listed(rows, settings, written, common)


@dataset.command
def diff(
    a: Version,
    b: Version,
    /,
    *,
    key: Annotated[list[str] | None, Parameter(help="Columns that identify a row; then values are compared.")] = None,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Tell what differs between two versions: `pynomaly dataset diff payments@1 payments@2 --key id`."""
    changes = macro_call("diff_versions", ("key",), (a, b), {"key": key})
    return listed(f"from {changes}", resolve(common), written, common, nothing="nothing differs")


@dataset.command
def export(
    version: Version,
    path: Annotated[str, Parameter(help="The file to write, Parquet, CSV or JSON by its suffix.")],
    /,
    *,
    dvc: Annotated[bool, Parameter(help="Write the .dvc pointer beside it, too.")] = False,
    common: Common = COMMON,
) -> int:
    """Write a version to a file: `pynomaly dataset export payments@3 payments.parquet --db team.duckdb`."""
    with opened(resolve(common), read_only=True) as engine:
        engine.datasets.export(version, path, dvc=dvc)
    common.voice.say(f"written to {path}" + (f" and {path}.dvc" if dvc else ""))
    return 0


@dataset.command
def rm(
    name: Name,
    /,
    *,
    force: Annotated[bool, Parameter(help="Remove it although runs or models were made of it.")] = False,
    common: Common = COMMON,
) -> int:
    """Remove a dataset with all its versions: `pynomaly dataset rm payments --db team.duckdb`."""
    with opened(resolve(common)) as engine:
        engine.datasets.remove(name, force=force)
    common.voice.say(f"{name}: removed")
    return 0
