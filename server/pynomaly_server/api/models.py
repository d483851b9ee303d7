"""Trained models: their life, their files, and rows that they score."""

import contextlib
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from anyio import to_thread
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromHeader, FromPath, FromQuery, JSONBody, RawBody

from pynomaly import calls
from pynomaly.engine import Engine
from pynomaly.errors import PynomalyError
from pynomaly_server import bodies, formats, paging, schemas
from pynomaly_server.asking import JOB, answered, sourced
from pynomaly_server.errors import BodyInvalid
from pynomaly_server.identity import Identity
from pynomaly_server.paging import Page
from pynomaly_server.permissions import Permission
from pynomaly_server.scoring import Scoring
from pynomaly_server.served import Caller, Db, Place
from pynomaly_server.workspace import Workspace

LARGEST_ROWS = 33_554_432  # bytes of rows to score
LARGEST_MODEL = 536_870_912  # bytes of a file
JSON = "application/json"
FILES = {
    "parquet": ("application/vnd.apache.parquet", "parquet"),
    "sql": ("application/sql", "sql"),
    "numpy": ("application/zip", "zip"),
}
LATEST = """
select * exclude (stage), (
    select max(version) from models() as other where other.name = known.name and other.stage = 'champion'
) as champion
from models() as known
qualify row_number() over (partition by name order by version desc) = 1
"""
Version = FromQuery[Annotated[int, msgspec.Meta(ge=1)] | None]


class Promotion(msgspec.Struct, forbid_unknown_fields=True):
    """Which version comes to which stage."""

    version: int
    stage: str = "champion"


class Retirement(msgspec.Struct, forbid_unknown_fields=True):
    """Which version retires."""

    version: int


class ModelsController(Controller):
    """Models by name; the versions of a name count up."""

    path = "/api/v1/models"
    tags = ["models"]

    @get("/", permission=Permission.READ, cached=True, sync_to_thread=True)
    def list_models(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Page]:
        """The newest version of every model, by name, with the version that is champion."""
        return paging.listed(request, db, LATEST, order=("name",), limit=limit, cursor=cursor)

    @post("/train", permission=Permission.WRITE_MODELS, body=schemas.training, answers=JOB)
    async def train_model(
        self,
        workspace: Place,
        identity: Caller,
        data: JSONBody[dict[str, Any]],
        prefer: FromHeader[str | None] = None,
    ) -> Response[dict[str, Any]]:
        """Train a model as the next version of its name. Every parameter of `train_detector` may be given."""
        request = sourced(data)
        name = request.pop("name", None)
        if not isinstance(name, str) or not name.strip():
            raise BodyInvalid("`name` is missing", "give a text", [{"pointer": "/name", "detail": "give a text"}])
        given = {key: value for key, value in request.items() if key != "source"}
        calls.macro_call("train_detector", calls.TRAINING_OPTIONS, (name, request["source"]), given)
        return await answered(workspace, identity, prefer, "train", {**request, "model": name})

    @post(
        "/import",
        permission=Permission.WRITE_MODELS,
        body=schemas.model_file,
        request_max_body_size=LARGEST_MODEL,
        sync_to_thread=True,
    )
    def import_model(
        self, workspace: Place, identity: Caller, body: RawBody, name: FromQuery[str | None] = None
    ) -> Response[dict[str, Any]]:
        """Keep the model in a file as the next version of its name, or of another name."""
        with _folder(workspace) as folder, workspace.acting(identity) as seeing, workspace.own() as db:
            file = folder / "model.parquet"
            file.write_bytes(body)
            try:
                called = name or _name_in(db, file)
                seeing.check_owned("model", called)
                db.act_as(identity.user, True)  # who sees only their own may read no file
                row = db.import_model(file, called)
            except PynomalyError as error:
                raise _told(error, file) from None
        return Response(_shown(workspace, identity, row.name, row.version), status_code=201, headers=_place(row.name))

    @get("/{name:str}", permission=Permission.READ, cached=True, sync_to_thread=True)
    def get_model(self, db: Db, name: FromPath[str], version: Version = None) -> dict[str, Any]:
        """The version of a model that scores, or another one."""
        return _version(db, name, version)

    @get("/{name:str}/versions", permission=Permission.READ, cached=True, sync_to_thread=True)
    def list_versions(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        name: FromPath[str],
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Page]:
        """The versions of a model, the newest first."""
        db.version_of(name)
        select = "select * from models() where name = ?"
        return paging.listed(
            request, db, select, parameters=[name], order=("version desc",), limit=limit, cursor=cursor
        )

    @post("/{name:str}/promote", permission=Permission.WRITE_MODELS, status_code=200, sync_to_thread=True)
    def promote_model(self, db: Db, name: FromPath[str], data: JSONBody[Promotion]) -> dict[str, Any]:
        """Bring a version to a stage; a champion that is replaced retires."""
        db.promote(name, data.version, data.stage)
        return _version(db, name, data.version)

    @post("/{name:str}/rollback", permission=Permission.WRITE_MODELS, status_code=200, sync_to_thread=True)
    def roll_back_model(self, db: Db, name: FromPath[str]) -> dict[str, Any]:
        """Make the champion before the present one champion again."""
        db.roll_back(name)
        return _version(db, name, None)

    @post("/{name:str}/retire", permission=Permission.WRITE_MODELS, status_code=200, sync_to_thread=True)
    def retire_model(self, db: Db, name: FromPath[str], data: JSONBody[Retirement]) -> dict[str, Any]:
        """Bring a version to the stage retired."""
        db.retire(name, data.version)
        return _version(db, name, data.version)

    @get(
        "/{name:str}/export",
        permission=Permission.READ,
        media_types=tuple(media_type for media_type, _ in FILES.values()),
        sync_to_thread=True,
    )
    def export_model(
        self,
        db: Db,
        workspace: Place,
        name: FromPath[str],
        format: FromQuery[Literal["parquet", "sql", "numpy"]] = "parquet",  # noqa: A002 - as it is asked for
        version: Version = None,
    ) -> Response[bytes]:
        """A model as a file that can be imported, as a macro of plain SQL, or as a folder that scores with numpy."""
        number = db.version_of(name, version)
        with _folder(workspace) as folder:
            if format == "sql":
                content = db.export_detector_sql(name, number).encode()
            elif format == "numpy":
                db.export_numpy(name, folder / "model", number)
                content = _zipped(folder / "model")
            else:
                db.export_model(name, folder / "model.parquet", number)
                content = (folder / "model.parquet").read_bytes()
        media_type, suffix = FILES[format]
        headers = formats.disposition(f"{name}-{number}", suffix)
        return Response(content, media_type=media_type, headers=headers)

    @post(
        "/{name:str}/score",
        permission=Permission.DETECT,
        body=schemas.posted_rows,
        status_code=200,
        statuses=(406,),
        request_max_body_size=LARGEST_ROWS,
        changes_nothing=True,
    )
    async def score_rows(
        self,
        request: Request[Any, Any, Any],
        scoring: NamedDependency[Scoring],
        identity: Caller,
        name: FromPath[str],
        body: RawBody,
        version: Version = None,
        explain: FromQuery[Annotated[int, msgspec.Meta(ge=0, le=1_000)]] = 0,
    ) -> Response[Any]:
        """Score the rows of the body, each by itself; the answer has them with score, flag and reasons.

        JSON is an object (one row, answered as one), an array of them, or `{"columns": {name: [values]}}`; Arrow,
        Parquet, CSV and NDJSON are read too. No run is recorded.
        """
        sent = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
        row = _row(body) if sent == JSON else None
        if row is not None and formats.wanted(request).name == "json":
            scored = await scoring.score(identity, row, name, version, explain)
            return Response(_ENCODER.encode(scored), media_type=JSON)
        rows = await _apart(len(body), bodies.read_body, sent, body)
        found = await scoring.score(identity, rows, name, version, explain)
        answer: Response[Any] = await _apart(found.nbytes, formats.respond, request, found, f"{name}-scores")
        return answer


_ROW = msgspec.json.Decoder(dict[str, bool | int | float | str | None])
_ENCODER = msgspec.json.Encoder()
_AT_ONCE = 131_072  # bytes that are read or written faster than a thread is asked


async def _apart(n_bytes: int, action: Callable[..., Any], *arguments: Any) -> Any:
    """Do something with so many bytes, in a thread where others would wait for it."""
    return action(*arguments) if n_bytes <= _AT_ONCE else await to_thread.run_sync(action, *arguments)


def _row(body: bytes) -> dict[str, Any] | None:
    """The one row that a body is, where it is one of plain values."""
    if body.lstrip()[:1] != b"{":
        return None
    try:
        return _ROW.decode(body) or None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None  # columns, nested values, no JSON: told by who reads every form


def _version(db: Engine, name: str, version: int | None) -> dict[str, Any]:
    number = db.version_of(name, version)
    select = "select * from models() where name = ? and version = ?"
    found = paging.page(db, select, [name, number], ("version",)).items
    return found[0]


def _shown(workspace: Workspace, identity: Identity, name: str, version: int) -> dict[str, Any]:
    with workspace.acting(identity) as db:
        return _version(db, name, version)


def _place(name: str) -> dict[str, str]:
    return {"Location": f"/api/v1/models/{quote(name, safe='')}"}


def _name_in(db: Engine, file: Path) -> str:
    call = calls.macro_call("import_model", (), (str(file),), {})
    return str(db.execute(f"select name from {call}").fetchall()[0][0])


def _told(error: PynomalyError, file: Path) -> PynomalyError:
    """An error that does not tell where the server has its files."""
    return type(error)(*(text.replace(str(file), "the body") for text in (error.cause, error.mend)))


@contextlib.contextmanager
def _folder(workspace: Workspace) -> Iterator[Path]:
    """A folder for the time of a request, where DuckDB may read and write."""
    uploads = workspace.folder / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=uploads, prefix="model-") as name:
        yield Path(name)


def _zipped(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return packed.getvalue()
