"""What an error says to somebody who fills in a form: the way out names what is on the page, not what to write."""

import re
from collections.abc import Iterable
from typing import Any

from pynomaly import calls

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
    "bad_rule": "Correct the condition: names of columns, comparisons, and, or, not",
    "source_unreadable": "Correct the file and upload it again; how it is read can be said once it is here",
    "source_single_use": "Upload it, or connect it as a source: then it is a dataset",
}
_ALWAYS = ("unknown_source", "no_usable_column", "too_few_rows", "key_not_unique", "too_many_rows")
_CODE = re.compile(
    r":=|(?:^|\s)--?\w|\w\(|\bselect \S|\bcast |\b(?:table|with) \w+ as\b"
    r"|\bpynomaly \w|\{'|=\s*['\[{]|/api/"
)
_NAMED = re.compile(r"`(\w+)`")
_INDICATORS = re.compile(r"(\d+) indicators: (?=is ')")
_IS = re.compile(r"(?:^|(?<=, ))is (?=')")
_SUBJECT = re.compile(r"`(\w+)` is ")


def way_out(error: Any) -> str:
    """What to do about an error, or the problem of a job, as a sentence; nothing where code alone could do it."""
    code, mend = _of(error, "code"), _of(error, "mend")
    if code in _ALWAYS or _CODE.search(mend) or set(_NAMED.findall(mend)) & set(calls.OPTIONS):
        mend = WAYS.get(code, "")
    return sentence(mend)


def what(error: Any) -> str:
    """What is wrong, with the names of the form's fields."""
    cause = _of(error, "cause") or _of(error, "detail")
    named = _SUBJECT.sub(lambda found: f"“{FIELDS[found[1]]}” is " if found[1] in FIELDS else found[0], cause)
    return sentence(named).rstrip(".")


def failure(text: str | None, parameters: Iterable[str] = ()) -> dict[str, str] | None:
    """The cause and the way out in what a run says of its failure, with its parameters as the form calls them."""
    said = text or ""
    for name in parameters:
        said = said.replace(f"`{name}`", f"“{name.replace('_', ' ')}”")
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
