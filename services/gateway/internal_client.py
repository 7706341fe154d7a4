"""The other three services as the gateway asks them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import orjson

from libs.common import log
from libs.common.errors import MeshError, Unavailable, from_problem
from libs.common.settings import Settings
from services.gateway.proxy.connection_pool import Address, Pool, fetch
from services.gateway.proxy.upstream_connection import Headers

ANSWER_TIMEOUT_S = 10.0


class Service:
    """One other service, by its address."""

    def __init__(self, pool: Pool, name: str, url: str, token: str) -> None:
        parts = urlsplit(url)
        self.name = name
        self.address: Address = (parts.hostname or "", parts.port or 80)
        self.authorization = f"Bearer {token}".encode()
        self._pool = pool

    async def ask(self, method: str, target: str, body: Any = None, *, timeout: float = ANSWER_TIMEOUT_S) -> Any:
        """The decoded answer, None when there is no content. Raises the service's error, or Unavailable."""
        sent: Headers = [(b"authorization", self.authorization)]
        if identity := log.current_request_id():
            sent.append((b"x-request-id", identity.encode()))
        content = b"" if body is None else orjson.dumps(body)
        try:
            status, answer = await fetch(self._pool, self.address, method, target, sent, content, timeout=timeout)
        except Unavailable as error:
            raise Unavailable(f"{self.name} cannot be reached") from error
        if status >= 400:
            raise from_problem(status, _document(answer))
        return orjson.loads(answer) if answer and status == 200 else None

    async def alive(self) -> str | None:
        """Why it does not answer; None when it does."""
        try:
            await self.ask("GET", "/healthz", timeout=2.0)
        except MeshError as error:
            return error.detail
        return None


def _document(answer: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {}


class Services:
    def __init__(self, pool: Pool, settings: Settings) -> None:
        token = settings.internal_token
        self.registry = Service(pool, "registry", settings.registry_url, token)
        self.scheduler = Service(pool, "scheduler", settings.scheduler_url, token)
        self.databox = Service(pool, "databox", settings.databox_url, token)

    def all(self) -> tuple[Service, ...]:
        return (self.registry, self.scheduler, self.databox)
