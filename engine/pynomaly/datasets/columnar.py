"""Parquet, one file, many or a folder of partitions, and Arrow IPC."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from pynomaly.datasets.files import paths, size
from pynomaly.datasets.opened import Asked, Opened
from pynomaly.errors import SourceUnreadable, UnknownSource
from pynomaly.quoting import literal
from pynomaly.source import first_line

BATCH_ROWS = 65_536
ROWS_OF_A_BYTE = 1_000_000  # more of them in a file are a bomb
_SIZES = """
select max(row_group_bytes), sum(num_values) filter (column_id = 0)
from parquet_metadata({files})
"""
_LIMIT = "select current_setting('memory_limit')"


@contextmanager
def parquet(asked: Asked) -> Iterator[Opened]:
    """Parquet; the names and values in the paths of partitions become columns."""
    asked.known()
    yield _parquet(asked, paths(asked.source))


@contextmanager
def folder(asked: Asked) -> Iterator[Opened]:
    """A folder of Parquet files, which may be partitioned."""
    asked.known()
    found = sorted(str(path) for path in Path(asked.source).rglob("*.parquet") if path.is_file())
    if not found:
        raise UnknownSource(
            f"`{asked.source}` is a folder without Parquet files",
            f"name its files, such as '{asked.source.rstrip('/')}/*.csv'",
        )
    yield _parquet(asked, found)


def _parquet(asked: Asked, files: list[str]) -> Opened:
    select = f"from read_parquet({literal(files)}, union_by_name = {literal(len(files) > 1)})"
    try:
        _refuse_bomb(asked, files)
        asked.con.execute(f"describe {select}")
    except duckdb.Error as error:
        raise SourceUnreadable(f"`{asked.source}` cannot be read: {first_line(error)}", "check the file") from None
    return Opened(select, size(files))


def _refuse_bomb(asked: Asked, files: list[str]) -> None:
    """Refuse a small file that is a huge table: what a row group needs, and how many rows a byte stands for."""
    largest, n_rows = asked.con.execute(_SIZES.format(files=literal(files))).fetchall()[0]
    allowed = _bytes(asked.con.execute(_LIMIT).fetchall()[0][0])
    if (largest or 0) > allowed or (n_rows or 0) > ROWS_OF_A_BYTE * size(files):
        raise SourceUnreadable(
            f"`{asked.source}` has {size(files):,} bytes and says that it holds {n_rows or 0:,} rows, "
            f"{largest or 0:,} bytes of them in one row group",
            "raise memory_limit, or read it with read_parquet into a table where you trust it",
        )


def _bytes(text: str) -> float:
    """A size as DuckDB writes it, such as '1.5 GiB'."""
    number, unit = text.split()
    return float(number) * 1024.0 ** ("bytes", "KiB", "MiB", "GiB", "TiB").index(unit)


@contextmanager
def arrow(asked: Asked) -> Iterator[Opened]:
    """Arrow IPC, as a file or as a stream."""
    asked.known()
    files = paths(asked.source)
    try:
        reader = _reader(files)
    except (pa.ArrowException, OSError) as error:
        raise SourceUnreadable(f"`{asked.source}` cannot be read: {error}", "check the file") from None
    yield Opened(reader, size(files))


def _reader(files: list[str]) -> pa.RecordBatchReader:
    readers = [_one_reader(file) for file in files]
    schema = readers[0].schema
    if any(not reader.schema.equals(schema) for reader in readers):
        raise pa.ArrowInvalid("its files have different columns")
    batches = (_sound(batch) for reader in readers for batch in reader)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch whose offsets stay within it: others would end the process."""
    batch.validate(full=True)
    return batch


def _one_reader(file: str) -> pa.RecordBatchReader:
    mapped = pa.memory_map(file)
    if mapped.read(6) != b"ARROW1":
        mapped.seek(0)
        return pa.ipc.open_stream(mapped)
    opened = pa.ipc.open_file(mapped)
    batches = (opened.get_batch(place) for place in range(opened.num_record_batches))
    return pa.RecordBatchReader.from_batches(opened.schema, batches)
