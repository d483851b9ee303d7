"""Datasets: sources kept as immutable versions."""

from typing import Any
from urllib.parse import quote

import msgspec
from anyio import to_thread
from litestar import Controller, Request, Response, delete, get, post, put
from litestar.params import FromHeader, FromPath, FromQuery, JSONBody

from pynomaly.errors import BadParameter
from pynomaly.versions import Version
from pynomaly_server import formats, loading, paging, rowsets
from pynomaly_server.asking import seconds_to_wait, told
from pynomaly_server.errors import Forbidden
from pynomaly_server.identity import Identity
from pynomaly_server.jobs import Job
from pynomaly_server.loading import NewDataset
from pynomaly_server.paging import Page
from pynomaly_server.permissions import Permission
from pynomaly_server.previews import checked_options
from pynomaly_server.problems import PROBLEM
from pynomaly_server.requests import request_id
from pynomaly_server.rowsets import Asked, Rows
from pynomaly_server.served import Caller, Db, Place
from pynomaly_server.uploads import Uploads
from pynomaly_server.workspace import Workspace

USUAL_WAIT = 10  # seconds for a dataset to be loaded
RESERVED = ("upload", ".", "..")  # parts of paths that no dataset can be called
_PLACE = "_pynomaly_place"


class Rules(msgspec.Struct, forbid_unknown_fields=True):
    """Rules that the rows of a dataset shall keep."""

    rules: list[dict[str, Any]]


class Check(msgspec.Struct, forbid_unknown_fields=True):
    """What to validate: by default the newest version, by the rules kept under the dataset's name."""

    rules: list[dict[str, Any]] | str | None = None
    version: int | None = None
    save: bool = False


class DatasetsController(Controller):
    """Datasets of the caller, and those that others share."""

    path = "/api/v1/datasets"
    tags = ("datasets",)

    @post("/", permission=Permission.WRITE_DATASETS, answers=(201, 202), statuses=(403, 404, 409, 422, 503, 507))
    async def create_dataset(
        self,
        identity: Caller,
        workspace: Place,
        data: JSONBody[NewDataset],
        prefer: FromHeader[str | None] = None,
    ) -> Response[dict[str, Any]]:
        """Make an upload, or a source that is served from elsewhere, the next version of a dataset.

        201 with the version when that is soon done, else 202 with the job that does it; the header `Prefer: wait=5`
        says how many seconds to wait. A source needs the permission `connect_sources`.
        """
        seconds = seconds_to_wait(prefer)
        job = await load_soon(workspace, identity, data, USUAL_WAIT if seconds is None else seconds)
        return _loaded(job, workspace)

    @get("/", permission=Permission.READ, cached=True, sync_to_thread=True)
    def list_datasets(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        search: FromQuery[str | None] = None,
        sort: FromQuery[str | None] = None,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Page]:
        """The datasets that the caller sees, with their newest versions; `search` is a part of the name."""
        select, values = "from datasets()", []
        if search:
            select, values = f"{select} where contains(lower(name), lower(?))", [search]
        order = paging.sorting(sort, paging.described(db, select, values) if sort else {}, ["name"], "name")
        return paging.listed(request, db, select, parameters=values, order=order, limit=limit, cursor=cursor)

    @get("/{name:str}", permission=Permission.READ, sync_to_thread=True)
    def get_dataset(self, db: Db, name: FromPath[str]) -> dict[str, Any]:
        """One dataset with the columns of its newest version."""
        newest = db.datasets.versions(name)[-1]
        (found,) = paging.records(db, "from datasets() where name = ?", [newest.name])
        return {**found, "columns": _columns(newest), "address": newest.address}

    @delete("/{name:str}", permission=Permission.WRITE_DATASETS, sync_to_thread=True, statuses=(409,))
    def delete_dataset(self, db: Db, name: FromPath[str], force: FromQuery[bool] = False) -> None:
        """Remove a dataset; 409 names the runs and models that depend on it, unless `force`."""
        db.datasets.remove(name, force)

    @get("/{name:str}/versions", permission=Permission.READ, sync_to_thread=True)
    def list_versions(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        name: FromPath[str],
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Page]:
        """The versions of a dataset, the newest first."""
        select = "from dataset_versions(?)"
        found = paging.page(db, select, [name], ["version desc"], limit, cursor)
        if not len(found.rows):
            db.datasets.versions(name)  # raises where there is none
        return found.response(request)

    @get("/{name:str}/versions/{version:int}", permission=Permission.READ, sync_to_thread=True)
    def get_version(
        self, request: Request[Any, Any, Any], db: Db, name: FromPath[str], version: FromPath[int]
    ) -> Response[dict[str, Any]]:
        """One version, which never changes."""
        found = _version(db, name, version)
        etag = rowsets.tag(request, found.address, found.snapshot, found.created_at)
        whole = {**msgspec.to_builtins(found), "columns": _columns(found), "address": found.address}
        return rowsets.unchanged(request, etag) or Response(whole, headers=rowsets.cached(etag))

    @get("/{name:str}/profile", permission=Permission.READ, sync_to_thread=True)
    def get_profile(
        self, request: Request[Any, Any, Any], db: Db, name: FromPath[str], version: FromQuery[int | None] = None
    ) -> Response[dict[str, Any]]:
        """What the columns of a version are like, by default of the newest."""
        found = _version(db, name, version)
        etag = rowsets.tag(request, "profile", found.snapshot)
        if (same := rowsets.unchanged(request, etag)) is not None:
            return same
        items = paging.records(db, "from profile(?)", [found.address])
        return Response({"items": items, "next_cursor": None}, headers=rowsets.cached(etag))

    @get(formats.paths("/{name:str}/rows"), permission=Permission.READ, statuses=(406,))
    @rowsets.in_thread
    def list_rows(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        identity: Caller,
        workspace: Place,
        name: FromPath[str],
        version: FromQuery[int | None] = None,
        filter: FromQuery[list[str] | None] = None,  # noqa: A002 - the name of the parameter
        sort: FromQuery[str | None] = None,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
        escape: FromQuery[bool] = True,
    ) -> Response[Any]:
        """The rows of a version, by default of the newest.

        JSON comes in pages; CSV, NDJSON, Arrow and Parquet whole unless `limit` is given. `filter` is
        `column:operator:value` with eq, ne, lt, le, gt, ge, contains, starts, null or known, and may be repeated;
        `sort` names columns, with a minus before it the largest first. `escape=false` writes texts that a spreadsheet
        runs as formulas as they are.
        """
        found = _version(db, name, version)
        etag = rowsets.tag(request, found.snapshot)
        if (same := rowsets.unchanged(request, etag)) is not None:
            return same
        rows = Rows("from dataset_rows(?)", [found.address], _PLACE, [_PLACE], (_PLACE,), found.address)
        asked = Asked(filter or (), sort, limit, cursor, escape)
        return rowsets.answer(request, db, workspace, identity, rows, asked, rowsets.cached(etag))

    @get(formats.paths("/{name:str}/quarantine"), permission=Permission.READ, statuses=(406,))
    @rowsets.in_thread
    def list_quarantine(
        self,
        request: Request[Any, Any, Any],
        db: Db,
        identity: Caller,
        workspace: Place,
        name: FromPath[str],
        version: FromQuery[int | None] = None,
        limit: FromQuery[int | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> Response[Any]:
        """The rows that could not be read when a version was loaded, by default the newest."""
        found = _version(db, name, version)
        select = (
            "select file, line, reason, content from query(_catalog('quarantine', getvariable('pynomaly_user'))) "
            "where name = ? and version = ?"
        )
        rows = Rows(select, [found.name, found.version], "line", ["file", "line"], name=f"{name} quarantine")
        return rowsets.answer(request, db, workspace, identity, rows, Asked(limit=limit, cursor=cursor))

    @get("/{name:str}/diff", permission=Permission.READ, sync_to_thread=True)
    def diff_versions(
        self,
        db: Db,
        name: FromPath[str],
        a: FromQuery[int],
        b: FromQuery[int],
        key: FromQuery[list[str] | None] = None,
    ) -> dict[str, Any]:
        """What differs between two versions; `key` names the columns by which rows are matched."""
        before, after = _version(db, name, a), _version(db, name, b)
        select = "from diff_versions(?, ?, key := ?)"
        return {"items": paging.records(db, select, [before.address, after.address, key]), "next_cursor": None}

    @post("/{name:str}/validate", status_code=200, permission=Permission.READ, sync_to_thread=True)
    def validate_dataset(self, db: Db, identity: Caller, name: FromPath[str], data: JSONBody[Check]) -> dict[str, Any]:
        """Look for rows that break rules; `save`, which needs the permission `label`, keeps what was found."""
        if data.save and not identity.may(Permission.LABEL):
            raise Forbidden(
                f"keeping what was found needs the permission `{Permission.LABEL}`, "
                f"which `{identity.user}` does not have with this credential",
                "leave `save` out, or ask an administrator",
            )
        found = db.validate(_version(db, name, data.version).address, data.rules, data.save)
        return {**msgspec.to_builtins(found), "is_valid": found.is_valid}

    @get("/{name:str}/rules", permission=Permission.READ, sync_to_thread=True)
    def get_rules(self, db: Db, name: FromPath[str]) -> Response[dict[str, Any]]:
        """The newest rules that are kept under the name of a dataset."""
        number, rules = kept_rules(db, name)
        return Response({"name": name, "version": number, "rules": rules}, headers={"ETag": f'"{number}"'})

    @put("/{name:str}/rules", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def put_rules(self, db: Db, name: FromPath[str], data: JSONBody[Rules]) -> Response[dict[str, Any]]:
        """Keep rules as the next version of the set under the name of a dataset."""
        number = db.set_rules(_version(db, name, None).name, data.rules)
        return Response({"name": name, "version": number, "rules": data.rules}, headers={"ETag": f'"{number}"'})


async def load_soon(workspace: Workspace, identity: Identity, data: NewDataset, seconds: float) -> Job:
    """The job that loads a dataset, as it is after so many seconds or once it has ended."""
    asked = await to_thread.run_sync(_request, workspace, identity, data)
    job = await to_thread.run_sync(lambda: workspace.jobs.submit("dataset", asked, identity, request_id=request_id()))
    await workspace.jobs.wait(job, seconds)
    return await to_thread.run_sync(workspace.jobs.find, job, identity)


def _request(workspace: Workspace, identity: Identity, data: NewDataset) -> dict[str, Any]:
    """The request of the job, once all is checked that can be without reading the source."""
    if (data.upload_id is None) == (data.url is None):
        raise BadParameter("neither or both of `upload_id` and `url` are given", "give one of them")
    if data.name in RESERVED:
        raise BadParameter(f"no dataset can be called `{data.name}`", "choose another name")
    checked_options(data.options)
    if data.url is not None and not identity.may(Permission.CONNECT_SOURCES):
        raise Forbidden(
            f"this needs the permission `{Permission.CONNECT_SOURCES}`, which `{identity.user}` does not have",
            "ask an administrator, or upload the rows",
        )
    if data.upload_id is not None:
        Uploads(workspace.folder).find(data.upload_id, identity.user)
    limits = workspace.options["allow_private_addresses"], workspace.options["max_upload_bytes"]
    return loading.request_of(data, identity.user, *limits)


def _loaded(job: Job, workspace: Workspace) -> Response[dict[str, Any]]:
    """The answer to a load: its version, its error, or the job that goes on with it."""
    place = {"Location": f"/api/v1/jobs/{job.id}"}
    if job.problem is not None:
        status = job.problem["status"] if job.problem["status"] != 499 else 409
        return Response(job.problem, status_code=status, headers=place, media_type=PROBLEM)
    if job.status != "succeeded" or job.result is None:
        return Response(told(job, workspace), status_code=202, headers=place)
    found = job.result["dataset"]
    return Response(found, status_code=201, headers={"Location": f"/api/v1/datasets/{quote(found['name'], safe='')}"})


def _version(db: Db, name: str, version: int | None) -> Version:
    """A version of a dataset; UnknownDataset for another name."""
    return db.datasets.version(name if version is None else f"{name}@{version}")


def _columns(version: Version) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in version.columns.items()]


def kept_rules(db: Db, name: str) -> tuple[int, list[dict[str, Any]]]:
    """The number and the rules of the newest set under a name, which has none where there is no set."""
    select = (
        'select version, kind, "columns", parameters, severity '
        "from query(_catalog('rules', getvariable('pynomaly_user'))) "
        "where name = ? qualify version = max(version) over () order by number"
    )
    found = paging.records(db, select, [_version(db, name, None).name])
    rules = [
        {"kind": row["kind"], "columns": row["columns"], **row["parameters"], "severity": row["severity"]}
        for row in found
    ]
    return (found[0]["version"] if found else 0), rules
