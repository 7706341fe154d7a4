"""Clients of the internal services: registry, scheduler and databox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from libs.common import log
from libs.common.errors import MeshError, Unavailable, from_problem
from libs.common.settings import Settings
from services.gateway.proxy.connection_pool import Address, ConnectionPool, fetch
from services.gateway.proxy.upstream_connection import Headers

RESPONSE_TIMEOUT_S = 10.0


class InternalService:
    """One service at its internal address."""

    def __init__(self, pool: ConnectionPool, name: str, url: str, token: str) -> None:
        parts = urlsplit(url)
        self.name = name
        self.address: Address = (parts.hostname or "", parts.port or 80)
        self.authorization = f"Bearer {token}".encode()
        self._pool = pool

    async def request_json(
        self, method: str, target: str, body: Any = None, *, timeout: float = RESPONSE_TIMEOUT_S
    ) -> Any:
        """The decoded response, None without content. Raises the service's error, or Unavailable."""
        headers: Headers = [(b"authorization", self.authorization)]
        if identity := log.current_request_id():
            headers.append((b"x-request-id", identity.encode()))
        content = b"" if body is None else orjson.dumps(body)
        try:
            status, response = await fetch(self._pool, self.address, method, target, headers, content, timeout=timeout)
        except Unavailable as error:
            raise Unavailable(f"{self.name} cannot be reached") from error
        if status >= 400:
            raise from_problem(status, _parse_object(response))
        return orjson.loads(response) if response and status == 200 else None

    async def check_health(self) -> str | None:
        """Why the service does not respond; None when it does."""
        try:
            await self.request_json("GET", "/healthz", timeout=2.0)
        except MeshError as error:
            return error.detail
        return None


def _parse_object(response: bytes) -> Mapping[str, object]:
    try:
        document = orjson.loads(response)
    except orjson.JSONDecodeError:
        document = None
    return document if isinstance(document, dict) else {}


class InternalServices:
    def __init__(self, pool: ConnectionPool, settings: Settings) -> None:
        token = settings.internal_token
        self.registry = InternalService(pool, "registry", settings.registry_url, token)
        self.scheduler = InternalService(pool, "scheduler", settings.scheduler_url, token)
        self.databox = InternalService(pool, "databox", settings.databox_url, token)

    def get(self, name: str | None) -> InternalService:
        """The service that a route names; the registry where it names none."""
        if name == "scheduler":
            return self.scheduler
        return self.databox if name == "databox" else self.registry

    def list_all(self) -> tuple[InternalService, ...]:
        return (self.registry, self.scheduler, self.databox)
