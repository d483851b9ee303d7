"""Upload, datasets and the start page, in this process: the numbers are the SQL's, names are text, queries are few."""

import html
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from litestar.testing import TestClient

from pynomaly.engine import Engine
from pynomaly.rules import KINDS
from pynomaly.samples import N_MALIGNANT, SAMPLE, measurements
from pynomaly_server.app import create_app
from pynomaly_server.options import Options
from pynomaly_server.pages import dataset_words, lineage_picture, upload
from pynomaly_server.workspace import Workspace

HTML = {"Accept": "text/html"}
HOSTILE = "<script>alert(1)</script>\u202e'\""
CSV = f'id,amount,"{HOSTILE.replace(chr(34), chr(34) * 2)}",note\n' + "".join(
    f"{n},{n / 4},<b>{n % 3}</b>,{'' if n % 4 else 'x' * 10_000}\n" for n in range(1, 81)
)
BAD = "too,many,fields,in,this,row\n"


class Person:
    """Somebody's browser without scripts."""

    def __init__(self, client: TestClient[Any], workspace: Workspace, name: str, role: str) -> None:
        made = workspace.accounts.users.add(name, role, "test")
        self._client = client
        self._cookie = workspace.accounts.open_console(made)[1]
        self.csrf = found[1] if (found := re.search(r'csrf-token" content="(\w+)"', self.get("/account").text)) else ""

    def get(self, path: str, **headers: str) -> Any:
        sent = {**HTML, "Cookie": f"pynomaly_session={self._cookie}", **headers}
        return self._client.get(path, headers=sent, follow_redirects=False)

    def post(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> Any:
        sent = {**HTML, "Cookie": f"pynomaly_session={self._cookie}"}
        given = {"csrf_token": self.csrf, **(data or {})}
        return self._client.post(path, headers=sent, data=given, follow_redirects=False, **more)

    def sends(self, text: str, name: str = "payments.csv") -> str:
        """Upload a file, and the address of its page."""
        answer = self.post("/upload", files={"files": (name, text.encode())})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])


class Team:
    """A server and its people."""

    def __init__(self, client: TestClient[Any], workspace: Workspace) -> None:
        self.workspace = workspace
        self.ada, self.ben, self.cleo, self.vera = (
            Person(client, workspace, name, role)
            for name, role in (("ada", "admin"), ("ben", "user"), ("cleo", "user"), ("vera", "viewer"))
        )


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    database = tmp_path_factory.mktemp("data_pages") / "workspace.duckdb"
    workspace = Workspace(Options({"database": str(database)}, {}))
    with TestClient(create_app(workspace), base_url="http://127.0.0.1") as client:
        made = Team(client, workspace)
        guide = made.ben.get("/").text  # before there is anything
        assert all(word in guide for word in ("Upload", "Detect", "Understand", "Use the sample data"))
        for text in (CSV + BAD, CSV.replace("\n1,", "\n1000,", 1)):
            address = made.ben.sends(text)
            assert made.ben.post(address, {"name": "payments"}).headers["location"] == "/datasets/payments"
        yield made


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that requests run; the audit is written by a thread of its own."""
    found: list[str] = []
    for name in ("execute", "sql"):
        was = getattr(Engine, name)

        def counted(self: Engine, text: str, *given: Any, was: Any = was, **more: Any) -> Any:
            if threading.current_thread().name.startswith("AnyIO"):
                found.append(text)
            return was(self, text, *given, **more)

        monkeypatch.setattr(Engine, name, counted)
    return found


def rows(page: Any) -> list[list[str]]:
    """The cells of the last table of a page."""
    body = page.text.rpartition("<tbody>")[2].partition("</tbody>")[0]
    lines = [line.partition("</tr>")[0] for line in body.split("<tr")[1:]]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", line, re.DOTALL) for line in lines]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in line] for line in cells]


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/", 2), ("/datasets?search=pay", 2), ("/datasets/payments", 6), ("/datasets/payments/rows?sort=-amount", 6),
        ("/datasets/payments/rules", 6), ("/datasets/payments/versions?a=1&b=2&key=id", 8),
        ("/datasets/payments/quarantine?version=1", 6), ("/datasets/payments/lineage", 6),
        ("/datasets/payments/sharing", 8), ("/datasets/payments/remove", 6), ("/upload", 0),
    ],
)  # fmt: skip
def test_pages_are_few_queries_and_keep_the_policy(team: Team, queries: list[str], path: str, most: int) -> None:
    page = team.ben.get(path)
    assert page.status_code == 200, page.text
    assert len(queries) <= most, queries
    assert re.findall(r"<[^>]*\s(?:style|on\w+)=|<style|<script(?![^>]*\ssrc=)", page.text) == []
    assert team.ben.get(path, **{"HX-Request": "true"}).text.startswith("<title>")


def test_a_name_is_text_everywhere(team: Team) -> None:
    for path in ("", "/rows", "/rules?suggest=true", "/versions", "/rules?kind=unique"):
        page = team.ben.get(f"/datasets/payments{path}")
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<b>1</b>" not in page.text


def test_a_file_is_looked_at_before_it_is_kept(team: Team) -> None:
    address = team.ben.sends(CSV + BAD, "new payments.csv")
    page = team.ben.get(address)
    assert "80 rows and 4 columns" in page.text
    assert 'value="new_payments"' in page.text
    assert "may tell rows apart" in page.text
    assert "75 % of" in page.text
    assert "<script>alert" not in page.text
    bad = rows(team.ben.get(f"{address}?show=bad"))
    assert [line[2] for line in bad] == [BAD.strip()]
    assert "fields" in bad[0][2]
    gaps = rows(team.ben.get(f"{address}?show=3"))
    assert len(gaps) == 50
    assert {line[3] for line in gaps} == {"NULL"}
    assert team.cleo.get(address).status_code == 404
    assert team.ben.post(f"{address}/remove").headers["location"] == "/upload"
    assert team.ben.get(address).status_code == 404


def test_types_are_corrected(team: Team) -> None:
    address = team.ben.sends("code,n\n1,2\n3,4\n")
    looked = team.ben.post(address, {"action": "look", "t0": "VARCHAR", "name": "codes"})
    assert looked.headers["location"] == f"{address}?t0=VARCHAR&name=codes"
    assert '<option value="VARCHAR" selected>' in team.ben.get(looked.headers["location"]).text
    assert team.ben.post(address, {"t0": "VARCHAR", "name": "codes"}).headers["location"] == "/datasets/codes"
    with team.workspace.own() as db:
        assert db.datasets.version("codes").columns == {"code": "VARCHAR", "n": "BIGINT"}
    assert team.ben.get(address).status_code == 404, "what is committed waits no more"


@pytest.mark.parametrize(
    ("given", "told"),
    [({"name": "a/b"}, "reads like another source"), ({"name": ""}, "name of the dataset"),
     ({"name": "x", "t0": "nonsense"}, "nonsense"), ({"name": "x", "o.skip": "z"}, "whole number"),
     ({"name": "payments_of_ada", "strict": "true"}, "cannot be read")],
)  # fmt: skip
def test_what_is_wrong_with_a_commit_stands_beside_the_form(team: Team, given: dict[str, str], told: str) -> None:
    address = team.ben.sends(CSV + BAD)
    refused = team.ben.post(address, given)
    assert refused.status_code == 422
    assert "It is no dataset yet" in refused.text
    assert told in html.unescape(refused.text)


def test_several_files_wait_for_each_other(team: Team) -> None:
    files = [("files", (name, b"a,b\n1,2\n")) for name in ("one.csv", "two.csv", "three.csv")]
    first = team.cleo.post("/upload", files=files)
    page = team.cleo.get(first.headers["location"]).text
    assert "two.csv" in page
    assert "three.csv" in page
    assert all(name in team.cleo.get("/upload").text for name in ("one.csv", "two.csv", "three.csv"))


def test_an_upload_that_is_refused_is_told_on_the_page(team: Team) -> None:
    refused = team.ben.post("/upload", files={"files": ("x.bin", b"\x00\x01\x02" * 40)})
    assert refused.status_code == 422
    assert "The file was not taken" in refused.text


def test_what_takes_long_is_waited_for(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PATIENCE", 0.0)
    address = team.ben.sends("a\n1\n2\n")
    going = team.ben.post(address, {"name": "slowly"}).headers["location"]
    for _ in range(200):
        answer = team.ben.get(going)
        if answer.status_code == 303:
            break
    assert answer.headers["location"] == "/datasets/slowly"


def test_sources_need_a_permission(team: Team) -> None:
    assert "may not connect" in team.ben.get("/upload").text
    given = {"name": "x", "url": "postgresql://me:secret@10.0.0.1/db"}
    assert team.ben.post("/upload/connect", given).status_code == 403
    refused = team.ada.post("/upload/connect", given)
    assert refused.status_code == 422
    assert "private network" in refused.text
    assert "secret" not in refused.text


def test_the_sample_is_one_click(team: Team) -> None:
    assert team.ben.post("/upload/sample").headers["location"] == f"/datasets/{SAMPLE}"
    assert team.ben.post("/upload/sample").headers["location"] == f"/datasets/{SAMPLE}", "and no version more"
    assert team.cleo.post("/upload/sample").headers["location"] == f"/datasets/{SAMPLE}_cleo"
    with team.workspace.own() as db:
        (found,) = db.execute(
            f"select count(*), count(*) filter (diagnosis = 'malignant') from dataset_rows('{SAMPLE}')"
        ).fetchall()
    assert found == (len(measurements()), N_MALIGNANT)
    assert db.datasets.version(SAMPLE).version == 1


def test_viewers_look_and_change_nothing(team: Team) -> None:
    assert team.vera.get("/upload").status_code == 403
    assert "/upload" not in team.vera.get("/datasets").text
    assert "shared with you yet" in team.vera.get("/datasets").text


def test_the_profile_is_that_of_the_macro(team: Team) -> None:
    page = team.ben.get("/datasets/payments?version=2")
    with team.workspace.own() as db:
        columns = db.sql("from profile('payments@2')").arrow().to_pylist()
    shown = {line[0]: line for line in rows(page)}
    for column in columns:
        assert shown[column["column_name"]][2] == str(column["n_null"])
    filtered = team.ben.get(f"/datasets/payments/rows?{urlencode({'filter': 'note:null'})}")
    assert len(rows(filtered)) == 50
    amount = next(column for column in columns if column["column_name"] == "amount")
    assert f": {', '.join(str(one['n']) for one in amount['histogram'])}" in page.text


def test_the_counts_of_a_head_and_the_list_have_their_sql(team: Team) -> None:
    page = team.ben.get("/datasets/payments?version=1").text
    sql = [html.unescape(one) for one in re.findall(r"<pre[^>]*><code>(.*?)</code>", page, re.DOTALL)]
    listed = re.findall(r"<pre[^>]*><code>(.*?)</code>", team.ben.get("/datasets?search=pay").text, re.DOTALL)
    with team.workspace.own() as db:
        db.act_as("ben", False)
        (found,) = db.execute(sql[0]).fetchall()
        names = [row[0] for row in db.execute(html.unescape(listed[-1])).fetchall()]
    version, n_rows, n_columns, n_quarantined, n_versions = found
    assert f"Version {version} of {n_versions}: {n_rows} rows, {n_columns} columns" in page
    assert re.search(rf"Quarantine\s+{n_quarantined}\b", re.sub(r"<[^>]+>", " ", page))
    assert names == [line[0].partition("\n")[0] for line in rows(team.ben.get("/datasets?search=pay"))]


def test_a_large_profile_is_asked_for_by_the_page(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    from pynomaly_server.pages import datasets

    monkeypatch.setattr(datasets, "MOST_CELLS", 1)
    monkeypatch.setattr(datasets, "PROFILES", datasets.Profiles())
    page = team.ben.get("/datasets/payments")
    assert 'hx-trigger="load"' in page.text
    assert "middle value" in team.ben.get("/datasets/payments?wait=true").text
    assert "middle value" in team.ben.get("/datasets/payments").text, "it is kept"


def test_rows_are_filtered_sorted_and_paged_as_by_sql(team: Team) -> None:
    with team.workspace.own() as db:
        wanted = [str(row[0]) for row in db.execute(
            "select id from dataset_rows('payments') where amount >= 2.5 order by id desc"
        ).fetchall()]  # fmt: skip
    asked = [("column", "amount"), ("operator", "ge"), ("value", "2.5"), ("sort", "-id")]
    page, found = team.ben.get(f"/datasets/payments/rows?{urlencode(asked)}"), list[str]()
    assert "amount</bdi> at least <bdi>2.5" in page.text
    while True:
        found += [line[0].replace(",", "") for line in rows(page)]
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        if following is None:
            break
        page = team.ben.get(html.unescape(following[1]))
    assert found == wanted
    sql = html.unescape(re.findall(r"<pre[^>]*><code>(.*?)</code>", page.text, re.DOTALL)[-1])
    with team.workspace.own() as db:
        assert [str(row[0]) for row in db.execute(sql).fetchall()] == wanted, (
            "the SQL that is shown is that of the rows"
        )


def test_broken_rules_lead_to_their_rows(team: Team) -> None:
    rules = [{"kind": "not_null", "column": "note"}, {"kind": "range", "column": "amount", "min": 0, "max": 10},
             {"kind": "range", "column": "amount", "max": 1000}, {"kind": "unique", "column": "id"}]  # fmt: skip
    with team.workspace.own() as db:
        db.act_as("ben", False)
        db.set_rules("payments", rules)
        findings = {found.column_name: found.n_failing for found in db.validate("payments", rules[:2]).findings}
    page = team.ben.get("/datasets/payments/rules")
    assert "<strong>2</strong> of 4 rules are broken" in page.text
    assert f'broken=2">{findings["amount"]} rows</a>' in page.text
    shown = team.ben.get("/datasets/payments/rows?broken=2")
    assert len(rows(shown)) == findings["amount"]
    assert "snapshots" not in team.ben.get("/datasets/payments/rows?broken=4").text, "no folder of the server is told"
    assert team.ben.get("/datasets/payments/rows?broken=9").status_code == 422


def test_rules_are_added_suggested_removed_and_written(team: Team) -> None:
    address = "/datasets/codes/rules"
    if team.ben.get("/datasets/codes").status_code == 404:
        test_types_are_corrected(team)
    assert "n always has a value" in re.sub(r"<[^>]+>", "", team.ben.get(f"{address}?suggest=true").text)
    added = {"action": "add", "kind": "set", "columns": "n", "p.values": "2\n4", "severity": "warning"}
    assert team.ben.post(address, added).status_code == 303
    suggested = {
        "action": "suggested",
        "rule": ['{"kind":"not_null","columns":["n"]}', '{"kind":"unique","columns":["n"]}'],
    }
    assert team.ben.post(address, suggested).status_code == 303
    assert "All 3 rules" in team.ben.get(address).text
    assert team.ben.post(address, {"action": "remove", "place": "1"}).status_code == 303
    assert "All 2 rules" in team.ben.get(address).text
    for wrong in (
        {"action": "json", "json": "no"},
        {"action": "add", "kind": "nix"},
        {"action": "add", "kind": "range"},
    ):
        refused = team.ben.post(address, wrong)
        assert refused.status_code == 422
        assert "The rules stay as they were" in refused.text


def test_every_kind_of_rule_has_a_form(team: Team) -> None:
    for kind, about in KINDS.items():
        page = team.ben.get(f"/datasets/payments/rules?kind={kind}").text
        assert all(f'name="p.{name}"' in page for name in about.parameters)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"kind": "not_null", "columns": ["a"]}, ("a", "always has a value")),
        ({"kind": "range", "columns": ["a"], "min": 2.0, "max": 4200}, ("a", "is from 2 to 4,200")),
        ({"kind": "range", "columns": ["a"], "max": "2026-01-01"}, ("a", "is at most 2026-01-01")),
        ({"kind": "set", "columns": ["a"], "values": ["x", 2]}, ("a", "is one of x, 2")),
        ({"kind": "row_count", "columns": [], "min": 1500}, ("", "There are at least 1,500 rows")),
        ({"kind": "row_count", "columns": [], "min": 1500, "max": 6000}, ("", "There are 1,500 to 6,000 rows")),
        ({"kind": "monotone", "column": "t", "by": ["id"], "strict": True}, ("t", "always rises within each id")),
        ({"kind": "reference", "columns": ["a"], "table": "t", "to": ["id"]}, ("a", "is found in t (id)")),
        ({"kind": "brand_new", "columns": ["a"], "depth": 3}, ("a", "brand new: depth 3")),
    ],
)
def test_a_rule_is_a_sentence(rule: dict[str, Any], said: tuple[str, str]) -> None:
    assert dataset_words.ruled(rule) == said


def test_every_kind_of_rule_is_said() -> None:
    for kind, about in KINDS.items():
        rule = {"kind": kind, "columns": ["a"], **dict.fromkeys(about.parameters, "7")}
        assert "7" in dataset_words.ruled(rule)[1] or not about.needs
        assert "_" not in dataset_words.ruled(rule)[1]


def test_a_query_is_no_name() -> None:
    assert dataset_words.is_query("  SELECT 1")
    assert dataset_words.is_query("(values (1))")
    assert not any(dataset_words.is_query(name) for name in ("select them.csv", "selected", "s3://b/from x.parquet"))


def test_versions_are_compared(team: Team) -> None:
    found = rows(team.ben.get("/datasets/payments/versions?a=1&b=2&key=id"))
    with team.workspace.own() as db:
        wanted = db.execute("from diff_versions('payments@1', 'payments@2', key := 'id')").fetchall()
    assert [(line[0], line[4]) for line in found] == [(row[0], str(row[4])) for row in wanted]


def test_what_could_not_be_read_is_listed(team: Team) -> None:
    found = rows(team.ben.get("/datasets/payments/quarantine?version=1"))
    assert [line[3] for line in found] == [BAD.strip()]
    assert found[0][0] == "payments.csv"


def test_lineage_is_a_picture_with_its_table(team: Team) -> None:
    page = team.ben.get("/datasets/payments/lineage")
    with team.workspace.own() as db:
        steps = db.execute("select count(*) from lineage('payments')").fetchall()[0][0]
    assert len(rows(page)) == steps
    assert page.text.count("<title>dataset payments@") == 2


def test_a_ring_ends_and_a_crowd_is_counted() -> None:
    ring = [{"parent": "dataset:a@1", "child": "dataset:b@1"}, {"parent": "dataset:b@1", "child": "dataset:a@1"}]
    assert len(lineage_picture.drawn(ring, "a").boxes) == 2
    crowd = [{"parent": "dataset:a@1", "child": f"model:m{n}@1"} for n in range(100)]
    found = lineage_picture.drawn(crowd, "a")
    assert [box.name for box in found.boxes if not box.kind] == ["93 more"]
    turned = lineage_picture.drawn([{"parent": "source:\u202egpj", "child": "dataset:a@1"}], "a")
    assert not any("\u202e" in box.name + box.whole for box in turned.boxes)
    assert lineage_picture.drawn([], "a").boxes == []


def test_a_dataset_is_shared_and_hidden_again(team: Team) -> None:
    assert team.cleo.get("/datasets/payments").status_code == 404
    assert team.cleo.post("/datasets/payments/remove").status_code == 404
    assert team.ben.post("/datasets/payments/sharing", {"user": "nobody"}).status_code == 422
    assert team.ben.post("/datasets/payments/sharing", {"user": "cleo"}).status_code == 303
    seen = team.cleo.get("/datasets/payments")
    assert seen.status_code == 200
    assert "/remove" not in seen.text
    assert "Its owner decides" in team.cleo.get("/datasets/payments/sharing").text
    assert team.cleo.post("/datasets/payments/remove").status_code == 403
    assert team.ben.post("/datasets/payments/sharing", {"user": "cleo", "action": "revoke"}).status_code == 303
    assert team.cleo.get("/datasets/payments").status_code == 404


def test_removal_names_what_was_made_of_it(team: Team) -> None:
    assert team.ben.post(team.ben.sends("a,b\n" + "1,2\n3,4\n" * 9), {"name": "short lived"}).status_code == 303
    path = f"/datasets/{quote('short lived')}"
    with team.workspace.own() as db:
        db.act_as("ben", False)
        db.train("of_short", "short lived", algorithm="mad")
    asked = team.ben.get(f"{path}/remove")
    assert "1 thing was made of it" in asked.text
    assert "of_short@1" in asked.text
    assert team.ben.post(f"{path}/remove").status_code == 422
    assert team.ben.post(f"{path}/remove", {"force": "true"}).headers["location"] == "/datasets"
    assert team.ben.get(path).status_code == 404


def test_the_list_is_searched_and_sorted(team: Team) -> None:
    with team.workspace.own() as db:
        db.act_as("ben", False)
        names = [row[0] for row in db.execute("select name from datasets() order by n_rows desc, name").fetchall()]
    found = [line[0].partition("\n")[0] for line in rows(team.ben.get("/datasets?sort=-n_rows"))]
    assert found == names
    assert "No dataset has this" in team.ben.get(f"/datasets?{urlencode({'search': HOSTILE})}").text


def test_the_start_says_what_was_found_and_what_to_do(team: Team, tmp_path: Path) -> None:
    with team.workspace.own() as db:
        db.act_as("ben", False)
        run = db.detect("payments", save=True, algorithm="mad", features=["amount"], top_k=3).verdict
    page = team.ben.get("/").text
    assert f"{run.n_flagged} of {run.n_rows} rows flagged" in page
    assert "Look at the 3 flagged rows of" in page
    assert "/detect?source=" in page
    assert "payments" not in team.cleo.get("/").text
