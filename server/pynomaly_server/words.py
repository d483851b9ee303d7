"""What SQL may name: the tables and datasets that somebody sees, and the macros with their signatures."""

import re
from functools import cache

import msgspec

from pynomaly.confinement import macros
from pynomaly.engine import Engine
from pynomaly.macros import library
from pynomaly.quoting import identifier

MOST_COLUMNS = 5_000
_TABLES = f"""
select table_name as name, 'table' as kind, column_name as "column", data_type as type
from duckdb_columns()
where database_name = current_database() and not internal and schema_name = current_schema()
order by name, column_index
limit {MOST_COLUMNS}
"""
_DATASETS = """
select name, arg_max(columns, version)::varchar as columns
from query(_catalog('live_dataset_versions', getvariable('pynomaly_user')))
group by name
order by name
"""
_ALGORITHMS = "select name, family, summary from algorithms() where available order by name"
_kept: dict[tuple[str, ...], list[dict[str, str]]] = {}  # parameters of these algorithms: nothing changes them
_CREATED = re.compile(r"create or replace temp macro (\w+)\((.*?)\) as( table)?\b", re.DOTALL)
_CALL = r"\w+\((?:[^()]|\([^()]*\))*\)"


class Object(msgspec.Struct, frozen=True):
    """A table, view or dataset, and the types of its columns by name."""

    name: str
    kind: str
    columns: dict[str, str]

    @property
    def sql(self) -> str:
        """Its name as a statement has it."""
        return quoted(self.name)


class Macro(msgspec.Struct, frozen=True):
    """A macro that anybody may call."""

    name: str
    signature: str
    summary: str
    is_table: bool


def quoted(name: str) -> str:
    """A name as a statement has it, in quotes where it needs them."""
    return name if re.fullmatch(r"[a-z_]\w*", name, re.ASCII | re.IGNORECASE) else identifier(name)


def objects(db: Engine) -> list[Object]:
    """The tables of the team and the datasets that the user at work sees."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name, kind, column, data_type in db.execute(_TABLES).fetchall():
        found.setdefault((name, kind), {})[column] = data_type
    tables = [Object(name, kind, columns) for (name, kind), columns in found.items()]
    rows = db.execute(_DATASETS).fetchall()
    return [*(Object(name, "dataset", msgspec.json.decode(columns)) for name, columns in rows), *tables]


@cache
def signatures() -> list[Macro]:
    """The macros of this release, as their files tell them."""
    found = {}
    for text in library().text.values():
        told = _told(text)
        for name, parameters, table in _CREATED.findall(text):
            if name in macros() and (name not in found or table):
                given = re.sub(r"\s+", " ", parameters).strip()
                summary = _summary(name, told) or _above(name, text) or told
                found[name] = Macro(name, f"({given})".replace('"', ""), summary, bool(table))
    return sorted(found.values(), key=lambda macro: macro.name)


def completions(db: Engine) -> list[dict[str, str]]:
    """All of it, as the editor completes it."""
    words: list[dict[str, str]] = []
    for one in objects(db):
        words.append(_word(one.name, "table", one.kind))
        words += [{**_word(name, "column", kind), "of": one.name} for name, kind in one.columns.items()]
    for macro in signatures():
        apply = f"{macro.name}(${{}})" if macro.signature != "()" else f"{macro.name}()"
        word = {"label": macro.name, "kind": "function", "detail": _short(macro.signature)}
        words.append({**word, "info": f"{macro.name}{macro.signature}: {macro.summary}", "apply": apply})
    listed = db.execute(_ALGORITHMS).fetchall()
    words += [{"label": name, "kind": "algorithm", "detail": family, "info": about} for name, family, about in listed]
    return words + _parameters(db, tuple(row[0] for row in listed))


def _parameters(db: Engine, algorithms: tuple[str, ...]) -> list[dict[str, str]]:
    """The parameters of algorithms, each name once."""
    if algorithms not in _kept:
        each = " union all ".join("select name, description, ? as of from algorithm_parameters(?)" for _ in algorithms)
        rows = db.execute(
            f"select name, any_value(description), string_agg(of, ', ') from ({each}) group by name order by name",
            [name for one in algorithms for name in (one, one)],
        ).fetchall()
        _kept[algorithms] = [
            {"label": name, "kind": "parameter", "detail": f"of {of}"[:60], "info": about} for name, about, of in rows
        ]
    return _kept[algorithms]


def _word(name: str, kind: str, detail: str) -> dict[str, str]:
    word = {"label": name, "kind": kind, "detail": detail[:60]}
    if quoted(name) != name:  # a snippet: braces in a name are none of its own
        word["apply"] = re.sub(r"([{}\\])", r"\\\1", quoted(name))
    return word


def _short(signature: str) -> str:
    return signature if len(signature) <= 48 else signature[:44].rpartition(",")[0] + ", ...)"


def _told(text: str) -> str:
    """The first paragraph of the remark that a file begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("-- "):
            break
        lines.append(line[3:])
    return " ".join(lines)


def _summary(name: str, told: str) -> str:
    """What a remark says of a macro; nothing where it names the macro nowhere."""
    found = re.search(rf"\b{name}\((?:[^()]|\([^()]*\))*\)(?:, {_CALL})*: (.+?)(?= {_CALL}(?:, {_CALL})*: |$)", told)
    return found[1] if found else ""


def _above(name: str, text: str) -> str:
    """The remark that stands right above a macro."""
    found = re.search(rf"((?:^-- .*\n)+)create or replace temp macro {name}\(", text, re.MULTILINE)
    return " ".join(line[3:] for line in found[1].splitlines()) if found else ""
