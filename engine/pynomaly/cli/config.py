"""`pynomaly config`: what a server would be told, and by what."""

from pathlib import Path
from typing import Annotated

import msgspec
import pyarrow as pa
from cyclopts import App, Parameter

import pynomaly
from pynomaly.cli import output
from pynomaly.cli.serve import server
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Settings, Written

config = App(name="config", help="What the server is told: its options, limits and flags.")


@config.command
def show(
    *,
    origin: Annotated[bool, Parameter(help="Show who said so: flag, environment, file, database or default.")] = False,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """List every option of `pynomaly serve` with its value: `pynomaly config show --origin`."""
    options = server("options").Options({"database": common.db})
    path = options.start.database
    if Path(path).exists():
        with pynomaly.connect(path, read_only=True) as engine:
            rows = engine.execute("select name, value from settings() where changed_at is not null").fetchall()
        options.set_rows({name: msgspec.json.decode(value) for name, value in rows})
    listed = [
        {
            "name": told.name,
            "value": None if told.value is None else str(told.value),
            **({"origin": told.origin} if origin else {}),
            "description": told.description,
        }
        for told in options.listed()
    ]
    with pynomaly.connect() as engine:
        engine.register("options", pa.Table.from_pylist(listed))
        output.write(engine.sql("from options"), output.target(written, Settings(), len(listed)))
    return 0
