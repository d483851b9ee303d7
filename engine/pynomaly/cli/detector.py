"""`pynomaly detector`: parameters of a detection under a name."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from pynomaly.cli import output, table
from pynomaly.cli.detect import DETECTION, Detection
from pynomaly.cli.listing import listed
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Settings, Written, needed, opened
from pynomaly.quoting import literal

Name = Annotated[str, Parameter(help="The name of the detector.")]

detector = App(name="detector", help="Keep the parameters of a detection under a name.")


@detector.command
def add(name: Name, /, *, detection: Detection = DETECTION, common: Common = COMMON) -> int:
    """Keep parameters under a name: `pynomaly detector add strict -a iforest --contamination 0.01 --db team.duckdb`.

    `pynomaly detect SOURCE --detector strict` uses them.
    """
    with opened(needed(common, "a detector")) as engine:
        engine.define_detector(name, **detection.call("", "json", Settings()).options)
        version = engine.execute(f"select version from detectors() where name = {literal(name)}").fetchall()[0][0]
    common.voice.say(f"{name} version {version}")
    return 0


@detector.command
def ls(*, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """List the detectors: `pynomaly detector ls --db team.duckdb`."""
    rows = "from detectors() order by name"
    brief = f"select name, version, options, created_by as by {rows}"
    nothing = "no detector is defined yet: `pynomaly detector add NAME --db FILE`"
    return listed(rows, needed(common, "a detector"), written, common, brief, nothing)


@detector.command
def show(name: Name, /, *, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """Tell the parameters of a detector: `pynomaly detector show strict --db team.duckdb`."""
    settings = needed(common, "a detector")
    target = output.target(written, settings, 1)
    with opened(settings, read_only=True) as engine:
        query = engine.sql(
            f"select known.* from _detector({literal(name)}) as meant left join detectors() as known using (name)"
        )
        if target.format == "table" and target.path is None:
            record = dict(zip(query.columns, query.fetchall()[0], strict=True))
            table.facts({**record, "options": None, **msgspec.json.decode(record["options"])})
        else:
            output.write(query, target)
    return 0


@detector.command
def rm(name: Name, /, *, common: Common = COMMON) -> int:
    """End a detector; its versions stay in the catalogue: `pynomaly detector rm strict --db team.duckdb`."""
    with opened(needed(common, "a detector")) as engine:
        engine.remove_detector(name)
    common.voice.say(f"{name} removed")
    return 0
