"""Webhooks, built-in Git repositories and signed links: forwarded; the receiving service checks the credentials."""

from __future__ import annotations

from starlette.types import Receive

from services.gateway.handlers.service_forwarder import ServiceForwarder
from services.gateway.internal_client import InternalServices
from services.gateway.proxy.body import Body
from services.gateway.proxy.request import Request
from services.gateway.proxy.response_writer import ResponseWriter
from services.gateway.proxy.upstream_connection import Headers
from services.gateway.routing.paths import Route

OF_REGISTRY = ("hooks", "git")
"""The registry reads the caller's Authorization itself: its scheme depends on the client."""


class PassthroughHandler:
    def __init__(self, services: InternalServices, forwarder: ServiceForwarder, file_limit: int | None) -> None:
        self._services = services
        self._forwarder = forwarder
        self._file_limit = file_limit

    async def handle(self, route: Route, request: Request, receive: Receive, response: ResponseWriter) -> None:
        identity: Headers = []
        if route.kind in OF_REGISTRY and (authorization := request.by_name.get(b"authorization")):
            identity = [(b"x-mlmesh-authorization", authorization)]
        limit = None if route.kind in OF_REGISTRY else self._file_limit  # the registry has its own limits
        response.is_sandboxed = route.kind == "links"  # users' files
        body = Body(request, receive, limit)
        service = self._services.get(route.service)
        await self._forwarder.forward(service, request, request.raw_path, identity, body, response)
