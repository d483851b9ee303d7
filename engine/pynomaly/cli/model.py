"""`pynomaly model`: train, list, promote and retire the models of a database."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pynomaly.cli import output, table
from pynomaly.cli.detect import json_object, one_or_all
from pynomaly.cli.insights import importance
from pynomaly.cli.listing import ALL_ROWS, listed
from pynomaly.cli.settings import COMMON, WRITTEN, Common, Written, needed, opened, resolve, split
from pynomaly.errors import UnknownModel
from pynomaly.quoting import literal

BRIEF = """
select
    name, version, stage, algorithm, len(features) as columns, (metrics->>'auroc')::double as "AUROC",
    strftime(created_at, '%Y-%m-%d %H:%M') as trained
"""


model = App(name="model", help="Train, list, promote, export and import the models of a database.")
model.command(importance)


@model.command
def train(
    name: Annotated[str, Parameter(help="What the model is called.")],
    source: Annotated[str, Parameter(help="A table or view of the database, or a file.")],
    /,
    *,
    algorithm: Annotated[
        list[str] | None, Parameter(alias="-a", help="A name that `pynomaly algorithms` lists, or several.")
    ] = None,
    combine: Annotated[str | None, Parameter(help="How several algorithms become one score.")] = None,
    features: Annotated[list[str] | None, Parameter(help="Columns to use, and no others.")] = None,
    exclude: Annotated[list[str] | None, Parameter(help="Columns not to use.")] = None,
    label: Annotated[str | None, Parameter(help="The column that is true, or 1, for an anomaly.")] = None,
    contamination: Annotated[float | None, Parameter(help="Flag about this share of the rows.")] = None,
    threshold: Annotated[
        float | str | None, Parameter(help="Flag scores above this, or above what a rule finds.")
    ] = None,
    sample_rows: Annotated[int | None, Parameter(help="Fit on about so many rows at most (262144).")] = None,
    seed: Annotated[int | None, Parameter(help="The seed of everything random (0).")] = None,
    parameters: Annotated[str | None, Parameter(help="The algorithm's own parameters as JSON.")] = None,
    pipeline: Annotated[
        str | None, Parameter(help="The features of this pipeline, which the model keeps; by name or name@version.")
    ] = None,
    common: Common = COMMON,
) -> int:
    """Train a model on SOURCE and keep it in the database: `pynomaly model train fraud payments --db team.duckdb`."""
    settings = needed(common, "a model")
    with opened(settings) as engine:
        trained = engine.train(
            name,
            source,
            algorithm=one_or_all(split(algorithm)),
            combine=combine,
            features=split(features),
            exclude=split(exclude),
            label=label,
            contamination=contamination,
            threshold=threshold,
            sample_rows=sample_rows,
            seed=settings.seed if seed is None else seed,
            parameters=json_object(parameters),
            pipeline=pipeline,
        )
    common.voice.say(str(trained))
    for note in trained.notes:
        common.voice.say(note, "dim")
    return 0


@model.command
def ls(*, written: Written = WRITTEN, common: Common = COMMON) -> int:
    """List the models with their stages: `pynomaly model ls --db team.duckdb`."""
    rows = "from models() order by name, version"
    nothing = "no model is trained yet: `pynomaly model train NAME SOURCE --db FILE`"
    return listed(rows, resolve(common), written, common, f"{BRIEF} {rows}", nothing)


@model.command
def show(
    name: Annotated[str, Parameter(help="The name of the model.")],
    version: Annotated[int | None, Parameter(help="Its version; the newest where none is named.")] = None,
    /,
    *,
    written: Written = WRITTEN,
    common: Common = COMMON,
) -> int:
    """Tell all about a model: `pynomaly model show fraud 3 --db team.duckdb`."""
    settings = resolve(common)
    target = output.target(written, settings, ALL_ROWS)
    with opened(settings, read_only=True) as engine:
        meant = f"where name = {literal(name)}" + ("" if version is None else f" and version = {version}")
        query = engine.sql(
            f"select * exclude (state) from query(_catalog('models', null)) {meant} order by version desc limit 1"
        )
        if target.format != "table" or target.path is not None:
            output.write(query, target)
            return 0
        rows, columns = query.fetchall(), query.columns
    if not rows:
        raise UnknownModel(
            f"there is no model `{name}`" + (f" version {version}" if version else ""), "`model ls` lists them"
        )
    table.facts(dict(zip(columns, rows[0], strict=True)))
    return 0


@model.command
def promote(
    name: Annotated[str, Parameter(help="The name of the model.")],
    version: Annotated[int, Parameter(help="The version that changes.")],
    /,
    *,
    stage: Annotated[str, Parameter(help="draft, staging, champion or retired.")] = "champion",
    common: Common = COMMON,
) -> int:
    """Bring a version to a stage, by default champion: `pynomaly model promote fraud 3 --db team.duckdb`."""
    with opened(resolve(common)) as engine:
        engine.promote(name, version, stage)
    common.voice.say(f"{name} version {version}: {stage}")
    return 0


@model.command
def retire(
    name: Annotated[str, Parameter(help="The name of the model.")],
    version: Annotated[int, Parameter(help="The version that retires.")],
    /,
    *,
    common: Common = COMMON,
) -> int:
    """Bring a version to the stage retired: `pynomaly model retire fraud 2 --db team.duckdb`."""
    return promote(name, version, stage="retired", common=common)


@model.command
def rollback(name: Annotated[str, Parameter(help="The name of the model.")], /, *, common: Common = COMMON) -> int:
    """Make the champion before the present one champion again: `pynomaly model rollback fraud --db team.duckdb`."""
    with opened(resolve(common)) as engine:
        engine.roll_back(name)
        champion = f"select version from _latest_stages({literal(name)}) where stage = 'champion'"
        version = engine.execute(champion).fetchall()[0][0]
    common.voice.say(f"{name} version {version}: champion")
    return 0


@model.command(name="export")
def export_model(
    name: Annotated[str, Parameter(help="The name of the model.")],
    path: Annotated[str, Parameter(help="The file to write, or the folder for numpy.")],
    /,
    *,
    version: Annotated[int | None, Parameter(help="Its version; by default the champion, or the newest.")] = None,
    format_: Annotated[
        Literal["model", "sql", "numpy"],
        Parameter(
            name="--format", help="The model itself, a macro of plain SQL, or a folder that scores with numpy alone."
        ),
    ] = "model",
    common: Common = COMMON,
) -> int:
    """Write a model to a file or folder: `pynomaly model export fraud fraud.parquet --db team.duckdb`."""
    with opened(resolve(common), read_only=True) as engine:
        if format_ == "sql":
            Path(path).write_text(engine.export_detector_sql(name, version), encoding="utf-8")
        elif format_ == "numpy":
            engine.export_numpy(name, path, version)
        else:
            engine.export_model(name, path, version)
    common.voice.say(f"written to {path}")
    return 0


@model.command(name="import")
def import_model(
    path: Annotated[str, Parameter(help="A file that `model export` wrote.")],
    /,
    *,
    name: Annotated[str | None, Parameter(help="What the model is called here; by default as in the file.")] = None,
    common: Common = COMMON,
) -> int:
    """Keep the model in a file as the next version: `pynomaly model import fraud.parquet --db team.duckdb`."""
    settings = needed(common, "a model")
    with opened(settings) as engine:
        common.voice.say(str(engine.import_model(path, name)))
    return 0
