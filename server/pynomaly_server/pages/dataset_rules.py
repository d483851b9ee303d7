"""Rules of a dataset: kept, suggested, added one by one or written as JSON, and what breaks them."""

from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery, URLEncodedBody

from pynomaly.engine import Engine
from pynomaly.errors import BadParameter, PynomalyError
from pynomaly.quoting import literal
from pynomaly.rules import KINDS, SEVERITIES
from pynomaly_server.api.datasets import kept_rules
from pynomaly_server.identity import Identity
from pynomaly_server.pages import wording
from pynomaly_server.pages.dataset_words import LABELS
from pynomaly_server.pages.datasets import MOST_CELLS, of_dataset
from pynomaly_server.pages.shown import sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Caller, Db

Asked = Request[Any, Any, Any]
Form = URLEncodedBody[dict[str, Any]]
Rule = dict[str, Any]
_JSON_VALUES = ("min", "max", "values", "strict")  # which JSON reads; what it cannot read is a text


class DatasetRulesPage(Controller):
    """What the rows of a dataset shall keep."""

    path = "/datasets/{name:str}/rules"
    include_in_schema = False

    @get("/", permission=Permission.READ, sync_to_thread=True)
    def get_rules(
        self,
        request: Asked,
        db: Db,
        identity: Caller,
        name: FromPath[str],
        version: FromQuery[int | None] = None,
        kind: FromQuery[str] = "",
        suggest: FromQuery[bool] = False,
        check: FromQuery[bool] = False,
    ) -> Response[str]:
        """The kept rules, with what breaks them."""
        return _page(request, db, identity, name, version, kind=kind, suggest=suggest, check=check)

    @post("/", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def keep_rules(self, request: Asked, db: Db, identity: Caller, name: FromPath[str], data: Form) -> Response[Any]:
        """Keep rules as the next version of the set: one more, some suggested ones, one less, or what JSON says."""
        _, rules = kept_rules(db, name)
        try:
            db.set_rules(name, _changed(rules, data))
        except PynomalyError as error:
            if error.status >= 500:
                raise
            kind, problem = str(data.get("kind", "")), (wording.what(error), wording.way_out(error))
            return _page(request, db, identity, name, None, status=422, kind=kind, problem=problem, values=data)
        return sent_to(request, f"/datasets/{quote(name)}/rules")


def _page(
    request: Asked,
    db: Engine,
    identity: Identity,
    name: str,
    number: int | None,
    *,
    status: int = 200,
    kind: str = "",
    suggest: bool = False,
    check: bool = False,
    problem: tuple[str, str] | None = None,
    values: Rule | None = None,
) -> Response[str]:
    about = of_dataset(db, identity, name, number)
    version = about["dataset"]
    set_number, rules = kept_rules(db, version.name)
    is_small = version.n_rows * max(len(version.columns), 1) <= MOST_CELLS
    is_checked = bool(rules) and (check or is_small)
    proposed = db.suggest_rules(version.address) if suggest else None
    return shown(
        request, "dataset_rules.html", f"Rules of {version.name}", status=status, tab="rules", rules=rules,
        set_number=set_number, findings=_findings(db, version.address, rules) if is_checked else None,
        suggested=None if proposed is None else [_of_json(rule) for rule in proposed if rule not in rules],
        kinds=KINDS, kind=kind if kind in KINDS else "", severities=SEVERITIES, problem=problem, values=values or {},
        rules_json=msgspec.json.format(msgspec.json.encode(rules), indent=2).decode(), labels=LABELS,
        sql=f"from validate({literal(version.address)})",
        can_change=about["is_mine"] and identity.may(Permission.WRITE_DATASETS), **about,
    )  # fmt: skip


def _of_json(rule: Rule) -> dict[str, Any]:
    return {"rule": rule, "text": msgspec.json.encode(rule).decode()}


def _findings(db: Engine, address: str, rules: list[Rule]) -> dict[int, Any]:
    """What breaks the rules, by their place from 1; those that a finding could not tell apart one by one."""
    places: dict[tuple[Any, ...], list[int]] = {}
    for place, rule in enumerate(rules, 1):
        places.setdefault((rule["kind"], ", ".join(rule["columns"]), rule["severity"]), []).append(place)
    alone = [found[0] for found in places.values() if len(found) == 1]
    by_place = {}
    if alone:
        for finding in db.validate(address, [rules[place - 1] for place in alone]).findings:
            by_place[places[finding.rule, finding.column_name or "", finding.severity][0]] = finding
    for place in (place for found in places.values() if len(found) > 1 for place in found):
        if findings := db.validate(address, [rules[place - 1]]).findings:
            by_place[place] = findings[0]
    return by_place


def _changed(rules: list[Rule], data: dict[str, Any]) -> list[Rule]:
    """The rules as a form wants them."""
    action = data.get("action")
    if action == "json":
        return _decoded(str(data.get("json", "")))
    if action == "remove":
        place = str(data.get("place", ""))
        return [rule for number, rule in enumerate(rules, 1) if str(number) != place]
    if action == "suggested":
        chosen = data.get("rule", [])
        return rules + [
            rule for text in ([chosen] if isinstance(chosen, str) else chosen) for rule in _decoded(f"[{text}]")
        ]
    return [*rules, _of_form(data)]


def _decoded(text: str) -> list[Rule]:
    try:
        return msgspec.json.decode(text, type=list[dict[str, Any]])
    except msgspec.MsgspecError as error:
        raise BadParameter(
            f"the rules are no JSON: {error}", 'write [{"kind": "not_null", "column": "amount"}]'
        ) from None


def _of_form(data: dict[str, Any]) -> Rule:
    """One rule from the fields of a form."""
    kind = str(data.get("kind", ""))
    if kind not in KINDS:
        raise BadParameter("no kind of rule is chosen", "choose one")
    chosen = data.get("columns", [])
    columns = [chosen] if isinstance(chosen, str) else list(chosen)
    columns = [column for column in columns if column]
    rule: Rule = {"kind": kind, "severity": str(data.get("severity", SEVERITIES[0]))}
    if columns or KINDS[kind].columns[0]:
        rule["columns"] = columns
    for name in KINDS[kind].parameters:
        text = str(data.get(f"p.{name}", "")).strip()
        if text:
            rule[name] = _value(name, text)
    return rule


def _value(name: str, text: str) -> Any:
    """A parameter from what was typed: numbers, truths and lists are read, and `values` may stand in lines."""
    if name == "values" and not text.startswith("["):
        return [_value("min", line.strip()) for line in text.splitlines() if line.strip()]
    if name in ("by", "to") and "," in text:
        return [part.strip() for part in text.split(",")]
    if name in _JSON_VALUES or name == "step":
        try:
            return msgspec.json.decode(text)
        except msgspec.MsgspecError:
            return text
    return text
