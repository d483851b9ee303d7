"""Detectors: parameters of a detection under a name. Its version is its ETag."""

import re
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from litestar import Controller, Request, Response, delete, get, post, put
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody

from pynomaly.engine import Engine
from pynomaly.errors import Conflict, UnknownDetector
from pynomaly_server import paging, schemas
from pynomaly_server.errors import BodyInvalid, PreconditionFailed, PreconditionRequired
from pynomaly_server.paging import Page
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Db, rows

Detector = dict[str, Any]
IfMatch = Annotated[str | None, HeaderParameter(name="If-Match")]
_COLUMNS = "select name, version, options, created_at, created_by from detectors()"


class DetectorsController(Controller):
    """Named configurations; a change is another version, and none is lost."""

    path = "/api/v1/detectors"
    tags = ["detectors"]

    @get("/", permission=Permission.READ, cached=True, sync_to_thread=True)
    def list_detectors(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Page]:
        """The detectors by name."""
        return paging.listed(request, db, _COLUMNS, order=("name",), limit=limit, cursor=cursor)

    @post("/", permission=Permission.WRITE_MODELS, body=schemas.detector, sync_to_thread=True)
    def define_detector(self, db: Db, data: JSONBody[dict[str, Any]]) -> Response[Detector]:
        """Keep parameters under a name that is not taken."""
        options = dict(data)
        name = options.pop("name", None)
        if not isinstance(name, str) or not name:
            raise BodyInvalid("`name` is missing", "give a text", [{"pointer": "/name", "detail": "give a text"}])
        db.execute("begin").fetchall()
        if rows(db, "select name from detectors() where name = ?", [name]):
            raise Conflict(f"there is a detector `{name}`", "PUT its next version, or take another name")
        return _defined(db, name, options, 201)

    @get("/{name:str}", permission=Permission.READ, sync_to_thread=True)
    def get_detector(self, db: Db, name: FromPath[str]) -> Response[Detector]:
        """One detector; its ETag is what a change must name."""
        return _answer(_found(db, name))

    @put(
        "/{name:str}",
        permission=Permission.WRITE_MODELS,
        body=schemas.detector_options,
        statuses=(412, 428),
        sync_to_thread=True,
    )
    def change_detector(
        self, db: Db, name: FromPath[str], data: JSONBody[dict[str, Any]], if_match: IfMatch = None
    ) -> Response[Detector]:
        """Make a next version of these parameters alone, where `If-Match` names the last one."""
        if if_match is None:
            raise PreconditionRequired(
                f"which version of `{name}` is changed is not said", "send its ETag in the header If-Match"
            )
        db.execute("begin").fetchall()
        _check(_found(db, name), if_match)
        return _defined(db, name, data, 200)

    @delete("/{name:str}", permission=Permission.WRITE_MODELS, statuses=(412,), sync_to_thread=True)
    def remove_detector(self, db: Db, name: FromPath[str], if_match: IfMatch = None) -> None:
        """End a detector, where `If-Match` is given only this version of it; its versions stay in the catalogue."""
        db.execute("begin").fetchall()
        found = _found(db, name)
        if if_match is not None:
            _check(found, if_match)
        db.remove_detector(name)
        db.commit()


def _found(db: Engine, name: str) -> Detector:
    found = rows(db, f"{_COLUMNS} where name = ?", [name])
    if not found:
        raise UnknownDetector(f"there is no detector `{name}`", "GET /api/v1/detectors lists those that you see")
    return {**found[0], "options": msgspec.json.decode(found[0]["options"])}


def _check(found: Detector, if_match: str) -> None:
    """Raise PreconditionFailed unless a header names the version that there is."""
    named = re.findall(r'(?<!W/)"([^"]*)"', if_match)  # a weak tag matches nothing here
    if if_match.strip() != "*" and str(found["version"]) not in named:
        raise PreconditionFailed(
            f"`{found['name']}` has version {found['version']} by now", "read it again, and change what is there"
        )


def _defined(db: Engine, name: str, options: dict[str, Any], status: int) -> Response[Detector]:
    """Write the next version in the transaction that is open; of two at once one is a conflict."""
    db.define_detector(name, **options)
    db.commit()
    return _answer(_found(db, name), status)


def _answer(found: Detector, status: int = 200) -> Response[Detector]:
    headers = {"ETag": f'"{found["version"]}"', "Location": f"/api/v1/detectors/{quote(found['name'], safe='')}"}
    if status != 201:
        del headers["Location"]
    return Response(found, status_code=status, headers=headers)
