"""OpenAPI documents of published APIs: fetched from a running instance, else as the route table has them."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from libs.common.errors import MeshError
from libs.common.protocol.route_table import Api
from services.gateway.pages import openapi
from services.gateway.predict.handler import build_token_header, get_component, no_instance_error
from services.gateway.proxy.connection_pool import ConnectionPool, fetch
from services.gateway.routing.route_table import App, Component

OPENAPI_TIMEOUT_S = 5.0


class ComponentDocs:
    def __init__(self, pool: ConnectionPool, public_url: str) -> None:
        self._pool = pool
        self._public_url = public_url

    async def build_document(self, app: App, api: Api) -> openapi.Document:
        """Raises Unavailable when no instance has ever described itself."""
        url = f"{self._public_url}/{app.ns}/{(api.path or '').strip('/')}"
        if api.target == "pipeline":
            return openapi.build_pipeline_document(api, url)
        component = get_component(app, api)
        document = await self._fetch_from_instance(component) or component.openapi
        if document is None:
            raise no_instance_error(component)
        return openapi.build_component_document(document, api, url)

    async def _fetch_from_instance(self, component: Component) -> Mapping[str, object] | None:
        """The document of the first instance that responds with one; None when no instance does."""
        for endpoint in component.endpoints:
            address, headers = (endpoint.host, endpoint.port), [build_token_header(endpoint)]
            try:
                status, content = await fetch(
                    self._pool, address, "GET", "/openapi.json", headers, timeout=OPENAPI_TIMEOUT_S
                )
                document = orjson.loads(content) if status == 200 else None
            except (MeshError, orjson.JSONDecodeError):
                continue
            if isinstance(document, dict):
                return document
        return None
