"""The API's document, to be browsed and tried."""

from litestar import Controller, get
from litestar.response import Template

from pynomaly_server.permissions import Permission

SCHEMA = "/api/v1/schema"


class ApiDocsPage(Controller):
    """The page of the API."""

    include_in_schema = False

    @get(SCHEMA, permission=Permission.PUBLIC)
    async def get_api_docs(self) -> Template:
        """The document by Swagger UI."""
        return Template("api_docs.html", context={"schema": f"{SCHEMA}/openapi.json"})
