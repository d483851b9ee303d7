"""Datasets over HTTP: loaded, listed, paged in every format, compared, checked, shared and removed."""

import io
import re
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from server.team import Team

CSV = b"id,amount,city\n1,2.5,Bonn\n2,x,Rom\n3,4.0,\n4,-1,=Ulm\n5,,Bonn\n"
TYPES = {"amount": "DOUBLE"}
DATASETS = "/api/v1/datasets"


def upload(person: Any, content: bytes = CSV, **more: Any) -> str:
    answer = person.post(f"{DATASETS}/upload", content=content, params={"filename": "pay.csv"}, **more)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["upload_id"])


def load(person: Any, name: str, content: bytes = CSV, **more: Any) -> Any:
    return person.post(DATASETS, json={"name": name, "upload_id": upload(person, content), **more})


@pytest.fixture(scope="module")
def payments(team: Team) -> Team:
    """Ben's payments in two versions; the second has a row in quarantine."""
    assert load(team.ben, "payments").status_code == 201
    assert load(team.ben, "payments", types=TYPES).status_code == 201
    return team


def test_an_upload_becomes_a_version(payments: Team) -> None:
    answer = load(payments.ben, "payments", types=TYPES)
    told = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{DATASETS}/payments"
    assert (told["address"], told["n_rows"], told["n_quarantined"]) == ("payments@2", 4, 1)  # the same bytes again
    assert (told["source"], told["created_by"]) == ("pay.csv", "ben")
    assert told["columns"] == {"id": "BIGINT", "amount": "DOUBLE", "city": "VARCHAR"}


def test_the_list_and_one_dataset(payments: Team) -> None:
    load(payments.ben, "zoo")
    listed = payments.ben.get(DATASETS).json()
    assert [item["name"] for item in listed["items"]] == ["payments", "zoo"]
    page = payments.ben.get(DATASETS, params={"limit": 1, "sort": "-name"})
    assert [item["name"] for item in page.json()["items"]] == ["zoo"]
    following = re.fullmatch(r'<(.+)>; rel="next"', page.headers["link"])
    assert following is not None
    assert [item["name"] for item in payments.ben.get(following[1]).json()["items"]] == ["payments"]
    assert [item["name"] for item in payments.ben.get(DATASETS, params={"search": "PAY"}).json()["items"]] == [
        "payments"
    ]
    one = payments.ben.get(f"{DATASETS}/payments").json()
    assert (one["address"], one["n_versions"], one["columns"][1]) == (
        "payments@2",
        2,
        {"name": "amount", "type": "DOUBLE"},
    )


def test_versions_never_change(payments: Team) -> None:
    found = payments.ben.get(f"{DATASETS}/payments/versions").json()["items"]
    assert [(item["version"], item["n_rows"], item["columns"]["amount"]) for item in found] == [
        (2, 4, "DOUBLE"),
        (1, 5, "VARCHAR"),
    ]
    for path in ("versions/1", "profile", "rows", "rows.csv"):
        first = payments.ben.get(f"{DATASETS}/payments/{path}")
        again = payments.ben.get(f"{DATASETS}/payments/{path}", headers={"if-none-match": first.headers["etag"]})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
        assert payments.ben.get(f"{DATASETS}/payments/{path}", headers={"if-none-match": '"x"'}).status_code == 200
        assert (
            payments.cleo.get(
                f"{DATASETS}/payments/{path}", headers={"if-none-match": first.headers["etag"]}
            ).status_code
            == 404
        )
    assert payments.ben.get(f"{DATASETS}/payments/versions/9").status_code == 404
    missing = payments.ben.get(f"{DATASETS}/paymints/versions")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_dataset")


def test_rows_in_every_format(payments: Team) -> None:
    path = f"{DATASETS}/payments/rows"
    rows = [
        {"id": 1, "amount": 2.5, "city": "Bonn"},
        {"id": 3, "amount": 4.0, "city": None},
        {"id": 4, "amount": -1.0, "city": "=Ulm"},
        {"id": 5, "amount": None, "city": "Bonn"},
    ]
    assert payments.ben.get(path).json() == {"items": rows, "next_cursor": None}
    assert payments.ben.get(f"{path}.arrow").headers["content-disposition"].startswith("attachment; filename=")
    assert pa.ipc.open_stream(payments.ben.get(f"{path}.arrow").content).read_all().to_pylist() == rows
    assert parquet.read_table(io.BytesIO(payments.ben.get(f"{path}.parquet").content)).to_pylist() == rows
    text = payments.ben.get(path, headers={"accept": "text/csv"}).content
    assert csv.read_csv(io.BytesIO(text))["city"].to_pylist()[2] == "'=Ulm"
    assert csv.read_csv(io.BytesIO(payments.ben.get(f"{path}.csv?escape=false").content))["city"][2].as_py() == "=Ulm"
    assert len(payments.ben.get(f"{path}.ndjson").text.splitlines()) == 4
    assert payments.ben.get(path, headers={"accept": "image/png"}).status_code == 406
    assert len(payments.ben.get(path, params={"version": 1}).json()["items"]) == 5


def test_rows_in_pages_filtered_and_sorted(payments: Team) -> None:
    path = f"{DATASETS}/payments/rows"

    def ids(**params: Any) -> list[int]:
        found, cursor = [], None
        while True:
            told = payments.ben.get(path, params={**params, **({"cursor": cursor} if cursor else {})}).json()
            found += [item["id"] for item in told["items"]]
            if (cursor := told["next_cursor"]) is None:
                return found

    assert ids(limit=1) == ids(limit=3) == [1, 3, 4, 5]
    assert ids(limit=1, sort="-amount") == [3, 1, 4, 5]
    assert ids(sort="city,-id", limit=2) == [4, 5, 1, 3]
    assert ids(filter="amount:gt:0") == [1, 3]
    assert ids(filter=["city:eq:Bonn", "amount:known"]) == [1]
    assert ids(filter="city:null") == [3]
    assert ids(filter="city:starts:=") == ids(filter="city:contains:lm") == [4]
    assert ids(filter="city:ne:Bonn") == [3, 4]
    page = payments.ben.get(f"{path}.csv", params={"limit": 3})
    assert len(page.text.splitlines()) == 4
    assert 'rel="next"' in page.headers["link"]
    sorted_csv = payments.ben.get(f"{path}.csv", params={"sort": "-id"}).text.splitlines()
    assert [line[0] for line in sorted_csv[1:]] == ["5", "4", "3", "1"]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"filter": "amount:gt:x"}, "body_invalid"),
        ({"filter": "amount:like:1"}, "body_invalid"),
        ({"filter": "amount"}, "body_invalid"),
        ({"filter": "amnt:gt:1"}, "unknown_column"),
        ({"filter": "id:eq:1) or (1=1"}, "body_invalid"),
        ({"sort": "amnt"}, "unknown_column"),
        ({"sort": 'id" desc, (select 1)'}, "unknown_column"),
        ({"limit": 0}, "body_invalid"),
        ({"limit": 1001}, "body_invalid"),
        ({"limit": "x"}, "body_invalid"),
        ({"cursor": "x"}, "bad_cursor"),
        ({"version": -1}, "unknown_dataset"),
    ],
)
def test_what_is_wrong_with_a_page_is_told(payments: Team, params: dict[str, Any], code: str) -> None:
    answer = payments.ben.get(f"{DATASETS}/payments/rows", params=params)
    assert answer.json()["code"] == code
    assert answer.status_code in (404, 422)


def test_a_cursor_is_of_one_filter(payments: Team) -> None:
    path = f"{DATASETS}/payments/rows"
    cursor = payments.ben.get(path, params={"limit": 1}).json()["next_cursor"]
    for params in ({"filter": "id:gt:1"}, {"sort": "-id"}, {"version": 1}):
        answer = payments.ben.get(path, params={**params, "cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor")


def test_the_quarantine_names_the_file_as_its_sender_did(payments: Team) -> None:
    (found,) = payments.ben.get(f"{DATASETS}/payments/quarantine").json()["items"]
    assert (found["file"], found["line"], found["content"]) == ("pay.csv", 3, "2,x,Rom")
    assert payments.ben.get(f"{DATASETS}/payments/quarantine", params={"version": 1}).json()["items"] == []
    assert "2,x,Rom" in payments.ben.get(f"{DATASETS}/payments/quarantine.csv").text


def test_profile_diff_and_validation(payments: Team) -> None:
    profile = payments.ben.get(f"{DATASETS}/payments/profile").json()["items"]
    assert [(row["column_name"], row["n_null"]) for row in profile] == [("id", 0), ("amount", 1), ("city", 1)]
    changes = payments.ben.get(f"{DATASETS}/payments/diff", params={"a": 1, "b": 2, "key": "id"}).json()["items"]
    assert {change["change"] for change in changes} >= {"type changed", "rows removed"}
    rules = [{"kind": "not_null", "column": "amount"}]
    told = payments.ben.post(f"{DATASETS}/payments/validate", json={"rules": rules}).json()
    assert (told["is_valid"], told["findings"][0]["n_failing"], told["source"]) == (False, 1, "payments@2")
    assert payments.ben.get(f"{DATASETS}/payments/rules").json()["version"] == 0
    kept = payments.ben.put(f"{DATASETS}/payments/rules", json={"rules": rules})
    assert (kept.status_code, kept.json()["version"]) == (200, 1)
    found = payments.ben.get(f"{DATASETS}/payments/rules").json()
    assert found["rules"] == [{"kind": "not_null", "columns": ["amount"], "severity": "error"}]
    saved = payments.ben.post(f"{DATASETS}/payments/validate", json={"save": True}).json()
    assert (saved["is_valid"], len(saved["findings"])) == (False, 1)
    assert saved["id"]


def test_what_is_shared_is_seen_and_nothing_else(own_team: Team) -> None:
    load(own_team.ben, "payments")
    paths = ["", "/rows", "/rows.csv", "/versions", "/versions/1", "/profile", "/quarantine", "/rules", "/diff?a=1&b=1"]
    for path in paths:
        answer = own_team.cleo.get(f"{DATASETS}/payments{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_dataset"), path
        assert "payments" not in answer.json()["mend"]
    assert own_team.cleo.get(DATASETS).json()["items"] == []
    assert own_team.cleo.delete(f"{DATASETS}/payments").status_code in (404, 409)
    assert own_team.cleo.put(f"{DATASETS}/payments/shares/cleo").status_code == 404
    assert own_team.ben.put(f"{DATASETS}/payments/shares/cleo").status_code == 204
    for path in paths:
        assert own_team.cleo.get(f"{DATASETS}/payments{path}").status_code == 200, path
    assert own_team.cleo.delete(f"{DATASETS}/payments").status_code == 403
    rules = {"rules": [{"kind": "not_null", "column": "amount"}]}
    assert own_team.cleo.put(f"{DATASETS}/payments/rules", json=rules).status_code == 403
    assert own_team.ben.put(f"{DATASETS}/payments/rules", json=rules).json()["version"] == 1
    shares = own_team.ben.get(f"{DATASETS}/payments/shares").json()["items"]
    assert [share["grantee"] for share in shares] == ["cleo"]
    assert own_team.ben.delete(f"{DATASETS}/payments/shares/cleo").status_code == 204
    assert own_team.cleo.get(f"{DATASETS}/payments").status_code == 404
    assert own_team.ada.get(f"{DATASETS}/payments").status_code == 200
    assert own_team.vera.get(f"{DATASETS}/payments/shares").status_code == 403


def test_a_dataset_in_use_is_not_removed(own_team: Team) -> None:
    rows = b"id,amount\n" + b"".join(b"%d,%d\n" % (n, n * 37 % 50) for n in range(60))
    load(own_team.ben, "payments", rows)
    with own_team.workspace.own() as db:
        db.act_as("ben", False)
        run = db.detect("payments", save=True).run_id
    answer = own_team.ben.delete(f"{DATASETS}/payments")
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_in_use")
    assert run in answer.json()["detail"]
    assert own_team.ben.delete(f"{DATASETS}/payments", params={"force": True}).status_code == 204
    assert own_team.ben.get(f"{DATASETS}/payments").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "x"}, 422, "bad_parameter"),
        ({"name": "x", "upload_id": "a", "url": "s3://b/k"}, 422, "bad_parameter"),
        ({"name": "upload", "upload_id": "{upload}"}, 422, "bad_parameter"),
        ({"name": "..", "upload_id": "{upload}"}, 422, "bad_parameter"),
        ({"name": "../x", "upload_id": "{upload}"}, 422, "bad_parameter"),
        ({"name": "", "upload_id": "{upload}"}, 422, "bad_parameter"),
        ({"name": "x", "upload_id": "nope"}, 404, "unknown_upload"),
        ({"name": "x", "upload_id": "{upload}", "options": {"strict": 1}}, 422, "bad_parameter"),
        ({"name": "x", "upload_id": "{upload}", "options": {"sheet": 1}}, 422, "bad_parameter"),
        ({"name": "x", "upload_id": "{upload}", "types": {"amnt": "DOUBLE"}}, 422, "unknown_column"),
        ({"name": "x", "upload_id": "{upload}", "types": {"amount": "DUBLE"}}, 422, None),
        ({"name": "x", "upload_id": "{upload}", "types": TYPES, "strict": True}, 422, "rows_malformed"),
        ({"name": "x", "upload_id": "{upload}", "extra": 1}, 422, "body_invalid"),
        ({"name": 7, "upload_id": "{upload}"}, 422, "body_invalid"),
        ({"name": "x", "url": "s3://b/k.csv"}, 403, "forbidden"),
    ],
)
def test_what_cannot_become_a_dataset(payments: Team, body: dict[str, Any], status: int, code: str | None) -> None:
    if body.get("upload_id") == "{upload}":
        body = {**body, "upload_id": upload(payments.ben)}
    answer = payments.ben.post(DATASETS, json=body)
    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["code"] == code
    assert str(payments.workspace.folder) not in answer.text


@pytest.mark.parametrize(
    "url", ["/etc/passwd", "file:///etc/passwd", "sqlite:///x.db", "postgresql://ann:secret@127.0.0.1/x", "x.csv"]
)
def test_no_file_and_no_private_address_is_connected(payments: Team, url: str) -> None:
    answer = payments.ada.post(DATASETS, json={"name": "x", "url": url})
    assert (answer.status_code, answer.json()["code"]) == (403, "address_refused")
    assert "secret" not in answer.text


def test_a_password_is_written_nowhere(own_team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(own_team.workspace.options._rows, "allow_private_addresses", True)
    body = {"name": "x", "url": "postgresql://ann:hidden-word@127.0.0.1:1/x?table=t&timeout=1"}
    answer = own_team.ada.post(DATASETS, json=body, headers={"prefer": "wait=20"})
    assert answer.status_code in (202, 503), answer.text
    with own_team.workspace.own() as db:
        jobs = db.execute("select request::varchar || coalesce(problem::varchar, '') from pynomaly.jobs").fetchall()
    assert "127.0.0.1" in jobs[0][0]
    assert "hidden-word" not in str(jobs) + answer.text


def test_what_takes_longer_is_a_job(own_team: Team) -> None:
    body = {"name": "late", "upload_id": upload(own_team.ben)}
    answer = own_team.ben.post(DATASETS, json=body, headers={"prefer": "respond-async, wait=0"})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"
    assert str(own_team.workspace.folder) not in answer.text
    for _ in range(500):
        if own_team.ben.get(f"{DATASETS}/late").status_code == 200:
            break
    assert own_team.ben.get(f"{DATASETS}/late").json()["n_rows"] == 5
