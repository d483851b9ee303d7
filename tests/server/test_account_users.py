"""Accounts without HTTP: API keys, users, links, and what the file holds."""

import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from msgspec.structs import replace

from pynomaly.errors import BadParameter, PynomalyError
from pynomaly_server import errors
from pynomaly_server.accounts import Accounts
from pynomaly_server.accounts.records import TABLES
from pynomaly_server.permissions import Permission
from server.accounts_help import HERE, PASSWORD, Clock, add, bearer, open_accounts, reopened, who

# API keys


def test_a_key_carries_its_scopes_as_far_as_its_user_has_them_now(accounts: Accounts) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    key, plain = accounts.make_key(ann, "ci", ["read", "detect"], None)
    expected = {Permission.READ, Permission.DETECT, Permission.PUBLIC, Permission.SIGNED_IN}
    assert who(accounts, f"Bearer {plain}").permissions == expected
    assert all(isinstance(held, Permission) for held in who(accounts, f"Bearer {plain}").permissions)
    accounts.users.change("ann", role="viewer")
    assert who(accounts, f"Bearer {plain}").permissions == expected - {Permission.DETECT}
    accounts.users.change("ann", role="admin")
    assert who(accounts, f"Bearer {plain}").permissions == expected
    assert not who(accounts, f"Bearer {plain}").sees_all
    assert [item.id for item in accounts.keys.of("ann")] == [key.id]


def test_a_key_cannot_carry_more_than_its_maker_nor_make_another(accounts: Accounts) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    for scope in ("see_all", "manage_users", "nonsense", "*"):
        with pytest.raises(errors.Forbidden):
            accounts.make_key(ann, "ci", ["read", scope], None)
    _, plain = accounts.make_key(ann, "ci", ["read"], None)
    with pytest.raises(errors.Forbidden):
        accounts.make_key(who(accounts, f"Bearer {plain}"), "more", ["read"], None)


def test_a_key_ends_when_it_is_over_revoked_or_its_user_is_out(accounts: Accounts, clock: Clock) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    _, short = accounts.make_key(ann, "short", ["read"], clock() + timedelta(days=1))
    key, long = accounts.make_key(ann, "long", ["read"], None)
    _, other = accounts.make_key(ann, "other", ["read"], None)
    clock.move(days=1)
    with pytest.raises(errors.Unauthenticated):
        accounts.identify(f"Bearer {short}", None)
    with pytest.raises(errors.UnknownKey):
        accounts.keys.revoke("root", key.id)
    accounts.keys.revoke("ann", key.id)
    with pytest.raises(errors.Unauthenticated):
        accounts.identify(f"Bearer {long}", None)
    accounts.users.change("ann", disabled=True)
    with pytest.raises(errors.Unauthenticated):
        accounts.identify(f"Bearer {other}", None)


def test_a_key_with_another_secret_is_refused(accounts: Accounts) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    key, plain = accounts.make_key(ann, "ci", ["read"], None)
    for forged in (
        plain[:-1],
        plain + "0",
        f"pyn_{key.id}_",
        f"pyn_{key.id}",
        f"pyn_{key.id}_{key.digest}",
        "pyn__",
        "pyn_\xff",
    ):
        with pytest.raises(errors.Unauthenticated):
            accounts.identify(f"Bearer {forged}", None)


def test_a_key_is_written_once_a_minute(accounts: Accounts, clock: Clock) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    _, plain = accounts.make_key(ann, "ci", ["read"], None)
    seen = set()
    for _ in range(10):
        clock.move(seconds=13)
        who(accounts, f"Bearer {plain}")
        seen.add(accounts.keys.of("ann")[0].last_used_at)
    assert len(seen) == 2


@pytest.mark.parametrize(
    "ends", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2036-02-01T00:00:00+00:00"]
)
def test_a_key_ends_when_a_calendar_can_tell(accounts: Accounts, tmp_path: Path, clock: Clock, ends: str) -> None:
    with pytest.raises(BadParameter):
        accounts.keys.make("ann", "far", ["read"], datetime.fromisoformat(ends))
    key, _ = accounts.keys.make("ann", "ci", ["read"], datetime.fromisoformat("2026-01-02T01:00:00+02:00"))
    assert key.expires_at == datetime(2026, 1, 1, 23, tzinfo=UTC)
    again = reopened(accounts, tmp_path, clock)
    assert again.keys.of("ann") == [key]
    again.close()


def test_keys_are_bounded_and_end_in_the_future(accounts: Accounts, clock: Clock) -> None:
    for _ in range(100):
        accounts.keys.make("ann", "many", ["read"], None)
    with pytest.raises(errors.TooManyKeys):
        accounts.keys.make("ann", "many", ["read"], None)
    for moment in (clock(), clock().replace(tzinfo=None) + timedelta(days=1)):
        with pytest.raises(BadParameter):
            accounts.keys.make("root", "past", ["read"], moment)


# Users and links


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        ".",
        "..",
        "-x",
        "@x",
        "a b",
        "a/b",
        "a'b",
        "a\nb",
        "a\n",
        "a\0",
        "é",
        "\u0430nn",
        "ann\u200b",
        "x" * 65,
        "\ud800",
        "a%2fb",
        "<b>",
    ],
)
def test_hostile_names_are_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(BadParameter):
        accounts.users.add(name, "user", "root")
    assert accounts.users.find(name) is None


def test_a_name_is_unique_in_any_case_and_stays_taken(accounts: Accounts) -> None:
    with pytest.raises(errors.UserExists):
        accounts.users.add("ANN", "user", "root")
    accounts.remove_user("ann")
    with pytest.raises(errors.UserExists):
        accounts.users.add("ann", "user", "root")
    with pytest.raises(errors.UnknownUser):
        accounts.users.get("ann")


@pytest.mark.parametrize("changes", [{"disabled": True}, {"role": "user"}, None])
def test_the_last_administrator_stays(accounts: Accounts, changes: dict[str, object] | None) -> None:
    def attempt() -> None:
        if changes is None:
            accounts.remove_user("root")
        else:
            accounts.users.change("root", **changes)

    accounts.users.add("invited", "admin", "root")
    add(accounts, "off", "admin")
    accounts.users.change("off", disabled=True)
    with pytest.raises(errors.LastAdministrator):
        attempt()
    add(accounts, "second", "admin")
    attempt()


def test_of_two_administrators_who_remove_each_other_one_stays(accounts: Accounts) -> None:
    add(accounts, "second", "admin")
    outcomes: list[str] = []

    def demote(name: str) -> None:
        try:
            accounts.users.change(name, role="user")
        except errors.LastAdministrator:
            outcomes.append(name)

    threads = [threading.Thread(target=demote, args=(name,)) for name in ("root", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1


def test_the_first_link_makes_the_first_administrator_once(tmp_path: Path, clock: Clock) -> None:
    fresh = open_accounts(tmp_path, clock)
    old = fresh.sign_in_link()
    token = fresh.sign_in_link()
    for bad in (old, "", "pyl_", token[:-1]):
        with pytest.raises(errors.UnknownLink):
            fresh.redeem(bad, PASSWORD, "boss")
    with pytest.raises(errors.WeakPassword):
        fresh.redeem(token, "short", "boss")
    fresh.close()
    fresh = open_accounts(tmp_path, clock)
    assert fresh.redeem(token, PASSWORD, "boss").role == "admin"
    with pytest.raises(errors.UnknownLink):
        fresh.redeem(token, PASSWORD, "other")
    with pytest.raises(errors.AdministratorExists):
        fresh.sign_in_link()
    assert fresh.sign_in("boss", PASSWORD, HERE).name == "boss"
    fresh.close()


def test_of_many_who_use_a_link_at_once_one_wins(tmp_path: Path, clock: Clock) -> None:
    fresh = open_accounts(tmp_path, clock)
    token = fresh.sign_in_link()
    made: list[str] = []

    def redeem(name: str) -> None:
        try:
            made.append(fresh.redeem(token, PASSWORD, name).name)
        except PynomalyError:
            return

    threads = [threading.Thread(target=redeem, args=(f"boss{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert [user.name for user in fresh.users.all()] == made
    fresh.close()


def test_a_link_ends_after_an_hour_and_fits_its_user_alone(accounts: Accounts, clock: Clock) -> None:
    token = accounts.user_link("ann", "root")[1]
    with pytest.raises(errors.UnknownLink):
        accounts.redeem(token, "another good one", "root")
    clock.move(hours=1)
    with pytest.raises(errors.UnknownLink):
        accounts.redeem(token, "another good one")
    token = accounts.user_link("ann", "root")[1]
    accounts.users.change("ann", disabled=True)
    with pytest.raises(errors.UnknownLink):
        accounts.redeem(token, "another good one")


def test_an_unknown_link_costs_no_argon2(accounts: Accounts) -> None:
    before = accounts.passwords.computed
    with pytest.raises(errors.UnknownLink):
        accounts.redeem("pyl_" + "0" * 64, PASSWORD)
    assert accounts.passwords.computed == before


def test_a_link_outlives_no_change_of_the_password(accounts: Accounts) -> None:
    token = accounts.user_link("ann", "root")[1]
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    accounts.change_password(ann, PASSWORD, "another good one", HERE)
    with pytest.raises(errors.UnknownLink):
        accounts.redeem(token, PASSWORD)


def test_changing_the_password_wants_the_current_one_and_counts_failures(accounts: Accounts) -> None:
    ann = who(accounts, bearer(accounts, accounts.users.get("ann")))
    for _ in range(5):
        with pytest.raises(errors.Unauthenticated):
            accounts.change_password(ann, "not the password", "another good one", HERE)
    with pytest.raises(errors.TooManyAttempts):
        accounts.change_password(ann, PASSWORD, "another good one", HERE)


# The file


def test_no_secret_is_in_the_file(accounts: Accounts, tmp_path: Path) -> None:
    user = accounts.sign_in("ann", PASSWORD, HERE)
    tokens = accounts.grant_tokens(user)
    again = accounts.sessions.refresh(tokens.refresh_token)
    session, cookie = accounts.open_console(user)
    _, key = accounts.make_key(who(accounts, f"Bearer {again.access_token}"), "ci", ["read"], None)
    _, link = accounts.user_link("ann", "root")
    csrf = accounts.sessions.csrf_token(session.id)
    told = (
        PASSWORD,
        cookie,
        key,
        link,
        csrf,
        *(text for item in (tokens, again) for text in (item.access_token, item.refresh_token)),
    )

    def written() -> bytes:
        return b"".join(path.read_bytes() for path in (tmp_path / "files").iterdir())

    before = written()
    accounts.close()
    for content in (before, written()):
        assert session.digest.encode()[:8] in content
        for text in told:
            assert text.encode() not in content
            assert text[-40:].encode() not in content


def test_only_the_owner_reads_the_file(accounts: Accounts, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "files" / "auth.duckdb").stat().st_mode) == 0o600


def test_a_file_of_another_release_is_told(accounts: Accounts, tmp_path: Path, clock: Clock) -> None:
    accounts.close()
    with duckdb.connect(str(tmp_path / "files" / "auth.duckdb")) as con:
        con.execute("insert into main.migrations values (99, 'x')")
    with pytest.raises(PynomalyError, match="migration 99"):
        open_accounts(tmp_path / "files", clock)
    with duckdb.connect(str(tmp_path / "files" / "auth.duckdb")) as con:
        con.execute("delete from main.migrations where number = 99")


def test_every_table_and_column_is_described_and_is_a_field(accounts: Accounts) -> None:
    con = accounts._store._con
    rows = con.execute(
        "select schema_name, table_name, column_name, comment from duckdb_columns() where not internal"
    ).fetchall()
    rows += con.execute(
        "select schema_name, table_name, '', comment from duckdb_tables() where not internal"
    ).fetchall()
    assert [row for row in rows if not row[3]] == []
    for kind, table in TABLES.items():
        assert {row[2] for row in rows if row[:2] == ("accounts", table) and row[2]} == set(kind.__struct_fields__)


def test_a_write_that_fails_changes_nothing_in_memory(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*records: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(accounts._store, "save", fail)
    with pytest.raises(OSError, match="full"):
        accounts.users.change("ann", role="viewer")
    assert accounts.users.get("ann").role == "user"


def test_settings_are_kept(accounts: Accounts, tmp_path: Path, clock: Clock) -> None:
    before = accounts.users.change("ann", settings={"theme": "dark", "time_zone": "Europe/Berlin"})
    again = reopened(accounts, tmp_path, clock)
    assert again.users.get("ann") == replace(before)
    again.close()
