"""What a dataset can be loaded from, and what of it is refused: every format is written by its own library."""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

import pynomaly
from pynomaly.errors import BadParameter, PynomalyError, SourceUnreadable, StorageFull, UnknownSource

TABLE = pa.table(
    {"id": pa.array(range(40)), "amount": [i * 7 % 23 / 2 for i in range(40)], "text": ["caf\xe9", "a,b"] * 20}
)
ROWS = TABLE.to_pylist()


def loaded(db: pynomaly.Engine, source: object, **options: Any) -> list[dict[str, Any]]:
    """The rows of a new dataset that was loaded from a source."""
    version = db.datasets.add("d", source, **options)
    rows: list[dict[str, Any]] = pq.read_table(f"team.duckdb.files/snapshots/{version.snapshot}.parquet").to_pylist()
    assert len(rows) == version.n_rows
    return rows


def written(path: str) -> str:
    """A file with TABLE in the format of its suffix."""
    match Path(path).suffix:
        case ".csv":
            pa_csv.write_csv(TABLE, path)
        case ".tsv":
            TABLE.to_pandas().to_csv(path, sep="\t", index=False)
        case ".gz":
            TABLE.to_pandas().to_csv(path, index=False)
        case ".json":
            TABLE.to_pandas().to_json(path, orient="records", force_ascii=False)
        case ".ndjson" | ".jsonl":
            pl.from_arrow(TABLE).write_ndjson(path)  # type: ignore[union-attr]
        case ".parquet":
            pq.write_table(TABLE, path)
        case ".arrow":
            with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, TABLE.schema) as writer:
                writer.write_table(TABLE, max_chunksize=7)
        case ".arrows":
            with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, TABLE.schema) as writer:
                writer.write_table(TABLE, max_chunksize=7)
        case ".feather":
            pl.from_arrow(TABLE).write_ipc(path, compat_level=pl.CompatLevel.oldest())  # type: ignore[union-attr]
    return path


@pytest.mark.parametrize(
    "name",
    ["a.csv", "a.tsv", "a.csv.gz", "a.json", "a.ndjson", "a.jsonl", "a.parquet", "a.arrow", "a.arrows", "a.feather"],
)
def test_a_file_of_every_format_loads(db: pynomaly.Engine, name: str) -> None:
    assert loaded(db, written(name)) == ROWS
    assert loaded(db, Path(name).resolve()) == ROWS


def test_values_of_every_kind_load(db: pynomaly.Engine) -> None:
    db.execute("create table t as from read_json(?)", [written("a.json")])
    db.execute("create temp view v as from t")
    for source in (
        TABLE, pl.DataFrame(TABLE), pl.LazyFrame(TABLE.to_pydict()), TABLE.to_pandas(), TABLE.to_reader(),
        TABLE.to_batches()[0], ROWS, "t", "main.t", "v", "from t order by id", " select * from t;", "TABLE",
    ):  # fmt: skip
        assert loaded(db, source) == ROWS
    assert len(db.datasets.versions("d")) == 1


def test_many_files_and_partitions(db: pynomaly.Engine) -> None:
    for place in range(3):
        pq.write_table(TABLE.slice(place * 10, 10), f"part{place}.parquet")
        pa_csv.write_csv(TABLE.slice(place * 10, 10), f"part{place}.csv")
    assert loaded(db, "part*.parquet") == ROWS[:30]
    assert loaded(db, "part*.csv") == ROWS[:30]
    db.execute(
        "copy (select range as x, range % 3 as y, 'a b' as z from range(9)) "
        "to 'tree' (format parquet, partition_by (y, z))"
    )
    for source in ("tree", "tree/**/*.parquet", "tree/"):
        rows = loaded(db, source)
        assert sorted((row["x"], row["y"], row["z"]) for row in rows) == [(x, x % 3, "a b") for x in range(9)]


def test_a_reader_streams(db: pynomaly.Engine) -> None:
    seen = []

    def batches() -> Iterator[pa.RecordBatch]:
        for place in range(20):
            seen.append(place)
            yield pa.record_batch({"x": np.full(1000, float(place))})

    reader = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.float64())]), batches())
    assert len(loaded(db, reader)) == 20_000
    assert len(seen) == 20


def test_a_reader_that_fails_leaves_nothing(db: pynomaly.Engine) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"x": np.ones(200_000)})
        raise OSError("the line went dead")

    with pytest.raises(PynomalyError, match="the line went dead"):
        db.datasets.add("d", pa.RecordBatchReader.from_batches(pa.schema([("x", pa.float64())]), batches()))
    nothing_changed(db)


def nothing_changed(db: pynomaly.Engine) -> None:
    assert db.execute("from datasets()").fetchall() == []
    folder = Path("team.duckdb.files/snapshots")
    assert not folder.exists() or list(folder.iterdir()) == []


def test_excel(db: pynomaly.Engine) -> None:
    pytest.importorskip("fastexcel")
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active.append(["nothing", "here"])
    sheet = book.create_sheet("Pay")
    for row in (["at", "amount", "who"], [dt.datetime(2026, 3, 1, 9, 30), 1.5, "a"], [], [None, 2, None]):
        sheet.append(row)
    book.create_sheet("Empty")
    book.save("book.xlsx")
    expected = [
        {"at": dt.datetime(2026, 3, 1, 9, 30), "amount": 1.5, "who": "a"},
        {"at": None, "amount": 2.0, "who": None},
    ]
    assert loaded(db, "book.xlsx", sheet="Pay") == expected
    assert loaded(db, "book.xlsx", sheet=2) == expected
    with pytest.raises(BadParameter, match="name one with `sheet`: `Notes`, `Pay`"):
        db.datasets.add("d", "book.xlsx")
    with pytest.raises(BadParameter, match="no sheet 'Pya'; did you mean `Pay`"):
        db.datasets.add("d", "book.xlsx", sheet="Pya")
    with pytest.raises(SourceUnreadable, match="empty"):
        db.datasets.add("d", "book.xlsx", sheet="Empty")
    Path("no.xlsx").write_bytes(b"PK\x03\x04 not a workbook")
    with pytest.raises(SourceUnreadable, match=r"no\.xlsx"):
        db.datasets.add("d", "no.xlsx")


def test_hdf5(db: pynomaly.Engine) -> None:
    h5py = pytest.importorskip("h5py")
    records = np.array([(1, 2.5), (2, 3.5)], dtype=[("id", ">i4"), ("amount", "<f8")])
    with h5py.File("a.h5", "w") as file:
        file["table"] = records
        file["grid"] = np.arange(12.0).reshape(4, 3)
        file["group/x"] = np.arange(5)
        file["group/name"] = ["a", "b", "c", "d", "\xe9"]
        file["group/on"] = np.array([True, False] * 2 + [True])
    assert loaded(db, "a.h5", path="table") == [{"id": 1, "amount": 2.5}, {"id": 2, "amount": 3.5}]
    assert loaded(db, "a.h5", path="grid")[1] == {"x0": 3.0, "x1": 4.0, "x2": 5.0}
    assert loaded(db, "a.h5", path="/group")[4] == {"x": 4, "name": "\xe9", "on": True}
    with pytest.raises(BadParameter, match="`group/name`"):
        db.datasets.add("d", "a.h5")
    with pytest.raises(BadParameter, match="did you mean `grid`"):
        db.datasets.add("d", "a.h5", path="grdi")
    Path("no.h5").write_bytes(b"no")
    with pytest.raises(SourceUnreadable, match=r"no\.h5"):
        db.datasets.add("d", "no.h5")


def test_a_package_that_is_missing_is_told(db: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    Path("a.h5").write_bytes(b"no")
    with pytest.raises(PynomalyError, match=r"package_missing.*pynomaly\[sources\]"):
        db.datasets.add("d", "a.h5")


def test_json_lines_that_do_not_parse(db: pynomaly.Engine) -> None:
    lines = [b'{"a": 1, "b": "x"}', b'{"a": 2', b"", b"[1]", b'{"a": "\xff"}', b'{"a": 3, "b": null}']
    Path("a.ndjson").write_bytes(b"\n".join(lines))
    version = db.datasets.add("d", "a.ndjson")
    assert (version.n_rows, version.n_quarantined) == (2, 3)
    bad = db.execute("select line, reason from pynomaly.quarantine order by line").fetchall()
    assert [line for line, _ in bad] == [2, 4, 5]
    assert bad[1][1] == "the line is no JSON object"


@pytest.mark.parametrize("text", ['[{"a": 1}, {"a": ]', '{"a":\n1', "nonsense"])
def test_json_that_is_broken(db: pynomaly.Engine, text: str) -> None:
    Path("a.json").write_text(text, encoding="utf-8")
    with pytest.raises(SourceUnreadable, match=r"a\.json"):
        db.datasets.add("d", "a.json")
    nothing_changed(db)


def test_a_title_above_the_header_is_skipped(db: pynomaly.Engine) -> None:
    title, rows = "Report of today\n\na,b\n", "1,2\n" * 30_000
    for text, n_bad in ((rows, 0), (rows + "3\n", 1)):
        Path("a.csv").write_text(title + text, encoding="utf-8")
        version = db.datasets.add("d", "a.csv")
        assert (list(version.columns), version.n_rows, version.n_quarantined) == (["a", "b"], 30_000, n_bad)
    Path("a.csv").write_text(title + "1,2\n" * 30 + "3\n", encoding="utf-8")
    with pytest.raises(SourceUnreadable, match="lines to `skip`"):
        db.datasets.add("d", "a.csv")
    version = db.datasets.add("d", "a.csv", skip=2)
    assert (list(version.columns), version.n_rows, version.n_quarantined) == (["a", "b"], 30, 1)


def test_no_table_is_left_behind(db: pynomaly.Engine) -> None:
    Path("a.csv").write_text("a,b\n" + "1,2\n" * 30 + "3\n", encoding="utf-8")
    assert db.datasets.add("d", "a.csv").n_quarantined == 1
    assert db.execute("select table_name from duckdb_tables() where temporary").fetchall() == []


def test_every_kind_of_file_is_written(db: pynomaly.Engine) -> None:
    db.datasets.add("d", TABLE)
    for name in ("a.csv", "a.tsv", "a.json", "a.jsonl", "a.ndjson", "a.parquet"):
        db.datasets.export("d", name)
        assert loaded(db, name) == ROWS
    for path, told in ((".", "no file of a kind"), ("a.doc", r"ends in \.parquet"), ("no/a.csv", "does not exist")):
        with pytest.raises(PynomalyError, match=told):
            db.datasets.export("d", path)


def test_types_that_change_after_the_first_rows(db: pynomaly.Engine) -> None:
    Path("a.csv").write_text("a,b\n" + "1,2\n" * 60_000 + "x,2\n", encoding="utf-8")
    version = db.datasets.add("d", "a.csv")
    assert (version.n_rows, version.n_quarantined) == (60_000, 1)
    Path("b.ndjson").write_text('{"a": 1}\n' * 60_000 + '{"a": "x", "c": [1]}\n', encoding="utf-8")
    assert db.datasets.add("e", "b.ndjson").columns["a"] in ("VARCHAR", "JSON")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(db: pynomaly.Engine, encoding: str) -> None:
    Path("a.csv").write_bytes("who,n\ncaf\xe9,1\nb,2\n".encode(encoding))
    options = {"encoding": "latin-1"} if encoding == "latin-1" else {}
    assert loaded(db, "a.csv", **options) == [{"who": "caf\xe9", "n": 1}, {"who": "b", "n": 2}]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.csv", b"", "is empty"),
        ("a.ndjson", b"", "is empty"),
        ("a.csv", bytes(range(256)) * 50, "cannot be read"),
        ("a.parquet", b"", "cannot be read"),
        ("a.parquet", b"PAR1 broken PAR1", "cannot be read"),
        ("a.arrow", b"ARROW1 broken", "cannot be read"),
        ("a.arrow", b"", "cannot be read"),
    ],
)
def test_files_that_hold_nothing_readable(db: pynomaly.Engine, name: str, data: bytes, told: str) -> None:
    Path(name).write_bytes(data)
    with pytest.raises(SourceUnreadable, match=told):
        db.datasets.add("d", name)
    nothing_changed(db)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nothing.csv", "does not exist"),
        ("nothing*.csv", "no file matches"),
        ("folder", "without Parquet files"),
        ("ftp://host/a.csv", "no scheme"),
        ("not_there", "not found"),
    ],
)
def test_sources_that_are_not_there(db: pynomaly.Engine, source: str, told: str) -> None:
    Path("folder").mkdir()
    with pytest.raises(UnknownSource, match=told):
        db.datasets.add("d", source)
    nothing_changed(db)


def test_an_option_of_another_format_is_refused(db: pynomaly.Engine) -> None:
    for source in (written("a.csv"), written("a.parquet"), "select 1", TABLE):
        with pytest.raises(BadParameter, match="`sheet` is no option"):
            db.datasets.add("d", source, sheet="x")


def test_a_header_alone_is_a_version_without_rows(db: pynomaly.Engine) -> None:
    Path("a.csv").write_text("a,b\n", encoding="utf-8")
    assert loaded(db, "a.csv") == []


def test_a_parquet_bomb_is_refused(db: pynomaly.Engine) -> None:
    db.execute("set memory_limit = '100MB'")
    column = pa.array(["x" * 100_000] * 2000)
    pq.write_table(
        pa.table({"x": column}), "bomb.parquet", compression="zstd", use_dictionary=False, row_group_size=2000
    )
    assert Path("bomb.parquet").stat().st_size < 1_000_000
    with pytest.raises(SourceUnreadable, match="raise memory_limit"):
        db.datasets.add("d", "bomb.parquet")
    nothing_changed(db)


def test_a_file_that_vanishes_meanwhile(db: pynomaly.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from pynomaly import snapshots

    write = snapshots.write

    def late(*given: Any) -> str:
        Path("a.csv").unlink()
        return write(*given)

    monkeypatch.setattr(snapshots, "write", late)
    with pytest.raises(UnknownSource, match=r"`a\.csv` does not exist"):
        db.datasets.add("d", written("a.csv"))
    nothing_changed(db)


FULL = """
import resource, pynomaly
with pynomaly.connect("team.duckdb") as db:
    db.datasets.add("before", "from range(9)")
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
    try:
        db.datasets.add("d", "select random() as x from range(3_000_000)")
    except pynomaly.PynomalyError as error:
        print(error.code)
    print(db.execute("select name, version from datasets()").fetchall())
"""


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["storage_full", "[('before', 1)]"]
    assert len(list(Path(tmp_path, "team.duckdb.files/snapshots").iterdir())) == 1


def test_a_small_disk_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a disk takes rights that are not here")
    try:
        with pynomaly.connect(workspace=disk / "work") as db:
            before = db.datasets.add("before", "from range(9)")
            with pytest.raises(StorageFull, match=r"storage_full\] Could not write file .*No space left"):
                db.datasets.add("d", "select random() as x from range(3_000_000)")
            assert [path.stem for path in Path(disk / "work" / "snapshots").iterdir()] == [before.snapshot]
            assert db.execute("select name from datasets()").fetchall() == [("before",)]
            assert db.datasets.add("after", "from range(10)").n_rows == 10
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_pointer_of_dvc_is_written_and_read(db: pynomaly.Engine, tmp_path: Path) -> None:
    first = db.datasets.add("d", TABLE)
    db.datasets.export("d@1", "data file.parquet", dvc=True)
    assert db.datasets.add("again", "data file.parquet.dvc").snapshot == first.snapshot
    Path("data file.parquet").write_bytes(b"changed")
    with pytest.raises(SourceUnreadable, match="is not the file"):
        db.datasets.add("again", "data file.parquet.dvc")
    Path("data file.parquet").unlink()
    with pytest.raises(UnknownSource, match="dvc pull"):
        db.datasets.add("again", "data file.parquet.dvc")
    Path("no.csv.dvc").write_text("outs: nothing", encoding="utf-8")
    with pytest.raises(SourceUnreadable, match="points at no single file"):
        db.datasets.add("again", "no.csv.dvc")


@pytest.mark.slow
def test_dvc_itself_agrees_on_the_pointer(db: pynomaly.Engine) -> None:
    dvc = os.environ.get("PYNOMALY_TEST_DVC") or shutil.which("dvc")
    if dvc is None:
        pytest.skip("dvc is not here: install it in an environment of its own and set PYNOMALY_TEST_DVC")

    def run(*arguments: str) -> str:
        return subprocess.run([dvc, *arguments], capture_output=True, text=True, check=True).stdout

    run("init", "--no-scm")
    db.datasets.add("d", TABLE)
    db.datasets.export("d", "data.parquet", dvc=True)
    ours = Path("data.parquet.dvc").read_text(encoding="utf-8")
    run("add", "data.parquet")
    assert Path("data.parquet.dvc").read_text(encoding="utf-8") == ours
    assert json.loads(run("status", "--json")) == {}
    Path("data.parquet").unlink()
    assert db.datasets.add("again", "data.parquet.dvc").n_rows == 40  # from the cache
    run("checkout")
    assert Path("data.parquet").is_file()
