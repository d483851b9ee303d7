"""Where an option comes from, and which telling holds."""

from pathlib import Path

import pytest

from pynomaly.errors import BadParameter
from pynomaly_server.options import Options


def told(options: Options, name: str) -> tuple[object, str]:
    return next((one.value, one.origin) for one in options.listed() if one.name == name)


def test_a_flag_goes_before_the_environment_the_file_and_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    user = tmp_path / "config" / "pynomaly"
    user.mkdir(parents=True)
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "PYNOMALY_PORT": "9001", "PYNOMALY_JOB_WORKERS": "5"}
    (user / "pynomaly.toml").write_text("[server]\nport = 9003\nhost = '::1'\nlog_level = 'debug'\n")
    Path("pynomaly.toml").write_text("database = 'team.duckdb'\n[server]\nport = 9002\nhost = '127.0.0.2'\n")
    options = Options({"port": 9000, "read_only": None}, environment)
    options.set_rows({"job_workers": 7, "query_rows": 8})
    assert told(options, "port") == (9000, "flag")
    assert told(Options({}, environment), "port") == (9001, "environment")
    assert told(options, "host") == ("127.0.0.2", "`pynomaly.toml`")
    assert told(options, "log_level") == ("debug", f"`{user / 'pynomaly.toml'}`")
    assert told(options, "database") == ("team.duckdb", "`pynomaly.toml`")
    assert told(options, "job_workers") == (5, "environment")
    assert told(options, "query_rows") == (8, "database")
    assert told(options, "query_seconds") == (30, "default")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"prot": 1}, "did you mean `port`"),
        ({"port": "many"}, "`port` cannot be set so"),
        ({"job_workers": "many"}, "sets `job_workers` to 'many'"),
        ({"allow_writing_sql": "perhaps"}, "give true or false"),
    ],
)
def test_what_cannot_be_set_is_named(flags: dict[str, object], said: str) -> None:
    with pytest.raises(BadParameter, match=said):
        Options(flags, {})


def test_a_broken_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pynomaly.toml").write_text("[server\n")
    with pytest.raises(BadParameter, match=r"`pynomaly.toml` is not TOML"):
        Options({}, {"XDG_CONFIG_HOME": str(tmp_path)})
