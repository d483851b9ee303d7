"""Who sees a dataset besides its owner, and how it is removed."""

from typing import Any
from urllib.parse import quote

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, URLEncodedBody

from pynomaly.engine import Engine
from pynomaly.errors import DatasetInUse, PynomalyError
from pynomaly.sharing import EVERYBODY
from pynomaly_server.errors import UnknownUser
from pynomaly_server.identity import Identity
from pynomaly_server.pages import wording
from pynomaly_server.pages.datasets import of_dataset
from pynomaly_server.pages.shown import sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Caller, Db, Place

Asked = Request[Any, Any, Any]
Form = URLEncodedBody[dict[str, Any]]
MOST_NAMED = 20


class DatasetCarePage(Controller):
    """Sharing and removing."""

    path = "/datasets/{name:str}"
    include_in_schema = False

    @get("/sharing", permission=Permission.SHARE, sync_to_thread=True)
    def get_shares(self, request: Asked, db: Db, identity: Caller, name: FromPath[str]) -> Response[str]:
        """With whom it is shared."""
        return _sharing(request, db, identity, name)

    @post("/sharing", permission=Permission.SHARE, sync_to_thread=True)
    def share(
        self, request: Asked, db: Db, identity: Caller, workspace: Place, name: FromPath[str], data: Form
    ) -> Response[Any]:
        """Share it with a user or everybody, or take that back."""
        grantee = EVERYBODY if data.get("everybody") else str(data.get("user", "")).strip()
        try:
            if data.get("action") == "revoke":
                db.unshare("dataset", name, grantee)
            else:
                if grantee != EVERYBODY and workspace.accounts.users.find(grantee) is None:
                    raise UnknownUser(f"no user is named {grantee[:64]!r}", "check how the name is written")
                db.share("dataset", name, grantee)
        except PynomalyError as error:
            if error.status not in (404, 422):
                raise
            return _sharing(request, db, identity, name, 422, (wording.what(error), wording.way_out(error)), grantee)
        return sent_to(request, f"/datasets/{quote(name)}/sharing")

    @get("/remove", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def ask_remove(self, request: Asked, db: Db, identity: Caller, name: FromPath[str]) -> Response[str]:
        """The question, with what was made of it."""
        return _removal(request, db, identity, name)

    @post("/remove", permission=Permission.WRITE_DATASETS, sync_to_thread=True)
    def remove(self, request: Asked, db: Db, identity: Caller, name: FromPath[str], data: Form) -> Response[Any]:
        """Remove it; where something was made of it, only if that was seen."""
        about = of_dataset(db, identity, name, None)  # for whoever sees none of that name there is none
        try:
            db.datasets.remove(about["dataset"].name, force=data.get("force") == "true")
        except DatasetInUse:
            return _removal(request, db, identity, name, 422)
        return sent_to(request, "/datasets")


def _sharing(
    request: Asked,
    db: Engine,
    identity: Identity,
    name: str,
    status: int = 200,
    problem: tuple[str, str] | None = None,
    grantee: str = "",
) -> Response[str]:
    about = of_dataset(db, identity, name, None)
    shares = db.shares("dataset", about["dataset"].name) if about["is_mine"] else []
    return shown(
        request, "dataset_sharing.html", f"Sharing of {name}", status=status, tab="sharing", shares=shares,
        everybody=EVERYBODY, problem=problem, grantee=grantee, **about,
    )  # fmt: skip


def _removal(request: Asked, db: Engine, identity: Identity, name: str, status: int = 200) -> Response[str]:
    about = of_dataset(db, identity, name, None)
    made = sorted(db.datasets.dependents(about["dataset"].name), key=lambda one: one.partition(":")[0])
    return shown(
        request, "dataset_remove.html", f"Remove {name}", status=status, dependents=made[:MOST_NAMED],
        n_more=max(len(made) - MOST_NAMED, 0), was_refused=status != 200, **about,
    )  # fmt: skip
