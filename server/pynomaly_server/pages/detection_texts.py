"""A detection as text to copy, for every interface that runs it."""

import csv
import io
import json
import shlex
from typing import Any

from pynomaly_server.pages.detection_form import Asked


def texts(found: Asked, address: str) -> list[tuple[str, str]]:
    """The request as SQL, Python, curl and a command line; no part of it leaves its quotes."""
    source, options = found.request["source"], found.options
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    python = (
        "import pynomaly\n\n"
        'with pynomaly.connect("workspace.duckdb") as db:\n'
        f"    result = db.detect({source!r}{given})\n"
        "    print(result.verdict)"
    )
    body = json.dumps({"source": source, **options}, ensure_ascii=False)
    curl = (
        f"curl {shlex.quote(f'{address}/api/v1/detection/detect')} \\\n"
        '  --header "Authorization: Bearer $PYNOMALY_KEY" \\\n'
        "  --header 'Content-Type: application/json' \\\n"
        f"  --data {shlex.quote(body)}"
    )
    flags = [word for name, value in options.items() for word in _flag(name, value)]
    line = shlex.join(["pynomaly", "detect", source, "--db", "workspace.duckdb", *flags])
    return [("SQL", f"select * from {found.call}"), ("Python", python), ("curl", curl), ("Command line", line)]


def _flag(name: str, value: Any) -> list[str]:
    """An option of the command line; a list is the option again and again."""
    said = f"--{name.replace('_', '-')}"
    if isinstance(value, dict):
        return [said, json.dumps(value, ensure_ascii=False)]
    words = [_named(one) for one in value] if isinstance(value, list) else [str(value)]
    if name in ("label", "key", "by", "features", "exclude") and isinstance(value, str):
        words = [_named(value)]
    return [part for word in words for part in ([f"{said}={word}"] if word.startswith("-") else [said, word])]


def _named(name: Any) -> str:
    """A name as an option that takes several reads it: in quotes where it would be taken for two."""
    if not any(sign in str(name) for sign in ',"\n\r') and str(name).strip() == str(name):
        return str(name)
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([name])
    return line.getvalue()
