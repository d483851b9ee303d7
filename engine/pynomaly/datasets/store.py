"""The datasets of a database: loading a version, listing, exporting and removing."""

import contextlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pyarrow as pa

from pynomaly import access, frames, snapshots, urls, versions
from pynomaly.cache import Progress
from pynomaly.catalog.migrations import is_in_transaction, migrate
from pynomaly.datasets import pointers
from pynomaly.datasets.opened import Asked, Opened
from pynomaly.datasets.opening import is_statement, opener
from pynomaly.errors import (
    AccessDenied,
    BadParameter,
    DatasetInUse,
    ReadOnlyDatabase,
    RowsMalformed,
    SourceUnreadable,
    UnknownSource,
    without_passwords,
)
from pynomaly.quoting import literal
from pynomaly.source import DATA_SUFFIXES
from pynomaly.versions import Version

if TYPE_CHECKING:
    from pynomaly.engine import Engine

ROWS = "_pynomaly_rows"  # the name of a reader's rows
PARQUET = (".parquet", ".pq")
WRITTEN = {  # how other files are written, by their suffix
    ".csv": "format csv, header true",
    ".tsv": "format csv, header true, delimiter '\t'",
    ".json": "format json, array true",
    ".jsonl": "format json",
    ".ndjson": "format json",
}
SAMPLED_AT_ONCE, SAMPLED_BYTES = 1_000, 67_108_864
SHOWN = 3  # bad rows that an error names
BAD_ROWS = 50  # that a sample has
_DATASET = "insert into pynomaly.datasets (name, number, source, options, n_versions, deleted, created_by) "
_NEXT = "select ?, coalesce(max(number), 0) + 1, ?, ?, ?, ?, ? from pynomaly.datasets where name = ?"
_VERSION = """
insert into pynomaly.dataset_versions
    (name, version, snapshot, columns, n_rows, n_bytes, n_quarantined, source, parent, created_by)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_DEPENDENTS = """
select child
from pynomaly.lineage
where
    list_contains(?, parent) and relation in ('read', 'trained')
    and child not in (select 'run:' || id from pynomaly.runs where status <> 'succeeded')
order by "at", child
"""
_QUARANTINE = "insert into pynomaly.quarantine select ?, ?, file, line, reason, content from"
_STILL_USED = """
select snapshot from pynomaly.live_dataset_versions union select snapshot from pynomaly.runs where snapshot is not null
"""


class Landed(msgspec.Struct, frozen=True):
    """A snapshot with what it holds, and the SELECT of the rows that it misses."""

    snapshot: str
    columns: dict[str, str]
    n_rows: int
    n_bytes: int
    n_bad: int
    bad: str | None


class Sample(msgspec.Struct, frozen=True):
    """The first rows of a source, its columns with their types, and how many of the rows read could not be.

    That is None where a file of lines goes on after them. `bad` are the first of these: line, reason and content.
    """

    rows: pa.Table
    columns: dict[str, str]
    n_bad: int | None
    bad: pa.Table | None = None


class Datasets:
    """The datasets of an engine's database."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def add(
        self, name: str, source: object, strict: bool = False, called: str | None = None, **options: Any
    ) -> Version:
        """Load a source as the next version of a dataset; the newest version where it has the same bytes.

        `source` is a file, a pattern or folder of files, a table, view, frame variable, SELECT or dataset by name, a
        frame or reader by value, or the address of what is served from elsewhere: postgresql://user@host/database and
        sqlite:///file with `table` or `query`, as an option or in the address, or s3://bucket/key. Rows that cannot be
        read go to `pynomaly.quarantine`, and with `strict` are an error. `options` belong to the kind of source:
        `sheet` and `header` of Excel, `path` of HDF5, `encoding`, `delimiter` and others of CSV; `table`, `query` and
        `timeout` (seconds of silence) of an address. `called` is what its row says that the source is. Raises a
        PynomalyError, and nothing has changed then.
        """
        _check_name(name)
        self._make_ready()
        self._engine.check_owned("dataset", name)
        is_file = isinstance(source, Path)
        source = str(source) if isinstance(source, Path) else self._nameable(source)
        with access.vouching() if is_file else contextlib.nullcontext(), self._opened(source, options) as opened:
            if is_file and called and opened.bad:  # whoever named the file for somebody else says what they call it
                opened.bad = f"select * replace ({literal(called)} as file) from ({opened.bad})"
            landed = self._land(opened, strict)
            return self._keep(name, urls.told(called or frames.called(source), options), options, landed)

    def sample(self, source: str | Path, n_rows: int = 10_000, **options: Any) -> Sample:
        """The first rows of a source with the types of its columns, as `add` would read them; nothing is kept.

        `source` and `options` are as in `add`. Raises a PynomalyError.
        """
        is_file = isinstance(source, Path)
        given = str(source) if is_file else self._nameable(source)
        with access.vouching() if is_file else contextlib.nullcontext(), self._opened(given, options) as opened:
            rows = opened.lenient or opened.rows
            found = self._guard(lambda: _first(self._reader(rows, n_rows), n_rows))
            types = self._guard(lambda: self._con.from_arrow(found).types)
            columns = dict(zip(found.column_names, map(str, types), strict=True))
            with contextlib.suppress(duckdb.CatalogException):  # DuckDB tells of them when it has read to the end
                n_bad = self._count(opened.bad)
                first = f"select line, reason, content from ({opened.bad}) order by line limit {BAD_ROWS}"
                return Sample(found, columns, n_bad, self._con.sql(first).to_arrow_table() if n_bad else None)
            return Sample(found, columns, None)

    @property
    def workspace(self) -> Path:
        """The folder beside the database; WorkspaceMissing where there is none."""
        return snapshots.folder_of(self._engine._session.workspace).parent

    def versions(self, name: str) -> list[Version]:
        """The versions of a dataset, the oldest first; UnknownDataset where there is none."""
        return list(self._guard(lambda: versions.live(self._con, name)))

    def version(self, address: str) -> Version:
        """The version that an address names; UnknownDataset where there is none."""
        found: Version | None = self._guard(lambda: versions.find(self._con, address))
        return found or self.versions(address)[-1]

    def export(self, address: str, path: str | Path, dvc: bool = False) -> None:
        """Write a version to a file, Parquet, CSV or JSON as its suffix says; `dvc` adds the pointer that DVC reads."""
        kept = snapshots.path_of(self._engine._session.workspace, self.version(address).snapshot)
        to, suffix = Path(path), Path(path).suffix.lower()
        if to.is_dir() or suffix not in (*PARQUET, *WRITTEN):
            known = ", ".join((*PARQUET, *WRITTEN))
            raise BadParameter(f"`{to}` is no file of a kind that is written", f"give one that ends in {known}")
        if not to.parent.is_dir():
            raise UnknownSource(f"folder `{to.parent}` does not exist", "create it, or write somewhere else")
        if suffix in PARQUET:
            self._guard(lambda: shutil.copyfile(kept, to))
        else:
            rows = f"from read_parquet({literal(str(kept))})"
            self._guard(lambda: self._con.execute(f"copy ({rows}) to {literal(str(to))} ({WRITTEN[suffix]})"))
        if dvc:
            pointers.write(to)

    def dependents(self, name: str) -> list[str]:
        """The runs and models that were made of a dataset, such as 'model:fraud@1'."""
        addresses = [f"dataset:{version.address}" for version in self.versions(name)]
        return [str(row[0]) for row in self._engine.execute(_DEPENDENTS, [addresses]).fetchall()]

    def remove(self, name: str, force: bool = False) -> None:
        """Remove a dataset with all its versions; DatasetInUse where runs or models depend on it, unless by force.

        Snapshots that a run or another dataset needs stay; those removed in a transaction, which may yet be undone, go
        with vacuum_catalog.
        """
        self._make_ready()
        self._engine.check_owned("dataset", name)
        gone = self.versions(name)
        if (users := self.dependents(name)) and not force:
            more = f" and {len(users) - 10} more" if len(users) > 10 else ""
            raise DatasetInUse(
                f"{', '.join(users[:10])}{more} depend on `{name}`", "remove it by force: their own rows stay"
            )
        last = gone[-1]
        with self._transaction():
            self._change(name, last.source, {}, last.version, deleted=True)
        if is_in_transaction(self._con):
            return
        used = {row[0] for row in self._engine.execute(_STILL_USED).fetchall()}
        for version in gone:
            if version.snapshot not in used:
                folder = snapshots.folder_of(self._engine._session.workspace)
                (folder / f"{version.snapshot}{snapshots.SUFFIX}").unlink(missing_ok=True)

    def share_loaded(self) -> float:
        """The share of the source that the load in another thread has read, where DuckDB's progress bar is on."""
        return max(self._con.query_progress(), 0.0) / 100

    def _reader(self, rows: str | pa.RecordBatchReader, n_rows: int) -> pa.RecordBatchReader:
        if not isinstance(rows, str):
            return rows
        self._con.execute("select 1").fetchall()  # ends the statement by which the source was looked at
        return self._con.sql(f"{rows} limit {n_rows}").to_arrow_reader(SAMPLED_AT_ONCE)

    @property
    def _con(self) -> duckdb.DuckDBPyConnection:
        return self._engine._con

    def _guard(self, action: Any) -> Any:
        return self._engine._guard(action)

    def _make_ready(self) -> None:
        """Raise what would be in the way of a change."""
        if self._engine._session.read_only:
            raise ReadOnlyDatabase("the database is open read-only", "open it without read_only")
        snapshots.folder_of(self._engine._session.workspace)
        self._guard(lambda: migrate(self._con))

    def _nameable(self, source: object) -> object:
        """The source itself, or the statement that runs for it, where the user may name it; AccessDenied elsewhere."""
        if self._engine._user is None or access.is_vouched() or not isinstance(source, str):
            return source
        if is_statement(source):
            return self._engine.checked(source).sql
        if opener(source) is not None:
            raise AccessDenied("files and addresses cannot be named here", "upload the file")
        return source

    @contextlib.contextmanager
    def _opened(self, source: object, options: dict[str, Any]) -> Iterator[Opened]:
        """The rows of a source; a reader by value is read as it comes."""
        if isinstance(source, pa.RecordBatchReader):
            yield Opened(source)
            return
        found = opener(source) if isinstance(source, str) and not is_statement(source) else None
        if found is None:
            with self._selected(source, options) as opened:
                yield opened
            return
        scratch = self._engine._session.scratch()
        with tempfile.TemporaryDirectory(prefix="pynomaly-", dir=scratch) as folder, contextlib.ExitStack() as stack:
            address = str(source)
            asked = Asked(
                urls.shown(address), options, self._con, Path(folder), address, lambda: bool(self._engine._stop[0])
            )
            yield self._guard(lambda: stack.enter_context(found(asked)))

    @contextlib.contextmanager
    def _selected(self, source: object, options: dict[str, Any]) -> Iterator[Opened]:
        """The rows of what the database reads by itself."""
        if options:
            raise BadParameter(f"`{next(iter(options))}` is no option of this source", "leave it out")
        if isinstance(source, str) and is_statement(source):
            yield Opened(
                f"from ({self._guard(lambda: _only_statement(self._con, source))}\n)"
            )  # it may end in a comment
            return
        if isinstance(source, str) and "://" in source:
            raise UnknownSource(
                f"`{urls.shown(source)}` begins with no scheme that is known", "give a file, a table or a frame"
            )
        with self._engine._as_name(source) as name:
            relation = self._guard(lambda: self._engine._session.relation(name))
            yield Opened(f"from {relation}")

    def _land(self, opened: Opened, strict: bool) -> Landed:
        """Write the rows as a snapshot."""
        n_bad = 0

        def accept(path: Path) -> None:
            nonlocal n_bad
            n_bad = self._count(opened.bad) if opened.rows == opened.lenient or opened.lenient is None else 0
            kept = f"from read_parquet({literal(str(path))})"
            is_misread = n_bad > self._count(kept) and len(self._con.execute(f"describe {kept}").fetchall()) == 1
            if n_bad and (strict or is_misread or not self._count(kept)):
                raise _malformed(
                    n_bad, self._con.execute(f"{opened.bad} order by all limit {SHOWN}").fetchall(), strict
                )

        name = self._written(opened, accept)
        path = snapshots.path_of(self._engine._session.workspace, name)
        rows = f"from read_parquet({literal(str(path))})"
        described = self._con.execute(f"describe {rows}").fetchall()
        columns = {str(row[0]): str(row[1]) for row in described}
        return Landed(name, columns, self._count(rows), path.stat().st_size, n_bad, opened.bad)

    def _count(self, select: str | None) -> int:
        return int(self._con.execute(f"select count(*) from ({select})").fetchall()[0][0]) if select else 0

    def _written(self, opened: Opened, accept: Callable[[Path], None]) -> str:
        """Write the snapshot, once more without the bad rows where there are such, and return its name."""

        def write() -> str:
            with self._loading(opened) as select:
                return snapshots.write(self._con, select, self._engine._session.workspace, accept)

        if opened.lenient is not None and is_in_transaction(self._con):  # which a failure would undo
            opened.rows, opened.lenient = opened.lenient, None
        try:
            return self._engine._ask(opened.rows if isinstance(opened.rows, str) else "", write)
        except SourceUnreadable:
            if opened.lenient is None or opened.rows == opened.lenient:
                raise
        opened.rows = opened.lenient
        return self._engine._ask(opened.rows, write)

    @contextlib.contextmanager
    def _loading(self, opened: Opened) -> Iterator[str]:
        """The SELECT of the rows, which counts them while they pass."""
        load, session = uuid.uuid4().hex, self._engine._session
        self._engine._progress = session.runs[load] = Progress(n_all=opened.n_bytes)
        select = opened.rows if isinstance(opened.rows, str) else f"from {ROWS}"
        if not isinstance(opened.rows, str):
            self._con.register(ROWS, opened.rows)
        try:
            yield f"{select} where _loaded({literal(load)})"
        finally:
            self._engine._progress = None
            session.runs.pop(load, None)
            if not isinstance(opened.rows, str):
                self._con.unregister(ROWS)

    def _keep(self, name: str, source: str, options: dict[str, Any], landed: Landed) -> Version:
        """The version of what was loaded: a new row, unless the newest has these bytes."""
        newest: Version | None = self._guard(lambda: versions.find(self._con, name))
        if newest is not None and (newest.snapshot, newest.n_quarantined) == (landed.snapshot, landed.n_bad):
            return newest
        count = "select coalesce(max(version), 0) + 1 from pynomaly.dataset_versions where name = ?"
        number = int(self._engine.execute(count, [name]).fetchall()[0][0])
        who = self._engine.who()
        row = [name, number, landed.snapshot, msgspec.json.encode(landed.columns).decode(), landed.n_rows]
        row += [landed.n_bytes, landed.n_bad, source, newest.version if newest else None, who]
        with self._transaction():
            if newest is None or newest.source != source:
                self._change(name, source, options, number)
            self._engine.execute(_VERSION, row).fetchall()
            if landed.n_bad:
                self._engine.execute(f"{_QUARANTINE} ({landed.bad})", [name, number]).fetchall()
        return self.version(f"{name}@{number}")

    def _change(self, name: str, source: str, options: dict[str, Any], n: int, deleted: bool = False) -> None:
        said = without_passwords(msgspec.json.encode(options, enc_hook=str).decode())
        values = [name, source, said, n, deleted, self._engine.who(), name]
        self._engine.execute(_DATASET + _NEXT, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """A block that is written whole or not at all; in the caller's transaction where one is open."""
        if is_in_transaction(self._con):
            yield
            return
        self._engine.execute("begin").fetchall()
        try:
            yield
            self._engine.execute("commit").fetchall()
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                self._con.execute("rollback")
            raise


def _first(reader: pa.RecordBatchReader, n_rows: int) -> pa.Table:
    """The first rows of a reader, fewer where they are very long."""
    found: list[pa.RecordBatch] = []
    n_bytes = 0
    with reader:
        for batch in reader:
            found.append(batch)
            n_bytes += batch.nbytes
            if sum(map(len, found)) >= n_rows or n_bytes > SAMPLED_BYTES:
                break
    return pa.Table.from_batches(found, reader.schema).slice(0, n_rows)


def _only_statement(con: duckdb.DuckDBPyConnection, source: str) -> str:
    """The one SELECT that a source is; BadParameter where another statement follows."""
    found = con.extract_statements(source)
    if len(found) != 1:
        raise BadParameter(f"the source is {len(found)} statements", "give one SELECT")
    return re.sub(r"[\s;]+$", "", found[0].query)


def _check_name(name: object) -> None:
    """Refuse a name that could not be told from another source."""
    if not isinstance(name, str) or not name.strip() or name != name.strip():
        raise BadParameter(f"the name of the dataset is {name!r}", "give a name to find it by")
    is_file = name.lower().endswith(DATA_SUFFIXES) or any(sign in name for sign in "@/\\'\"")
    if is_file or is_statement(name) or versions.is_address(name) or ":" in name:
        raise BadParameter(f"`{name}` reads like another source than a dataset", "give a name of letters and digits")


def _malformed(n_bad: int, rows: list[tuple[Any, ...]], strict: bool) -> RowsMalformed | SourceUnreadable:
    shown = "; ".join(f"{file} line {line}: {reason}" for file, line, reason, _ in rows)
    what = f"{n_bad:,} row{'s' if n_bad > 1 else ''} cannot be read ({shown}{'; ...' if n_bad > len(rows) else ''})"
    if strict:
        return RowsMalformed(what, "correct them, or load without strict: they go to pynomaly.quarantine")
    return SourceUnreadable(f"{what}, and hardly another can", "check its `encoding`, `delimiter`, and lines to `skip`")
