"""What an error says to somebody who fills in a form: the way out names what is on the page, not what to write."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pynomaly import calls
from pynomaly_server.pages.filters import NONE

# The parameters of a detection, as its form calls them.
FIELDS = {
    "algorithm": "Algorithm",
    "combine": "Combined by",
    "contamination": "Share of the rows",
    "threshold": "Threshold",
    "top_k": "Number of rows",
    "explain": "Reasons for each row",
    "sample_rows": "Rows to learn from",
    "seed": "Seed",
    "pipeline": "Pipeline",
    "key": "identifies a row",
    "label": "says what is true",
    "by": "makes groups",
    "features": "used",
    "exclude": "left out",
}
# What to do in a form, where the engine's own words are for those who write SQL.
WAYS = {
    "unknown_source": "Choose the data from the list. It may have been removed, or never been shared with you",
    "unknown_algorithm": "Choose an algorithm from the list",
    "unknown_pipeline": "Correct the name of the pipeline, or leave the field empty",
    "unknown_column": "Choose another column; this data may have changed since",
    "no_usable_column": "Choose data that has numbers, dates or categories, or say under Columns which ones are used",
    "too_few_rows": "Bring more rows: five are the least that say what is usual",
    "too_many_rows": "Choose another algorithm, or auto, which takes any number of rows",
    "key_not_unique": "Choose columns that together tell every row apart and are never empty",
    "result_column_exists": "Rename that column in the file and upload it again",
    "algorithm_unavailable": "Choose another algorithm, or ask an administrator to install what it needs",
    "bad_parameter": "Change that field, or leave it empty: then the usual value is taken",
    "address_refused": "Use a public address, or ask an administrator to let this server fetch from private networks",
    "bad_rule": "Correct the condition: names of columns, comparisons, and, or, not",
    "source_unreadable": "Correct the file and upload it again; how it is read can be said once it is here",
    "source_single_use": "Upload it, or connect it as a source: then it is a dataset",
}
_ALWAYS = ("unknown_source", "no_usable_column", "too_few_rows", "key_not_unique", "too_many_rows")
_CODE = re.compile(
    r":=|(?:^|\s)--?\w|\w\(|\bselect \S|\bcast |\b(?:table|with) \w+ as\b"
    r"|allow_private_addresses|\bpynomaly \w|\{'|=\s*['\[{]|/api/"
)
_NAMED = re.compile(r"`(\w+)`")
_INDICATORS = re.compile(r"(\d+) indicators: (?=is ')")
_IS = re.compile(r"(?:^|(?<=, ))is (?=')")
_SUBJECT = re.compile(r"`(\w+)` is ")
_NAME = re.compile(r"(?!How |Which |What |By |Into )[^;:,]{1,42}")  # a description that is as short as a name
_NUMBER = re.compile(r"Number of [^;:,]{1,50}(?=[;:,]|$)")
_UNEVEN = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_NO_VALUE = re.compile(
    r"""Error when converting column "(.*?)"\. Could not convert string "(.*?)" to '?([\w ]+?)'?(?:[;.]|$)"""
)
KINDS = {"BIGINT": "whole number", "DOUBLE": "number", "BOOLEAN": "yes or no", "DATE": "date", "TIMESTAMP": "time"}


def way_out(error: Any) -> str:
    """What to do about an error, or the problem of a job, as a sentence; nothing where code alone could do it."""
    code, mend = _of(error, "code"), _of(error, "mend")
    if code in _ALWAYS or _CODE.search(mend) or set(_NAMED.findall(mend)) & set(calls.OPTIONS):
        mend = WAYS.get(code, "")
    return sentence(mend)


def what(error: Any, called: Mapping[str, str] | None = None) -> str:
    """What is wrong, with the names of the form's fields; `called` are those that an algorithm adds, where known."""
    cause = _of(error, "cause") or _of(error, "detail")
    fields = {**(called or {}), **FIELDS}

    def named(found: re.Match[str]) -> str:
        own = label(found[1], "") if called is None and _of(error, "code") == "bad_parameter" else ""
        field = fields.get(found[1], own)
        return f"“{field}” is " if field else found[0]

    return sentence(_SUBJECT.sub(named, cause)).rstrip(".")


def label(name: str, description: str) -> str:
    """What a parameter is called in a form: as the registry describes it, where that is short, or else by its name."""
    if found := _NAME.fullmatch(description) or _NUMBER.match(description):
        return found[0]
    words = name.replace("_", " ")
    return f"Number of {words[2:]}" if words.startswith("n ") else sentence(words).rstrip(".")


def unread(reason: str | None) -> str:
    """Why a row cannot be read, without the words of the reader."""
    if not reason:
        return NONE
    if found := _UNEVEN.search(reason):
        return f"{found[2]} {'value' if found[2] == '1' else 'values'} where there are {found[1]} columns"
    if found := _NO_VALUE.search(reason):
        return f"“{found[2]}” in {found[1]} is no {KINDS.get(found[3], found[3].lower())}"
    return sentence(reason)


def failure(text: str | None, parameters: Iterable[str] = ()) -> dict[str, str] | None:
    """The cause and the way out in what a run says of its failure, with its parameters as the form calls them."""
    said = text or ""
    for name in parameters:
        said = said.replace(f"`{name}`", f"“{label(name, '')}”")
    cause, _, mend = said.partition("; ")
    return {"cause": cause, "mend": mend} if cause else None


def labelled(name: str) -> str:
    """An option by the label of its field."""
    known = FIELDS.get(name, "")
    return known if known[:1].isupper() else name.replace("_", " ").capitalize()


def encoded(encoding: str) -> str:
    """How a model reads a column, without the word for its indicators."""
    counted = _INDICATORS.match(encoding)
    return f"{counted[1]} categories: {re.sub(_IS, '', encoding[counted.end() :])}" if counted else encoding


def sentence(text: str) -> str:
    """A text that begins with a capital and ends as a sentence."""
    return f"{text[0].upper()}{text[1:]}{'' if text[-1] in '.!?…' else '.'}" if text else ""


def _of(error: Any, name: str) -> str:
    return str((error.get(name) if isinstance(error, dict) else getattr(error, name, None)) or "")
