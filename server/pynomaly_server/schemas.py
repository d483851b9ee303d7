"""The JSON schemas of bodies that hold the parameters of macros: made of what the engine lists, so that nothing is here
twice.
"""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar

from pynomaly import calls
from pynomaly.engine import Engine
from pynomaly_server import formats
from pynomaly_server.workspace import Workspace

Schema = dict[str, Any]
_NAMES: Schema = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_SAVE: Schema = {"type": "boolean", "default": True, "description": "Keep the scored rows under the run's id"}
_SOURCE: Schema = {
    "source": {"type": "string", "minLength": 1, "description": "A table, view, dataset or a version of one"},
    "dataset": {"type": "string", "minLength": 1, "description": "The same, under another name"},
}
# What is known of a parameter besides its name; one that is not here may be anything.
_OPTIONS: dict[str, Schema] = {
    "features": _NAMES,
    "exclude": _NAMES,
    "key": _NAMES,
    "by": _NAMES,
    "label": {"type": "string"},
    "contamination": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
    "threshold": {"oneOf": [{"type": "number"}, {"type": "string"}]},
    "top_k": {"type": "integer", "minimum": 1},
    "explain": {"type": "integer", "minimum": 0},
    "sample_rows": {"type": "integer", "minimum": 1},
    "seed": {"type": "integer"},
    "version": {"type": "integer", "minimum": 1},
    "pipeline": {"type": "string"},
    "detector": {"type": "string"},
    "combine": {"type": "string"},
}


def detection(app: Litestar) -> Schema:
    """The body of a detection."""
    return _json(_object({**_SOURCE, "save": _SAVE}, (*calls.OPTIONS, "detector"), app))


def batch(app: Litestar) -> Schema:
    """The body of a batch of detections."""
    datasets = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 1_000}
    return _json(_object({"datasets": datasets, "save": _SAVE}, (*calls.OPTIONS, "detector"), app, ["datasets"]))


def scoring(app: Litestar) -> Schema:
    """The body of a scoring."""
    own = {**_SOURCE, "model": {"type": "string", "minLength": 1}, "save": _SAVE}
    return _json(_object(own, ("version", "explain", "key"), app, ["model"]))


def comparison(app: Litestar) -> Schema:
    """The body of a comparison."""
    return _json(_object(_SOURCE, calls.COMPARISON_OPTIONS, app))


def evaluation(app: Litestar) -> Schema:
    """The body of an evaluation."""
    own = {**_SOURCE, "run": {"type": "string", "description": "The id of a saved run"}}
    return _json(_object(own, calls.EVALUATION_OPTIONS, app))


def training(app: Litestar) -> Schema:
    """The body of a training."""
    own = {**_SOURCE, "name": {"type": "string", "minLength": 1}}
    return _json(_object(own, calls.TRAINING_OPTIONS, app, ["name"]))


def detector(app: Litestar) -> Schema:
    """The body of a new detector."""
    return _json(_object({"name": {"type": "string", "minLength": 1}}, calls.OPTIONS, app, ["name"]))


def detector_options(app: Litestar) -> Schema:
    """The body of a detector's next version."""
    return _json(_object({}, calls.OPTIONS, app))


def posted_rows(app: Litestar) -> Schema:  # noqa: ARG001 - one form for all
    """Rows in any format."""
    row = {"type": "object"}
    columns = {"type": "object", "required": ["columns"], "properties": {"columns": {"type": "object"}}}
    by_type: Schema = {found.media_types[0]: {"schema": {"type": "string"}} for found in formats.FORMATS.values()}
    by_type["application/json"] = {"schema": {"anyOf": [{"type": "array", "items": row}, row, columns]}}
    return {"required": True, "content": by_type}


def model_file(app: Litestar) -> Schema:  # noqa: ARG001 - one form for all
    """The file of a model."""
    content = {"application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}}}
    return {"required": True, "content": content}


def _object(own: Schema, options: Sequence[str], app: Litestar, required: Sequence[str] = ()) -> Schema:
    workspace: Workspace = app.state.workspace
    with workspace.own() as db:
        listed = _listed(db)
    properties = {**own, **{name: listed.get(name, _OPTIONS.get(name, {})) for name in options}}
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def _listed(db: Engine) -> dict[str, Schema]:
    """The algorithms that can run here and their parameters, as their records have them."""
    names = [row[0] for row in db.execute("select name from algorithms() where available order by name").fetchall()]
    parameters: dict[str, Schema] = {}
    for algorithm in names:
        for name, told in db.execute("select name, description from algorithm_parameters(?)", [algorithm]).fetchall():
            known = parameters.setdefault(name, {"description": f"{told}. Of: "})
            known["description"] += ("" if known["description"].endswith(": ") else ", ") + algorithm
    one: Schema = {"type": "string", "enum": ["auto", *names]}
    several: Schema = {"type": "array", "items": {"type": "string", "enum": names}, "minItems": 1}
    return {
        "algorithm": {"oneOf": [one, several]},
        "algorithms": several,
        "parameters": {"type": "object", "properties": parameters},
    }


def _json(schema: Schema) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": schema}}}
