"""What the engine lists: algorithms with their parameters, threshold rules, macros."""

from typing import Any

import msgspec
from litestar import Controller, get
from litestar.params import FromPath

from pynomaly.errors import UnknownAlgorithm, did_you_mean
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Db, rows

_TYPES = {"INTEGER": "integer", "DOUBLE": "number", "BOOLEAN": "boolean", "VARCHAR": "string"}


class AlgorithmsController(Controller):
    """The algorithms of this installation, plugins included."""

    path = "/api/v1/algorithms"
    tags = ["algorithms"]

    @get("/", permission=Permission.READ, cached=True, sync_to_thread=True)
    def list_algorithms(self, db: Db) -> dict[str, Any]:
        """Every algorithm with its kind, cost and limits."""
        return {"items": rows(db, "from algorithms() order by name"), "next_cursor": None}

    @get("/{name:str}", permission=Permission.READ, cached=True, sync_to_thread=True)
    def get_algorithm(self, db: Db, name: FromPath[str]) -> dict[str, Any]:
        """One algorithm, with the JSON schema of its parameters."""
        found = rows(db, "from algorithms() where name = ?", [name])
        if not found:
            known = [row["name"] for row in rows(db, "select name from algorithms()")]
            raise UnknownAlgorithm(f"there is no algorithm `{name}`", did_you_mean(name, known))
        return {**found[0], "parameters": parameters_schema(db, name)}


def parameters_schema(db: Db, algorithm: str) -> dict[str, Any]:
    """The JSON schema of an algorithm's parameters, as its record has them."""
    listed = rows(db, "from algorithm_parameters(?)", [algorithm])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {row["name"]: _schema(row) for row in listed},
        "additionalProperties": False,
    }


def _schema(row: dict[str, Any]) -> dict[str, Any]:
    given = {"minimum": row["minimum"], "maximum": row["maximum"], "enum": row["choices"]}
    kind = {"type": _TYPES[row["type"]]} if row["type"] in _TYPES else {}
    bounds = {name: value for name, value in given.items() if value is not None}
    default = {} if row["default"] is None else {"default": msgspec.json.decode(row["default"])}
    return {**kind, "description": row["description"], **bounds, **default}
