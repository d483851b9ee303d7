"""`pynomaly doctor`: whether everything that Pynomaly stands on is in order."""

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

import pynomaly
from pynomaly.cli import output, table
from pynomaly.cli.console import FAILED
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Settings, Written, opened, resolve
from pynomaly.engine import Engine
from pynomaly.errors import PynomalyError

PACKAGES = ("duckdb", "pyarrow", "numpy", "numba", "polars", "pyod", "scikit-learn", "msgspec", "cyclopts", "rich")
ALL_ROWS = 1000


class Check(msgspec.Struct, frozen=True):
    """One thing looked at: what was found, whether that is in order, and what to do where it is not."""

    name: str
    found: str
    ok: bool = True
    mend: str | None = None


def doctor(*, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """Check the installation and, with --db, a database: `pynomaly doctor`. Exits with 1 when something is amiss."""
    settings = resolve(common)
    target = output.target(written, settings, ALL_ROWS)
    with opened(msgspec.structs.replace(settings, database=None)) as engine:
        checks = [*_versions(), *_extras(), _kernel_cache(), *_limits(engine), *_algorithms(engine)]
        checks += _database(settings) if settings.database else []
        engine.register("checks", pa.Table.from_pylist([msgspec.structs.asdict(check) for check in checks]))
        shown = output.write(engine.sql("select name, found, ok, mend from checks"), target)
    if shown is not None:
        _show(checks)
    amiss = [check for check in checks if not check.ok]
    common.voice.say(f"{len(amiss)} of {len(checks)} checks failed" if amiss else "all is in order", "bold")
    return FAILED if amiss else 0


def _show(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.text import Text

    drawn = table.plain_table("check", "found", "")
    for check in checks:
        found = Text(check.found)
        if check.mend:
            found.append(f"\n{check.mend}", "dim" if check.ok else "")
        drawn.add_row(Text(check.name), found, Text("ok", "green") if check.ok else Text("FAILED", "bold red"))
    Console(file=sys.stdout, highlight=False).print(drawn)


def _versions() -> list[Check]:
    checks = [Check("pynomaly", pynomaly.__version__), Check("python", platform.python_version())]
    return checks + [_package(name) for name in PACKAGES]


def _package(name: str) -> Check:
    version = _version(name)
    if version is None:
        return Check(name, "missing", False, f"install it: pip install {name}")
    return Check(name, version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> list[Check]:
    """One check for each optional extra: which of its packages are missing is told, and is no failure."""
    try:
        about = metadata.metadata("pynomaly")
    except metadata.PackageNotFoundError:
        return []
    requirements = metadata.requires("pynomaly") or []
    return [_extra(extra, requirements) for extra in about.get_all("Provides-Extra") or []]


def _extra(extra: str, requirements: list[str]) -> Check:
    marker = re.compile(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]")
    named = [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in requirements if marker.search(text)]
    missing = [name for name in named if _version(name) is None]
    if not missing:
        return Check(f"extra {extra}", "available")
    return Check(f"extra {extra}", f"without {', '.join(missing)}", True, f"pip install 'pynomaly[{extra}]'")


def _kernel_cache() -> Check:
    """Whether compiled kernels can be kept: without that every process compiles them anew."""
    from pynomaly.kernels import hashing

    name = "kernel cache"
    mend = "set NUMBA_CACHE_DIR to a folder that can be written"
    kernel: Any = next(item for item in vars(hashing).values() if hasattr(item, "stats"))
    folder = Path(str(kernel.stats.cache_path or ""))
    nearest = next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)
    if not kernel.stats.cache_path:
        return Check(name, "none: kernels are compiled in every process", False, mend)
    return Check(name, str(folder)) if os.access(nearest, os.W_OK) else Check(name, f"{folder}: read-only", False, mend)


def _limits(engine: Engine) -> list[Check]:
    query = "select current_setting('threads')::varchar, current_setting('memory_limit')"
    threads, memory = engine.execute(query).fetchall()[0]
    return [Check("threads", f"{threads} (of {os.cpu_count()} cores)"), Check("memory limit", str(memory))]


def _algorithms(engine: Engine) -> list[Check]:
    query = "select count(*) filter (available), count(*), list(distinct install_hint) filter (not available)"
    n_available, n_all, hints = engine.execute(f"{query} from algorithms()").fetchall()[0]
    return [Check("algorithms", f"{n_available} of {n_all} available", True, "; ".join(hints or []) or None)]


def _database(settings: Settings) -> list[Check]:
    """Whether the database can be opened, how large it is, and which of its views need Pynomaly."""
    path = str(settings.database)
    try:
        with opened(settings, read_only=True) as engine:
            return [Check("database", f"{path}: {_size(path)}, readable, not locked"), *_views(engine)]
    except PynomalyError as error:
        return [Check("database", f"{path}: {error.cause}", False, error.mend)]


def _size(path: str) -> str:
    n_bytes = float(Path(path).stat().st_size) if Path(path).is_file() else 0.0
    for unit in ("bytes", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.4g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.4g} GiB"


def _views(engine: Engine) -> list[Check]:
    """The views that call a macro of Pynomaly: they fail in a session without it."""
    macros = engine.execute("select distinct function_name from duckdb_functions() where database_name = 'temp'")
    names = "|".join(re.escape(str(name)) for (name,) in macros.fetchall())
    views = engine.execute(
        "select schema_name || '.' || view_name, sql from duckdb_views() "
        "where not internal and schema_name <> 'pynomaly'"
    )
    bound = [str(name) for name, text in views.fetchall() if re.search(rf"\b({names})\b\W*\(", str(text))]
    if not bound:
        return [Check("views", "none needs Pynomaly")]
    mend = "they fail in sessions without Pynomaly; `create table ... as from VIEW` keeps their rows"
    return [Check("views", f"{', '.join(bound)} call macros of Pynomaly", True, mend)]
