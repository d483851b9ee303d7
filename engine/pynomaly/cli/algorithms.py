"""`pynomaly algorithms`: what a detection can run, and with which parameters."""

from typing import Annotated

from cyclopts import Parameter

from pynomaly import registry
from pynomaly.cli import output, table
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Written, opened, resolve
from pynomaly.engine import Engine
from pynomaly.errors import BadParameter
from pynomaly.quoting import literal

ALL_ROWS = 1000


def algorithms(
    name: Annotated[str | None, Parameter(help="Tell this algorithm's record and parameters.")] = None,
    /,
    *,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """List the algorithms, or tell all about one: `pynomaly algorithms iforest`."""
    settings = resolve(common)
    target = output.target(written, settings, ALL_ROWS)
    with opened(settings, read_only=True) as engine:
        if name is None:
            columns = "name, family, summary, available" if target.format == "table" else "*"
            shown = output.write(engine.sql(f"select {columns} from algorithms() order by name"), target)
            if shown is not None:
                table.show_all(shown)
                common.voice.say("`pynomaly algorithms NAME` lists the parameters of one", "dim")
        elif target.format == "table" and target.path is None:
            _tell(engine, _known(name))
        else:
            output.write(engine.sql(_record(_known(name))), target)
    return 0


def _known(name: str) -> str:
    if name == registry.AUTO:
        few, medium, many = (registry.auto(n) for n in (1, registry.VERY_FEW_ROWS, registry.FEW_ROWS))
        raise BadParameter(
            f"`auto` stands for `{few}` under {registry.VERY_FEW_ROWS} rows, `{medium}` under {registry.FEW_ROWS}, "
            f"and `{many}` from there on",
            "name one of them",
        )
    return name


def _record(name: str) -> str:
    parameters = f"(select list(p) from algorithm_parameters({literal(name)}) as p)"
    return f"select *, {parameters} as parameters from algorithms() where name = {literal(name)}"


def _tell(engine: Engine, name: str) -> None:
    """Print a record and the table of its parameters."""
    parameters = engine.sql(f"from algorithm_parameters({literal(name)})")
    shown = output.Shown(parameters.columns, parameters.fetchall(), False)
    query = engine.sql(f"from algorithms() where name = {literal(name)}")
    record = dict(zip(query.columns, query.fetchall()[0], strict=True))
    table.facts(record)
    if shown.rows:
        _parameters(shown)
    else:
        print("It has no parameters.")  # noqa: T201 - the data of the verb


def _parameters(shown: output.Shown) -> None:
    """Print what each parameter takes, in four columns."""
    rows = []
    for row in shown.rows:
        item = dict(zip(shown.columns, row, strict=True))
        rows.append((item["name"], _takes(item), item["default"], item["description"]))
    table.show_all(output.Shown(["parameter", "takes", "default", "meaning"], rows, False))


def _takes(item: dict[str, object]) -> str:
    low, high, choices = item["minimum"], item["maximum"], item["choices"]
    ends = [f"{word} {value:g}" for word, value in (("from", low), ("to", high)) if value is not None]
    words = [" ".join([str(item["type"]), *ends])] if ends or not choices else []
    return " or ".join([*words, *(choices or ())])  # type: ignore[misc]
