"""Models: which there are, what one is made of, its life, and rows that it scores."""

from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, FromQuery, URLEncodedBody

from pynomaly import calls
from pynomaly.engine import Engine
from pynomaly.errors import BadParameter, PynomalyError
from pynomaly_server import paging
from pynomaly_server.api.models import FILES, LATEST
from pynomaly_server.identity import Identity
from pynomaly_server.pages import whatif
from pynomaly_server.pages.shown import fragment, sent_to, shown
from pynomaly_server.permissions import Permission
from pynomaly_server.served import Caller, Db, Place

PAGE_ROWS = 50
CHANGES = {
    "champion": (
        "Make version {} champion?",
        "From now on it scores where no version is named. The present champion retires.",
        "Make champion",
    ),
    "staging": ("Bring version {} to staging?", "It is marked as a candidate. The champion stays.", "To staging"),
    "retired": (
        "Retire version {}?",
        "It stays readable and can be promoted again. It scores only where it is named.",
        "Retire",
    ),
    "back": (
        "Roll back?",
        "The champion before the present one becomes champion again, and the present one retires.",
        "Roll back",
    ),
}
Asked = Request[Any, Any, Any]
Form = URLEncodedBody[dict[str, Any]]
Version = FromQuery[int | None]


class ModelsPage(Controller):
    """Trained models."""

    path = "/models"
    include_in_schema = False

    @get("/", permission=Permission.READ, sync_to_thread=True)
    def get_models(self, request: Asked, db: Db, cursor: FromQuery[str | None] = None) -> Response[str]:
        """The newest version of each."""
        found = paging.page(db, LATEST, (), ("name",), PAGE_ROWS, cursor)
        models = [{**one, "metrics": _object(one["metrics"])} for one in found.items]
        return shown(request, "models.html", "Models", nav="models", models=models, next_cursor=found.next_cursor)

    @get("/{name:str}", permission=Permission.READ, sync_to_thread=True)
    def get_model(
        self, request: Asked, db: Db, identity: Caller, name: FromPath[str], version: Version = None
    ) -> Response[str]:
        """The card of the version that scores, or of another one."""
        versions = _versions(db, name)
        model = _chosen(versions, db.version_of(name, version))
        known = paging.records(db, "from algorithms() where name = ?", [model["algorithm"]])
        algorithm = known[0] if known else None
        described = paging.records(db, "from algorithm_parameters(?)", [model["algorithm"]]) if algorithm else []
        return shown(
            request, "model.html", name, nav="models", model=model, versions=versions, algorithm=algorithm,
            described={one["name"]: one for one in described}, formats=list(FILES), base=_base(name), changes=CHANGES,
            shares=_shares(db, identity, name), may_change=identity.may(Permission.WRITE_MODELS),
            may_roll_back=any(one["stage"] == "champion" for one in versions) and len(versions) > 1,
        )  # fmt: skip

    @get("/{name:str}/importance", permission=Permission.READ, sync_to_thread=True)
    def get_importance(self, request: Asked, db: Db, name: FromPath[str], version: Version = None) -> Response[str]:
        """How much each feature drives the anomalies in what the model was trained on."""
        number = db.version_of(name, version)
        call = calls.macro_call("feature_importance", ("version",), (name,), {"version": number})
        context: dict[str, Any] = {"importance": [], "error": None}
        try:
            context["importance"] = paging.records(db, f"from {call}")
        except PynomalyError as error:  # its source may be gone, or not for the reader
            context["error"] = error
        return shown(
            request, "model_importance.html", f"What drives {name}", nav="models", name=name, number=number,
            base=_base(name), sql=f"from {call}", **context,
        )  # fmt: skip

    @get("/{name:str}/change", permission=Permission.WRITE_MODELS, sync_to_thread=True)
    def ask_change(
        self, request: Asked, db: Db, name: FromPath[str], to: FromQuery[str], version: Version = None
    ) -> Response[str]:
        """Ask whether a version shall change its stage."""
        _known(to)
        number = db.version_of(name, version)
        return shown(
            request, "model_change.html", f"Change {name}", nav="models", to=to, number=number, changes=CHANGES,
            name=name, base=_base(name),
        )  # fmt: skip

    @post("/{name:str}/change", permission=Permission.WRITE_MODELS, sync_to_thread=True)
    def change(
        self,
        request: Asked,
        db: Db,
        workspace: Place,
        name: FromPath[str],
        to: FromQuery[str],
        data: Form,  # noqa: ARG002 - the form has its token alone
        version: Version = None,
    ) -> Response[None]:
        """Bring a version to a stage, or the champion before the present one back."""
        _known(to)
        if to == "back":
            db.roll_back(name)
        else:
            db.promote(name, db.version_of(name, version), to)
        workspace.changed()
        chosen = f"?version={version}" if version and to != "back" else ""
        return sent_to(request, f"{_base(name)}{chosen}")

    @post("/{name:str}/share", permission=Permission.SHARE, sync_to_thread=True)
    def share(self, request: Asked, db: Db, workspace: Place, name: FromPath[str], data: Form) -> Response[None]:
        """Let somebody see it, or hide it from them again."""
        who = str(data.get("user", "")).strip()
        if data.get("end"):
            db.unshare("model", name, who)
        else:
            db.share("model", name, who)
        workspace.changed()
        return sent_to(request, _base(name))

    @get("/{name:str}/score", permission=Permission.DETECT, sync_to_thread=True)
    def get_score(self, request: Asked, db: Db, name: FromPath[str], version: Version = None) -> Response[str]:
        """A form of the model's features, with the score of what is in it."""
        number = db.version_of(name, version)
        model = _chosen(_versions(db, name), number)
        fields = whatif.fields(db, model)
        given = whatif.given(request.query_params.multi_items())
        values = given or {one["name"]: one["default"] for one in fields}
        return shown(
            request, "model_score.html", f"Score a row by {name}", nav="models", model=model, fields=fields,
            values=values, base=_base(name), prefix=whatif.PREFIX, scored=whatif.scored(db, model, values),
        )  # fmt: skip

    @get("/{name:str}/score/one", permission=Permission.DETECT, sync_to_thread=True)
    def get_score_alone(self, request: Asked, db: Db, name: FromPath[str], version: Version = None) -> Response[str]:
        """The score of a row, as the part of the form's page that changes with it."""
        number = db.version_of(name, version)
        select = "select name, version, features, encodings, threshold from models() where name = ? and version = ?"
        (model,) = paging.records(db, select, [name, number])
        given = whatif.given(request.query_params.multi_items())
        scored = whatif.scored(db, {**model, "encodings": _object(model["encodings"])}, given)
        address = f"{_base(name)}/score?{urlencode(list(request.query_params.multi_items()))}"
        return fragment(
            request, "pages/model_scored.html", scored=scored, headers={"HX-Replace-Url": address}, model=model
        )


def _base(name: str) -> str:
    return f"/models/{quote(name, safe='')}"


def _known(change: str) -> None:
    if change not in CHANGES:
        raise BadParameter(f"`{change[:40]}` is no change of a model", f"one of {', '.join(CHANGES)}")


def _versions(db: Engine, name: str) -> list[dict[str, Any]]:
    """The versions of a model, the newest first."""
    found = paging.records(db, "select * from models() where name = ? order by version desc", [name])
    documents = ("parameters", "encodings", "metrics", "libraries")
    return [{**one, **{key: _object(one[key]) for key in documents}} for one in found]


def _chosen(versions: list[dict[str, Any]], number: int) -> dict[str, Any]:
    return next(one for one in versions if one["version"] == number)


def _shares(db: Engine, identity: Identity, name: str) -> list[Any] | None:
    """With whom a model is shared; None for who may not ask."""
    if not identity.may(Permission.SHARE):
        return None
    try:
        return list(db.shares("model", name))
    except PynomalyError:
        return None


def _object(value: Any) -> dict[str, Any]:
    found = msgspec.json.decode(value) if isinstance(value, str) else value
    return found if isinstance(found, dict) else {}
