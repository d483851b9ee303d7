"""From a file, or a source that is served elsewhere, to a dataset: sent, looked at, corrected, committed."""

import contextlib
import re
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from anyio import to_thread
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, URLEncodedBody

from pynomaly import urls
from pynomaly.engine import Engine
from pynomaly.errors import AccessDenied, BadParameter, Conflict, PynomalyError
from pynomaly.samples import SAMPLE, measurements
from pynomaly_server import paging, previews
from pynomaly_server.api.datasets import load_soon
from pynomaly_server.errors import UnknownUpload
from pynomaly_server.identity import Identity
from pynomaly_server.jobs import Job
from pynomaly_server.loading import NewDataset
from pynomaly_server.pages import wording
from pynomaly_server.pages.shown import is_htmx, sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.previews import Uploaded
from pynomaly_server.served import Caller, Db, Place
from pynomaly_server.uploads import Upload, Uploads
from pynomaly_server.workspace import Workspace

Asked = Request[Any, Any, Any]
Form = URLEncodedBody[dict[str, Any]]
LOADS = """
select request->>'upload_id' as upload, id::varchar as job, status,
    problem->>'code' as code, problem->>'detail' as detail, problem->>'mend' as mend
from pynomaly.jobs
where kind = 'dataset' and created_by = ? and request->>'upload_id' in (select unnest(?))
qualify row_number() over (partition by upload order by created_at desc, id) = 1
"""
PATIENCE = 3.0  # seconds until a page says that it goes on loading
TYPES = {
    "VARCHAR": "text",
    "BIGINT": "whole number",
    "DOUBLE": "number",
    "BOOLEAN": "yes or no",
    "DATE": "date",
    "TIME": "time of day",
    "TIMESTAMP": "date and time",
    "TIMESTAMP WITH TIME ZONE": "date and time with zone",
}
FOUND = "found by itself"
_HEADER = (("true", "yes"), ("false", "no"))
_OF_TEXTS: tuple[dict[str, Any], ...] = (
    {"name": "o.delimiter", "label": "Between two fields", "placeholder": FOUND, "maxlength": 4},
    {"name": "o.decimal", "label": "Decimal sign", "placeholder": "point", "choices": [(",", "comma")]},
    {
        "name": "o.thousands",
        "label": "Between thousands",
        "placeholder": "nothing",
        "choices": [(".", "point"), (",", "comma"), ("'", "apostrophe")],
    },
    {"name": "o.header", "label": "The first line names the columns", "placeholder": FOUND, "choices": _HEADER},
    {
        "name": "o.skip",
        "label": "Lines to skip",
        "type": "integer",
        "minimum": 0,
        "maximum": 1_000,
        "placeholder": FOUND,
    },
    {"name": "o.encoding", "label": "Encoding", "placeholder": FOUND, "maxlength": 40},
    {"name": "o.nullstr", "label": "Text that means no value", "placeholder": "an empty field", "maxlength": 40},
    {
        "name": "o.dateformat",
        "label": "Form of dates",
        "placeholder": FOUND,
        "help": "Such as %d.%m.%Y",
        "maxlength": 40,
    },
    {
        "name": "o.timestampformat",
        "label": "Form of times",
        "placeholder": FOUND,
        "help": "Such as %d.%m.%Y %H:%M",
        "maxlength": 40,
    },
)
_OF_SHEETS = ({"name": "o.sheet", "label": "Sheet", "placeholder": "the first", "maxlength": 100},)
_OF_HDF5 = ({"name": "o.path", "label": "Path of the table in the file", "maxlength": 400},)
_FIELDS: dict[str, tuple[dict[str, Any], ...]] = {
    "csv": _OF_TEXTS, "xlsx": _OF_SHEETS, "xls": _OF_SHEETS, "xlsb": _OF_SHEETS, "ods": _OF_SHEETS, "h5": _OF_HDF5
}  # fmt: skip
_KINDS: dict[str, Any] = {"skip": int, "header": lambda text: text == "true"}


class Reading(msgspec.Struct, frozen=True):
    """How a file is read: options of its reader, and types in SQL by the place of a column."""

    options: dict[str, Any]
    types: dict[int, str]

    @classmethod
    def of(cls, given: Any) -> "Reading":
        """What a query or a form says; an empty field says nothing."""
        options, types = {}, {}
        for name, value in given.items():
            if value == "":
                continue
            if name.startswith("o."):
                options[name[2:]] = _option(name[2:], str(value))
            elif re.fullmatch(r"t\d{1,5}", name):
                types[int(name[1:])] = str(value)
        return cls(previews.checked_options(options), types)

    @property
    def values(self) -> dict[str, str]:
        """The same, as fields of a form."""
        told = {
            f"o.{name}": str(value).lower() if value in (True, False) else value for name, value in self.options.items()
        }
        return told | {f"t{place}": kind for place, kind in self.types.items()}


class UploadPage(Controller):
    """New data."""

    path = "/upload"
    include_in_schema = False

    @get("/", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def get_uploads(self, request: Asked, identity: Caller, workspace: Place) -> Response[str]:
        """Where data can come from."""
        return _start(request, identity, workspace)

    @post("/", permission=Permission.WRITE_DATASETS, request_max_body_size=None)
    async def receive(self, request: Asked, identity: Caller, workspace: Place) -> Response[Any]:
        """Files; the first is looked at, the others wait."""
        limit = workspace.options["max_upload_bytes"]
        try:
            found = await Uploads(workspace.folder).receive(request, identity.user, None, limit)
        except PynomalyError as error:
            if is_htmx(request) or error.status >= 500:
                raise
            return await to_thread.run_sync(_refused, request, identity, workspace, "files", error)
        return sent_to(request, f"/upload/{found[0].id}")

    @post("/sample", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def load_sample(self, request: Asked, identity: Caller, db: Db) -> Response[None]:
        """A data set to try things with."""
        return sent_to(request, f"/datasets/{quote(_sample(db, identity))}")

    @post("/connect", permission=Permission.CONNECT_SOURCES)
    async def connect(self, request: Asked, identity: Caller, workspace: Place, data: Form) -> Response[Any]:
        """A source that is served elsewhere."""
        given = {name: str(data.get(name, "")).strip() for name in ("name", "url", "table", "query")}
        options = {name: given[name] for name in ("table", "query") if given[name]}
        try:
            wanted = NewDataset(given["name"], url=given["url"], options=options)
            job = await load_soon(workspace, identity, wanted, PATIENCE)
        except PynomalyError as error:
            told = {**given, "url": urls.shown(given["url"])}
            return await to_thread.run_sync(_refused, request, identity, workspace, "source", error, told)
        return sent_to(request, _after(job))

    @get("/loading/{job_id:uuid}", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def get_loading(self, request: Asked, identity: Caller, workspace: Place, job_id: FromPath[Any]) -> Response[Any]:
        """A source that takes a while."""
        job = workspace.jobs.find(str(job_id), identity)
        if "name" not in job.request:  # it loads nothing
            return sent_to(request, f"/jobs/{job.id}")
        if job.status == "succeeded" and job.result is not None:
            _forget(workspace, identity, job)
            return sent_to(request, _after(job))
        return shown(
            request, "upload_loading.html", "Loading", nav="datasets", job=job, live=workspace.jobs.live(job.id)
        )

    @get("/{upload_id:str}", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def get_upload(
        self, request: Asked, identity: Caller, db: Db, workspace: Place, upload_id: FromPath[str]
    ) -> Response[Any]:
        """What is in a file, read as the query says."""
        upload = Uploads(workspace.folder).find(upload_id, identity.user)
        load = _waiting(workspace, identity)[1].get(upload.id, {})
        if load.get("status") in ("queued", "running"):
            return sent_to(request, f"/upload/loading/{load['job']}")
        return _preview(request, db, workspace, upload, dict(request.query_params))

    @post("/{upload_id:str}", permission=Permission.WRITE_DATASETS)
    async def commit(
        self, request: Asked, identity: Caller, workspace: Place, upload_id: FromPath[str], data: Form
    ) -> Response[Any]:
        """Look at it again as the form says, or make it a dataset."""
        uploads = Uploads(workspace.folder)
        upload = await to_thread.run_sync(uploads.find, upload_id, identity.user)
        if data.get("action") == "look":
            kept = {name: str(value) for name, value in data.items() if name[:2] == "o." or (name[:1] == "t" and value)}
            return sent_to(request, f"/upload/{upload.id}?{urlencode({**kept, 'name': data.get('name', '')})}")
        problem: tuple[str, str]
        try:
            wanted = await to_thread.run_sync(_wanted, workspace, identity, upload, data)
            job = await load_soon(workspace, identity, wanted, PATIENCE)
            problem = (wording.what(job.problem), wording.way_out(job.problem)) if job.problem else ("", "")
        except PynomalyError as error:
            if error.status >= 500:
                raise
            problem = (wording.what(error), wording.way_out(error))
        if problem[0]:
            return await to_thread.run_sync(_preview_again, request, identity, workspace, upload, data, problem)
        if job.status == "succeeded":
            await to_thread.run_sync(uploads.remove, upload)
        return sent_to(request, _after(job))

    @post("/{upload_id:str}/remove", permission=Permission.WRITE_DATASETS, elsewhere=True, sync_to_thread=True)
    def remove(self, request: Asked, identity: Caller, workspace: Place, upload_id: FromPath[str]) -> Response[None]:
        """Throw a file away that is no dataset."""
        uploads = Uploads(workspace.folder)
        uploads.remove(uploads.find(upload_id, identity.user))
        return sent_to(request, "/upload")


def _start(
    request: Asked,
    identity: Identity,
    workspace: Workspace,
    status: int = 200,
    refused: tuple[str, PynomalyError] | None = None,
    values: dict[str, str] | None = None,
) -> Response[str]:
    waiting, loads = _waiting(workspace, identity)
    limit = workspace.options["max_upload_bytes"]
    return shown(
        request, "upload.html", "Upload", nav="datasets", status=status, waiting=waiting, loads=loads, limit=limit,
        may_connect=identity.may(Permission.CONNECT_SOURCES), refused=refused, values=values or {},
    )  # fmt: skip


def _waiting(workspace: Workspace, identity: Identity) -> tuple[list[Upload], dict[str, dict[str, Any]]]:
    """The files that are no datasets yet, and the last job that loads each."""
    waiting = Uploads(workspace.folder).listed(identity.user)
    if not waiting:
        return [], {}
    with workspace.own() as db:
        loads = {row["upload"]: row for row in paging.records(db, LOADS, [identity.user, [one.id for one in waiting]])}
    return [one for one in waiting if loads.get(one.id, {}).get("status") != "succeeded"], loads


def _forget(workspace: Workspace, identity: Identity, job: Job) -> None:
    """Remove the file whose rows a job has loaded."""
    uploads = Uploads(workspace.folder)
    with contextlib.suppress(UnknownUpload):
        uploads.remove(uploads.find(str(job.request.get("upload_id")), identity.user))


def _refused(
    request: Asked,
    identity: Identity,
    workspace: Workspace,
    part: str,
    error: PynomalyError,
    values: dict[str, str] | None = None,
) -> Response[str]:
    """The page again, with what was wrong beside the part that it was wrong in."""
    return _start(request, identity, workspace, 422, (part, error), values)


def _after(job: Job) -> str:
    """Where a load leads: to its dataset, or to how far it is."""
    if job.status == "succeeded" and job.result is not None:
        return f"/datasets/{quote(job.result['dataset']['name'])}"
    return f"/upload/loading/{job.id}"


def _option(name: str, text: str) -> Any:
    try:
        return _KINDS.get(name, str)(text)
    except ValueError:
        raise BadParameter(f"`{name}` is {text[:40]!r}", "give a whole number") from None


def _read(
    db: Engine, workspace: Workspace, upload: Upload, reading: Reading, missing: int | None
) -> tuple[Uploaded, Uploaded]:
    """A file as it would be read by itself, and as it was corrected."""
    found = previews.told(db, workspace, upload, reading.options, missing, False)
    if not reading.types or not found.columns:
        return found, found
    columns = {column.name: reading.types.get(place, column.type) for place, column in enumerate(found.columns)}
    return found, previews.told(db, workspace, upload, {**reading.options, "columns": columns}, missing, False)


def _preview(
    request: Asked,
    db: Engine,
    workspace: Workspace,
    upload: Upload,
    given: dict[str, Any],
    problem: tuple[str, str] | None = None,
) -> Response[str]:
    reading, status = Reading({}, {}), 200 if problem is None else 422
    try:
        reading = Reading.of(given)
    except PynomalyError as error:
        status, problem = 422, (wording.what(error), wording.way_out(error))
    is_text = upload.format.startswith("csv")
    if not is_text:
        reading = msgspec.structs.replace(reading, types={})
    show = str(given.get("show", ""))
    missing = int(show) if show.isascii() and show.isdigit() and len(show) < 6 else None
    by_itself, found = _read(db, workspace, upload, reading, missing)
    name = str(given.get("name") or _suggested(upload.filename))
    known = db.execute("select n_versions from datasets() where name = ?", [name]).fetchall()
    look = f"/upload/{upload.id}?{urlencode({**reading.values, 'name': name})}"
    return shown(
        request, "upload_preview.html", upload.filename[:100], nav="datasets", status=status, upload=upload,
        found=found, by_itself=by_itself, reading=reading, is_text=is_text, types=TYPES, show=show, name=name,
        problem=problem,
        look=look, headers={"HX-Push-Url": look} if problem is None and not show else None,
        fields=_FIELDS.get(upload.format.partition(".")[0], ()), is_strict=bool(given.get("strict")),
        n_versions=known[0][0] if known else 0,
        others=[one for one in Uploads(workspace.folder).listed(upload.user) if one.id != upload.id],
    )  # fmt: skip


def _preview_again(
    request: Asked,
    identity: Identity,
    workspace: Workspace,
    upload: Upload,
    data: dict[str, Any],
    problem: tuple[str, str],
) -> Response[str]:
    with workspace.acting(identity) as db:
        return _preview(request, db, workspace, upload, data, problem)


def _wanted(workspace: Workspace, identity: Identity, upload: Upload, data: dict[str, Any]) -> NewDataset:
    """The dataset that a form asks for: of the types, those that differ from what is found by itself."""
    reading, types = Reading.of(data), {}
    if reading.types and upload.format.startswith("csv"):
        with workspace.acting(identity) as db:
            path = Uploads(workspace.folder).path(upload)
            names = list(db.datasets.sample(path, previews.SAMPLED_ROWS, **reading.options).columns)
        types = {names[place]: kind for place, kind in reading.types.items() if place < len(names)}
    name = str(data.get("name", "")).strip()
    return NewDataset(name, upload.id, None, types, reading.options, bool(data.get("strict")))


def _suggested(filename: str) -> str:
    """A name for a dataset, by that of its file."""
    stem = filename.partition(".")[0] or filename
    return re.sub(r"[^\w]+", "_", stem).strip("_")[:60] or "data"


def _sample(db: Engine, identity: Identity) -> str:
    """The name of the sample data set, once it is there; somebody else's may have the usual one."""
    own = re.sub(r"[^\w]+", "_", identity.user)
    for name in (SAMPLE, f"{SAMPLE}_{own}"):
        try:
            return db.datasets.add(name, measurements(), called="the sample data set of scikit-learn").name
        except (AccessDenied, Conflict):
            continue
    raise Conflict(f"`{SAMPLE}` belongs to somebody else", "ask them to share it")
