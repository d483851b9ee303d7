"""The application: controllers, what they depend on, and what every request passes."""

import contextlib
import pkgutil
from collections.abc import AsyncIterator
from importlib import import_module
from types import ModuleType
from typing import Any

from litestar import Controller, Litestar, Router
from litestar.config.compression import CompressionConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig

import pynomaly
from pynomaly_server import api, pages
from pynomaly_server.audit import Audit, Audited
from pynomaly_server.document import SCHEMA, Browser, Document, Reference
from pynomaly_server.idempotency import Idempotency
from pynomaly_server.pages.environment import environment
from pynomaly_server.pages.failed import answer
from pynomaly_server.permissions import Permission, permitted
from pynomaly_server.rate_limits import Buckets, RateLimits
from pynomaly_server.read_cache import Answers, ReadCache
from pynomaly_server.recognition import Recognition
from pynomaly_server.requests import RequestLog
from pynomaly_server.scoring import Scoring
from pynomaly_server.security import SameSite, Secured
from pynomaly_server.served import provide_db, provide_identity, provide_scoring, provide_workspace
from pynomaly_server.slashes import Slashes, keeping
from pynomaly_server.static_files import static_file
from pynomaly_server.uploads import sweeping
from pynomaly_server.workspace import Workspace

# what is streamed, or read by programs, or compressed already
_AS_IT_IS = ["^/api/", "^/metrics", "^/static/", "/progress$"]
LARGEST_BODY = 1_048_576  # bytes of a request that brings no rows and no file


def create_app(workspace: Workspace) -> Litestar:
    """The application that serves a workspace; it starts the workspace's jobs and closes it at the end."""
    app = Litestar(
        route_handlers=[*controllers(api), *controllers(pages), static_file],
        template_config=TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment())),
        guards=[permitted],
        middleware=[  # made anew for every route: what they remember is given
            Slashes,
            Recognition,
            DefineMiddleware(RateLimits, buckets=Buckets()),
            SameSite,
            DefineMiddleware(Idempotency, running=set()),
            DefineMiddleware(ReadCache, answers=Answers()),
        ],
        dependencies={
            "workspace": Provide(provide_workspace, sync_to_thread=False),
            "identity": Provide(provide_identity, sync_to_thread=False),
            "db": Provide(provide_db),
            "scoring": Provide(provide_scoring, sync_to_thread=False),
        },
        exception_handlers={Exception: answer},
        compression_config=CompressionConfig("gzip", minimum_size=1_024, gzip_compress_level=6, exclude=_AS_IT_IS),
        lifespan=[_life(workspace)],
        openapi_config=_openapi(),
        request_max_body_size=LARGEST_BODY,
        state=State({"workspace": workspace, "scoring": Scoring(workspace)}),
        debug=False,
        pdb_on_exception=False,
        logging_config=None,
    )
    app.asgi_handler = RequestLog(Audited(Secured(keeping(app.asgi_handler), workspace.options.start)))
    return app


def controllers(package: ModuleType) -> list[type[Controller]]:
    """Every controller of a package."""
    found = []
    for module in pkgutil.iter_modules(package.__path__):
        members = vars(import_module(f"{package.__name__}.{module.name}")).values()
        found += [
            member
            for member in members
            if isinstance(member, type) and issubclass(member, Controller) and member.__module__.endswith(module.name)
        ]
    return [controller for controller in found if controller is not Controller]


def _life(workspace: Workspace) -> Any:
    @contextlib.asynccontextmanager
    async def life(app: Litestar) -> AsyncIterator[None]:
        audit = None if workspace.options.start.read_only else Audit(workspace)
        app.state["audit"] = audit
        workspace.start()
        try:
            async with sweeping(workspace):
                yield
        finally:
            await workspace.drain()
            if audit is not None:
                audit.close()
            workspace.close()

    return life


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Pynomaly",
        version=pynomaly.__version__,
        description="Anomaly detection is a query; this is how other programs ask it.",
        path=SCHEMA,
        openapi_router=Router(path=SCHEMA, route_handlers=[], opt={"permission": Permission.PUBLIC, "greets": True}),
        render_plugins=[Reference(path="/"), Browser(path="/swagger"), Document(path="/openapi.json")],
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer", description="An access token or an API key")
            }
        ),
        security=[{"bearer": []}],
    )
