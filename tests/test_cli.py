"""The command line: most commands run in this process through `main`, those about the process itself in their own."""

import json
import os
import signal
import subprocess
import sys
import time
from io import BytesIO, TextIOWrapper
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pynomaly import connect
from pynomaly.cli import main
from pynomaly.cli.settings import Common, resolve, split

N_ROWS = 200
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with one CSV, and no settings from outside."""
    for name in [name for name in os.environ if name.startswith("PYNOMALY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    write_payments(Path("payments.csv"))
    return tmp_path


def write_payments(path: Path) -> None:
    """Amounts and fees on a small cycle, with one row far off in each."""
    lines = [f"p{i:03},{40 + i * 7 % 23},{1 + i % 5 / 10},{'AB'[i % 2]}" for i in range(N_ROWS)]
    lines[17] = "p017,4999,1.2,A"
    path.write_text("id,amount,fee,country\n" + "\n".join(lines) + "\n", encoding="utf-8")


def command(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "pynomaly", *arguments], input=stdin, capture_output=True, check=False)


def give_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(data), encoding="utf-8"))


def test_alone_prints_help(capsys: Captured) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert all(verb in printed for verb in ("detect", "sql", "algorithms", "quickstart", "doctor", "Exit codes"))


def test_version(capsys: Captured) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.1.0"


def test_detect_shows_the_most_anomalous_row_first_with_reasons(capsys: Captured) -> None:
    assert main(["detect", "payments.csv", "--rows", "2"]) == 0
    shown = capsys.readouterr()
    first = shown.out.splitlines()[3]
    assert "p017" in first
    assert "amount: 4999, expected 41 to 61" in first
    assert f"of {N_ROWS} rows flagged" in shown.err
    assert "left out: `id`" in shown.err
    assert "\x1b" not in shown.out + shown.err


def test_quiet_and_verbose(capsys: Captured) -> None:
    assert main(["detect", "payments.csv", "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["detect", "payments.csv", "-v", "--seed", "3"]) == 0
    told = capsys.readouterr().err
    assert "seed: 3" in told
    assert "columns: amount, fee, country" in told
    assert "sql: select * from detect_anomalies('./payments.csv', explain := 3, seed := 3)" in told


@pytest.mark.parametrize("format_", ["json", "jsonl", "csv", "parquet", "arrow"])
def test_every_format_holds_all_rows(format_: str) -> None:
    assert main(["detect", "payments.csv", "--output", f"scored.{format_}", "--explain", "1", "-q"]) == 0
    if format_ == "arrow":
        ids = pa.ipc.open_file(f"scored.{format_}").read_all()["id"].to_pylist()
    else:
        ids = [row[0] for row in duckdb.execute(f"select id from 'scored.{format_}'").fetchall()]
    assert sorted(ids) == [f"p{i:03}" for i in range(N_ROWS)]
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_binary_formats_go_through_a_pipe(format_: str) -> None:
    done = command("detect", "payments.csv", "--format", format_)
    table = pq.read_table(BytesIO(done.stdout)) if format_ == "parquet" else pa.ipc.open_stream(done.stdout).read_all()
    assert table.num_rows == N_ROWS
    assert table.column_names[-3:] == ["anomaly_score", "is_anomaly", "reasons"]


def test_reasons_come_with_tables_only_unless_asked_for(capsys: Captured) -> None:
    assert main(["detect", "payments.csv", "--json", "-q"]) == 0
    assert all(row["reasons"] == [] for row in json.loads(capsys.readouterr().out))
    assert main(["detect", "payments.csv", "--json", "-q", "--explain", "2", "--top-k", "1"]) == 0
    (flagged,) = [row for row in json.loads(capsys.readouterr().out) if row["is_anomaly"]]
    assert flagged["id"] == "p017"
    assert flagged["reasons"][0]["feature"] == "amount"


def test_options_reach_the_macro(capsys: Captured) -> None:
    given = ["--features", "amount,fee", "--features", "country", "--algorithm", "knn", "--contamination", "0.02"]
    given += ["--key", "id", "--sample-rows", "100", "--seed", "5", "--parameters", '{"n_neighbors": 3}']
    assert main(["detect", "payments.csv", "--dry-run", "--format", "csv", *given]) == 0
    assert capsys.readouterr().out == (
        "select * from detect_anomalies('./payments.csv', algorithm := 'knn', "
        "features := ['amount', 'fee', 'country'], key := ['id'], contamination := 0.02, sample_rows := 100, "
        "seed := 5, parameters := {'n_neighbors': 3});\n"
    )


@pytest.mark.parametrize("written", [["--rows", "5"], ["--format", "csv"]])
def test_the_sql_of_a_dry_run_gives_the_same_rows(capsys: Captured, written: list[str]) -> None:
    assert main(["detect", "payments.csv", "-q", *written]) == 0
    rows = capsys.readouterr().out
    assert main(["detect", "payments.csv", "--dry-run", *written]) == 0
    statement = capsys.readouterr().out
    assert main(["sql", statement, *written]) == 0
    assert capsys.readouterr().out.split() == rows.split()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["detect"], 2, "[bad_parameter]"),
        (["detect", "payments.csv", "--bogus"], 2, "unknown option"),
        (["detect", "payments.csv", "--format", "xml"], 2, "choose from"),
        (["detect", "payments.csv", "--contamination", "0.9"], 2, "up to 0.5"),
        (["detect", "payments.csv", "--top-k", "3", "--threshold", "1"], 2, "two cut-offs"),
        (["detect", "payments.csv", "--parameters", "{x}"], 2, "not a JSON object"),
        (["detect", "payments.csv", "--json", "--format", "csv"], 2, "two formats"),
        (["detect", "payments.csv", "--rows", "0"], 2, "whole number from 1"),
        (["detect", "payments.csv", "--output", "scored.xls"], 2, "names no format"),
        (["detect", "-", "--dry-run"], 2, "save it to a file"),
        (["detect", "payments.cvs"], 3, "did you mean `payments.csv`?"),
        (["detect", "payments.csv", "--algorithm", "iforst"], 3, "did you mean `iforest`"),
        (["detect", "payments.csv", "--features", "amnt"], 3, "column `amnt` not found; did you mean `amount`?"),
        (["detect", "payments.csv", "--db", "missing.db"], 3, "database `missing.db` does not exist"),
        (["detect", "payments.csv", "--output", "missing/scored.csv"], 3, "folder `missing` does not exist"),
        (["sql", "selec 1"], 1, "[invalid_sql]"),
        (["sql", "from nowhere"], 3, "source `nowhere` not found"),
        (["sql", "-- nothing"], 2, "there is no statement"),
        (["algorithms", "knnn"], 3, "did you mean `knn`"),
        (["algorithms", "auto"], 2, "name one of them"),
        (["detekt"], 2, "detect"),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(capsys: Captured, arguments: list[str], code: int, told: str) -> None:
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("error: ")
    assert told in line
    assert line.endswith("]")


def test_debug_shows_the_traceback(capsys: Captured) -> None:
    assert main(["detect", "nowhere.csv", "--debug"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_fail_on_anomalies() -> None:
    assert main(["detect", "payments.csv", "--top-k", "1", "--fail-on-anomalies", "-q"]) == 10
    assert main(["detect", "payments.csv", "--threshold", "1e9", "--fail-on-anomalies", "-q"]) == 0


def write_broken(path: Path) -> None:
    """A CSV whose last line does not parse, far below the lines that its types are read from."""
    path.write_text("a,b\n" + "1,2\n3,4\n" * 100_000 + "x,y,z\n", encoding="utf-8")


def test_one_broken_file_does_not_stop_the_others(capsys: Captured) -> None:
    write_broken(Path("broken.csv"))
    write_payments(Path("second.csv"))
    files = ["payments.csv", "broken.csv", "missing.csv", "second.csv"]
    assert main(["detect", *files, "--output", "scored", "--format", "parquet"]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert [line.split(":")[1].strip() for line in errors] == ["broken.csv", "missing.csv"]
    assert "line 200002" in errors[0]
    assert sorted(path.name for path in Path("scored").iterdir()) == ["payments.parquet", "second.parquet"]


def test_several_files_on_standard_output(capsys: Captured) -> None:
    write_payments(Path("second.csv"))
    assert main(["detect", "payments.csv", "second.csv", "--format", "jsonl"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2 * N_ROWS
    assert "payments.csv: " in shown.err
    assert "second.csv: " in shown.err
    for format_ in ("csv", "json", "parquet", "arrow"):
        assert main(["detect", "payments.csv", "second.csv", "--format", format_]) == 2
        assert "--output FOLDER" in capsys.readouterr().err
    assert main(["detect", "payments.csv", "second.csv", "--output", "one.csv"]) == 2


def test_two_files_of_one_name_are_refused(capsys: Captured) -> None:
    Path("other").mkdir()
    write_payments(Path("other/payments.csv"))
    assert main(["detect", "payments.csv", "other/payments.csv", "--output", "scored"]) == 2
    assert "would both be written to `scored/payments.csv`" in capsys.readouterr().err


@pytest.mark.parametrize("format_", ["csv", "json", "parquet", "arrow"])
def test_a_failed_run_leaves_the_output_as_it_was(format_: str) -> None:
    write_broken(Path("broken.csv"))
    Path("kept").write_text("precious", encoding="utf-8")
    assert main(["detect", "broken.csv", "--format", format_, "--output", "kept", "-q"]) == 1
    assert Path("kept").read_text(encoding="utf-8") == "precious"
    assert {path.name for path in Path().iterdir()} == {"payments.csv", "broken.csv", "kept"}


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet", "csv.gz"])
def test_standard_input(capsys: Captured, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    duckdb.execute(f"copy (from 'payments.csv') to 'piped.{suffix}'")
    give_stdin(monkeypatch, Path(f"piped.{suffix}").read_bytes())
    assert main(["detect", "-", "--format", "jsonl", "-q", "--top-k", "1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows if row["is_anomaly"]] == ["p017"]
    assert len(rows) == N_ROWS


@pytest.mark.parametrize(("data", "told"), [(b" \n", "too_few_rows"), (b"\xff\xff\xff\xff", "source_unreadable")])
def test_standard_input_that_holds_no_rows(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, data: bytes, told: str
) -> None:
    give_stdin(monkeypatch, data)
    assert main(["detect", "-"]) == 1
    assert told in capsys.readouterr().err


def test_precedence_of_settings(folder: Path) -> None:
    assert resolve(Common(), {}).database is None
    user = folder / "config" / "pynomaly"
    user.mkdir(parents=True)
    (user / "pynomaly.toml").write_text('database = "user.db"\nseed = 1\nthreads = 1', encoding="utf-8")
    environment = {"XDG_CONFIG_HOME": str(folder / "config")}
    assert resolve(Common(), environment).database == str(user / "user.db")
    Path("pynomaly.toml").write_text('database = "local.db"\nseed = 2', encoding="utf-8")
    assert resolve(Common(), environment).database == "local.db"
    environment |= {"PYNOMALY_DB": "environment.db"}
    found = resolve(Common(), environment)
    assert (found.database, found.seed, found.threads) == ("environment.db", 2, 1)
    assert resolve(Common(db="flag.db"), environment).database == "flag.db"


@pytest.mark.parametrize(
    ("text", "told"), [("sead = 1", "did you mean `seed`"), ("seed = 'x'", "whole number"), ("a = [", "is not TOML")]
)
def test_a_wrong_settings_file_is_told(capsys: Captured, text: str, told: str) -> None:
    Path("pynomaly.toml").write_text(text, encoding="utf-8")
    assert main(["detect", "payments.csv"]) == 2
    error = capsys.readouterr().err
    assert "`pynomaly.toml`" in error
    assert told in error


def test_names_in_a_list_option() -> None:
    assert split(None) is None
    assert split(["a,b", "c"]) == ["a", "b", "c"]
    assert split(['"a,b", c']) == ["a,b", "c"]


def test_a_database_has_tables_to_detect_in(capsys: Captured) -> None:
    assert main(["sql", "--db", "work.db", "create table pay as from 'payments.csv'"]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "created the database work.db" in shown.err
    assert "done: 200 rows" in shown.err
    assert main(["detect", "pay", "--db", "work.db", "--json", "-q"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == N_ROWS
    assert main(["detect", "pai", "--db", "work.db"]) == 3
    assert "did you mean `pay`?" in capsys.readouterr().err


def test_a_locked_database(capsys: Captured) -> None:
    script = "import duckdb; held = duckdb.connect('work.db'); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        assert main(["detect", "pay", "--db", "work.db"]) == 5
        assert main(["doctor", "--db", "work.db", "-q"]) == 1
        holder.stdin.write("\n")
    assert "[database_locked]" in capsys.readouterr().err


def test_sql_runs_every_statement_and_shows_the_last(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "create table t as select ';' as a; -- one\nfrom t union all select 'x'; -- two ;"
    assert main(["sql", script, "--format", "csv"]) == 0
    assert capsys.readouterr().out == "a\n;\nx\n"
    give_stdin(monkeypatch, b"select 42 as answer")
    assert main(["sql", "-", "--format", "jsonl"]) == 0
    assert capsys.readouterr().out == '{"answer":42}\n'


def test_sql_table_says_what_it_leaves_out(capsys: Captured) -> None:
    assert main(["sql", "select i, repeat('word ', 9) as a, i + 1 as i from range(9) r(i)", "--rows", "3"]) == 0
    assert "the first 3 rows are shown" in capsys.readouterr().err
    many = ", ".join(f"{i} as column_{i}" for i in range(20))
    assert main(["sql", f"select {many}"]) == 0
    shown = capsys.readouterr()
    assert "columns are left out" in shown.err
    assert all(len(line) <= 80 for line in shown.out.splitlines())


def test_json_has_no_nan_and_no_name_twice(capsys: Captured) -> None:
    values = "'nan'::double as n, ['inf'::double, 1] as l, {'a': 'nan'::float} as s, 1 as n, 1::hugeint as h"
    assert main(["sql", f"select {values}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": None, "l": [None, 1.0], "s": {"a": None}, "n_1": 1, "h": 1}]


def test_csv_quotes_what_needs_it(capsys: Captured) -> None:
    values = "1.5 as n, null as z, '' as e, 'a,\"b\"' as q, [1, 2] as l, 'plain' as \"p,p\""
    assert main(["sql", f"select {values}", "--format", "csv"]) == 0
    assert capsys.readouterr().out == 'n,z,e,q,l,"p,p"\n1.5,,"","a,""b""","[1,2]",plain\n'


@pytest.mark.parametrize(("format_", "printed"), [("json", "[]\n"), ("jsonl", ""), ("csv", "a,b\n")])
def test_no_rows(capsys: Captured, format_: str, printed: str) -> None:
    assert main(["sql", "select 1 as a, 2 as b where false", "--format", format_]) == 0
    assert capsys.readouterr().out == printed


def test_a_cell_cannot_steer_the_terminal(capsys: Captured) -> None:
    assert main(["sql", "select chr(27) || '[31mred[/red]' as a, now() as t"]) == 0
    assert "\\x1b[31mred[/red]" in capsys.readouterr().out


def test_a_statement_sees_no_variable_of_the_program(capsys: Captured) -> None:
    assert main(["sql", "from written"]) == 3
    assert "source `written` not found" in capsys.readouterr().err


def test_algorithms(capsys: Captured) -> None:
    assert main(["algorithms", "--format", "csv"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.startswith("name,kind,family")
    assert any(line.startswith("iforest,") for line in lines)
    assert main(["algorithms"]) == 0
    assert "iforest" in capsys.readouterr().out
    assert main(["algorithms", "knn"]) == 0
    assert "largest or mean or median" in capsys.readouterr().out
    assert main(["algorithms", "knn", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["parameters"][0]["name"] == "n_neighbors"


def test_compare_ranks_by_the_label(capsys: Captured) -> None:
    write_labelled(Path("labelled.csv"))
    assert main(["compare", "labelled.csv", "-a", "knn,mad,pyod_pca", "--label", "fraud", *PCA_FAILS]) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()[3:5]] == ["knn", "mad"]
    assert "AUROC" in printed.out
    assert "pyod_pca failed: [fit_failed]" in printed.err
    assert "compared on 200 rows" in printed.err


PCA_FAILS = ("--parameters", '{"pyod_pca": {"n_components": 900}}')


def write_labelled(path: Path) -> None:
    lines = [f"{40 + i * 7 % 23 + (500 + i if i % 50 == 3 else 0)},{i % 5},{i % 50 == 3}" for i in range(N_ROWS)]
    path.write_text("amount,fee,fraud\n" + "\n".join(lines) + "\n", encoding="utf-8")


def test_compare_fails_when_every_algorithm_fails(capsys: Captured) -> None:
    assert main(["compare", "payments.csv", "-a", "pyod_pca", *PCA_FAILS]) == 1
    assert "pyod_pca failed" in capsys.readouterr().err


def test_compare_writes_every_figure(capsys: Captured) -> None:
    assert main(["compare", "payments.csv", "-a", "knn", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["algorithm"], record["n_rows"], record["auroc"], record["error"]) == ("knn", N_ROWS, None, None)
    assert record["seconds"] > 0.0


def test_compare_reads_standard_input_and_prints_its_sql(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    give_stdin(monkeypatch, Path("payments.csv").read_bytes())
    assert main(["compare", "-", "-a", "knn", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["n_rows"] == N_ROWS
    assert main(["compare", "payments.csv", "-a", "knn", "--label", "fee", "--dry-run"]) == 0
    sql = "from compare_detectors('./payments.csv', algorithms := ['knn'], label := 'fee')"
    assert capsys.readouterr().out == f"{sql} order by auroc desc nulls last;\n"
    assert main(["compare", "-", "--dry-run"]) == 2


def test_several_algorithms_in_one_score(capsys: Captured) -> None:
    assert main(["detect", "payments.csv", "-a", "knn,mad", "--combine", "max", "-k", "1", "--json"]) == 0
    printed = capsys.readouterr()
    assert [row["id"] for row in json.loads(printed.out) if row["is_anomaly"]] == ["p017"]
    assert "knn + mad (max)" in printed.err


def test_quickstart_fits_80_columns(capsys: Captured) -> None:
    assert main(["quickstart"]) == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines())
    for told in (
        "357 benign",
        "20 malignant",
        "of 377 rows flagged",
        "AUROC",
        "label := 'diagnosis'",
        "pynomaly detect",
    ):
        assert told in printed


def test_quickstart_agreement_is_that_of_scikit_learn(capsys: Captured) -> None:
    from sklearn.metrics import roc_auc_score

    import pynomaly
    from pynomaly.samples import measurements

    assert main(["quickstart", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["agreement"]
    with pynomaly.connect() as engine:
        scored = engine.detect(measurements(), label="diagnosis").pl()
    label = scored["diagnosis"] == "malignant"
    assert told["auroc"] == pytest.approx(roc_auc_score(label, scored["anomaly_score"]), abs=1e-9)
    assert told["n_flagged_malignant"] == scored.filter(label)["is_anomaly"].sum()


def test_doctor(capsys: Captured) -> None:
    assert main(["doctor", "--json"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert checks["duckdb"]["found"] == duckdb.__version__
    assert checks["kernel cache"]["ok"]
    views = "create view scored as from detect_anomalies('payments.csv'); create view plain as select 1 as one"
    assert main(["sql", "--db", "work.db", views]) == 0
    capsys.readouterr()
    assert main(["doctor", "--db", "work.db"]) == 0
    printed = capsys.readouterr().out
    assert "main.scored call" in printed
    assert "plain" not in printed


def test_the_command_imports_no_library_that_it_does_not_need() -> None:
    script = (
        "import sys; from pynomaly.cli import main; main(['detect', 'payments.csv', '-q'])\n"
        "print([name for name in ('sklearn', 'pyod', 'polars', 'matplotlib') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_ctrl_c_stops_a_query_at_once() -> None:
    endless = "select count(*) from range(100000000) a, range(1000) b where a.range % 7 = b.range % 11"
    arguments = [sys.executable, "-m", "pynomaly", "sql", endless, "--output", "counted.csv"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not list(Path().glob(".counted.csv.*")) and time.monotonic() < deadline:
            time.sleep(0.05)  # the output is opened when the query starts
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert told == "error: interrupted [interrupted]\n"
    assert [path.name for path in Path().iterdir()] == ["payments.csv"]


def test_a_closed_pipe_is_no_error() -> None:
    line = f"{sys.executable} -m pynomaly sql 'from range(3000000)' --format csv | head -n 2; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "range\n0\n0\n"
    assert done.stderr == ""


def test_colour_only_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert b"\x1b[1;31merror:" in command("detect", "missing.csv").stderr
    monkeypatch.setenv("NO_COLOR", "1")
    assert b"\x1b[1;31m" not in command("detect", "missing.csv").stderr


def test_an_output_never_replaces_its_input(capsys: Captured) -> None:
    before = Path("payments.csv").read_bytes()
    assert main(["detect", "payments.csv", "--output", "./payments.csv"]) == 2
    assert "would replace the input" in capsys.readouterr().err
    assert Path("payments.csv").read_bytes() == before


def test_the_list_of_commands_says_what_each_is_for(capsys: Captured) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert "detect       Find the anomalies in each FILE" in listed
    assert "doctor       Check the installation" in listed


def test_rows_without_a_score_are_told_once(capsys: Captured) -> None:
    Path("groups.csv").write_text("g,a\nlone,1\n" + "".join(f"many,{i % 7}\n" for i in range(30)), encoding="utf-8")
    assert main(["detect", "groups.csv", "--by", "g"]) == 0
    told = capsys.readouterr().err
    assert told.count("no score") == 2  # the rows in the verdict, the group in a note
    assert "; 1 row has no score" in told


def train_model(algorithm: str = "mad") -> list[str]:
    """A database with a table of payments and a model of it; the options that name both."""
    with connect("team.duckdb") as engine:
        engine.execute("create or replace table payments as from 'payments.csv'")
        engine.train("fraud", "payments", algorithm=algorithm, contamination=0.005)
    return ["--model", "fraud", "--db", "team.duckdb"]


def test_score_tells_what_detect_tells(capsys: Captured) -> None:
    model = train_model()
    assert main(["score", "payments", *model, "--rows", "2"]) == 0
    shown = capsys.readouterr()
    assert "p017" in shown.out.splitlines()[3]
    assert "amount: 4999, expected" in shown.out
    assert "1 of 200 rows flagged" in shown.err
    assert "shown: 2 of 200 rows" in shown.err
    assert main(["score", "payments.csv", *model, "--json", "--explain", "1"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows if row["is_anomaly"]] == ["p017"]
    assert rows[0]["reasons"][0]["feature"]


def test_score_takes_a_version_and_leads_to_exit_codes(capsys: Captured) -> None:
    model = train_model()
    train_model("hbos")
    assert main(["score", "payments", *model, "--version", "1", "--dry-run", "--format", "csv"]) == 0
    assert capsys.readouterr().out == "select * from score_anomalies('payments', 'fraud', version := 1);\n"
    assert main(["score", "payments", *model, "--version", "1", "--fail-on-anomalies", "-q", "-o", "x.parquet"]) == 10
    assert duckdb.execute("select count(*) from 'x.parquet'").fetchall() == [(200,)]
    assert main(["score", "payments", *model, "--version", "7"]) == 3
    assert "no version 7" in capsys.readouterr().err
    assert main(["score", "nowhere", *model]) == 3
    assert main(["score", "payments.csv", "--model", "fraud"]) == 3
    assert "--db" in capsys.readouterr().err
    assert main(["score", "payments", "--db", "team.duckdb"]) == 2


def test_score_of_several_files_and_of_standard_input(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    model = train_model()
    write_payments(Path("more.csv"))
    assert main(["score", "payments.csv", "more.csv", *model, "--output", "scored"]) == 0
    assert sorted(path.name for path in Path("scored").iterdir()) == ["more.csv", "payments.csv"]
    give_stdin(monkeypatch, Path("payments.csv").read_bytes())
    assert main(["score", "-", *model, "--format", "jsonl", "-q"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in lines if row["is_anomaly"]] == ["p017"]
